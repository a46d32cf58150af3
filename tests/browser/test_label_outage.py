"""Nothing that was answered is lost or doubled: the service away, the tab closed, the session ended, a lease lapsed."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import BrowserContext, expect

from feedback_service.server import tokens_of
from feedback_service.settings import Settings
from resources.home import Home, now
from tests.browser.chromium import all_is_sent, looking_at, needs_chromium, shown_item, signed_in
from tests.feedback_service.pages_world import asked, said_by
from tests.feedback_service.serving import begun, call, event, serving
from tests.serving import free_port

pytestmark = [pytest.mark.slow, needs_chromium]
TEXTS = [f"This is review {number} of a toaster." for number in range(100)]
FILL = """
for (let size = 2 ** 22, number = 0; size >= 1; number++) {
  try { localStorage.setItem(`filler${number}`, "x".repeat(size)); } catch { size = Math.floor(size / 2); }
}
"""


@pytest.fixture(scope="module")
def context() -> Iterator[BrowserContext]:
    with looking_at("") as seen:
        yield seen.page.context


@pytest.fixture
def home(tmp_path: Path) -> Home:
    home = Home(tmp_path).prepare()
    asked(home, TEXTS)
    return home


def test_labels_given_while_the_service_is_away_arrive_once_it_is_back(context: BrowserContext, home: Home) -> None:
    settings = Settings(port=free_port())
    first = begun(home.root, settings)
    page = signed_in(context, first.address, "anna")
    items = [shown_item(page)]
    page.keyboard.press("1")
    all_is_sent(page)
    first.kill()
    for _ in range(6):
        items.append(shown_item(page))
        page.keyboard.press("2")
    expect(page.locator("#connection")).to_contain_text("No connection to the service. Go on: 6 answers wait in this browser")
    second = begun(home.root, settings)
    all_is_sent(page)
    expect(page.locator("#connection")).to_be_hidden()
    second.kill()
    assert [row["item_id"] for row in said_by(home, "anna")] == items
    assert len(set(items)) == 7


def test_answers_in_a_closed_tab_are_sent_when_it_is_opened_again(context: BrowserContext, home: Home) -> None:
    settings = Settings(port=free_port())
    first = begun(home.root, settings)
    page = signed_in(context, first.address, "anna")
    item = shown_item(page)
    first.kill()
    page.keyboard.press("3")
    expect(page.locator("#waiting")).to_contain_text("1 answer waits")
    page.close()
    second = begun(home.root, settings)
    other = signed_in(context, second.address, "bert")
    expect(other.locator("#waiting")).to_contain_text("Answers of anna wait here too")
    other.close()
    again = signed_in(context, second.address, "anna")
    all_is_sent(again)
    second.kill()
    assert [(row["item_id"], row["label"]) for row in said_by(home, "anna")] == [(item, "positive")]
    assert said_by(home, "bert") == []


def test_no_item_is_asked_for_while_answers_wait_so_none_comes_twice(context: BrowserContext, home: Home) -> None:
    with serving(home.root) as served:
        page = signed_in(context, served.address, "anna")
        first = shown_item(page)
        page.route("**/v1/feedback", lambda route: route.abort())
        page.keyboard.press("1")
        page.reload()
        expect(page.locator("#item")).to_contain_text("No connection")
        page.unroute("**/v1/feedback")
        assert shown_item(page) != first


def test_a_tab_that_takes_back_more_than_it_may_hold_leaves_the_rest_to_others(context: BrowserContext, home: Home) -> None:
    with serving(home.root) as served:
        page = signed_in(context, served.address, "anna")
        for key in ["1"] * 20 + ["u"] * 20:
            shown_item(page)
            page.keyboard.press(key)
        all_is_sent(page)
        page.route("**/items", lambda route: route.abort())
        assert context.browser is not None
        other = signed_in(context.browser.new_context(), served.address, "bert")
        of_bert = shown_item(other)
        for _ in range(20):
            page.keyboard.press("2")
        assert page.locator("#item").get_attribute("data-item") != of_bert


def test_a_session_that_ends_in_mid_labelling_keeps_the_answers_until_the_next_one(context: BrowserContext, home: Home) -> None:
    token = tokens_of(home).make("anna", "annotator", now())
    with serving(home.root) as served:
        page = signed_in(context, served.address, token)
        shown_item(page)
        tokens_of(home).revoke("anna")
        renewed = tokens_of(home).make("anna", "annotator", now())
        page.keyboard.press("1")
        page.keyboard.press("2")
        expect(page.locator("#connection")).to_contain_text("Your session has ended; 2 answers wait")
        page.get_by_role("link", name="Sign in again").click()
        page.locator("#who").fill(renewed)
        page.keyboard.press("Enter")
        all_is_sent(page)
        assert [row["label"] for row in said_by(home, "anna")] == ["negative", "neutral"]


def test_an_answer_under_a_lapsed_lease_is_kept_and_an_item_that_went_away_is_told(context: BrowserContext, home: Home) -> None:
    with serving(home.root) as served:
        page = signed_in(context, served.address, "anna")
        item = shown_item(page)
        assert call(served.port, "POST", "/v1/feedback", event(item_id=item, annotator="bert")).status == 201
        page.keyboard.press("s")
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")  # as when the tab is looked at again
        expect(page.locator("#told")).to_contain_text("went elsewhere meanwhile")
        expect(page.get_by_role("dialog")).to_be_hidden()  # it asked why the former item is skipped
        assert shown_item(page) != item
        expect(
            page.get_by_role("button", name="Negative")
        ).to_be_enabled()  # keys count again once the eye has had time to follow
        page.keyboard.press("1")
        all_is_sent(page)
        assert len(said_by(home, "anna")) == 1


@pytest.mark.parametrize("status", [200, 404])
def test_what_a_proxy_says_in_between_is_no_acknowledgement_and_no_refusal(
    context: BrowserContext, home: Home, status: int
) -> None:
    with serving(home.root) as served:
        page = signed_in(context, served.address, "anna")
        shown_item(page)
        page.route("**/v1/feedback", lambda route: route.fulfill(status=status, content_type="text/html", body="<p>Sign in!"))
        page.keyboard.press("1")
        expect(page.locator("#connection")).to_contain_text("No connection to the service. Go on: 1 answer waits")
        page.unroute("**/v1/feedback")
        all_is_sent(page)
        assert [row["label"] for row in said_by(home, "anna")] == ["negative"]


def test_answers_that_a_clock_set_meanwhile_dates_into_the_future_are_taken_without_their_time(
    context: BrowserContext, home: Home
) -> None:
    with serving(home.root) as served:
        page = signed_in(context, served.address, "anna")
        shown_item(page)
        page.evaluate("(() => { const real = Date.now; Date.now = () => real() + 86_400_000; })()")
        page.keyboard.press("1")
        page.keyboard.press("2")
        all_is_sent(page)
        expect(page.locator("#waiting")).not_to_contain_text("refused")
        assert [row["label"] for row in said_by(home, "anna")] == ["negative", "neutral"]


def test_a_browser_without_room_keeps_a_refused_answer_and_sends_those_behind_it(context: BrowserContext, home: Home) -> None:
    with serving(home.root) as served:
        page = signed_in(context, served.address, "anna")
        shown_item(page)
        page.evaluate(FILL)
        page.evaluate("document.querySelector('[data-label=neutral]').dataset.label = 'forged'")
        page.get_by_role("button", name="Neutral").click()
        page.keyboard.press("1")
        expect(page.locator("#waiting")).to_contain_text("1 answer was refused and is kept in this browser. All else is safely")
        page.evaluate("localStorage.clear()")
        assert [row["label"] for row in said_by(home, "anna")] == ["negative"]


def test_an_answer_that_the_service_refuses_is_told_and_kept_beside_the_good_ones(context: BrowserContext, home: Home) -> None:
    with serving(home.root) as served:
        page = signed_in(context, served.address, "anna")
        shown_item(page)
        page.evaluate("document.querySelector('[data-label=neutral]').dataset.label = 'forged'")
        page.get_by_role("button", name="Neutral").click()
        page.keyboard.press("1")
        expect(page.locator("#waiting")).to_contain_text("1 answer was refused and is kept in this browser")
        all_is_sent(page)
        assert [row["label"] for row in said_by(home, "anna")] == ["negative"]
