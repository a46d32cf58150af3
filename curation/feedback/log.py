"""The feedback log: what was acknowledged, in the order it was committed, in one append-only SQLite file that several processes share.

Rows are dense in `seq` and chained over salted digests, so that `verify` finds what was changed, rewritten or cut off, also after a
person's bodies were erased. The log knows neither predictions nor votes, and nobody but this module opens its file.
"""

import contextlib
import os
import sqlite3
import tempfile
import threading
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple, Self

import orjson
import pyarrow as pa

from curation.errors import CurationError
from curation.feedback.chain import START, ChainedRow, checked_rows, digest_of, link
from curation.feedback.events import LOGGED, Event, parts_of
from curation.files import sync
from curation.training_rows import subject_id

FORMAT = 1
APPLICATION = 0x63666C67  # "cflg" in SQLite's header: another program's file is not mistaken for a log
FINDINGS_AT_MOST = 100
ROWS_AT_ONCE = 500  # of 50,000 dicts at once, half the time went into the garbage collector
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SCHEMA = f"""
create table log (
    seq integer primary key autoincrement,
    event_id blob not null unique check (length(event_id) = 16),
    received_at integer not null, -- microseconds since 1970, UTC
    received_as text,
    subject text not null,
    salt blob,
    body blob,
    digest blob not null,
    chain blob not null
) strict;
create trigger no_delete before delete on log begin select raise(abort, 'the feedback log is append-only'); end;
create trigger only_erase before update on log
when new.salt is not null or new.body is not null or new.received_as is not null
    or (new.seq, new.event_id, new.received_at, new.subject, new.digest, new.chain)
    is not (old.seq, old.event_id, old.received_at, old.subject, old.digest, old.chain)
begin select raise(abort, 'the feedback log is append-only'); end;
pragma application_id = {APPLICATION};
pragma user_version = {FORMAT};
"""
_FULL = {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_IOERR_WRITE,  # a file-size limit shows as this one
    sqlite3.SQLITE_IOERR_FSYNC,
    sqlite3.SQLITE_IOERR_DIR_FSYNC,
    sqlite3.SQLITE_IOERR_TRUNCATE,
    sqlite3.SQLITE_IOERR_SHMOPEN,
    sqlite3.SQLITE_IOERR_SHMSIZE,
    sqlite3.SQLITE_IOERR_SHMMAP,
}


@dataclass(frozen=True)
class Head:
    """Where the log ends: the last `seq` and its chain, 64 hex digits; (0, zeros) before the first event."""

    seq: int
    chain: str


@dataclass(frozen=True)
class Appended:
    """What became of one list: how many events were new, the range of their `seq`, and the `seq` of each event in its order."""

    accepted: int
    duplicates: int
    first_seq: int | None
    last_seq: int | None
    seqs: tuple[int, ...]


class Conflict(CurationError):
    """A list that was refused whole: `event_id` is in the log, or twice in the request, with another body."""

    def __init__(self, event_id: str) -> None:
        super().__init__(f"event {event_id} is already there with another body", "give a new statement a new event_id")
        self.event_id = event_id


class LogBusy(CurationError):
    """Another process held the log for longer than the time allowed; nothing was written, and the same call may succeed later."""


class LogFull(CurationError):
    """The disk takes nothing more; nothing was written, and the same call succeeds once there is room."""


class _Fresh(NamedTuple):
    """An event on its way into the log."""

    seq: int
    event: Event
    token: str | None


