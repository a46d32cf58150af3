"""Who has which item in front of them: read from memory, written through to one SQLite file that outlives the service.

It knows items, annotators, holders (one browser tab of an annotator) and moments; whether somebody may have an item is for the
board. A lease lapses by its time alone. One process has the file; losing it costs nothing but an item shown to two people.
"""

import contextlib
import sqlite3
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

from curation.errors import CurationError

BUSY_TIMEOUT_S = 2.0
FORGET_EVERY = timedelta(minutes=10)  # to look at every lease takes longer than to give one
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_SCHEMA = """
create table if not exists lease (
    dataset text not null,
    item_id text not null,
    annotator text not null,
    holder text not null,
    until_at integer not null, -- microseconds since 1970, UTC
    primary key (dataset, item_id, annotator)
) strict, without rowid;
"""


@dataclass(frozen=True)
class Lease:
    """One item in front of one annotator, in one tab, until `until_at`."""

    item_id: str
    annotator: str
    holder: str
    until_at: datetime


class Leases:
    """The leases of all datasets. Threads may share it; an annotator holds an item in one tab at a time."""

    def __init__(self, path: Path) -> None:
        """Open the file at `path`, made when there is none; CurationError where it cannot be used."""
        self.path = path
        self._lock = threading.Lock()
        self._held: dict[str, dict[str, dict[str, Lease]]] = {}  # dataset -> item -> annotator
        self._forget_at = _EPOCH
        path.parent.mkdir(parents=True, exist_ok=True)
        with self._translated():
            self._connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
            self._connection.execute("pragma journal_mode = wal")
            # A killed process loses nothing by it, a power cut some leases; waiting for the disk would hold up all who label.
            self._connection.execute("pragma synchronous = off")
            self._connection.executescript(_SCHEMA)
            kept = self._connection.execute("select dataset, item_id, annotator, holder, until_at from lease").fetchall()
        for dataset, item, annotator, holder, until in kept:
            self._remember(dataset, Lease(item, annotator, holder, _EPOCH + until * _MICROSECOND))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the file; twice is once."""
        with self._lock:
            self._connection.close()

    def of_item(self, dataset: str, item_id: str, now: datetime) -> list[Lease]:
        """One `Lease` per annotator who has the item now."""
        with self._lock:
            return [lease for lease in self._held.get(dataset, {}).get(item_id, {}).values() if lease.until_at > now]

    def items(self, dataset: str) -> list[str]:
        """The items that somebody has, or had not long ago: all others are in front of nobody."""
        with self._lock:
            return list(self._held.get(dataset, {}))

    def of_annotator(self, dataset: str, annotator: str) -> list[Lease]:
        """One `Lease` per item that the annotator has in any tab, or had not long ago."""
        with self._lock:
            return [leases[annotator] for leases in self._held.get(dataset, {}).values() if annotator in leases]

    def grant(self, dataset: str, leases: Sequence[Lease], *, now: datetime) -> None:
        """Let `leases` stand, new or renewed, all of them or none."""
        rows = [
            (dataset, lease.item_id, lease.annotator, lease.holder, (lease.until_at - _EPOCH) // _MICROSECOND) for lease in leases
        ]
        with self._lock:
            with self._transaction():
                self._connection.executemany("insert or replace into lease values (?, ?, ?, ?, ?)", rows)
            for lease in leases:
                self._remember(dataset, lease)
            if now >= self._forget_at:
                self._forget_lapsed(now)

    def release(self, dataset: str, holder: str, item_ids: Iterable[str]) -> None:
        """Let others have these items of the holder; an item that it does not hold stays with whom it is."""
        with self._lock:
            held = self._held.get(dataset, {})
            theirs = [lease for item in item_ids for lease in held.get(item, {}).values() if lease.holder == holder]
            with self._transaction():
                self._connection.executemany(
                    "delete from lease where dataset = ? and item_id = ? and annotator = ?",
                    [(dataset, lease.item_id, lease.annotator) for lease in theirs],
                )
            for lease in theirs:
                held[lease.item_id].pop(lease.annotator, None)

    def _remember(self, dataset: str, lease: Lease) -> None:
        self._held.setdefault(dataset, {}).setdefault(lease.item_id, {})[lease.annotator] = lease

    def _forget_lapsed(self, now: datetime) -> None:
        with self._transaction():
            self._connection.execute("delete from lease where until_at <= ?", [(now - _EPOCH) // _MICROSECOND])
        standing = [
            (dataset, lease)
            for dataset, items in self._held.items()
            for leases in items.values()
            for lease in leases.values()
            if lease.until_at > now
        ]
        self._held = {}
        for dataset, lease in standing:
            self._remember(dataset, lease)
        self._forget_at = now + FORGET_EVERY

    @contextlib.contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._translated(), self._connection:
            self._connection.execute("begin immediate")
            yield

    @contextlib.contextmanager
    def _translated(self) -> Iterator[None]:
        """SQLite's errors as ours: a bug in our SQL aside, all of them are about the file."""
        try:
            yield
        except sqlite3.DatabaseError as error:
            fix = "make room and check who may write to its folder; a damaged file may be removed, leases are given anew"
            raise CurationError(f"{self.path} cannot be used: {error}", fix) from error
