"""What is late or odd? Feedback that waits, the queue, sources, quarantine and refusals, and how soon people's feedback is learned.

Reads the feedback log's end, the segments, the queue, the ledger, the published fates and the sensor's last look; decides nothing.
"""

import datetime
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.alerts.book import Open
from curation.errors import CurationError
from curation.fates import Current
from curation.feedback.curated import CONFIG, State
from curation.feedback.events import LOGGED
from curation.feedback.log import FeedbackLog
from curation.feedback.segments import Segment, covering_segments, gaps
from curation.freshness import Freshness, freshness
from curation.health.drift import DriftTold
from curation.ingestion.ledger import Entry, Ledger
from curation.ingestion.sources import Source
from curation.label_queue import LabelQueue
from curation.looks import Look
from curation.promotions import VERDICTS, Decision

SILENT_S = 600.0  # the sensor looks and drains every 30 s; ten minutes without it are an outage
TAIL_ROWS = 5_000  # of the log that no segment has yet; read in 60 ms
DAYS_SHOWN = 30
RECEIVED = pa.schema([LOGGED.field("seq"), LOGGED.field("received_at")])
BAD_SHARE = 0.05
"""Share of a day's records in quarantine from which on the panel speaks of it; a batch above its source's limit is refused anyway."""


@dataclass(frozen=True)
class Backlog:
    """How far feedback has come, by seq of the log: acknowledged, in the table's segments, curated; and what of the dataset waits.

    `waiting`: the dataset's events that no run has curated; `oldest_undrained_at` is None when all are drained.
    """

    log_seq: int
    table_seq: int
    curated_seq: int
    waiting: int
    oldest_undrained_at: datetime.datetime | None


@dataclass(frozen=True)
class Queue:
    """The newest generation of the label queue: entries by reason, and how many of its items somebody has answered since."""

    number: int
    asked_at: datetime.datetime
    model_version: int
    by_reason: dict[str, int]
    answered: int

    @property
    def total(self) -> int:
        """Entries of all reasons."""
        return sum(self.by_reason.values())

    @property
    def open(self) -> int:
        """Entries that nobody has answered."""
        return self.total - self.answered


@dataclass(frozen=True)
class Refused:
    """A batch that stands refused, and why."""

    source: str
    day: datetime.date
    message: str


@dataclass(frozen=True)
class Quarantined:
    """Records of one source in quarantine for one reason, such as "rating must be an integer"."""

    source: str
    reason: str
    records: int


@dataclass(frozen=True)
class Day:
    """What became of the records that arrived on one day: `arrived` in all, of which those taken in since the last run have no
    fate yet."""

    day: datetime.date
    arrived: int
    kept: int
    duplicates: int
    spam: int
    quarantined: int


@dataclass(frozen=True)
class Seen:
    """Everything that may be late or odd, as it was found; None and () where there is nothing, or nothing that can be read."""

    backlog: Backlog | None
    queue: Queue | None
    sources: tuple[Freshness, ...]
    refused: tuple[Refused, ...]
    days: tuple[Day, ...]
    look: Look | None
    drift: DriftTold | None
    alerts: tuple[Open, ...] | None  # that stand open; None before the alerter's first look


@dataclass(frozen=True)
class Wait:
    """From a person's feedback to the model that learned it: the events which one verdict consumed, and how long they had waited.

    `decision` None stands for all verdicts together.
    """

    decision: int | None
    at: datetime.datetime | None
    events: int
    median_s: float
    longest_s: float


def backlog(segments: Path, log: FeedbackLog, state: State | None, waiting: int) -> Backlog:
    """Where feedback stands; `waiting` as `curation.feedback.recent` counts it. CurationError where a segment is missing."""
    covering = checked_segments(segments)
    table_seq, log_seq = covering[-1].last if covering else 0, log.head().seq
    undrained = log.read(table_seq, 1)
    oldest = undrained["received_at"][0].as_py() if undrained.num_rows else None
    return Backlog(log_seq, table_seq, state.seq if state else 0, waiting, oldest)


def checked_segments(folder: Path) -> list[Segment]:
    """The segments that hold every row once. CurationError names what is missing between them."""
    covering = covering_segments(folder)
    for first, last in gaps(covering):
        raise CurationError(f"{folder} has no segment for feedback {first} to {last}", "the next drain writes it")
    return covering


