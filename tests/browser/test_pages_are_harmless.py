"""Every page in a real browser: hostile texts are text, the accessibility rules hold, nothing comes from elsewhere."""

import random
from collections.abc import Iterator
from pathlib import Path

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext

from resources.home import Home
from tests.browser.chromium import looking_at, needs_chromium, shown_item, signed_in
from tests.feedback_service.pages_world import asked
from tests.feedback_service.serving import call, event, serving

pytestmark = [pytest.mark.slow, needs_chromium]
PAGES = ("/", "/label/reviews", "/label/reviews/conflicts", "/predictions/reviews", "/loop/reviews", "/label/nowhere")
PARTS = (
    "<script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "<svg/onload=window.hacked=3>",
    "'\"><iframe srcdoc='<script>parent.hacked=4</script>'>",
    "{{ 7 * 7 }}{% raw %}",
    "\u202e\u2066right to left\u2067",
    "</textarea></p></article></main>",
    "javascript:window.hacked=5",
    "<style>body{display:none}</style>",
    "&lt;b&gt; &amp;amp; \u0000".replace("\u0000", "\ufffd"),
    "\u200b\ufeff zero\u0301\u0301\u0301",
)


def hostile(number: int) -> str:
    """A text that would do harm wherever it is not taken as text; one of them is long."""
    chance = random.Random(number)
    return f"{number} " + " ".join(chance.choices(PARTS, k=3)) + ("z" * 100_000 if number == 7 else "")


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    home = Home(tmp_path_factory.mktemp("home")).prepare()
    items = asked(home, [hostile(number) for number in range(230)])
    with serving(home.root) as served:
        disputed = [
            event(item_id=items[-1], annotator=name, label=label) for name, label in (("x", "negative"), ("y", "positive"))
        ]
        assert call(served.port, "POST", "/v1/feedback", disputed).status == 201
        yield served.address


@pytest.fixture(scope="module")
def context(address: str) -> Iterator[BrowserContext]:
    with looking_at(address) as seen:
        yield seen.page.context


def test_two_hundred_hostile_texts_are_shown_as_what_they_are(context: BrowserContext, address: str) -> None:
    page = signed_in(context, address, "anna")
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    seen = set()
    for _ in range(200):
        shown_item(page)
        text = page.locator("#item p").first.text_content() or ""
        number = int(text.split()[0])
        assert text == hostile(number)
        seen.add(number)
        page.keyboard.press("1")
    assert len(seen) == 200
    assert page.evaluate("window.hacked") is None
    assert page.locator("#item script, #item img, #item iframe, #item style").count() == 0
    assert errors == []


def test_a_phone_at_twice_its_size_scrolls_one_way_only(context: BrowserContext, address: str) -> None:
    page = signed_in(context, address, "anna", "/")
    page.set_viewport_size({"width": 180, "height": 380})
    too_wide = []
    for path in (*PAGES, "/sign-in"):
        page.goto(address + path)
        if path == "/label/reviews":
            shown_item(page)
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            too_wide.append(path)
    assert not too_wide


def test_what_is_pressed_can_be_told_in_forced_colours(context: BrowserContext, address: str) -> None:
    page = signed_in(context, address, "anna", "/predictions/reviews")
    page.emulate_media(forced_colors="active")
    row = page.locator("tr.prediction").first
    row.get_by_role("button", name="Good").click()
    colours = [
        row.get_by_role("button", name=name).evaluate("button => getComputedStyle(button).backgroundColor")
        for name in ("Good", "Bad")
    ]
    assert colours[0] != colours[1]


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width_px", [360, 1280])
def test_every_page_keeps_the_accessibility_rules_and_fits_its_screen(
    context: BrowserContext, address: str, scheme: str, width_px: int, tmp_path: Path
) -> None:
    page = signed_in(context, address, "anna", "/")
    page.emulate_media(color_scheme="light" if scheme == "light" else "dark")
    page.set_viewport_size({"width": width_px, "height": 800})
    hosts: set[str] = set()
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    broken = {}
    for path in (*PAGES, "/sign-in"):
        page.goto(address + path)
        if path == "/label/reviews":
            shown_item(page)
        found = [f"{one['id']}: {node['html'][:120]}" for one in Axe().run(page).response["violations"] for node in one["nodes"]]
        if page.evaluate("document.documentElement.scrollWidth > innerWidth"):
            found.append("wider than the screen")
        if found:
            broken[path] = found
    assert broken == {}
    assert hosts == {address.split("/")[2]}
