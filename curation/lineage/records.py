"""Where an item came in: the raw record behind a prediction and its fate, and every delivery of a record by its ids.

Asks the published fates and the ledger; decides no fate. What no run has judged yet, or what stands in quarantine, is told too.
"""

import datetime
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
from pydantic import ValidationError

from curation.binding import execute_bound
from curation.fates import FateBook
from curation.ingestion.inspection import quarantined, undecided
from curation.ingestion.ledger import ORDINALS, Entry, Ledger
from curation.lineage.places import Traced, parquet, rows_of

UNDECIDED = "undecided"


@dataclass(frozen=True)
class RawRecord:
    """One delivery of a record. `fate` is "undecided" until a run has judged it; `copies` have been folded into it.

    `file_sha256`, `verdict` and `taken_in_at` are of its batch; None where its ledger entry is gone.
    """

    record_id: str
    native_id: str | None
    source: str
    day: datetime.date
    file: str
    line: int
    fate: str
    rule: str | None
    duplicate_of: str | None
    copies: int
    verdict: str | None
    taken_in_at: datetime.datetime | None
    file_sha256: str | None

    @property
    def batch(self) -> str:
        """ "source/day"."""
        return f"{self.source}/{self.day.isoformat()}"


def raw_record(connection: duckdb.DuckDBPyConnection, traced: Traced, record_no: int) -> RawRecord | None:
    """The delivery with that number, with its last fate; None where neither fates nor ledger hold it any more."""
    told = _fate(connection, traced, record_no) or _as_arrived(connection, traced, record_no)
    if told is None:
        return None
    entry = _entry(traced, record_no)
    sha256 = next((seen.sha256 for seen in entry.files if seen.name == told["file"]), None) if entry else None
    return RawRecord(
        **told,
        copies=_copies(connection, traced, told["record_id"]),
        verdict=entry.verdict if entry else None,
        taken_in_at=entry.taken_in_at if entry else None,
        file_sha256=sha256,
    )


@dataclass(frozen=True)
class Delivery:
    """One arrival of a record: its batch, where in it, and what became of it; `key` is its row key, None in quarantine."""

    key: str | None
    batch: str
    file: str
    line: int
    fate: str
    duplicate_of: str | None


def deliveries(traced: Traced, key: str, identity: str) -> tuple[Delivery, ...]:
    """Every arrival of the record with that native id or row key (`key` names the key's column), oldest first; none if it never came."""
    book, ledger = FateBook(traced.places.lake, traced.dataset), Ledger(traced.places.lake, traced.dataset)
    found = book.of(identity, key)
    if not found:
        published = book.current()
        found = undecided(ledger, key, identity, published.seq if published else 0) or quarantined(ledger, identity)
    return tuple(
        Delivery(
            key=_text(row.get(key)),
            batch=f"{row['source']}/{row['day']}",
            file=str(row["file"]),
            line=int(str(row["line"])),
            fate=str(row["fate"]),
            duplicate_of=_text(row.get("duplicate_of")),
        )
        for row in found
    )


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _fate(connection: duckdb.DuckDBPyConnection, traced: Traced, record_no: int) -> dict[str, Any] | None:
    files = [Path(name) for name in FateBook(traced.places.lake, traced.dataset).files()]
    if not files:
        return None
    rows = rows_of(
        execute_bound(
            connection,
            f"select record_id, native_id, source, day, file, line, fate, rule, duplicate_of from {parquet(files)} "
            "where record_no = $number order by decided_at_seq desc limit 1",
            {"number": record_no},
        )
    )
    return rows[0] if rows else None


def _as_arrived(connection: duckdb.DuckDBPyConnection, traced: Traced, record_no: int) -> dict[str, Any] | None:
    """From the raw rows of its ledger entry, where no run has published a fate."""
    path = Ledger(traced.places.lake, traced.dataset).folder(record_no // ORDINALS) / "raw.parquet"
    if not path.exists():
        return None
    rows = rows_of(
        execute_bound(
            connection,
            f"select record_id, native_id, source, day, file, line, '{UNDECIDED}' as fate, null as rule, null as duplicate_of "
            f"from {parquet([path])} where record_no = $number",
            {"number": record_no},
        )
    )
    return rows[0] if rows else None


def _copies(connection: duckdb.DuckDBPyConnection, traced: Traced, record_id: str) -> int:
    """How many other records a run has folded into this one, by their last fates."""
    files = [Path(name) for name in FateBook(traced.places.lake, traced.dataset).files()]
    if not files:
        return 0
    row = execute_bound(
        connection,
        f"select count(*) from (select record_no, arg_max(duplicate_of, decided_at_seq) as kept from {parquet(files)} "
        f"where record_no in (select record_no from {parquet(files)} where duplicate_of = $id and fate <> 'superseded') "
        "group by record_no) where kept = $id",
        {"id": record_id},
    ).fetchone()
    return row[0] if row else 0


def _entry(traced: Traced, record_no: int) -> Entry | None:
    """The ledger entry that a record number belongs to; None where it is gone or damaged (`curation verify` says so)."""
    path = Ledger(traced.places.lake, traced.dataset).folder(record_no // ORDINALS) / "entry.json"
    try:
        return Entry.model_validate_json(path.read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