def queue_state(queue: LabelQueue, segments: Path, log: FeedbackLog) -> Queue | None:
    """The newest generation, None before the first. An item counts as answered from its first label, opinion or skip on."""
    path = queue.current()
    if path is None:
        return None
    try:
        rows = pq.read_table(path, columns=["item_id", "reason", "model_version", "asked_at"])
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        told = str(error).splitlines()[0]
        raise CurationError(f"{path} cannot be read: {told}", "remove it; the next run asks again") from error
    if not rows.num_rows:
        return Queue(int(path.stem), datetime.datetime.fromtimestamp(path.stat().st_mtime, datetime.UTC), 0, {}, 0)
    asked_at = rows["asked_at"][0].as_py()
    covering = checked_segments(segments)
    answered = _answered(covering, rows.select(["item_id"]), asked_at, queue.dataset)
    tail = log.read(covering[-1].last if covering else 0, TAIL_ROWS).select(["dataset", "item_id", "kind"]).to_pylist()
    answered |= {row["item_id"] for row in tail if row["dataset"] == queue.dataset and row["kind"] not in {None, "withdraw"}}
    items = rows["item_id"].to_pylist()
    return Queue(
        int(path.stem),
        asked_at,
        rows["model_version"][0].as_py(),
        dict(Counter(rows["reason"].to_pylist())),
        len(answered & set(items)),
    )


def days(current: Current | None, entries: Sequence[Entry]) -> tuple[Day, ...]:
    """One per arrival day that brought something, the newest thirty, oldest first. `entries`: the last one of every batch."""
    counts: dict[datetime.date, Counter[str]] = {}
    for batch in current.batches if current else []:
        of_day = counts.setdefault(batch.day, Counter())
        for fate, number in batch.fates.items():
            is_duplicate = fate in {"exact_duplicate", "near_duplicate", "superseded"}
            of_day["kept" if fate == "kept" else "duplicates" if is_duplicate else "spam"] += number
    for entry in entries:
        of_day = counts.setdefault(entry.day, Counter())
        of_day["arrived"] += entry.counts.records_in
        of_day["quarantined"] += entry.counts.malformed + entry.counts.contract
    shown = sorted(day for day, of_day in counts.items() if of_day.total())[-DAYS_SHOWN:]
    return tuple(
        Day(day, *(counts[day][name] for name in ("arrived", "kept", "duplicates", "spam", "quarantined"))) for day in shown
    )


def quarantined(entries: Sequence[Entry]) -> tuple[Quarantined, ...]:
    """One per source and reason, most records first. `entries`: the last one of every batch, and the refusals that stand."""
    counted: Counter[tuple[str, str]] = Counter()
    for entry in entries:
        for told in entry.violations:
            where, is_exact, _ = told.found.partition(":")  # what follows is the place within the record: each has its own
            whole = f"a record is {where}{')' if is_exact else ''}"
            reason = f"{told.field} {told.expectation}" if told.field else whole
            counted[entry.source, reason] += told.count
    ranked = sorted(counted.items(), key=lambda one: (-one[1], one[0]))
    return tuple(Quarantined(source, reason, records) for (source, reason), records in ranked)


def freshness_of(ledger: Ledger, now: datetime.datetime) -> tuple[Freshness, ...]:
    """One per source that has ever delivered. Its deadline is the one under which its newest entry was taken in."""
    newest = {entry.source: entry for entry in ledger.entries()}
    sources = {name: Source.model_validate(entry.contract) for name, entry in newest.items()}
    return tuple(freshness(ledger, sources, now))


def waits(segments: Path, decisions: Sequence[Decision], dataset: str) -> tuple[Wait, ...]:
    """One per verdict that consumed events of the dataset, oldest first, and last the one over all; none where none did.

    An event counts for the first verdict that had consumed its seq, from the moment the log received it to that of the decision.
    """
    verdicts = [decision for decision in decisions if decision.kind in VERDICTS]
    numbers: list[int] = []
    seqs: list[int] = []
    at: list[datetime.datetime] = []
    for verdict in verdicts:
        if verdict.consumed_feedback_seq > (seqs[-1] if seqs else 0):
            numbers.append(verdict.number)
            seqs.append(verdict.consumed_feedback_seq)
            at.append(verdict.at)
    consumed = [segment.path for segment in checked_segments(segments) if seqs and segment.first <= seqs[-1]]
    events = _received(consumed, dataset)
    events = events.filter(pc.less_equal(events["seq"], seqs[-1] if seqs else 0))
    if not events.num_rows:
        return ()
    verdict = np.searchsorted(np.array(seqs), events["seq"].to_numpy())
    decided_us = np.array([moment.timestamp() * 1e6 for moment in at])
    waited_s = (decided_us[verdict] - events["received_at"].cast(pa.int64()).to_numpy()) / 1e6
    found = [
        Wait(number, moment, len(those), float(np.median(those)), float(those.max()))
        for number, moment, those in zip(
            numbers, at, np.split(waited_s, np.searchsorted(verdict, np.arange(1, len(seqs)))), strict=True
        )
        if len(those)
    ]
    return (*found, Wait(None, None, len(waited_s), float(np.median(waited_s)), float(waited_s.max())))


