"""The pictures in README and docs, taken anew: `uv run curation demo`, then `uv run python -m docs.make_screenshots`.

Serves the demo's home, looks at it with Debian's Chromium, writes docs/images. Waits for what it shows; knows no rule of the product.
Nothing is answered on the pages, so a home is the same afterwards, but for an item that somebody was shown.
"""

import re
import sys
from pathlib import Path

from playwright.sync_api import Page

from tests.browser.chromium import CHROMIUM, GROUP, looking_at, shown_item, signed_in
from tests.serving import serving

IMAGES = Path(__file__).with_name("images")
CORNERS = (
    "raw_reviews",
    "curated_reviews",
    "curated_review_feedback",
    "review_fates",
    "review_label_queue",
)  # of the graph, wherever Dagster lays them: the first, the last, the highest and the lowest
PAGES = {
    "/label/reviews": "label",
    "/": "datasets",
    "/label/reviews/conflicts": "conflicts",
    "/predictions/reviews": "predictions",
    "/loop/reviews": "health",
}
IS_GREEN = """pattern => {
  const named = new RegExp(pattern);
  let found = [...document.querySelectorAll("*")].find(one => one.childElementCount === 0 && named.test(one.textContent));
  for (; found; found = found.parentElement) {
    const [red, green] = getComputedStyle(found).borderTopColor.match(/\\d+/g).map(Number);
    if (green > red + 60) return true;
  }
  return false;
}"""


def graph(page: Page, path: Path) -> None:
    """The lineage with its states, cut close around its nodes."""
    patterns = [f"^({name}|{name[:8]}.*….*{name[-7:]})$" for name in CORNERS]  # a long name is cut in its middle
    for pattern in patterns:
        page.wait_for_function(IS_GREEN, arg=pattern)
    found = [page.get_by_text(re.compile(pattern)).first.bounding_box() for pattern in patterns]
    boxes = [box for box in found if box is not None]
    left, top = min(box["x"] for box in boxes) - 48, min(box["y"] for box in boxes) - 40
    right, bottom = max(box["x"] + box["width"] for box in boxes) + 48, max(box["y"] + box["height"] for box in boxes) + 40
    page.screenshot(path=path, clip={"x": left, "y": top, "width": right - left, "height": bottom - top})


def pages(address: str) -> None:
    """The pages of the feedback service."""
    with looking_at(address, width_px=1280, height_px=860) as seen:
        seen.page.goto(f"{address}/sign-in")
        seen.page.screenshot(path=IMAGES / "sign_in.png")
        page = signed_in(seen.page.context, address, "ann")
        shown_item(page)
        page.locator("body").press("g")
        for path, name in PAGES.items():
            if path != "/label/reviews":
                page.goto(address + path)
            page.wait_for_load_state("networkidle")
            page.screenshot(path=IMAGES / f"{name}.png")
        page.goto(f"{address}/predictions/reviews")
        page.goto(address + str(page.locator("a[href^='/explain/']").first.get_attribute("href")))
        page.screenshot(path=IMAGES / "explain.png")


def main(home: Path) -> None:
    """Take all pictures of `home`."""
    if CHROMIUM is None or not home.is_dir():
        sys.exit(f"needs Chromium on PATH, and {home}: apt-get install chromium; uv run curation demo --home {home}")
    IMAGES.mkdir(exist_ok=True)
    with serving(home) as served:
        with looking_at(served.address, width_px=1300, height_px=1500, pixel_ratio=2) as ui:
            graph(ui.open(GROUP), IMAGES / "graph.png")
        with looking_at(served.address, width_px=1400, height_px=1200) as ui:
            page = ui.open("/assets/sentiment_model")
            ui.press("Hide navigation")
            page.get_by_alt_text("confusion matrix").wait_for()
            page.screenshot(path=IMAGES / "asset_page.png")
            page = ui.open("/assets/sentiment_champion")
            page.get_by_alt_text("challenger minus champion").first.wait_for()
            page.screenshot(path=IMAGES / "verdict.png")
        pages(served.feedback.removesuffix("/v1/feedback"))


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "data-demo").resolve())
