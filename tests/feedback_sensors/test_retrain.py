"""The sensor and the weekly schedule through the daemon's own tick code, on a real instance, log, table and manifests."""

import datetime
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import pytest

from curation.looks import Look, read_look
from feedback_sensors.decision import decide
from feedback_sensors.facts import RetrainRun, Watermark, read_facts
from feedback_sensors.retrain import retrain_runs
from tests.feedback_sensors.brute_force import place
from tests.feedback_sensors.retrain_world import FEEDBACK, NOW, TEST_FROM, Loop, instance_in

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def instance(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dg.DagsterInstance]:
    with instance_in(tmp_path_factory.mktemp("instance") / "dagster") as made:
        yield made


@pytest.fixture
def loop(instance: dg.DagsterInstance, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Loop]:
    """A loop whose threshold is 3, unless the test is parametrized with another."""
    name = f"tickets_{len(instance.get_runs())}_{len(instance.all_instigator_state())}"
    made = Loop(instance, tmp_path / "home", name, getattr(request, "param", 3), 200)
    yield made
    made.close()


def trainable(loop: Loop) -> list[str]:
    return [item for item in loop.items if place(item) < TEST_FROM]


def label(loop: Loop, *items: str) -> None:
    loop.send(*[loop.event(item, label="angry") for item in items])


def last_look(loop: Loop) -> Look:
    look = read_look(loop.home.feedback_looks, loop.dataset)
    assert look is not None
    return look


@pytest.mark.parametrize("loop", [100], indirect=True)
def test_thirty_labels_a_day_beside_daily_snapshots_retrain_once_on_day_four(loop: Loop) -> None:
    items, told, days_of_runs = trainable(loop), [], []
    for day in range(1, 6):
        label(loop, *items[30 * (day - 1) : 30 * day])
        loop.daily_snapshot()
        told.append(loop.tick())
        if loop.runs(dg.DagsterRunStatus.QUEUED):
            days_of_runs.append(day)
        loop.execute()
    assert told[:3] == ["30 of 100 new labels", "60 of 100 new labels", "90 of 100 new labels"]
    assert days_of_runs == [4]
    assert loop.verdicts() == [(0, 120)]
    assert told[4] == "30 of 100 new labels"


def test_a_crossed_threshold_asks_for_one_run_that_says_what_it_is_for(loop: Loop) -> None:
    label(loop, *trainable(loop)[:3])
    assert loop.tick() == "SUCCESS"
    (run,) = loop.runs()
    wanted = {"dataset", "curation/retrain", "curation/watermark", "curation/attempt", "curation/high_seq", "dagster/run_key"}
    assert {name: run.tags[name] for name in wanted} == {
        "dataset": loop.dataset,
        "curation/retrain": loop.dataset,
        "curation/watermark": "0",
        "curation/attempt": "1",
        "curation/high_seq": "3",
        "dagster/run_key": f"{loop.dataset}/0/1",
    }
    assert loop.tick() == f"retrain run {run.run_id[:8]} is in flight (QUEUED)"
    loop.execute()
    assert loop.tick() == "0 of 3 new labels"
    assert (len(loop.runs()), loop.verdicts()) == (1, [(0, 3)])


def test_held_out_tied_unmatched_and_repeated_labels_are_told_and_do_not_count(loop: Loop) -> None:
    one, two, *_ = trainable(loop)
    (held_out, *_) = [item for item in loop.items if place(item) >= TEST_FROM]
    tied = [loop.event(two, label="calm", annotator="a"), loop.event(two, label="angry", annotator="b")]
    loop.send(*tied, loop.event(held_out, label="calm"), loop.event("unknown", label="calm"), loop.event(one, label="calm"))
    assert loop.tick() == "1 of 3 new labels, 1 tied, 1 without a prediction, 1 held out for evaluation"
    assert loop.send(*tied).accepted == 0
    assert loop.tick() == "1 of 3 new labels, 1 tied, 1 without a prediction, 1 held out for evaluation"


