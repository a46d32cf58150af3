"""The predictions page in a real browser: good and bad by key, together, undone, without a connection, and on hostile texts."""

import json
from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext, Locator, Page, expect

from feedback_service.server import tokens_of
from resources.home import Home, now
from tests.browser.chromium import looking_at, needs_chromium, signed_in
from tests.feedback_service.pages_world import predicted, said_by
from tests.feedback_service.serving import call, event, serving

pytestmark = [pytest.mark.slow, needs_chromium]
PATH = "/predictions/reviews"
HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=2</script> \u202eolleh \u2066 {{ 7 * 7 }} " + "z" * 100_000
TEXTS = [f"This is review {number} of a lamp." for number in range(12)] + [HOSTILE]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home")).prepare()
    predicted(home, TEXTS)
    token_of(home, "first")  # from now on nobody comes in without one
    return home


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    with serving(home.root) as served:
        yield served.address


@pytest.fixture(scope="module")
def context(address: str) -> Iterator[BrowserContext]:
    with looking_at(address, 1280, 900) as seen:
        yield seen.page.context


def token_of(home: Home, name: str) -> str:
    """A new annotator's token."""
    return tokens_of(home).make(name, "annotator", now())


def looking(context: BrowserContext, address: str, token: str) -> Page:
    """A new tab of somebody, once its script runs."""
    page = signed_in(context, address, token, PATH)
    expect(page.locator(".predictions.scripted")).to_be_visible()
    return page


def rows(page: Page) -> Locator:
    return page.locator("tr.prediction")


def id_of(row: Locator) -> str:
    return str(row.get_attribute("data-prediction"))


def judged(page: Page) -> list[str]:
    """What the buttons of each row say."""
    expect(page.locator(".predictions.scripted")).to_be_visible()
    return page.eval_on_selector_all(
        "tr.prediction", "rows => rows.map(row => row.querySelector('[aria-pressed=true]')?.dataset.judge ?? '')"
    )


def all_is_sent(page: Page) -> None:
    expect(page.locator("#last")).to_have_attribute("data-waiting", "0")


def told(home: Home, name: str) -> list[tuple[str, str, str | None]]:
    """Prediction, kind and label of what the log holds of somebody, in order."""
    return [(row["prediction_id"], row["kind"], row["label"]) for row in said_by(home, name)]


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def test_good_and_bad_are_one_key_each_and_stand_there_after_a_reload(context: BrowserContext, address: str, home: Home) -> None:
    page = looking(context, address, token_of(home, "keys"))
    first, second, third = (id_of(rows(page).nth(number)) for number in range(3))
    press(page, "j", "g", "b")
    expect(rows(page).nth(2)).to_be_focused()
    press(page, "ArrowUp", "ArrowUp", "ArrowDown", "ArrowDown")
    rows(page).nth(2).get_by_role("button", name="Good").click()
    assert judged(page)[:4] == ["agree", "disagree", "agree", ""]
    all_is_sent(page)
    assert told(home, "keys") == [(first, "agree", None), (second, "disagree", None), (third, "agree", None)]
    sent = said_by(home, "keys")[0]
    assert (sent["source"], json.loads(sent["context"])) == ("predictions-page", {"guess_seen": True, "together": 1})
    page.reload()
    assert judged(page)[:4] == ["agree", "disagree", "agree", ""]
    press(page, "j", "g")
    all_is_sent(page)
    assert len(told(home, "keys")) == 3  # the same again says nothing new


def test_undo_takes_back_or_says_again_what_was_said_before(context: BrowserContext, address: str, home: Home) -> None:
    token = token_of(home, "undoer")
    page = looking(context, address, token)
    first, second = (id_of(rows(page).nth(number)) for number in range(2))
    before = event(item_id=None, prediction_id=second, annotator="undoer", label="neutral")
    assert call(int(address.rpartition(":")[2]), "POST", "/v1/feedback", before, token=token).status == 201
    page.reload()
    expect(rows(page).nth(1)).to_contain_text("you: neutral")
    press(page, "j", "g", "b")
    assert judged(page)[:2] == ["agree", "disagree"]
    press(page, "u")
    expect(rows(page).nth(1)).to_contain_text("you: neutral")
    press(page, "u", "u")
    expect(page.locator("#told")).to_contain_text("nothing to undo")
    assert judged(page)[:2] == ["", ""]
    all_is_sent(page)
    assert told(home, "undoer")[1:] == [
        (first, "agree", None),
        (second, "disagree", None),
        (second, "label", "neutral"),
        (first, "withdraw", None),
    ]


