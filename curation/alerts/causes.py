"""What is wrong, as causes that alerts are about: one builder per kind, from facts that others have read.

Decides what a cause is and what of it may be told. Reads no file; what is open already, and who is told, is `book`.
"""

import datetime
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from pydantic import BaseModel, ConfigDict

from curation.alerts.harmless import harmless
from curation.freshness import Freshness
from curation.ingestion.ledger import Entry
from curation.looks import Look
from curation.promotions import VERDICTS, Decision, ModelReference

if TYPE_CHECKING:
    from curation.drift.kept import DayDrift

Kind = Literal["batch_refused", "run_failed", "gate_refused", "sensor_gave_up", "freshness_missed", "drift"]
KINDS: tuple[Kind, ...] = ("batch_refused", "run_failed", "gate_refused", "sensor_gave_up", "freshness_missed", "drift")
TEXT_CHARACTERS = 400


class Cause(BaseModel):
    """One thing that is wrong. Everything in it is safe to send. `text`: words that may quote a record; empty unless configured."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    scope: str  # dataset/kind: what is read, or fails to be read, as one
    subject: str = ""  # which of its kind: a batch, a source, a family of runs
    title: str
    asset: str
    run_id: str | None = None
    field: str | None = None
    file: str | None = None
    line: int | None = None
    told: str
    next: str
    text: str = ""

    @property
    def key(self) -> str:
        """What makes it the same cause at the next look."""
        return f"{self.scope}/{self.subject}"


@dataclass(frozen=True)
class FailedRun:
    """The newest failed run of a family of runs (the row jobs or the retrains of a dataset, or one job of no dataset)."""

    run_id: str
    job: str
    dataset: str
    family: str
    steps: tuple[str, ...]  # those that failed; () where the run died without a word
    error: str | None  # the error's class
    message: str  # its words, which may quote a record


def scope_of(dataset: str, kind: Kind) -> str:
    """The scope of all causes of one kind of a dataset."""
    return f"{dataset}/{kind}"


def of_refusals(dataset: str, refused: Collection[Entry], asset: str, *, with_texts: bool) -> list[Cause]:
    """One per batch that stands refused, with the field, file and line of what is broken most."""
    found = []
    for entry in refused:
        worst = max(entry.violations, key=lambda violation: violation.count, default=None)
        records = entry.counts.records_in
        if worst is None:
            told = "its records do not keep the contract"
        elif worst.rule == "unreadable":
            told = "a file of it cannot be read"
        else:
            told = f"{worst.count:,} of {records:,} records are {'malformed' if worst.rule == 'malformed' else 'against the contract'}"
        found.append(
            Cause(
                scope=scope_of(dataset, "batch_refused"),
                subject=f"{entry.source}/{entry.day.isoformat()}",
                title=f"{dataset}: batch {entry.source} {entry.day} refused",
                asset=asset,
                field=harmless(worst.field) if worst and worst.field else None,
                file=harmless(worst.file) if worst else None,
                line=worst.line if worst else None,
                told=told,
                next=f"uv run curation quarantine {dataset}; mend the file and run again",
                text=harmless(entry.message, TEXT_CHARACTERS) if with_texts else "",
            )
        )
    return found


def of_freshness(dataset: str, states: Collection[Freshness], asset: str) -> list[Cause]:
    """One per source whose next day is overdue. Its words stay the same however late it gets."""
    return [
        Cause(
            scope=scope_of(dataset, "freshness_missed"),
            subject=state.source,
            title=f"{dataset}: {state.source} is late",
            asset=asset,
            told=f"newest day {state.newest_day}, the next was due {24 + state.deadline_h:.0f} h after it began",
            next=f"ask whoever delivers {state.source}; uv run curation ingest {dataset} {state.source} FILE",
        )
        for state in states
        if state.is_late
    ]


def of_verdicts(dataset: str, decisions: Sequence[Decision], asset: str) -> list[Cause]:
    """One where the newest verdict is a refusal: it recovers with the next challenger that is let through."""
    newest = next((decision for decision in reversed(decisions) if decision.kind in VERDICTS), None)
    if newest is None or newest.kind != "refused":
        return []
    version = newest.challenger.version if newest.challenger else "?"
    return [
        Cause(
            scope=scope_of(dataset, "gate_refused"),
            title=f"{dataset}: the gate refused challenger {version}",
            asset=asset,
            told=harmless(newest.why, TEXT_CHARACTERS),
            next=f"uv run curation status {dataset}; the rows behind it are on the asset's check",
        )
    ]


def of_look(look: Look | None, asset: str) -> list[Cause]:
    """One where the retrain sensor will do nothing until a person has looked."""
    if look is None or not look.alarm:
        return []
    return [
        Cause(
            scope=scope_of(look.dataset, "sensor_gave_up"),
            title=f"{look.dataset}: the retrain sensor gave up",
            asset=asset,
            told=harmless(look.message, TEXT_CHARACTERS),
            next=f"mend the cause, then uv run curation run {look.dataset} --retrain",
        )
    ]


def of_drift(newest: "DayDrift | None", champion: ModelReference | None, asset: str, *, with_texts: bool) -> list[Cause]:
    """One where the newest judged day drifted from what the champion learned, naming the column that moved furthest.

    Against another champion it was never judged: the one who has come since is a new beginning.
    """
    if newest is None or not newest.alarm or (champion is not None and champion.version != newest.model_version):
        return []
    moved = newest.alarms
    names = ", ".join(harmless(column.name, 60) for column in moved[:5])
    return [
        Cause(
            scope=scope_of(newest.dataset, "drift"),
            title=f"{newest.dataset}: drift on {newest.day}",
            asset=asset,
            field=harmless(moved[0].name) if moved else None,
            told=f"{len(moved)} of {len(newest.columns)} columns moved in {newest.rows:,} rows: {names}",
            next=f"see the plots on the asset; uv run curation status {newest.dataset}",
            text=harmless(newest.sentence, TEXT_CHARACTERS) if with_texts else "",
        )
    ]


def of_runs(failed: Collection[FailedRun], refused: Collection[str], asset: str, *, with_texts: bool) -> list[Cause]:
    """One per family whose newest failure has not been made good. `refused`: datasets in which a batch stands refused.

    A run that failed only because a batch stands refused is no cause of its own: the batch is.
    """
    found = []
    for run in failed:
        if run.dataset in refused and run.steps == (f"{run.dataset}_batches_accepted",):
            continue
        is_retrain = run.family.endswith("retrain")
        step = harmless(run.steps[0]) if run.steps else "no step: its process died or never began"
        error = f" with {harmless(run.error, 60)}" if run.error else ""
        again = f"uv run curation run {run.dataset}{' --retrain' if is_retrain else ''}" if run.dataset else "start it again"
        found.append(
            Cause(
                scope=scope_of(run.dataset or "any", "run_failed"),
                subject=run.family,
                title=f"{harmless(run.job)} failed",
                asset=asset,
                run_id=run.run_id,
                told=f"run {run.run_id[:8]} failed at {step}{error}",
                next=f"read the run's log, mend it, then {again}",
                text=harmless(run.message, TEXT_CHARACTERS) if with_texts else "",
            )
        )
    return found


def day_of(at: datetime.datetime) -> str:
    """A moment as messages give it, in UTC to the minute."""
    return f"{at.astimezone(datetime.UTC):%Y-%m-%d %H:%M} UTC"
