"""The drain: brings the feedback log into table `feedback` of feedback.duckdb and into segments, and hand-made rows into the log.

Only this module opens feedback.duckdb, briefly and under a lock of its own. Each stage starts from what is there, so after a crash
between any two the next drain completes. Found and mended: a lost table, another shape, rows removed or added with a seq of their
own. Not found: a value edited in place, and one row removed while another took its seq; who suspects that removes the file.
"""

import contextlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from filelock import FileLock, Timeout

from curation.errors import CurationError
from curation.feedback.chain import START
from curation.feedback.events import LOGGED, Event, EventError, LabelsOf, checked_event
from curation.feedback.log import Conflict, FeedbackLog, Head
from curation.feedback.matching import ITEM_KEY, PREDICTION_COLUMNS, is_complete, load_predictions, match, row_groups
from curation.feedback.segments import compact_segments, covering_segments, restore_segments, write_segment
from curation.training_rows import quoted

Columns = dict[str, dict[str, str]]
"""Table -> column -> its DuckDB type."""

LOCK_TIMEOUT_S = 1.0  # a drain of nothing takes a tenth of it
REFUSED_SHOWN = 20
HAND_MADE_SOURCE = "sql"
SEGMENT_FIX = "remove it: the next drain writes it again from the log"
SQL_TYPES = {pa.int64(): "BIGINT", pa.string(): "VARCHAR", pa.timestamp("us", "UTC"): "TIMESTAMP WITH TIME ZONE"}
ADDED = {"problem": "VARCHAR", "is_matched": "BOOLEAN", "predicted_label": "VARCHAR", "item_key": "UBIGINT"}
TABLES: Columns = {
    "feedback": {field.name: SQL_TYPES[field.type] for field in LOGGED} | ADDED,
    "drained": {"last_seq": "BIGINT", "chain": "VARCHAR"},
    "predictions": dict.fromkeys(PREDICTION_COLUMNS, "VARCHAR") | {"item_key": "UBIGINT", "prediction_key": "UBIGINT"},
    "prediction_parts": {"part": "VARCHAR", "rows": "BIGINT"},
}
"""Tables of feedback.duckdb with their columns. A row of `feedback` without seq was made by hand, and `problem` says why it stays."""


class TableLocked(CurationError):
    """Someone else has feedback.duckdb open, or another drain is running. Nothing is lost: the next drain does the work."""


@dataclass(frozen=True)
class Drained:
    """What one drain did."""

    rows: int  # that entered the table
    adopted: int  # hand-made rows that became events
    refused: tuple[str, ...]  # why a hand-made row was not adopted, at most 20
    waiting: int  # rows of the log still above `last_seq`
    last_seq: int
    head: Head  # of the log at `last_seq`
    segment: str | None  # the file written for the new rows


@dataclass(frozen=True)
class _Judged:
    """The hand-made rows of one drain: a row's id beside the seq it got in the log, or a problem that is new."""

    rows: pa.Table  # row_id, seq, problem
    refused: tuple[str, ...]


