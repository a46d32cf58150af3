"""Signing in: who gets in, what a session may do, and when it ends. Over HTTP against the real service."""

import re
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlencode

import pytest

from feedback_service.server import tokens_of
from resources.home import Home, now
from tests.feedback_service.serving import Answer, Served, call, event, serving

pytestmark = pytest.mark.slow
FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "text/html"}
BROWSER = {"Accept": "text/html"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home")).prepare()


@pytest.fixture(scope="module")
def tokens(home: Home) -> dict[str, str]:
    return {role: tokens_of(home).make(f"{role}-one", role, now()) for role in ("annotator", "admin", "capture")}  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def served(home: Home, tokens: dict[str, str]) -> Iterator[Served]:
    with serving(home.root) as running:
        yield running


def sign_in(port: int, who: str, onwards: str = "/") -> Answer:
    return call(port, "POST", "/sign-in", urlencode({"who": who, "next": onwards}).encode(), headers=FORM)


def cookie_of(answer: Answer) -> str:
    return answer.headers["set-cookie"].split(";")[0]


def csrf_of(port: int, cookie: str) -> str:
    page = call(port, "GET", "/", headers={**BROWSER, "Cookie": cookie})
    found = re.search(r'data-csrf="([^"]+)"', page.raw.decode())
    assert found, page.raw
    return found[1]


def test_a_page_sends_strangers_to_the_sign_in_and_back(served: Served, tokens: dict[str, str]) -> None:
    asked = call(served.port, "GET", "/?a=1", headers=BROWSER)
    assert (asked.status, asked.headers["location"]) == (303, "/sign-in?next=%2F%3Fa%3D1")
    entered = sign_in(served.port, tokens["annotator"], "/?a=1")
    assert (entered.status, entered.headers["location"]) == (303, "/?a=1")
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert "SameSite=lax" in entered.headers["set-cookie"]


@pytest.mark.parametrize(
    "elsewhere", ["https://evil.example/", "//evil.example", "/\\evil.example", "javascript:alert(1)", "/a\r\nb"]
)
def test_nobody_is_sent_elsewhere_after_signing_in(served: Served, tokens: dict[str, str], elsewhere: str) -> None:
    assert sign_in(served.port, tokens["annotator"], elsewhere).headers["location"] == "/"


def test_a_wrong_token_and_a_products_token_do_not_get_in(served: Served, tokens: dict[str, str]) -> None:
    wrong, product = sign_in(served.port, "curation_wrong"), sign_in(served.port, tokens["capture"])
    assert (wrong.status, product.status) == (401, 403)
    assert b"this token is unknown" in wrong.raw
    assert b"products do not label" in product.raw
    assert "set-cookie" not in wrong.headers
    assert "set-cookie" not in product.headers


def test_what_a_person_types_comes_back_as_text_only(served: Served) -> None:
    answer = sign_in(served.port, "x", '/"><script>alert(1)</script>')
    assert b"<script>alert" not in answer.raw


def test_a_session_speaks_as_its_token_and_only_with_the_pages_own_secret(served: Served, tokens: dict[str, str]) -> None:
    cookie = cookie_of(sign_in(served.port, tokens["annotator"]))
    csrf = csrf_of(served.port, cookie)
    own = event(annotator="annotator-one")
    unproven = call(served.port, "POST", "/v1/feedback", own, headers={"Cookie": cookie})
    forged = call(served.port, "POST", "/v1/feedback", own, headers={"Cookie": cookie, "X-CSRF-Token": "x" * 27})
    assert [(answer.status, answer.body["field"]) for answer in (unproven, forged)] == [(403, "X-CSRF-Token")] * 2
    proven = {"Cookie": cookie, "X-CSRF-Token": csrf}
    assert call(served.port, "POST", "/v1/feedback", own, headers=proven).status == 201
    other = call(served.port, "POST", "/v1/feedback", event(annotator="anna"), headers=proven)
    assert (other.status, other.body["field"]) == (403, "annotator")


def test_the_secret_of_one_session_does_not_serve_another(served: Served, tokens: dict[str, str]) -> None:
    first, second = (cookie_of(sign_in(served.port, tokens["annotator"])) for _ in range(2))
    headers = {"Cookie": first, "X-CSRF-Token": csrf_of(served.port, second)}
    assert call(served.port, "POST", "/v1/feedback", event(annotator="annotator-one"), headers=headers).status == 403


def test_a_changed_cookie_is_nobody(served: Served, tokens: dict[str, str]) -> None:
    cookie = cookie_of(sign_in(served.port, tokens["annotator"]))
    middle = len(cookie) // 2
    changed = cookie[:middle] + ("A" if cookie[middle] != "A" else "B") + cookie[middle + 1 :]
    assert call(served.port, "GET", "/", headers={**BROWSER, "Cookie": changed}).status == 303


def test_another_page_cannot_sign_anybody_in_or_out(served: Served, tokens: dict[str, str]) -> None:
    foreign = {**FORM, "Origin": "https://evil.example"}
    assert call(served.port, "POST", "/sign-in", f"who={tokens['annotator']}".encode(), headers=foreign).status == 403
    cookie = cookie_of(sign_in(served.port, tokens["annotator"]))
    assert call(served.port, "POST", "/sign-out", b"csrf=wrong", headers={**FORM, "Cookie": cookie}).status == 403


def test_signing_out_takes_the_cookie_away(served: Served, tokens: dict[str, str]) -> None:
    cookie = cookie_of(sign_in(served.port, tokens["annotator"]))
    left = call(
        served.port, "POST", "/sign-out", f"csrf={csrf_of(served.port, cookie)}".encode(), headers={**FORM, "Cookie": cookie}
    )
    assert left.status == 303
    assert 'curation_session=""' in left.headers["set-cookie"]


def test_signing_out_of_a_session_that_has_ended_leads_back_to_the_entrance(served: Served) -> None:
    left = call(served.port, "POST", "/sign-out", b"csrf=x", headers=FORM)
    assert (left.status, left.headers["location"]) == (303, "/sign-in?next=%2F")


def test_a_revoked_token_ends_its_sessions_at_once(served: Served, home: Home) -> None:
    cookie = cookie_of(sign_in(served.port, tokens_of(home).make("leaver", "annotator", now())))
    assert call(served.port, "GET", "/", headers={**BROWSER, "Cookie": cookie}).status == 200
    tokens_of(home).revoke("leaver")
    assert call(served.port, "GET", "/", headers={**BROWSER, "Cookie": cookie}).status == 303


def test_an_unknown_dataset_is_a_page_for_people_and_a_problem_for_programs(served: Served, tokens: dict[str, str]) -> None:
    cookie = cookie_of(sign_in(served.port, tokens["annotator"]))
    page = call(served.port, "GET", "/label/nowhere", headers={**BROWSER, "Cookie": cookie})
    program = call(served.port, "GET", "/label/nowhere", headers={"Accept": "application/json", "Cookie": cookie})
    assert page.status == program.status == 404
    assert b"there is no dataset &#39;nowhere&#39;" in page.raw
    assert program.body["fix"] == "one of: reviews, tickets"


def test_pages_allow_nothing_from_elsewhere_and_nothing_inline(served: Served, tokens: dict[str, str]) -> None:
    cookie = cookie_of(sign_in(served.port, tokens["annotator"]))
    policy = call(served.port, "GET", "/", headers={**BROWSER, "Cookie": cookie}).headers["content-security-policy"]
    assert "default-src 'none'; script-src 'self'; style-src 'self'" in policy
    assert "unsafe" not in policy


def test_without_tokens_a_name_is_enough_until_the_first_token_is_made(tmp_path: Path) -> None:
    home = Home(tmp_path).prepare()
    with serving(tmp_path) as served:
        assert sign_in(served.port, "no name <b>").status == 422
        cookie = cookie_of(sign_in(served.port, "anna"))
        assert b"anna" in call(served.port, "GET", "/", headers={**BROWSER, "Cookie": cookie}).raw
        tokens_of(home).make("shop", "capture", now())
        assert call(served.port, "GET", "/", headers={**BROWSER, "Cookie": cookie}).status == 303


def test_a_damaged_list_of_tokens_lets_nobody_in_and_says_so_on_a_page(tmp_path: Path) -> None:
    home = Home(tmp_path).prepare()
    token = tokens_of(home).make("anna", "annotator", now())
    with serving(tmp_path) as served:
        cookie = cookie_of(sign_in(served.port, token))
        (home.secrets / "tokens.json").write_text("{")
        answer = call(served.port, "GET", "/", headers={**BROWSER, "Cookie": cookie})
    assert answer.status == 500
    assert b"tokens.json is no list of tokens" in answer.raw
    assert b"anna" not in answer.raw