class FeedbackLog:
    """An open log. Threads may share it; processes open their own. `subject_key` makes the annotators' keyed ids."""

    def __init__(self, path: Path, subject_key: bytes, *, busy_timeout_s: float = 2.0) -> None:
        """Open the log at `path`, made when there is none; CurationError for a damaged file or one of a newer format."""
        self.path = path
        self._subject_key = subject_key
        if not path.exists():
            _create(path)
        self._write_lock, self._read_lock = threading.Lock(), threading.Lock()
        self._writer = self._opened(busy_timeout_s)
        self._reader = self._opened(busy_timeout_s)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; twice is once."""
        with self._write_lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    def append(
        self, lists: Sequence[Sequence[Event]], *, now: datetime, received_as: Sequence[str | None]
    ) -> list[Appended | Conflict]:
        """One answer per list, in order, after one COMMIT for all of them: each list is in the log whole, or not at all.

        An event that is there already with the same body is a duplicate and changes nothing. `received_as` names each list's
        token. LogBusy and LogFull: nothing was written.
        """
        received_at = (now - _EPOCH) // _MICROSECOND
        answers: list[Appended | Conflict] = []
        fresh: dict[bytes, _Fresh] = {}
        with self._write_lock, self._translated(), self._transaction(self._writer):
            last, chain = _last(self._writer)
            held = _held(self._writer, [event.event_id.bytes for events in lists for event in events])
            for events, token in zip(lists, received_as, strict=True):
                answer, added = _placed(events, token, held, fresh, last)
                answers.append(answer)
                fresh |= added
            self._writer.executemany(
                "insert into log (seq, event_id, received_at, received_as, subject, salt, body, digest, chain) "
                "values (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                self._chained(fresh.values(), chain, received_at),
            )
        return answers

    def read(self, after_seq: int, limit: int) -> pa.Table:
        """One row per event above `after_seq`, oldest first, at most `limit`; columns LOGGED. Erased events have their ids only."""
        return self._table("where seq > ? order by seq limit ?", (after_seq, limit))

    def find(self, event_id: str) -> dict[str, Any] | None:
        """The event of that id, by LOGGED column; None when there is none."""
        try:
            key = uuid.UUID(event_id).bytes
        except ValueError:
            return None
        rows: list[dict[str, Any]] = self._table("where event_id = ?", (key,)).to_pylist()
        return rows[0] if rows else None

    def head(self) -> Head:
        """Where the log ends now."""
        with self._reading() as connection:
            seq, chain = _last(connection)
        return Head(seq, chain.hex())

    def head_at(self, seq: int) -> Head | None:
        """Where the log ended when `seq` was its last; None when it never held that many."""
        if seq == 0:
            return Head(0, START.hex())
        with self._reading() as connection:
            row = connection.execute("select chain from log where seq = ?", (seq,)).fetchone()
        return Head(seq, row[0].hex()) if row else None

    def last_received_at(self) -> datetime | None:
        """When the newest event came in; None for an empty log."""
        with self._reading() as connection:
            row = connection.execute("select received_at from log order by seq desc limit 1").fetchone()
        return _EPOCH + row[0] * _MICROSECOND if row else None

    def verify(self, heads: Mapping[str, Head]) -> list[str]:
        """One sentence per finding, at most 100; none when every digest, the chain and all remembered `heads` hold.

        The keys of `heads` say who remembers, such as `snapshot reviews v0003`. What was cut off or rewritten from the end on is
        found only through them.
        """
        findings: list[str] = []
        remembered: dict[int, list[tuple[str, str]]] = {}
        for who, head in heads.items():
            remembered.setdefault(head.seq, []).append((who, head.chain))
        with self._reading() as connection, self._transaction(connection, "begin"):
            given = connection.execute("select seq from sqlite_sequence where name = 'log'").fetchone()
            rows = connection.execute(
                "select seq, event_id, received_at, received_as, subject, salt, body, digest, chain from log order by seq"
            )
            last = 0
            for last, found in checked_rows(rows, remembered):
                findings += found
                if len(findings) >= FINDINGS_AT_MOST:
                    return [*findings[:FINDINGS_AT_MOST], f"there may be more: verify stopped at seq {last}"]
        findings += [
            f"{who} remembers seq {head.seq} of the feedback log, which ends at seq {last}: it was shortened"
            for who, head in heads.items()
            if head.seq > last
        ]
        if given and given[0] > last:
            findings.append(f"the feedback log has given out seq {given[0]} and ends at seq {last}: it was shortened")
        return findings

    def _chained(self, fresh: Iterable[_Fresh], chain: bytes, received_at: int) -> Iterator[ChainedRow]:
        """The rows of new events, each chained to the one before."""
        subjects: dict[str, str] = {}
        for seq, event, token in fresh:
            if event.annotator not in subjects:
                subjects[event.annotator] = subject_id(self._subject_key, event.annotator)
            subject, salt, body = subjects[event.annotator], os.urandom(16), event.body()
            digest = digest_of(salt, received_at, token, subject, body)
            chain = link(chain, seq, event.event_id.bytes, digest)
            yield seq, event.event_id.bytes, received_at, token, subject, salt, body, digest, chain

    def _table(self, which: str, values: tuple[object, ...]) -> pa.Table:
        pieces = []
        with self._reading() as connection:
            cursor = connection.execute(
                f"select seq, event_id, received_at, received_as, subject, coalesce(body, x'7b7d') from log {which}", values
            )
            while rows := cursor.fetchmany(ROWS_AT_ONCE):
                try:
                    pieces.append(_logged(rows))
                except orjson.JSONDecodeError:
                    span = f"seq {rows[0][0]} and {rows[-1][0]}"
                    raise CurationError(
                        f"{self.path} holds a body that is no JSON between {span}", "run curation verify"
                    ) from None
        return pa.concat_tables(pieces).combine_chunks() if pieces else LOGGED.empty_table()

    def _opened(self, busy_timeout_s: float) -> sqlite3.Connection:
        with self._translated():
            connection = sqlite3.connect(self.path, timeout=busy_timeout_s, isolation_level=None, check_same_thread=False)
            application = connection.execute("pragma application_id").fetchone()[0]
            version = connection.execute("pragma user_version").fetchone()[0]
            connection.execute("pragma synchronous = full")
        if application == APPLICATION and version == FORMAT:
            return connection
        connection.close()
        if application != APPLICATION:
            raise CurationError(f"{self.path} is no feedback log", "move it away, or restore the log from your backup")
        raise CurationError(f"{self.path} has format {version}; this release knows {FORMAT}", "use the release that wrote it")

    @contextlib.contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        """The connection that sees committed rows only, for one thread at a time."""
        with self._read_lock, self._translated():
            yield self._reader

    @contextlib.contextmanager
    def _transaction(self, connection: sqlite3.Connection, begin: str = "begin immediate") -> Iterator[None]:
        connection.execute(begin)
        try:
            yield
            connection.execute("commit")
        finally:
            if connection.in_transaction:
                connection.execute("rollback")

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as ours where the user can mend them."""
        try:
            yield
        except sqlite3.Error as error:
            told = _in_our_words(error, self.path)
            if told is None:
                raise
            raise told from error


