"""What the health page says of drift and of the alerter itself: known, not yet known, silent, and told by nobody else."""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.alerts.causes import Cause
from curation.alerts.telling import Seen, tick
from curation.drift.kept import DriftBook
from curation.feedback.log import FeedbackLog
from tests.curation.loop_world import NOW, World

TODAY = NOW.date()
DAY = datetime.timedelta(days=1)
MINUTE = datetime.timedelta(minutes=1)
URL = "json://127.0.0.1:1/secret"


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with FeedbackLog(tmp_path / "feedback" / "log.sqlite", b"k" * 32) as log:
        yield World(tmp_path, log)


@pytest.fixture
def asked(world: World) -> World:
    """With a champion and a queue: nothing is odd."""
    world.first()
    world.ask(["a"], NOW)
    return world


def drift_of(world: World) -> str | None:
    told = world.look().delays.seen.drift
    return told.sentence if told else None


def test_drift_that_was_not_judged_against_the_champion_is_told_as_not_looked_at(world: World) -> None:
    assert drift_of(world) is None, "there is nothing to compare with"
    world.first()
    assert drift_of(world) == (
        "Drift has not been looked at yet against v0001, the snapshot of model 1; the next run with new rows does."
    )
    world.drift(TODAY, {"length": 0.09})
    world.verdict(2, 800, 860)
    assert "not been looked at yet against v0002" in str(drift_of(world))


def test_drift_names_what_moved_how_far_and_since_when_and_its_end_is_told(asked: World) -> None:
    asked.drift(TODAY - 4 * DAY, {"length": 0.09})
    asked.drift(TODAY - 3 * DAY, {})
    assert asked.look().delays.oddities == ()
    assert drift_of(asked) == "Drift on 2026-11-20: 3,000 rows against v0001, the snapshot of model 1: no drift in 1 columns."
    asked.drift(TODAY - 2 * DAY, {"length": 0.09})
    asked.drift(TODAY, {"brand": None, "length": 0.04, "source": 16.0, "extra." + "x" * 90: 1.0})
    assert asked.look().delays.oddities == (
        "Drift since 2026-11-21 against v0001, the snapshot of model 1: "
        f"brand (gone), source (4.00), extra.{'x' * 34} (1.00) and 1 more moved; figures in standard deviations.",
    )
    asked.drift(TODAY, {})
    assert asked.look().delays.oddities == ()


def test_a_damaged_verdict_is_told_and_hides_nothing_else(asked: World) -> None:
    (DriftBook(asked.lake, "reviews").folder).mkdir(parents=True)
    path = DriftBook(asked.lake, "reviews").folder / "2026-11-23.json"
    path.write_text("{")
    found = asked.look().delays
    assert found.oddities == (f"{path} is damaged: remove it; the next run judges anew.",)
    assert found.seen.queue is not None


def ticked(world: World, *subjects: str, unread: tuple[str, ...] = ()) -> None:
    """A look of the alerter at runs that failed, whose one receiver takes nothing."""
    causes = [
        Cause(
            scope="reviews/run_failed", subject=one, title=f"{one} failed", asset="a", told="run 12345678 failed at x", next="n"
        )
        for one in subjects
    ]
    tick(
        world.places.alerts, Seen(tuple(causes), dict.fromkeys(unread, "it is damaged")), [URL],
        lambda letters: {(one.url, one.number): "status 500" for one in letters[:1]}, owners=(), dagster_url=None, now=NOW,
    )  # fmt: skip


def test_a_failed_run_stays_on_the_page_until_it_recovers(asked: World) -> None:
    assert asked.look().delays.seen.alerts is None, "no alerter has ever looked"
    ticked(asked)
    assert asked.look().delays.seen.alerts == () and asked.look().delays.oddities == ()
    ticked(asked, "reviews_retrain")
    found = asked.look().delays
    assert [one.cause.title for one in found.seen.alerts or ()] == ["reviews_retrain failed"]
    assert "reviews_retrain failed: run 12345678 failed at x." in found.oddities


def test_an_alerter_that_is_silent_or_blind_or_not_heard_says_so_first(asked: World) -> None:
    ticked(asked, "reviews_retrain", unread=("reviews/drift",))
    told = asked.look(NOW + 12 * MINUTE).delays
    silent, blind, unheard, failed = told.oddities
    assert silent == "The alerter has been silent for 12 min; is curation up running?"
    assert blind == "The alerter could not read reviews/drift: it is damaged."
    assert unheard.startswith("Receiver json ") and unheard.endswith(" has failed 1 times, 1 messages wait: status 500.")
    assert "secret" not in unheard and failed.startswith("reviews_retrain failed")
    assert told.sentence.startswith("4 things need a look: The alerter has been silent")
    (asked.places.alerts / "heartbeat.json").write_text("{")
    assert "heartbeat.json is damaged" in asked.look().delays.oddities[0]
