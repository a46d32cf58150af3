"""The reviews in Dagster's UI, as a person meets them: the graph, three ways to materialize by clicking, and what the pages show."""

import datetime
import re

import pytest
from playwright.sync_api import expect

from curation.ingestion.ledger import Ledger
from curation.snapshots.store import SnapshotStore
from curation_assets import keys
from resources.home import Home, today
from tests.browser.chromium import GROUP, Ui

pytestmark = pytest.mark.slow

ASSETS = [value.to_user_string() for name, value in vars(keys).items() if name.isupper() and name not in {"OWNERS", "FEEDBACK"}]
TWO_DAYS_AGO = today() - datetime.timedelta(days=2)


def batches(home: Home) -> list[str]:
    return [f"{entry.source}/{entry.day}" for entry in Ledger(home.lake, "reviews").entries()]


def test_the_graph_shows_every_asset_of_the_reviews_and_nothing_pops_up(ui: Ui) -> None:
    page = ui.open(GROUP)
    expect(page.get_by_role("button", name="Materialize all")).to_be_visible()
    for name in ASSETS:
        shown = re.compile(f"^({name}|{name[:8]}.*….*{name[-7:]})$")  # a long name is cut in its middle
        expect(page.get_by_text(shown).first).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_materialize_all_ends_green_with_a_snapshot_a_model_and_its_picture(ui: Ui, home: Home) -> None:
    ui.open(GROUP)
    ui.press("Materialize all")
    ui.press("Latest")
    ui.press("Launch 1 run")
    ui.launched_run_ends_green()
    assert batches(home) == [f"generic/{today()}"]
    assert SnapshotStore(home.snapshots).manifest("reviews").rows > 200
    picture = ui.open("/assets/sentiment_model").get_by_alt_text("confusion matrix")
    expect(picture).to_be_visible()
    assert picture.evaluate("picture => picture.complete && picture.naturalWidth") > 200


def test_days_reach_from_the_earliest_in_landing_to_today_and_one_of_them_alone_ends_green(ui: Ui, home: Home) -> None:
    page = ui.open("/assets/raw_reviews")
    ui.press("Materialize")
    dialog = page.get_by_role("dialog")
    for day in (TWO_DAYS_AGO, today()):
        expect(dialog.get_by_text(day.isoformat(), exact=True)).to_be_visible()
    dialog.get_by_role("textbox").first.fill(TWO_DAYS_AGO.isoformat())
    page.keyboard.press("Enter")
    ui.press("Launch 1 run")
    ui.launched_run_ends_green()
    assert batches(home) == [f"generic/{today()}", f"generic/{TWO_DAYS_AGO}"]


def test_one_dbt_model_alone_ends_green_and_shows_its_samples(ui: Ui) -> None:
    page = ui.open("/assets/curated_reviews")
    ui.press("Materialize")
    ui.launched_run_ends_green()
    page = ui.open("/assets/curated_reviews")
    expect(page.get_by_role("row").filter(has_text="samples").get_by_text("copies")).to_be_visible()


def test_the_pages_asked_no_other_host(ui: Ui) -> None:
    assert ui.hosts == {ui.address.removeprefix("http://")}
