"""Whether to ask for a retrain, and why not: pure functions over facts, the one place of this rule.

Reads nothing, writes nothing, knows no Dagster and no clock.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from curation.feedback.counting import LabelCount
from feedback_sensors.facts import Facts

FAILURES_AT_MOST = 3
WATERMARK_TAG, ATTEMPT_TAG, HIGH_SEQ_TAG, RETRAIN_TAG = (
    "curation/watermark",
    "curation/attempt",
    "curation/high_seq",
    "curation/retrain",
)


@dataclass(frozen=True)
class Decision:
    """`attempt` numbers the run to ask for, None when none is wanted; `message` always says why."""

    attempt: int | None
    message: str
    alarm: bool = False  # a person must look: nothing happens until something changes


def decide(facts: Facts) -> Decision:
    """One decision for one look: ask for exactly one retrain where the threshold is reached, else say what is waited for.

    The attempt is one above the highest of this watermark, so a key is never asked for twice for different work, and the same
    look twice asks for the same key, which Dagster runs once.
    """
    for run in facts.runs:
        if run.is_in_flight:
            return Decision(None, f"retrain run {run.run_id[:8]} is in flight ({run.status})")
    if facts.count is None:
        return Decision(None, f"the labels cannot be counted now: {facts.unreadable}")
    if facts.drained is not None and facts.is_behind:
        # Counting half of the log would let the cut decide: labels taken back further on would have asked for a retrain.
        told = f"drained {facts.drained.rows:,} rows up to seq {facts.drained.last_seq:,}, {facts.drained.waiting:,} more wait"
        return Decision(None, f"{told}; counting when all are in")
    told = counted(facts.count, facts.threshold)
    if facts.count.effective < facts.threshold:
        return Decision(None, told)
    return _asked(facts, facts.count, told)


def _asked(facts: Facts, count: LabelCount, told: str) -> Decision:
    of_watermark = [run for run in facts.runs if run.watermark == facts.watermark.seq]
    on_these_labels = [run for run in of_watermark if run.high_seq == count.high_seq]
    for run in on_these_labels:
        if run.status == "SUCCESS":
            return Decision(
                None,
                f"{told}, but run {run.run_id[:8]} ended well on them without a verdict: read what it says; "
                "the next label makes another attempt",
                alarm=True,
            )
    if len(on_these_labels) >= FAILURES_AT_MOST:
        return Decision(
            None,
            f"gave up: {len(on_these_labels)} retrains failed on the same {told}, the last one was run "
            f"{on_these_labels[0].run_id[:8]}. Mend the cause and start {facts.dataset}_retrain by hand, or wait for another label",
            alarm=True,
        )
    attempt = 1 + max((run.attempt or 0 for run in of_watermark), default=0)
    return Decision(attempt, told if attempt == 1 else f"{told}, attempt {attempt}")


def counted(count: LabelCount, threshold: int) -> str:
    """The count as a sentence: "37 of 100 new labels, 12 tied"; what is zero is left out, but for the first figure."""
    parts = (
        (count.tied, "tied"),
        (count.unmatched, "without a prediction"),
        (count.held_out, "held out for evaluation"),
    )
    told = [f"{figure:,} {what}" for figure, what in parts if figure]
    return ", ".join([f"{count.effective:,} of {threshold:,} new labels", *told])


def run_key(dataset: str, watermark: int, attempt: int) -> str:
    """The key under which Dagster runs this work at most once."""
    return f"{dataset}/{watermark}/{attempt}"


def why_obsolete(tags: Mapping[str, str], watermark: int) -> str | None:
    """Why a run that was asked for has nothing left to do, or None; for the run's first step, while it alone writes the dataset.

    No look can rule this out: Dagster's daemon starts a run it had reserved before it died up to 24 hours later without asking
    the sensor again, and compares the run keys of one sensor only, never those of a schedule with those of a sensor.
    A run without the tag was started by a person and is never obsolete.
    """
    asked = tags.get(WATERMARK_TAG)
    if asked is None or asked == str(watermark):
        return None
    return f"asked for the labels above seq {asked}, and a verdict up to seq {watermark} has been reached since"
