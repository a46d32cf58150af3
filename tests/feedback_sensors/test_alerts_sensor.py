"""The alerts sensor over real facts: each kind of cause is told once with its place, and recovers when it is over."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import pytest

from curation.alerts.book import read_book, read_heartbeat
from curation.drift.judging import ColumnDrift
from curation.drift.kept import DayDrift, DriftBook
from curation.looks import Look, write_look
from curation_assets.reviews.dataset import REVIEWS, SOURCES
from feedback_sensors.alert_facts import Alerted, failed_runs, look_at
from feedback_sensors.alerts import alerts_sensor
from resources.home import Home

NOW = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
ALERTED = Alerted(REVIEWS, SOURCES, "raw_reviews", "sentiment_champion", "feedback", "review_predictions")
HOSTILE = "<!channel> @all http://evil.com"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    return Home(tmp_path).prepare()


@pytest.fixture
def instance() -> Iterator[dg.DagsterInstance]:
    with dg.instance_for_test() as one:
        yield one


def drifted(home: Home, alarm: bool) -> None:
    column = ColumnDrift(name=HOSTILE, effect=0.4, limit=0.1, alarm=alarm, sentence=f"{HOSTILE} said anna@x.org")
    verdict = DayDrift(
        dataset="reviews", day=NOW.date(), rows=1000, pooled_rows=1000, model_version=1, snapshot_version="v0001",
        columns=[column], alarm=alarm, sentence=column.sentence,
    )  # fmt: skip
    DriftBook(home.lake, "reviews").keep(verdict)


def looked(home: Home, alarm: bool) -> None:
    look = Look(
        dataset="reviews", message="gave up: 3 retrains failed", effective=1, threshold=1, tied=0, asked_attempt=None,
        alarm=alarm, at=NOW,
    )  # fmt: skip
    write_look(home.feedback_looks, look)


def run(instance: dg.DagsterInstance, *, fails: bool, job: str = "reviews_daily", step: str = "clean") -> None:
    @dg.op(name=step)
    def work() -> None:
        if fails:
            raise ValueError(f"anna@x.org wrote {HOSTILE}")

    @dg.job(name=job, tags={"dataset": "reviews"})
    def made() -> None:
        work()

    made.execute_in_process(instance=instance, raise_on_error=False)


def ticked(home: Home, instance: dg.DagsterInstance) -> str:
    sensor = alerts_sensor([ALERTED], ("team:data",))
    skipped = sensor(dg.build_sensor_context(instance=instance, resources={"home": home}))
    assert isinstance(skipped, dg.SkipReason)
    return str(skipped.skip_message)


def test_causes_open_once_and_recover_and_no_word_of_a_person_is_told(home: Home, instance: dg.DagsterInstance) -> None:
    drifted(home, alarm=True)
    looked(home, alarm=True)
    run(instance, fails=True)
    assert ticked(home, instance).startswith("3 open")
    assert ticked(home, instance).endswith("0 new messages; no receiver, the log is told")
    told = {one.cause.scope: one.cause for one in read_book(home.alerts).open.values()}
    assert set(told) == {"reviews/drift", "reviews/sensor_gave_up", "reviews/run_failed"}
    assert told["reviews/drift"].field == "‹!channel› (at)all http: ∕∕evil(.)com"
    assert told["reviews/run_failed"].told.endswith("failed at clean with ValueError")
    written = (home.alerts / "alerts.json").read_text()
    assert "anna" not in written and "@" not in written and "evil.com" not in written
    drifted(home, alarm=False)
    looked(home, alarm=False)
    run(instance, fails=False, job="reviews_retrain")
    assert ticked(home, instance).startswith("0 open")
    beat = read_heartbeat(home.alerts)
    assert beat is not None and (beat.open, beat.unread) == (0, ())


def test_words_of_a_person_are_told_where_configured_and_harmless_even_then(home: Home, instance: dg.DagsterInstance) -> None:
    drifted(home, alarm=True)
    run(instance, fails=True)
    causes = look_at(home, [ALERTED], lambda: failed_runs(instance), with_texts=True, now=NOW).causes
    for cause in causes:
        assert "anna(at)x(.)org" in cause.text
        assert not set("@<>|") & set(cause.model_dump_json())


def test_a_run_that_failed_is_made_good_by_its_step_in_any_later_run_and_by_nothing_else(instance: dg.DagsterInstance) -> None:
    run(instance, fails=True)
    run(instance, fails=False, step="other")
    assert [found.steps for found in failed_runs(instance)] == [("clean",)]
    run(instance, fails=True)
    assert len(failed_runs(instance)) == 1, "the same work failing again is the same cause"
    run(instance, fails=False, job="by_hand")
    assert failed_runs(instance) == ()


def test_what_cannot_be_read_is_told_and_hides_nothing_else(home: Home, instance: dg.DagsterInstance) -> None:
    drifted(home, alarm=True)
    looked(home, alarm=True)
    ticked(home, instance)
    (home.feedback_looks / "reviews.json").write_text("{")
    assert "1 facts could not be read" in ticked(home, instance)
    assert len(read_book(home.alerts).open) == 2, "not seeing is not recovering"
    beat = read_heartbeat(home.alerts)
    assert beat is not None and "reviews.json is damaged" in beat.unread[0]
