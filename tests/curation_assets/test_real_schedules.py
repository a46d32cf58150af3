"""Exactly one retrain per crossed threshold with the real retrain job, in three random schedules."""

import random
import shutil
from pathlib import Path

import pytest

from curation.promotions import PromotionLog
from curation.snapshots.store import SnapshotStore
from curation_assets.loop import feedback_log
from curation_assets.status import verified
from resources.home import Home
from tests.curation_assets.killing import RETRAINED_AT, ended
from tests.curation_assets.real_schedules import FAILING, REACHING, RealLoop, Schedule, drawn

pytestmark = pytest.mark.slow

SEEDS = (3, 25, 35)  # two crossings each, and together everything that may befall a run
REVIEWS = 500  # of which some 450 may be labelled: two thresholds of 100 and a few more


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a champion and no word of anyone; made once, and copied for each schedule."""
    home = tmp_path_factory.mktemp("schedules") / "prepared"
    assert ended("begin", home, REVIEWS) == 0
    return home


@pytest.mark.parametrize("seed", SEEDS)
def test_every_crossed_threshold_gets_exactly_one_verdict_of_the_real_retrain(
    prepared: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    home = Home(shutil.copytree(prepared, tmp_path / "home"))
    monkeypatch.setenv("CURATION_HOME", str(home.root))
    monkeypatch.setenv("CURATION_NOW", RETRAINED_AT)
    schedule = Schedule(home, seed)
    with schedule.loop.open:
        schedule.play()
        told = "\n".join(schedule.told)
        assert schedule.loop.expected.crossed, told
        assert schedule.fates == [], f"not everything befell it that should: {told}"
        verdicts_are_crossings(schedule.loop, told)
        each_run_was_asked_for_once(schedule.loop, told)
    assert verified(home, "reviews")["findings"] == [], told


def verdicts_are_crossings(loop: RealLoop, told: str) -> None:
    """As many verdicts as crossings, each on the labels that follow those of the one before, up to the last that its run drained."""
    first, *verdicts = PromotionLog(loop.home.promotions, "reviews").decisions()
    ends = [verdict.consumed_feedback_seq for verdict in verdicts]
    assert (first.kind, first.consumed_feedback_seq) == ("first", 0)
    assert list(zip([0, *ends], ends, strict=False)) == loop.expected.verdicts, told
    assert len(verdicts) == len(loop.expected.crossed), told
    with feedback_log(loop.home) as log:
        for verdict in verdicts:
            manifest = SnapshotStore(loop.home.snapshots).manifest("reviews", verdict.snapshot_version)
            head = log.head_at(verdict.consumed_feedback_seq)
            assert head is not None
            assert (manifest.consumed_feedback_seq, manifest.consumed_feedback_head) == (head.seq, head.chain), told
            assert verdict.feedback_head == head.chain, told


def each_run_was_asked_for_once(loop: RealLoop, told: str) -> None:
    """The runs are those that the rule asks for and no other; no two of them gave a verdict on the same labels."""
    runs = loop.instance.get_runs()[::-1]
    tags = ("curation/watermark", "curation/attempt", "curation/high_seq")
    asked = [tuple(int(run.tags[tag]) for tag in tags) for run in runs if "curation/attempt" in run.tags]
    assert asked == loop.expected.asked, told
    _, *verdicts = PromotionLog(loop.home.promotions, "reviews").decisions()
    by_id = {f"run {run.run_id}": run for run in runs}
    judged = [by_id[verdict.by].tags["curation/watermark"] for verdict in verdicts]
    assert judged == [str(start) for start, _ in loop.expected.verdicts], told
    assert len({verdict.by for verdict in verdicts}) == len(verdicts), told


def test_the_schedules_together_meet_everything_that_may_befall_a_run() -> None:
    assert {fate for seed in SEEDS for fate in drawn(random.Random(seed))} == {*FAILING, *REACHING}