def oddities(seen: Seen, dataset: str, now: datetime.datetime, *, lacks_queue: bool) -> tuple[str, ...]:
    """One sentence per thing that is late or odd, what a person must act on first; none when all is well.

    `lacks_queue`: there is a model to make a queue with, and none was ever made.
    """
    found = []
    look, queue, backlog = seen.look, seen.queue, seen.backlog
    if look is not None and look.alarm:
        found.append(f"The sensor has raised an alarm: {look.message.rstrip('.')}.")
    if look is not None and (silent_s := (now - look.at).total_seconds()) > SILENT_S:
        found.append(f"The sensor has not looked for {duration(silent_s)}; is curation up running?")
    found += [f"Batch {one.source} {one.day} is refused: {one.message.rstrip('.')}." for one in seen.refused]
    causes = [one.cause for one in seen.alerts or ()]
    found += [f"{cause.title}: {cause.told}." for cause in causes if cause.scope.endswith("/run_failed")]
    found += [f"{one.told}." for one in seen.sources if one.is_late]
    if seen.drift is not None and seen.drift.is_alarm:
        found.append(seen.drift.sentence)
    if backlog and backlog.oldest_undrained_at and (lag_s := (now - backlog.oldest_undrained_at).total_seconds()) > SILENT_S:
        rows = backlog.log_seq - backlog.table_seq
        found.append(f"Nobody has drained the log for {duration(lag_s)}, and {rows:,} events wait; is curation up running?")
    if lacks_queue:
        found.append(f"There is no label queue yet; curation run {dataset} makes one.")
    elif queue is not None and queue.total and not queue.open:
        found.append(f"All {queue.total:,} queued items are answered; the next retrain asks for others.")
    if seen.days and (newest := seen.days[-1]).quarantined > BAD_SHARE * newest.arrived:
        share = newest.quarantined / newest.arrived
        found.append(f"{share:.0%} of the records of {newest.day} are in quarantine; curation quarantine {dataset} shows why.")
    return tuple(found)


def duration(seconds: float) -> str:
    """A span as a person says it: 45 s, 12 min, 3.5 h, 2.1 days."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 48 * 3600 else f"{seconds / 86400:.1f} days"


def _received(paths: Sequence[Path], dataset: str) -> pa.Table:
    """One row per event of the dataset in these segments, by seq: seq and received_at. Not by DuckDB, which would sort a million."""
    tables = [RECEIVED.empty_table()]
    for path in paths:
        try:
            rows = pq.read_table(path, columns=["seq", "dataset", "received_at"], read_dictionary=["dataset"])
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            raise _damaged(path, error) from error
        tables.append(rows.filter(pc.equal(rows["dataset"], dataset)).select(RECEIVED.names))
    return pa.concat_tables(tables)


def _damaged(path: Path, error: Exception) -> CurationError:
    told = str(error).splitlines()[0]
    return CurationError(f"{path} cannot be read: {told}", "remove it; the next drain writes it again")


def _answered(covering: Sequence[Segment], items: pa.Table, since: datetime.datetime, dataset: str) -> set[str]:
    """Which of the items somebody has answered since then."""
    query = (
        "select distinct item_id from events semi join items using (item_id) "
        "where received_at >= $since and dataset = $dataset and kind <> 'withdraw'"
    )
    with duckdb.connect(config=CONFIG) as connection:
        connection.register("items", items)
        found = _asked(connection, covering, query, {"since": since, "dataset": dataset})
    return set(found["item_id"].to_pylist()) if found is not None else set()


def _asked(
    connection: duckdb.DuckDBPyConnection, segments: Sequence[Segment], query: str, bound: dict[str, object]
) -> pa.Table | None:
    """Rows of `query` over `events`, the given segments; None without a segment. CurationError where one is damaged."""
    if not segments:
        return None
    try:
        connection.read_parquet([str(segment.path) for segment in segments]).create_view("events")
        return connection.execute(query, bound).to_arrow_table()
    except (duckdb.IOException, duckdb.InvalidInputException) as error:
        raise _damaged(segments[0].path.parent, error) from error