def test_the_sensor_leaves_its_last_look_and_the_week_leaves_none(loop: Loop) -> None:
    one, two, three, *_ = trainable(loop)
    loop.week()
    assert read_look(loop.home.feedback_looks, loop.dataset) is None
    began_at = datetime.datetime.now(datetime.UTC)
    loop.send(loop.event(one, label="calm", annotator="a"), loop.event(one, label="angry", annotator="b"))
    label(loop, two)
    told = loop.tick()
    seen = last_look(loop)
    assert began_at <= seen.at <= datetime.datetime.now(datetime.UTC)
    assert seen.model_dump(exclude={"at"}) == {
        "dataset": loop.dataset,
        "message": told,
        "effective": 1,
        "threshold": 3,
        "tied": 1,
        "asked_attempt": None,
        "alarm": False,
    }
    label(loop, one, three)
    loop.tick()
    seen = last_look(loop)
    assert (seen.message, seen.effective, seen.tied, seen.asked_attempt) == ("3 of 3 new labels", 3, 0, 1)


def test_a_run_that_fails_after_its_verdict_is_not_repeated(loop: Loop) -> None:
    label(loop, *trainable(loop)[:3])
    loop.tick()
    loop.execute("after the verdict")
    assert loop.tick() == "0 of 3 new labels"
    assert [run.status for run in loop.runs()] == [dg.DagsterRunStatus.FAILURE]


def test_after_three_failures_it_gives_up_where_a_person_sees_it_until_a_label_comes(loop: Loop) -> None:
    label(loop, *trainable(loop)[:3])
    for attempt in ("1", "2", "3"):
        assert loop.tick() == "SUCCESS"
        assert loop.runs()[-1].tags["curation/attempt"] == attempt
        loop.execute("before the verdict")
    told = loop.tick()
    assert told.startswith("gave up: 3 retrains failed on the same 3 of 3 new labels")
    assert (last_look(loop).message, last_look(loop).alarm) == (told, True)
    loop.wipe()
    assert loop.tick().startswith("gave up: 3 retrains failed")
    label(loop, trainable(loop)[3])
    assert loop.tick() == "SUCCESS"
    loop.execute()
    assert loop.verdicts() == [(0, 4)]


def test_a_run_by_hand_holds_the_sensor_back_and_moves_the_watermark(loop: Loop) -> None:
    loop.start_by_hand()
    label(loop, *trainable(loop)[:3])
    assert "is in flight (QUEUED)" in loop.tick()
    loop.execute()
    assert loop.tick() == "0 of 3 new labels"
    assert loop.verdicts() == [(0, 3)]


def test_a_killed_run_by_hand_is_in_flight_until_dagster_has_started_its_retry(loop: Loop) -> None:
    loop.start_by_hand()
    (run,) = loop.runs()
    loop.instance.report_run_failed(run)
    assert retrain_runs(loop.instance, loop.dataset, run.job_name)[0].is_in_flight
    loop.instance.add_run_tags(run.run_id, {"dagster/auto_retry_run_id": "another"})
    assert not retrain_runs(loop.instance, loop.dataset, run.job_name)[0].is_in_flight


def test_a_killed_run_of_the_sensor_is_tried_again_by_the_sensor_only(loop: Loop) -> None:
    label(loop, *trainable(loop)[:3])
    loop.tick()
    (run,) = loop.runs()
    loop.instance.report_run_failed(run)
    (killed,) = loop.runs()
    assert killed.tags["dagster/will_retry"] == "false"
    assert loop.tick() == "SUCCESS"
    assert loop.runs()[-1].tags["dagster/run_key"] == f"{loop.dataset}/0/2"


def test_a_run_that_the_daemon_starts_late_finds_its_verdict_reached_and_ends(loop: Loop) -> None:
    label(loop, *trainable(loop)[:3])
    assert loop.tick({"RUN_IDS_RESERVED": RuntimeError("the daemon failed here")}) == "FAILURE"
    loop.start_by_hand()
    loop.execute()
    label(loop, trainable(loop)[3])
    assert loop.tick() == "SUCCESS"  # the run reserved before, which the sensor was not asked about again
    loop.execute()
    assert [run.status for run in loop.runs()] == [dg.DagsterRunStatus.SUCCESS] * 2
    assert loop.verdicts() == [(0, 3)]
    assert loop.tick() == "1 of 3 new labels"