def _create(path: Path) -> None:
    """Make an empty log at `path` at once and whole; when another process was faster, its log stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.with_name(f"{path.name}-wal").exists():
        raise CurationError(f"{path} is gone, but its {path.name}-wal is there", "restore the log from your backup, beside it")
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as workshop:
        made = Path(workshop) / path.name
        made.touch(mode=0o600)
        try:
            with contextlib.closing(sqlite3.connect(made, isolation_level=None)) as connection:
                connection.execute("pragma journal_mode = wal")
                connection.executescript(_SCHEMA)
        except sqlite3.Error as error:
            told = _in_our_words(error, path)
            if told is None:
                raise
            raise told from error
        sync(made)
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    sync(path.parent)


def _in_our_words(error: sqlite3.Error, path: Path) -> CurationError | None:
    """What an SQLite error means to the user; None for what is a bug."""
    code = getattr(error, "sqlite_errorcode", 0)
    if code in _FULL:
        return LogFull(
            f"{path} could not be written: the disk is full ({error})", "make room; what was refused can be sent again"
        )
    match code & 0xFF:
        case sqlite3.SQLITE_BUSY | sqlite3.SQLITE_LOCKED:
            return LogBusy(f"{path} is held by another process for too long", "try again; nothing was written")
        case sqlite3.SQLITE_CORRUPT | sqlite3.SQLITE_NOTADB:
            return CurationError(f"{path} is damaged: {error}", "restore it from your backup")
        case sqlite3.SQLITE_CANTOPEN | sqlite3.SQLITE_READONLY | sqlite3.SQLITE_PERM | sqlite3.SQLITE_IOERR:
            return CurationError(f"{path} cannot be used: {error}", "check that its folder is there, and who may write to it")
    return None


def _last(connection: sqlite3.Connection) -> tuple[int, bytes]:
    row: tuple[int, bytes] | None = connection.execute("select seq, chain from log order by seq desc limit 1").fetchone()
    return row or (0, START)


def _held(connection: sqlite3.Connection, keys: list[bytes]) -> dict[bytes, tuple[int, bytes | None]]:
    """(seq, body) of those ids that the log holds; the body of an erased one is None."""
    held: dict[bytes, tuple[int, bytes | None]] = {}
    for start in range(0, len(keys), 500):
        some = keys[start : start + 500]
        marks = ",".join("?" * len(some))
        for key, seq, body in connection.execute(f"select event_id, seq, body from log where event_id in ({marks})", some):
            held[key] = (seq, body)
    return held


def _placed(
    events: Sequence[Event],
    token: str | None,
    held: Mapping[bytes, tuple[int, bytes | None]],
    fresh: Mapping[bytes, _Fresh],
    last: int,
) -> tuple[Appended | Conflict, dict[bytes, _Fresh]]:
    """The answer to one list and its new events; `held` are those of the log, which ends at `last`, `fresh` those before it."""
    added: dict[bytes, _Fresh] = {}
    seqs = []
    for event in events:
        key = event.event_id.bytes
        if key in held:
            seq, body = held[key]
            is_same = body == event.body()
        else:
            found = fresh.get(key) or added.setdefault(key, _Fresh(last + len(fresh) + len(added) + 1, event, token))
            seq, is_same = found.seq, found.event is event or found.event.body() == event.body()
        if not is_same:
            return Conflict(str(event.event_id)), {}
        seqs.append(seq)
    first_seq, last_seq = (last + len(fresh) + 1, last + len(fresh) + len(added)) if added else (None, None)
    return Appended(len(added), len(events) - len(added), first_seq, last_seq, tuple(seqs)), added


def _logged(rows: list[tuple[int, bytes, int, str | None, str, bytes]]) -> pa.Table:
    """LOGGED columns of rows (seq, event_id, received_at, received_as, subject, body)."""
    seqs, keys, received, tokens, subjects, bodies = zip(*rows, strict=True)
    events = orjson.loads(b"[" + b",".join(bodies) + b"]")
    columns: dict[str, Any] = {name: [event.get(name) for event in events] for name in LOGGED.names}
    received_at = pa.array(received, pa.int64()).cast(LOGGED.field("received_at").type)
    occurred_at = pa.array(columns["occurred_at"], pa.string()).cast(LOGGED.field("occurred_at").type)
    columns |= {
        "seq": seqs,
        "event_id": [event.get("event_id") or str(uuid.UUID(bytes=key)) for event, key in zip(events, keys, strict=True)],
        "item_id": [_item(event) for event in events],
        "occurred_at": occurred_at.fill_null(received_at),
        "received_at": received_at,
        "received_as": tokens,
        "subject": subjects,
        "context": [_text(event.get("context")) for event in events],
    }
    return pa.table([pa.array(columns[field.name], field.type) for field in LOGGED], schema=LOGGED)


def _item(event: Mapping[str, Any]) -> str | None:
    item: str | None = event.get("item_id")
    return item or (parts_of(event["prediction_id"])[1] if "prediction_id" in event else None)


def _text(context: object) -> str | None:
    return None if context is None else orjson.dumps(context, option=orjson.OPT_SORT_KEYS).decode()
