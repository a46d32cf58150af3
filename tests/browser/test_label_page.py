"""The labelling page in a real browser: keys, undo, looking back, tabs, and what it says when there is nothing to label."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, Route, expect

from resources.home import Home
from tests.browser.chromium import all_is_sent, looking_at, needs_chromium, shown_item, signed_in
from tests.feedback_service.pages_world import asked, said_by
from tests.feedback_service.serving import call, event, serving

pytestmark = [pytest.mark.slow, needs_chromium]
TEXTS = [f"This is review {number} of a kettle." for number in range(60)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    home = Home(tmp_path_factory.mktemp("home")).prepare()
    asked(home, TEXTS)
    return home


@pytest.fixture(scope="module")
def address(home: Home) -> Iterator[str]:
    with serving(home.root) as served:
        yield served.address


@pytest.fixture(scope="module")
def context(address: str) -> Iterator[BrowserContext]:
    with looking_at(address) as seen:
        yield seen.page.context


def test_one_key_answers_and_shows_the_next_item(context: BrowserContext, address: str, home: Home) -> None:
    page = signed_in(context, address, "keys")
    first = shown_item(page)
    page.keyboard.press("3")
    assert shown_item(page) != first
    expect(page.locator("#last")).to_contain_text("You said Positive")
    second = shown_item(page)
    page.keyboard.press("x")
    third = shown_item(page)
    page.get_by_role("button", name="Negative").click()
    all_is_sent(page)
    told = said_by(home, "keys")
    assert [(row["item_id"], row["kind"], row["label"]) for row in told] == [
        (first, "label", "positive"),
        (second, "spam", None),
        (third, "label", "negative"),
    ]
    assert {row["source"] for row in told} == {"label-page"}
    expect(page.locator("#today")).to_have_text("3")


def test_the_guess_and_the_rating_are_hidden_until_asked_for_and_that_is_kept(
    context: BrowserContext, address: str, home: Home
) -> None:
    page = signed_in(context, address, "curious")
    shown_item(page)
    assert "rating" not in page.locator("main").inner_text().split("Guidelines")[0]
    assert "guesses" not in page.locator(".work").inner_text()
    page.keyboard.press("1")
    page.keyboard.press("g")
    expect(page.locator("#revealed")).to_contain_text("the model guesses")
    expect(page.locator("#revealed")).to_contain_text("rating: 4")
    page.keyboard.press("1")
    all_is_sent(page)
    seen = [row["context"] for row in said_by(home, "curious")]
    assert ['"guess_seen":false' in seen[0], '"guess_seen":true' in seen[1]] == [True, True]


def test_a_guess_that_was_hidden_again_or_seen_before_an_undo_was_seen(context: BrowserContext, address: str, home: Home) -> None:
    page = signed_in(context, address, "peeker")
    shown_item(page)
    for key in ("g", "g", "1", "2", "u", "3"):
        page.keyboard.press(key)
    all_is_sent(page)
    seen = [(row["kind"], '"guess_seen":true' in row["context"]) for row in said_by(home, "peeker") if row["kind"] == "label"]
    assert seen == [("label", True), ("label", False), ("label", True)]


def test_a_skip_is_no_answer_of_today_and_taking_one_back_leaves_the_count(context: BrowserContext, address: str) -> None:
    page = signed_in(context, address, "counter")
    shown_item(page)
    page.keyboard.press("1")
    all_is_sent(page)
    page.route("**/items", lambda route: route.abort())  # what the page counts itself
    left = int(page.locator("#open").inner_text())
    for keys, today, change in (("s1", "1", -1), ("p1", "2", -1), ("2", "3", -2), ("u", "2", -1), ("u", "1", 0)):
        for key in keys:
            page.keyboard.press(key)
        expect(page.locator("#today")).to_have_text(today)
        expect(page.locator("#open")).to_have_text(str(left + change))


def test_undo_takes_answers_back_and_shows_their_items_again(context: BrowserContext, address: str, home: Home) -> None:
    page = signed_in(context, address, "undoer")
    items = []
    for key in "123":
        items.append(shown_item(page))
        page.keyboard.press(key)
    page.keyboard.press("u")
    assert shown_item(page) == items[2]
    page.keyboard.press("u")
    assert shown_item(page) == items[1]
    page.keyboard.press("3")
    all_is_sent(page)
    last = {row["item_id"]: (row["kind"], row["label"]) for row in said_by(home, "undoer")}
    assert last == {items[0]: ("label", "negative"), items[1]: ("label", "positive"), items[2]: ("withdraw", None)}
    assert shown_item(page) == items[2]  # it is still this annotator's to answer


def test_what_is_said_while_items_are_on_their_way_counts_once_and_an_undo_stays_in_front(
    context: BrowserContext, address: str
) -> None:
    page = signed_in(context, address, "hasty")
    shown_item(page)
    left = int(page.locator("#open").inner_text())
    held: list[Route] = []
    page.route("**/items", lambda route: route.abort() if held else held.append(route))  # no later one puts it right
    with page.expect_request("**/items"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    page.keyboard.press("1")
    second = shown_item(page)
    page.keyboard.press("2")
    page.keyboard.press("u")
    expect(page.locator("#waiting")).to_contain_text("3 answers wait")  # one request at a time
    held[0].continue_()
    all_is_sent(page)
    assert shown_item(page) == second
    expect(page.locator("#today")).to_have_text("1")
    expect(page.locator("#open")).to_have_text(str(left - 1))


def test_who_is_through_before_the_next_items_come_is_told_so_and_gets_them_at_once(
    context: BrowserContext, address: str
) -> None:
    page = signed_in(context, address, "quick")
    shown_item(page)
    page.route("**/items", lambda route: route.abort())
    for _ in range(12):
        page.keyboard.press("1")
    expect(page.locator("#item")).to_contain_text("No connection")
    page.unroute("**/items")
    page.evaluate("dispatchEvent(new Event('online'))")
    shown_item(page)


def test_a_script_that_came_late_dates_no_answer_into_the_past(context: BrowserContext, address: str) -> None:
    page = context.new_page()
    held: list[Route] = []
    page.route("**/site.js", lambda route: route.continue_() if held else held.append(route))
    with page.expect_request("**/site.js"):
        page.goto(f"{address}/label/reviews", wait_until="commit")
    page.wait_for_timeout(300)
    came_at = page.evaluate("Date.now()")
    held[0].continue_()
    assert page.evaluate("import('/static/site.js').then(site => site.clock())") >= came_at


def test_looking_back_shows_the_answer_and_another_one_replaces_it(context: BrowserContext, address: str, home: Home) -> None:
    page = signed_in(context, address, "reviser")
    first = shown_item(page)
    page.keyboard.press("1")
    present = shown_item(page)
    page.keyboard.press("p")
    expect(page.locator("#looking-back")).to_contain_text("you said Negative")
    assert shown_item(page) == first
    page.keyboard.press("2")
    assert shown_item(page) == present
    all_is_sent(page)
    assert [(row["item_id"], row["label"]) for row in said_by(home, "reviser")] == [(first, "negative"), (first, "neutral")]
    page.keyboard.press("3")
    page.keyboard.press("p")
    page.keyboard.press("p")
    page.keyboard.press("1")
    page.keyboard.press("u")
    assert shown_item(page) == first, "an undo takes back what was said last"


def test_skipping_asks_why_and_a_label_key_means_nothing_meanwhile(context: BrowserContext, address: str, home: Home) -> None:
    page = signed_in(context, address, "skipper")
    first = shown_item(page)
    page.keyboard.press("s")
    expect(page.get_by_role("dialog")).to_be_visible()
    page.keyboard.press("3")  # there are two reasons only
    page.keyboard.press("Escape")
    assert shown_item(page) == first
    page.keyboard.press("s")
    page.keyboard.press("2")
    all_is_sent(page)
    assert [(row["item_id"], row["kind"], row["reason"]) for row in said_by(home, "skipper")] == [
        (first, "skip", "cannot be judged")
    ]


def test_two_tabs_of_one_annotator_show_different_items_and_a_reload_the_same(context: BrowserContext, address: str) -> None:
    one, two = signed_in(context, address, "twofold"), signed_in(context, address, "twofold")
    first = shown_item(one)
    assert shown_item(two) != first
    one.reload()
    assert shown_item(one) == first


def test_a_duplicate_of_a_tab_is_a_tab_of_its_own(context: BrowserContext, address: str) -> None:
    one = signed_in(context, address, "doubled")
    first = shown_item(one)
    with context.expect_page() as opened:
        one.evaluate("window.open(location.href)")  # with a copy of the tab's storage, as a duplicate has it
    assert shown_item(opened.value) != first


def test_help_names_every_key(context: BrowserContext, address: str) -> None:
    page = signed_in(context, address, "newcomer")
    shown_item(page)
    page.keyboard.press("?")
    keys = page.get_by_role("dialog").locator("kbd").all_inner_texts()
    assert {"1", "2", "3", "x", "s", "u", "p", "g", "h", "?"} <= set(keys)


def test_it_says_what_to_do_without_a_queue_and_when_everything_is_labelled(context: BrowserContext, tmp_path: Path) -> None:
    home = Home(tmp_path).prepare()
    with serving(tmp_path) as served:
        page = signed_in(context, served.address, "anna")
        expect(page.locator("#item")).to_contain_text("There is no queue yet")
        expect(page.locator("#item")).to_contain_text("uv run curation run reviews")
        items = asked(home, TEXTS[:2])
        answered = [event(item_id=item, annotator="bert") for item in items]
        assert call(served.port, "POST", "/v1/feedback", answered).status == 201
        page.reload()
        expect(page.locator("#item")).to_contain_text("Everything is labelled")
