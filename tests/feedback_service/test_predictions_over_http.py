"""The predictions page as the service gives it: what its address asks for, what it shows of each, and what it says to nonsense."""

import datetime
import html
import re
from collections.abc import Iterator
from urllib.parse import urlencode

import pytest

from feedback_service.settings import Settings
from resources.home import Home
from tests.feedback_service.pages_world import crowned, item_id, predicted
from tests.feedback_service.serving import Answer, Served, call, event, serving

pytestmark = pytest.mark.slow
BROWSER = {"Accept": "text/html"}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}
HOSTILE = "<script>alert(1)</script><img src=x onerror=alert(2)>\" style='color:red' \u202eolleh {{ 7 * 7 }}"
TEXTS = [f"This is review {number} of a kettle." for number in range(60)]
TEXTS[1], TEXTS[2], TEXTS[3] = HOSTILE, "long " * 20_000, ""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """60 predictions of model 1, the champion, of two days, and 3 of model 2, which was not promoted."""
    home = Home(tmp_path_factory.mktemp("home")).prepare()
    predicted(home, TEXTS)
    predicted(home, TEXTS[:30], day=datetime.date(2026, 11, 20))
    predicted(home, TEXTS[:3], version=2)
    crowned(home)
    return home


@pytest.fixture(scope="module")
def served(home: Home) -> Iterator[Served]:
    with serving(home.root, Settings(port=0, dagster_url="http://127.0.0.1:3000")) as running:
        yield running


@pytest.fixture(scope="module")
def cookie(served: Served) -> str:
    entered = call(served.port, "POST", "/sign-in", urlencode({"who": "anna", "next": "/"}).encode(), headers=FORM)
    return entered.headers["set-cookie"].split(";")[0]


def look(served: Served, cookie: str, path: str = "/predictions/reviews", **asked: str) -> Answer:
    return call(served.port, "GET", f"{path}?{urlencode(asked)}", headers={**BROWSER, "Cookie": cookie})


def shown(answer: Answer) -> str:
    """What the page says, without markup."""
    return " ".join(html.unescape(re.sub(r"<[^>]*>", " ", answer.raw.decode())).split())


def rows(answer: Answer) -> list[str]:
    """The markup of each row."""
    return re.findall(r'<tr role="row" class="prediction".*?</tr>', answer.raw.decode(), re.DOTALL)


def test_strangers_are_sent_to_the_sign_in_and_back_to_what_they_asked_for(served: Served) -> None:
    answer = call(served.port, "GET", "/predictions/reviews?label=positive", headers=BROWSER)
    assert (answer.status, answer.headers["location"]) == (303, "/sign-in?next=%2Fpredictions%2Freviews%3Flabel%3Dpositive")


def test_the_champions_predictions_are_shown_until_another_model_is_asked_for(served: Served, cookie: str) -> None:
    answer = look(served, cookie)
    assert answer.status == 200
    assert "90 predictions of model 1, the champion" in shown(answer)
    assert len(rows(answer)) == 50
    other = look(served, cookie, model="2")
    assert "3 predictions of model 2 " in shown(other)
    assert len(rows(other)) == 3


def test_the_address_says_what_is_shown_and_every_link_to_a_page_keeps_it(served: Served, cookie: str) -> None:
    narrow = look(served, cookie, q="REVIEW 5", label="positive", day_to="2026-11-19", page="1")
    numbers = [int(re.search(r"review (\d+)", row)[1]) for row in rows(narrow)]  # type: ignore[index]
    assert numbers == [59, 56, 53, 50, 5]
    assert "2 set" in shown(narrow)
    assert 'value="REVIEW 5"' in narrow.raw.decode()
    wide = look(served, cookie, sort="least_sure")
    (onwards,) = re.findall(r'rel="next" href="([^"]*)"', wide.raw.decode())
    assert onwards == "/predictions/reviews?sort=least_sure&amp;page=2"
    last = look(served, cookie, sort="least_sure", page="2")
    assert len(rows(last)) == 40
    assert 'rel="next"' not in last.raw.decode()
    assert "page 2 of 2" in shown(look(served, cookie, sort="least_sure", page="99"))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"day_from": "<b>"}, "From day is '<b>': give a date such as 2026-03-05."),
        ({"percent_from": "90", "percent_to": "10"}, "Confidence from, % is 90, more than the upper end 10: exchange the two."),
        ({"page": "one"}, "Page is 'one': give a number, from 1."),
        ({"page": "²"}, "Page is '\\xb2': give a number, from 1."),
        ({"model": "0"}, "Model is '0': give the number of a model's version, from 1."),
    ],
    ids=["day", "range", "page", "digit", "model"],
)
def test_what_cannot_be_understood_is_told_by_its_name_and_stays_as_it_was_typed(
    served: Served, cookie: str, asked: dict[str, str], told: str
) -> None:
    answer = look(served, cookie, **asked)
    assert answer.status == 422
    assert told in shown(answer)
    assert rows(answer) == []
    for name, value in asked.items():
        assert name == "page" or f'value="{html.escape(value)}"' in answer.raw.decode()