class FeedbackTable:
    """feedback.duckdb and the segments beside it. `lock` is the drain's own; `predictions` holds the parts of all datasets."""

    def __init__(
        self, table: Path, segments: Path, lock: Path, predictions: Path, *, lock_timeout_s: float = LOCK_TIMEOUT_S
    ) -> None:
        self.table = table
        self.segments = segments
        self.lock = lock
        self.predictions = predictions
        self.lock_timeout_s = lock_timeout_s

    @contextlib.contextmanager
    def drained(
        self, log: FeedbackLog, labels: LabelsOf, *, now: datetime, at_most: int = 50_000
    ) -> Iterator[tuple[Drained, duckdb.DuckDBPyConnection]]:
        """Drain at most `at_most` rows; what was done, and a connection that is good inside the block only.

        TableLocked when the table is held elsewhere; CurationError when it, a segment or the log is not what it should be.
        """
        with self._alone():
            with self._translated():
                connection = self._opened()
            with contextlib.closing(connection):
                with self._translated():
                    drained = self._drain(connection, log, labels, now, at_most)
                yield drained, connection

    def _drain(
        self, connection: duckdb.DuckDBPyConnection, log: FeedbackLog, labels: LabelsOf, now: datetime, at_most: int
    ) -> Drained:
        columns = _columns(connection)
        former = _high_water(connection, columns)
        covering = covering_segments(self.segments)
        reached = max(former.seq, covering[-1].last if covering else 0)
        self._require_same_log(log, former, reached)
        restore_segments(self.segments, log, reached)
        is_sound = _is_sound(connection, columns, former)
        if not is_sound:
            self._rebuild(connection, columns, log.head_at(reached) or former)
        judged = _judged(connection, log, labels, now, at_most)
        end = log.head().seq
        last = min(end, reached + at_most)
        segment = write_segment(self.segments, log, reached + 1, last) if last > reached else None
        compact_segments(self.segments, log, now)
        head = log.head_at(last) or former
        adopted = self._fill(connection, judged, former.seq if is_sound else reached, head)
        load_predictions(connection, self.predictions)
        return Drained(
            rows=last - (former.seq if is_sound else 0),
            adopted=adopted,
            refused=judged.refused,
            waiting=end - last,
            last_seq=last,
            head=head,
            segment=segment.path.name if segment else None,
        )

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        self.lock.parent.mkdir(parents=True, exist_ok=True)
        held = FileLock(self.lock, timeout=self.lock_timeout_s)
        try:
            held.acquire()
        except Timeout:
            raise TableLocked(f"another drain is running: {self.lock} is held", "wait for it; the next one goes on") from None
        try:
            yield
        finally:
            held.release()

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """DuckDB's errors as ours: who holds the file, or that it is damaged."""
        try:
            yield
        except duckdb.ConnectionException as error:
            raise TableLocked(f"{self.table} is open in this process already", "close that connection first") from error
        except duckdb.Error as error:
            first_line = str(error).splitlines()[0]
            if "Could not set lock" in first_line:
                holder = re.search(r"held in (.*?\(PID [0-9]+\))", first_line)
                raise TableLocked(
                    f"{self.table} is open in {holder[1] if holder else 'another process'}",
                    "end it; to look at feedback open the segments in lake/feedback, which never lock",
                ) from error
            raise CurationError(
                f"{self.table} cannot be used: {first_line}",
                "if the disk is not full, remove the file: the next drain makes it again, without hand-made rows not yet adopted",
            ) from error

    def _opened(self) -> duckdb.DuckDBPyConnection:
        self.table.parent.mkdir(parents=True, exist_ok=True)
        connection = duckdb.connect(
            str(self.table),
            config={
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
                "threads": "1",  # a tick of 80 ms CPU takes 100 with two
            },
        )
        connection.execute("set timezone = 'UTC'")
        return connection

    def _require_same_log(self, log: FeedbackLog, former: Head, reached: int) -> None:
        """CurationError unless the log still holds what table and segments were made of."""
        if log.head_at(former.seq) == former and log.head_at(reached) is not None:
            return
        raise CurationError(
            f"{self.table} and {self.segments} hold feedback up to seq {reached} that {log.path} does not hold (any more)",
            "see `curation verify` and bring the log back from a backup; to go on with this log remove that file and that folder",
        )

    def _rebuild(self, connection: duckdb.DuckDBPyConnection, columns: Columns, head: Head) -> None:
        """Make `feedback` and `drained` again from the segments up to `head`; rows that no segment knows become hand-made ones."""
        connection.execute("begin")
        connection.execute(f"create or replace table feedback_again ({_listed(TABLES['feedback'])})")
        self._enter(connection, "feedback_again", 0, head.seq)
        if found := columns.get("feedback"):
            given = [name for name in LOGGED.names if name in found]
            known = "false"
            if "event_id" in found and "seq" in found:
                known = (
                    "exists (select 1 from feedback_again as again where again.seq = old.seq and again.event_id = old.event_id)"
                )
            chosen = [f"try_cast({quoted(name)} as {TABLES['feedback'][name]}) as {name}" for name in given if name != "seq"]
            if chosen:
                connection.execute(
                    f"insert into feedback_again by name select {', '.join(chosen)} from feedback as old where not {known}"
                )
            connection.execute("drop table feedback")
        connection.execute("alter table feedback_again rename to feedback")
        connection.execute(f"create or replace table drained ({_listed(TABLES['drained'])})")
        connection.execute("insert into drained values ($seq, $chain)", {"seq": head.seq, "chain": head.chain})
        if not _has_predictions(connection, columns):
            for name in ("predictions", "prediction_parts"):
                connection.execute(f"create or replace table {name} ({_listed(TABLES[name])})")
        match(connection)
        connection.execute("commit")

    def _fill(self, connection: duckdb.DuckDBPyConnection, judged: _Judged, after: int, head: Head) -> int:
        """Enter the rows above `after` up to `head`, and take out those made by hand that are among them; returns how many."""
        if not judged.rows.num_rows and head.seq == after:
            return 0
        connection.execute("begin")
        connection.register("judged", judged.rows)
        connection.execute("update feedback set problem = judged.problem from judged where feedback.rowid = judged.row_id")
        taken = connection.execute(
            "delete from feedback where rowid in (select row_id from judged where seq <= $last)", {"last": head.seq}
        ).fetchone()
        connection.unregister("judged")
        if head.seq > after:
            self._enter(connection, "feedback", after, head.seq)
            connection.execute("update drained set last_seq = $seq, chain = $chain", {"seq": head.seq, "chain": head.chain})
            match(connection)
        connection.execute("commit")
        return int(taken[0]) if taken else 0

    def _enter(self, connection: duckdb.DuckDBPyConnection, table: str, after: int, last: int) -> None:
        """Insert the rows of the segments above seq `after` up to `last`; CurationError for a segment that is damaged."""
        names = ", ".join(LOGGED.names)
        for segment in covering_segments(self.segments):
            if segment.last <= after or segment.first > last:
                continue
            entered = 0
            for rows in row_groups(segment.path, LOGGED.names, SEGMENT_FIX):
                connection.register("arriving", rows)
                counted = connection.execute(
                    f"insert into {table} ({names}, is_matched, item_key) select {names}, false, {ITEM_KEY} from arriving "
                    "where seq > $after and seq <= $last",
                    {"after": after, "last": last},
                ).fetchone()
                connection.unregister("arriving")
                entered += counted[0] if counted else 0
            if entered != min(segment.last, last) - max(segment.first - 1, after):
                raise CurationError(f"{segment.path} does not hold the rows its name says", SEGMENT_FIX)


