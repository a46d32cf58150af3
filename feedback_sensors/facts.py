"""What one look at the loop saw: the verdict's watermark, what the drain brought, the labels above it, and the retrain runs.

Reads the home, in the order that keeps a look from asking twice. Decides nothing, and knows no Dagster: runs are handed over.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from curation.errors import CurationError
from curation.feedback.counting import LabelCount, count_labels
from curation.feedback.drain import Drained, FeedbackTable, TableLocked
from curation.feedback.events import LabelsOf
from curation.feedback.log import FeedbackLog, LogBusy
from curation.promotions import PromotionLog
from curation.snapshots.store import SnapshotStore
from resources.home import Home

DRAINED_AT_MOST = 50_000
"""Rows a look drains: about a second, far from the 60 s after which Dagster ends a sensor's tick."""

ENDED = frozenset({"SUCCESS", "FAILURE", "CANCELED"})
"""Dagster's names of the statuses after which nothing of a run can come."""


@dataclass(frozen=True)
class RetrainRun:
    """One retrain run of a dataset. Runs that a person started carry no watermark, attempt or high_seq."""

    run_id: str
    status: str  # Dagster's name of it
    watermark: int | None
    attempt: int | None
    high_seq: int | None
    will_retry: bool = False  # it failed, and Dagster has promised another run in its place and not started it yet

    @property
    def is_in_flight(self) -> bool:
        """Whether a verdict may still come of it."""
        return self.will_retry or self.status not in ENDED


@dataclass(frozen=True)
class Watermark:
    """Up to which event of the log the last verdict's snapshot has consumed labels; version None before the first verdict."""

    seq: int
    version: str | None


@dataclass(frozen=True)
class Facts:
    """Everything a decision rests on. `count`, `drained` and `lag_s` are None exactly when `unreadable` says why."""

    dataset: str
    watermark: Watermark
    threshold: int
    runs: tuple[RetrainRun, ...]
    count: LabelCount | None = None
    drained: Drained | None = None
    lag_s: float | None = None  # age of the newest row of the table; None also for an empty table
    unreadable: str | None = None

    @property
    def is_behind(self) -> bool:
        """Whether the drain stopped at its limit. A few rows that came in while it worked do not make it so."""
        return self.drained is not None and self.drained.waiting > 0 and self.drained.rows >= DRAINED_AT_MOST


def watermark_of(home: Home, dataset: str) -> Watermark:
    """The watermark from the snapshot of the newest verdict; CurationError when that snapshot or the promotion log is damaged."""
    verdict = PromotionLog(home.promotions, dataset).last_verdict()
    if verdict is None or verdict.snapshot_version is None:
        return Watermark(0, None)
    store = SnapshotStore(home.snapshots)
    if verdict.snapshot_version not in store.versions(dataset):
        raise CurationError(
            f"{home.snapshots / dataset / verdict.snapshot_version} is gone, the snapshot of the last verdict",
            f"restore it from a backup or with `dvc pull`; curation verify {dataset} lists all that differs",
        )
    manifest = store.manifest(dataset, verdict.snapshot_version)
    return Watermark(manifest.consumed_feedback_seq, verdict.snapshot_version)


def read_facts(
    home: Home,
    dataset: str,
    labels: LabelsOf,
    *,
    threshold: int,
    test_from: float,
    runs: Callable[[], tuple[RetrainRun, ...]],
    now: datetime,
) -> Facts:
    """What one look sees. Runs are read before the watermark, the watermark before the log.

    A run records its verdict before it ends. So a run that is not in flight when `runs` looks has its verdict in the watermark
    that is read after it; the other way round, a verdict between the two reads would look like no verdict and no run. And
    labels that come in during the look are above the watermark: at worst they are counted one look early, never lost.
    A table or log that someone else holds makes facts without a count; any other error is raised.
    """
    seen = runs()
    watermark = watermark_of(home, dataset)
    table = FeedbackTable(home.feedback_table, home.feedback_segments, home.lock("feedback"), home.predictions)
    try:
        with (
            FeedbackLog(home.feedback_log, home.subject_key()) as log,
            table.drained(log, labels, now=now, at_most=DRAINED_AT_MOST) as (drained, connection),
        ):
            count = count_labels(connection, dataset, labels[dataset], watermark.seq, test_from)
            newest = connection.execute("select max(received_at) from feedback where seq = ?", [drained.last_seq]).fetchone()
    except (TableLocked, LogBusy) as held:
        return Facts(dataset, watermark, threshold, seen, unreadable=held.message)
    lag_s = (now - newest[0]).total_seconds() if newest and newest[0] else None
    return Facts(dataset, watermark, threshold, seen, count, drained, lag_s)
