"""The story of a prediction in a real browser: accessible in light and dark, nothing cut off on a phone, hostile texts are text."""

from collections.abc import Iterator

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import BrowserContext

from curation.feedback.events import prediction_id_of
from resources.home import Home
from tests.browser.chromium import looking_at, needs_chromium, signed_in
from tests.curation.lineage.lineage_world import graph
from tests.feedback_service.pages_world import MODEL, item_id, predicted
from tests.feedback_service.serving import serving

pytestmark = [pytest.mark.slow, needs_chromium]
HOSTILE = "<img src=x onerror='window.hacked=1'><script>window.hacked=2</script> \u202eolleh " + "z" * 20_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("home")).prepare()


@pytest.fixture(scope="module")
def paths(home: Home) -> list[str]:
    """Stories of one hostile review without a model on file, and of tickets with everything."""
    predicted(home, [HOSTILE])
    tickets = graph(home.root, 37, "tickets")
    stories = [
        prediction_id_of("reviews", item_id(0), MODEL, HOSTILE),
        *(one["prediction_id"] for one in tickets.predictions[:2]),
    ]
    return [f"/explain/{story}" for story in stories]


@pytest.fixture(scope="module")
def context(home: Home, paths: list[str]) -> Iterator[BrowserContext]:
    with serving(home.root) as served, looking_at(served.address, 360, 740) as seen:
        signed_in(seen.page.context, served.address, "anna", "/predictions/reviews")
        seen.open("/predictions/reviews")
        yield seen.page.context


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_story_is_accessible_and_fits_a_phone(context: BrowserContext, paths: list[str], scheme: str) -> None:
    page = context.pages[0]
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    for path in paths:
        page.goto(page.url.split("/predictions/")[0].split("/explain/")[0] + path)
        assert page.locator("h2").count() == 6
        assert page.evaluate("document.documentElement.scrollWidth") == 360
        assert page.evaluate("window.hacked") is None
        assert [(one["id"], node["html"]) for one in Axe().run(page).response["violations"] for node in one["nodes"]] == []