def test_the_week_retrains_on_a_single_label_and_not_on_none(loop: Loop) -> None:
    loop.week()
    assert loop.runs() == []
    label(loop, trainable(loop)[0])
    loop.week()
    (run,) = loop.runs()
    assert run.tags["dagster/run_key"] == f"{loop.dataset}/0/1"
    assert "is in flight" in loop.tick()
    loop.week()
    assert len(loop.runs()) == 1
    loop.execute()
    assert loop.verdicts() == [(0, 1)]


def test_the_weeks_run_and_the_same_run_reserved_by_the_sensor_are_one(loop: Loop) -> None:
    label(loop, *trainable(loop)[:3])
    loop.tick({"RUN_IDS_RESERVED": RuntimeError("the daemon failed here")})
    loop.week()
    loop.tick()
    assert [run.tags["dagster/run_key"] for run in loop.runs()] == [f"{loop.dataset}/0/1"]


def test_what_was_drained_is_observed_on_the_external_asset(loop: Loop) -> None:
    label(loop, *trainable(loop)[:2])
    loop.tick()
    loop.tick()
    seen = [record.asset_observation for record in loop.instance.fetch_observations(FEEDBACK, limit=2).records]
    told = [{name: value.value for name, value in one.metadata.items()} for one in seen if one]
    assert told[0] | {"lag_s": 0} == {"rows": 2, "lag_s": 0, "last_seq": 2, "waiting": 0, "adopted": 0, "refused": ""}
    assert told[0]["lag_s"] != 0
    assert len(told) < 2 or told[1]["last_seq"] != 2


def test_a_verdict_reached_during_the_look_is_in_the_watermark(loop: Loop) -> None:
    """Runs are read first: the one that ends while they are read counts as ended, so its verdict must be seen after it."""
    label(loop, *trainable(loop)[:3])
    loop.tick()

    def runs_while_one_ends() -> tuple[RetrainRun, ...]:
        loop.execute()
        return retrain_runs(loop.instance, loop.dataset, f"{loop.dataset}_retrain")

    facts = read_facts(loop.home, loop.dataset, loop.labels, threshold=3, test_from=TEST_FROM, runs=runs_while_one_ends, now=NOW)
    assert facts.watermark == Watermark(3, "v0001")
    assert decide(facts).message == "0 of 3 new labels"


def test_a_table_held_by_another_process_skips_the_tick_and_says_so(loop: Loop) -> None:
    label(loop, *trainable(loop)[:3])
    code = (
        f"import duckdb, sys; c = duckdb.connect({str(loop.home.feedback_table)!r}); print('held', flush=True); sys.stdin.read()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        told = loop.tick()
        holder.communicate()
    assert told.startswith("the labels cannot be counted now: ")
    assert str(holder.pid) in told
    assert (last_look(loop).message, last_look(loop).effective, last_look(loop).tied) == (told, None, None)
    assert loop.tick() == "SUCCESS"


def test_a_lost_table_is_drained_anew_and_counts_the_same(loop: Loop) -> None:
    label(loop, *trainable(loop)[:2])
    assert loop.tick() == "2 of 3 new labels"
    loop.home.feedback_table.unlink()
    assert loop.tick() == "2 of 3 new labels"


def test_a_damaged_snapshot_of_the_verdict_fails_the_tick(loop: Loop) -> None:
    label(loop, *trainable(loop)[:3])
    loop.tick()
    loop.execute()
    manifest = loop.home.snapshots / loop.dataset / "v0001" / "manifest.json"
    manifest.chmod(0o600)
    manifest.write_text("{")
    with pytest.raises(AssertionError, match="is not JSON"):
        loop.tick()


def test_a_row_inserted_by_hand_counts_at_the_next_tick(loop: Loop) -> None:
    loop.tick()
    with duckdb.connect(str(loop.home.feedback_table)) as connection:
        connection.execute(
            "insert into feedback (dataset, item_id, kind, label, annotator) values (?, ?, 'label', 'calm', 'ann')",
            [loop.dataset, trainable(loop)[0]],
        )
    assert loop.tick() == "1 of 3 new labels"
