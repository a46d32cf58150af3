"""What is a cause, over real ledgers and promotion logs: a refused batch, late data, a refused challenger; and what ends each."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.alerts.causes import FailedRun, of_drift, of_freshness, of_refusals, of_runs, of_verdicts
from curation.drift.judging import ColumnDrift
from curation.drift.kept import DayDrift
from curation.feedback.log import FeedbackLog
from curation.freshness import Freshness
from curation.ingestion.ledger import Ledger
from tests.curation.loop_world import NOW, World

TODAY = NOW.date()


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with FeedbackLog(tmp_path / "log.sqlite", b"k" * 32) as log:
        yield World(tmp_path, log)


def test_a_refused_batch_names_its_field_file_and_line_and_no_word_of_a_record_unless_asked_to(world: World) -> None:
    world.batch(TODAY, bad=30, refused=True)
    refused = Ledger(world.lake, "reviews").refused().values()
    (cause,) = of_refusals("reviews", refused, "raw_reviews", with_texts=False)
    assert (cause.subject, cause.field, cause.file, cause.line) == (f"shop/{TODAY}", "text", "a", 1)
    assert (cause.title, cause.told) == (f"reviews: batch shop {TODAY} refused", "30 of 100 records are against the contract")
    assert (cause.asset, cause.text) == ("raw_reviews", "")
    (told,) = of_refusals("reviews", refused, "raw_reviews", with_texts=True)
    assert "missing their text" in told.text


def test_a_batch_that_is_taken_in_after_all_is_no_cause_any_more(world: World) -> None:
    world.batch(TODAY, bad=30, refused=True)
    world.batch(TODAY)
    assert of_refusals("reviews", Ledger(world.lake, "reviews").refused().values(), "raw_reviews", with_texts=False) == []


def test_a_refused_challenger_is_a_cause_until_one_is_let_through(world: World) -> None:
    assert of_verdicts("reviews", world.promotions.decisions(), "sentiment_champion") == []
    world.first()
    assert world.verdict(2, 800, 700).kind == "refused"
    (cause,) = of_verdicts("reviews", world.promotions.decisions(), "sentiment_champion")
    assert cause.title == "reviews: the gate refused challenger 2"
    assert "points" in cause.told
    assert world.verdict(3, 800, 850).kind == "promoted"
    assert of_verdicts("reviews", world.promotions.decisions(), "sentiment_champion") == []


def test_drift_is_over_when_its_day_ends_or_another_champion_has_come(world: World) -> None:
    column = ColumnDrift(name="length", effect=0.4, limit=0.1, alarm=True, sentence="length drifted")
    day = DayDrift(
        dataset="reviews", day=TODAY, rows=1000, pooled_rows=1000, model_version=1, snapshot_version="v0001",
        columns=[column], alarm=True, sentence=column.sentence,
    )  # fmt: skip
    world.first()
    (cause,) = of_drift(day, world.promotions.champion(), "review_predictions", with_texts=False)
    assert (cause.field, cause.told) == ("length", "1 of 1 columns moved in 1,000 rows: length")
    assert of_drift(day.model_copy(update={"alarm": False}), world.promotions.champion(), "a", with_texts=False) == []
    world.verdict(2, 800, 850)
    assert of_drift(day, world.promotions.champion(), "a", with_texts=False) == []


def test_a_late_source_is_one_cause_however_late_it_gets() -> None:
    def late(hours: float) -> Freshness:
        return Freshness("shop", TODAY, hours, 26.0)

    assert of_freshness("reviews", [late(49)], "raw_reviews") == []
    (first,), (later,) = (of_freshness("reviews", [late(hours)], "raw_reviews") for hours in (51, 500))
    assert first == later
    assert first.subject == "shop"


@pytest.mark.parametrize(("refused", "causes"), [({"reviews"}, 0), (set(), 1)], ids=["a batch stands refused", "none does"])
def test_a_run_that_failed_only_because_a_batch_stands_refused_is_no_cause_of_its_own(refused: set[str], causes: int) -> None:
    run = FailedRun(
        dataset="reviews",
        family="reviews rows",
        job="reviews_daily",
        run_id="0" * 36,
        steps=("reviews_batches_accepted",),
        error="RuntimeError",
        message="",
    )
    assert len(of_runs([run], refused, "raw_reviews", with_texts=False)) == causes