def test_a_row_tells_model_snapshot_probabilities_and_slices(served: Served, cookie: str) -> None:
    (row,) = rows(look(served, cookie, q="review 59 "))
    for part in ("2026-11-19", "positive", ">80%<", "80.0%", "10.0%", "version 1", "v0001", "forum", "latin, 7 words, rated 4"):
        assert part in row
    assert "http://127.0.0.1:3000/assets/reviews_champion" in row
    assert "http://127.0.0.1:3000/assets/reviews_snapshot" in row


def test_a_hostile_text_is_text(served: Served, cookie: str) -> None:
    answer = look(served, cookie, q="<script>")
    assert len(rows(answer)) == 2
    page = answer.raw.decode()
    assert html.escape(HOSTILE, quote=False) in html.unescape(page).replace("<", "&lt;").replace(">", "&gt;")
    assert "<script>alert" not in page
    assert "<img" not in page
    assert " style=" not in re.sub(r">[^<]*<", "><", page)
    assert "script-src 'self'" in answer.headers["content-security-policy"]


def test_a_long_text_is_cut_in_the_list_and_whole_alone(served: Served, cookie: str) -> None:
    listed = look(served, cookie, q="long long")
    assert len(listed.raw) < 60_000
    assert "The first 2,000 of 100,000 characters" in shown(listed)
    (path, *_) = re.findall(r'href="([^"]*)">Show all of it', listed.raw.decode())
    alone = call(served.port, "GET", html.unescape(path), headers={**BROWSER, "Cookie": cookie})
    assert alone.status == 200
    assert "long " * 20_000 in alone.raw.decode()


def test_an_empty_text_says_so(served: Served, cookie: str) -> None:
    assert "(no text)" in shown(look(served, cookie, length="0-4 words"))


def test_feedback_so_far_is_shown_with_ones_own_apart_and_without_what_was_taken_back(served: Served, cookie: str) -> None:
    prediction = re.search(r'data-prediction="([^"]*)"', rows(look(served, cookie, q="review 40 "))[0])[1]  # type: ignore[index]
    said = [
        event(item_id=item_id(40), annotator="anna", kind="disagree", label=None, prediction_id=prediction),
        event(item_id=item_id(40), annotator="<b>ben", kind="label", label="neutral"),
        event(item_id=item_id(40), annotator="cleo", kind="agree", label=None, prediction_id=prediction),
        event(item_id=item_id(40), annotator="dora", kind="label", label="negative"),
        event(item_id=item_id(40), annotator="dora", kind="withdraw", label=None),
    ]
    assert call(served.port, "POST", "/v1/feedback", said).status == 201
    (row,) = rows(look(served, cookie, q="review 40 "))
    assert 'data-kind="disagree"' in row
    told = re.sub(r"<[^>]*>", "", row)
    for words in ("you: bad", "&lt;b&gt;ben: neutral", "cleo: good"):
        assert words in told
    assert "dora" not in told


def test_nothing_found_and_nothing_there_yet_are_different_pages(served: Served, cookie: str) -> None:
    assert "No prediction answers to all of these filters" in shown(look(served, cookie, q="no such words"))
    empty = shown(look(served, cookie, "/predictions/tickets"))
    assert "There are no predictions yet" in empty
    assert "uv run curation run tickets" in empty


def test_an_unknown_dataset_or_prediction_is_not_found(served: Served, cookie: str) -> None:
    assert look(served, cookie, "/predictions/nowhere").status == 404
    unknown = look(served, cookie, "/predictions/reviews/one", prediction_id="reviews:x:0123456789abcdef")
    assert (unknown.status, "there is no such prediction" in shown(unknown)) == (404, True)