def test_many_are_judged_and_undone_together(context: BrowserContext, address: str, home: Home) -> None:
    page = looking(context, address, token_of(home, "bulk"))
    ids = [id_of(rows(page).nth(number)) for number in range(len(TEXTS))]
    boxes = page.locator(".select")
    boxes.nth(1).click()
    boxes.nth(4).click(modifiers=["Shift"])
    press(page, "k", "k", "k", "k", "x")
    expect(page.locator("#bulk-count")).to_have_text("5 selected")
    page.get_by_role("toolbar").get_by_role("button", name="Bad").click()
    assert judged(page) == ["disagree"] * 5 + [""] * (len(TEXTS) - 5)
    expect(page.locator("#bulk-selected")).to_be_hidden()
    expect(page.locator("tr.prediction.current")).to_be_focused()
    page.locator("#select-all").check()
    expect(page.locator("#bulk-count")).to_have_text(f"{len(TEXTS)} selected")
    press(page, "g")
    assert judged(page) == ["agree"] * len(TEXTS)
    page.get_by_role("button", name="Undo").click()
    assert judged(page) == ["disagree"] * 5 + [""] * (len(TEXTS) - 5)
    press(page, "u")
    assert judged(page) == [""] * len(TEXTS)
    expect(page.locator("#bulk")).to_be_hidden()
    all_is_sent(page)
    said = told(home, "bulk")
    assert sorted(said[:5]) == sorted((prediction, "disagree", None) for prediction in ids[:5])
    assert {prediction: kind for prediction, kind, _ in said} == dict.fromkeys(ids, "withdraw")
    assert len(said) == 5 + 13 + 13 + 5
    page.reload()
    assert judged(page) == [""] * len(TEXTS)


def test_what_is_said_without_a_connection_is_told_and_arrives_once(context: BrowserContext, address: str, home: Home) -> None:
    page = looking(context, address, token_of(home, "cut"))
    first, second = (id_of(rows(page).nth(number)) for number in range(2))
    context.set_offline(True)
    press(page, "j", "g", "g")
    expect(page.locator("#connection")).to_contain_text("No connection to the service. Go on: 2 answers wait in this browser")
    assert judged(page)[:2] == ["agree", "agree"]
    assert told(home, "cut") == []
    context.set_offline(False)
    all_is_sent(page)
    expect(page.locator("#connection")).to_be_hidden()
    assert told(home, "cut") == [(first, "agree", None), (second, "agree", None)]


def test_what_waits_in_a_closed_tab_is_shown_and_sent_when_it_opens_again(
    context: BrowserContext, address: str, home: Home
) -> None:
    page = looking(context, address, token_of(home, "closer"))
    page.route("**/v1/feedback", lambda route: route.abort())
    press(page, "j", "b")
    expect(page.locator("#connection")).to_contain_text("1 answer waits")
    assert told(home, "closer") == []
    page.close()
    again = context.new_page()
    again.goto(address + PATH)
    assert judged(again)[:2] == ["disagree", ""]
    all_is_sent(again)
    assert [kind for _, kind, _ in told(home, "closer")] == ["disagree"]


def test_an_ended_session_is_told_and_keeps_the_answer(context: BrowserContext, address: str, home: Home) -> None:
    token = token_of(home, "lapsed")
    page = looking(context, address, token)
    context.clear_cookies()
    press(page, "j", "g")
    expect(page.locator("#connection")).to_contain_text("Your session has ended; 1 answer waits in this browser")
    page.get_by_role("link", name="Sign in again").click()
    page.locator("#who").fill(token)
    page.keyboard.press("Enter")
    page.wait_for_url(address + PATH)
    assert judged(page)[0] == "agree"
    all_is_sent(page)
    assert [kind for _, kind, _ in told(home, "lapsed")] == ["agree"]


def test_a_hostile_text_is_shown_as_text_and_stays_within_its_row(context: BrowserContext, address: str, home: Home) -> None:
    page = looking(context, address, token_of(home, "careful"))
    page.locator("#q").fill("ONERROR")
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}{PATH}?q=ONERROR&sort=newest")
    press(page, "j", "Enter")
    whole = page.locator(".whole")
    expect(whole).to_be_visible()
    assert whole.text_content() == HOSTILE[:2_000]
    page.get_by_role("link", name="Show all of it").click()
    expect(whole).to_be_visible()
    assert whole.text_content() == HOSTILE
    box = whole.bounding_box()
    assert box is not None
    assert box["height"] < 400
    assert page.evaluate("window.hacked") is None
    assert page.locator(".predictions :is(script, img)").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


@pytest.mark.parametrize(("scheme", "width_px"), [("light", 1280), ("dark", 360)], ids=["wide", "narrow"])
def test_opened_selected_and_judged_rows_keep_the_accessibility_rules(
    context: BrowserContext, address: str, home: Home, scheme: str, width_px: int
) -> None:
    page = looking(context, address, token_of(home, f"viewer{width_px}"))
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page.set_viewport_size({"width": width_px, "height": 800})
    page.locator(".more > summary").click()
    press(page, "j", "g", "b", "Enter", "x")
    expect(page.locator("#bulk")).to_be_visible()
    found = [f"{one['id']}: {node['html'][:200]}" for one in Axe().run(page).response["violations"] for node in one["nodes"]]
    assert found == []
    press(page, "?")
    expect(page.get_by_role("dialog")).to_be_visible()
    assert [one["id"] for one in Axe().run(page).response["violations"]] == []
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_looking_works_without_javascript(context: BrowserContext, address: str, home: Home) -> None:
    plain = context.browser.new_context(java_script_enabled=False)  # type: ignore[union-attr]
    page = signed_in(plain, address, token_of(home, "plain"), PATH)
    page.locator("#q").fill("review 7 ")
    page.get_by_role("button", name="Show").click()
    expect(rows(page)).to_have_count(1)
    page.locator(".opening > summary").click()
    expect(page.locator(".whole")).to_have_text("This is review 7 of a lamp.")
    plain.close()