def _columns(connection: duckdb.DuckDBPyConnection) -> Columns:
    """Columns and their types, in order, of each of our tables that is there. (Asking `duckdb_columns()` takes three times as long.)"""
    found = {
        name for (name,) in connection.execute("select table_name from duckdb_tables() where schema_name = 'main'").fetchall()
    }
    return {
        table: {column: kind for column, kind, *_ in connection.execute(f"describe {table}").fetchall()}
        for table in TABLES
        if table in found
    }


def _listed(columns: dict[str, str]) -> str:
    return ", ".join(f"{name} {kind}" for name, kind in columns.items())


def _high_water(connection: duckdb.DuckDBPyConnection, columns: Columns) -> Head:
    """Up to where the log is in the table; the log's beginning for a new file."""
    if columns.get("drained") == TABLES["drained"]:
        row = connection.execute("select last_seq, chain from drained").fetchone()
        if row:
            return Head(*row)
    return Head(0, START.hex())


def _has_predictions(connection: duckdb.DuckDBPyConnection, columns: Columns) -> bool:
    """Whether the predictions that were loaded are all there."""
    return all(columns.get(name) == TABLES[name] for name in ("predictions", "prediction_parts")) and is_complete(connection)


def _is_sound(connection: duckdb.DuckDBPyConnection, columns: Columns, former: Head) -> bool:
    """Whether every table has its shape and its rows: each seq from 1 to the last, as far as number and highest of them tell."""
    if any(columns.get(name) != TABLES[name] for name in ("feedback", "drained")):
        return False
    found = connection.execute("select count(seq), coalesce(max(seq), 0) from feedback").fetchone()
    return found == (former.seq, former.seq) and _has_predictions(connection, columns)


def _judged(connection: duckdb.DuckDBPyConnection, log: FeedbackLog, labels: LabelsOf, now: datetime, at_most: int) -> _Judged:
    """Check the hand-made rows and append the good ones to the log in one COMMIT; the same row again is the same event.

    Rows that were refused before come last, so that many of them never keep new ones waiting.
    """
    columns = [name if name != "occurred_at" else "occurred_at::varchar as occurred_at" for name in Event.model_fields]
    made = connection.execute(
        f"select rowid as row_id, problem, {', '.join(columns)} from feedback where seq is null "
        "order by problem is not null, rowid limit $at_most",
        {"at_most": at_most},
    ).to_arrow_table()
    good: list[tuple[int, Event]] = []
    seqs: dict[int, int] = {}
    problems: dict[int, str] = {}
    rows = made.to_pylist()
    for row in rows:
        fields = {name: row[name] for name in Event.model_fields} | {"source": row["source"] or HAND_MADE_SOURCE}
        try:
            good.append((row["row_id"], checked_event(fields, labels, now=now)))
        except EventError as error:
            problems[row["row_id"]] = "; ".join(filter(None, (error.message, error.fix)))
    answers = log.append([[event] for _, event in good], now=now, received_as=[None] * len(good)) if good else []
    for (row_id, _), answer in zip(good, answers, strict=True):
        if isinstance(answer, Conflict):
            problems[row_id] = "; ".join(filter(None, (answer.message, answer.fix)))
        else:
            seqs[row_id] = answer.seqs[0]
    named = {row["row_id"]: row["item_id"] or row["prediction_id"] or "a row without item" for row in rows}
    news = [row["row_id"] for row in rows if row["row_id"] in seqs or row["problem"] != problems[row["row_id"]]]
    outcome = pa.table(
        {
            "row_id": pa.array(news, pa.int64()),
            "seq": pa.array([seqs.get(row_id) for row_id in news], pa.int64()),
            "problem": pa.array([problems.get(row_id) for row_id in news], pa.string()),
        }
    )
    return _Judged(outcome, tuple(f"{named[row_id]}: {problem}" for row_id, problem in problems.items())[:REFUSED_SHOWN])
