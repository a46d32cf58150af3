"""Debian's Chromium looking at a served home, and the clicks that tests and pictures share. No assertion but a run's success."""

import contextlib
import re
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from playwright.sync_api import BrowserContext, Page, expect, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no chromium here: apt-get install chromium")
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync"]
GROUP = "/locations/curation_assets.definitions/asset-groups/reviews"
PATIENCE_MS = 180_000.0  # a run takes 10 to 20 s of an idle machine; another may be busy
expect.set_options(timeout=PATIENCE_MS)  # Playwright's own 5 s are too few for a busy machine


@dataclass
class Ui:
    """The UI at an address, the page that looks at it, and every host that the page asked for anything."""

    address: str
    page: Page
    hosts: set[str] = field(default_factory=set)

    def open(self, path: str) -> Page:
        """Go to a path of the UI."""
        self.page.goto(self.address + path)
        return self.page

    def press(self, name: str) -> None:
        """Press the first button with that in its name."""
        self.page.get_by_role("button", name=name).first.click()

    def launched_run_ends_green(self) -> None:
        """Follow the notice of a launched run to its page, wait for its end, and hold it to its success."""
        self.page.get_by_text("View", exact=True).click()
        ended = self.page.get_by_text(re.compile("^(Success|Failure|Canceled)$")).first
        expect(ended).to_be_visible()
        expect(ended).to_have_text("Success")


@contextlib.contextmanager
def looking_at(address: str, width_px: int = 1600, height_px: int = 1000, pixel_ratio: float = 1.0) -> Iterator[Ui]:
    """A fresh browser on the UI at `address`."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        context = browser.new_context(viewport={"width": width_px, "height": height_px}, device_scale_factor=pixel_ratio)
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        seen = Ui(address, page)
        page.on("request", lambda request: seen.hosts.add(request.url.split("/")[2]))
        yield seen
        browser.close()


def signed_in(context: BrowserContext, address: str, name: str, path: str = "/label/reviews") -> Page:
    """A new tab of somebody at a page of the feedback service; `name` is a token where it demands tokens."""
    page = context.new_page()
    page.set_default_timeout(PATIENCE_MS)
    page.goto(f"{address}/sign-in?next={path}")
    page.locator("#who").fill(name)
    page.keyboard.press("Enter")
    page.wait_for_url(f"{address}{path}")
    return page


def shown_item(page: Page) -> str:
    """The id of the item in view on the labelling page, once there is one."""
    expect(page.locator("#item[data-item]")).to_be_visible()
    return str(page.locator("#item").get_attribute("data-item"))


def all_is_sent(page: Page) -> None:
    """Wait until the service has acknowledged everything that the labelling page has."""
    expect(page.locator("#waiting")).to_contain_text("safely with the service")
