"""The rule of retraining on made-up facts: when one run is asked for, and what is said when none is."""

from dataclasses import replace

import pytest

from curation.feedback.counting import LabelCount
from curation.feedback.drain import Drained
from curation.feedback.log import Head
from feedback_sensors.decision import Decision, decide, run_key, why_obsolete
from feedback_sensors.facts import DRAINED_AT_MOST, Facts, RetrainRun, Watermark

ENOUGH = LabelCount(effective=100, tied=0, held_out=0, unmatched=0, events=130, high_seq=530)


def seen(
    count: LabelCount | None = ENOUGH, *runs: RetrainRun, rows: int = 10, waiting: int = 0, unreadable: str | None = None
) -> Facts:
    drained = Drained(rows=rows, adopted=0, refused=(), waiting=waiting, last_seq=530, head=Head(530, "aa"), segment=None)
    return Facts("tickets", Watermark(400, "v0004"), 100, runs, count, drained if count else None, 1.0, unreadable)


def run(status: str, watermark: int | None = 400, attempt: int | None = 1, high_seq: int | None = 530) -> RetrainRun:
    return RetrainRun(f"{status.lower()}-{attempt}", status, watermark, attempt, high_seq)


def test_the_threshold_reached_asks_for_the_first_attempt() -> None:
    assert decide(seen()) == Decision(1, "100 of 100 new labels")


def test_one_label_short_waits_and_tells_the_count() -> None:
    assert decide(seen(replace(ENOUGH, effective=99))) == Decision(None, "99 of 100 new labels")
    waiting = decide(seen(replace(ENOUGH, effective=37, tied=12, held_out=3, unmatched=2)))
    assert waiting == Decision(None, "37 of 100 new labels, 12 tied, 2 without a prediction, 3 held out for evaluation")


def test_the_same_look_twice_asks_for_the_same_key() -> None:
    first, second = decide(seen()), decide(seen())
    assert first.attempt == second.attempt == 1
    assert run_key("tickets", 400, 1) == "tickets/400/1"


@pytest.mark.parametrize("status", ["QUEUED", "NOT_STARTED", "STARTING", "STARTED", "CANCELING"])
def test_a_run_in_flight_holds_back_every_other(status: str) -> None:
    for asked_by in (run(status), run(status, None, None, None)):
        decision = decide(seen(ENOUGH, run("FAILURE"), asked_by))
        assert decision.attempt is None
        assert decision.message == f"retrain run {asked_by.run_id[:8]} is in flight ({status})"


def test_a_killed_run_that_dagster_will_start_again_is_in_flight() -> None:
    assert decide(seen(ENOUGH, replace(run("FAILURE", None, None, None), will_retry=True))).attempt is None
    assert decide(seen(ENOUGH, run("FAILURE", None, None, None))).attempt == 1


@pytest.mark.parametrize("status", ["FAILURE", "CANCELED"])
def test_a_failed_or_canceled_run_is_tried_again_under_the_next_number(status: str) -> None:
    assert decide(seen(ENOUGH, run(status))) == Decision(2, "100 of 100 new labels, attempt 2")


def test_three_failures_on_the_same_labels_give_up_loudly() -> None:
    decision = decide(seen(ENOUGH, *(run("FAILURE", attempt=attempt) for attempt in (3, 2, 1))))
    assert decision.attempt is None
    assert decision.alarm
    assert decision.message.startswith(
        "gave up: 3 retrains failed on the same 100 of 100 new labels, the last one was run failure-"
    )
    assert "tickets_retrain by hand" in decision.message


def test_another_label_ends_giving_up_and_counts_its_own_three() -> None:
    failures = tuple(run("FAILURE", attempt=attempt) for attempt in (3, 2, 1))
    after_one_more = replace(ENOUGH, effective=101, high_seq=531)
    assert decide(seen(after_one_more, *failures)).attempt == 4
    again = tuple(run("FAILURE", attempt=attempt, high_seq=531) for attempt in (6, 5, 4))
    assert decide(seen(after_one_more, *again[1:], *failures)).attempt == 6
    assert decide(seen(after_one_more, *again, *failures)).alarm


def test_failures_before_the_last_verdict_are_forgotten() -> None:
    failures = tuple(run("FAILURE", watermark=200, attempt=attempt) for attempt in (3, 2, 1))
    assert decide(seen(ENOUGH, *failures)).attempt == 1


def test_a_run_that_ended_well_without_a_verdict_is_not_repeated_on_the_same_labels() -> None:
    decision = decide(seen(ENOUGH, run("SUCCESS")))
    assert decision.attempt is None
    assert decision.alarm
    assert "ended well on them without a verdict" in decision.message
    assert decide(seen(replace(ENOUGH, high_seq=531), run("SUCCESS"))).attempt == 2


def test_a_verdict_by_hand_moves_the_watermark_like_any_other() -> None:
    assert decide(seen(replace(ENOUGH, effective=4), run("SUCCESS", None, None, None))) == Decision(None, "4 of 100 new labels")


def test_a_table_that_cannot_be_read_is_not_zero_labels() -> None:
    assert decide(seen(None, unreadable="feedback.duckdb is held by PID 7")) == Decision(
        None, "the labels cannot be counted now: feedback.duckdb is held by PID 7"
    )


def test_a_backlog_is_drained_whole_before_anything_is_decided() -> None:
    decision = decide(seen(ENOUGH, rows=DRAINED_AT_MOST, waiting=12_345))
    assert decision == Decision(None, "drained 50,000 rows up to seq 530, 12,345 more wait; counting when all are in")


def test_rows_that_came_in_during_the_drain_do_not_hold_a_retrain_back() -> None:
    assert decide(seen(ENOUGH, rows=20, waiting=2)).attempt == 1


@pytest.mark.parametrize(
    ("tags", "is_obsolete"),
    [({"curation/watermark": "400"}, False), ({"curation/watermark": "200"}, True), ({"curation/retrain": "tickets"}, False)],
)
def test_a_run_knows_that_the_verdict_it_was_asked_for_has_been_reached(tags: dict[str, str], is_obsolete: bool) -> None:
    assert (why_obsolete(tags, 400) is not None) is is_obsolete
