"""A landing, a lake and a source to push files through, for the tests of the door. No rule, no assertion."""

import datetime
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from curation.dataset import Dataset, Field
from curation.ingestion.intake import Batch, Pending, pending, take_in
from curation.ingestion.ledger import Entry, Ledger
from curation.ingestion.opening import LandingStream, opened
from curation.ingestion.records import Records, read_records
from curation.ingestion.sources import FieldRule, Rating, Source

TICKETS = Dataset(
    name="tickets",
    key="ticket_uid",
    ordered_by="opened_at",
    fields=(
        Field(name="native_id", type="string", description="Number of the ticket."),
        Field(name="stars", type="rating", required=True, description="Satisfaction."),
        Field(name="text", type="string", required=True, description="What was asked."),
        Field(name="opened_at", type="timestamp", description="When."),
        Field(name="replies", type="integer", description="How many."),
    ),
)
DESK = Source(
    name="desk",
    fields={
        "native_id": FieldRule(path=("id",), type="string"),
        "stars": FieldRule(path=("stars",), type="integer"),
        "text": FieldRule(path=("text",), type="string"),
        "opened_at": FieldRule(path=("at",), type="integer"),
        "replies": FieldRule(path=("replies",), type="integer"),
    },
    extra={"segment": FieldRule(path=("segment",), type="string", required=False)},
    rating=Rating(minimum=1, maximum=5),
    date_format="epoch_s",
)
DAY = datetime.date(2026, 11, 20)
NOW = datetime.datetime(2026, 11, 21, 6, tzinfo=datetime.UTC)


def ticket(number: int, **changes: Any) -> dict[str, Any]:
    """A valid record of DESK; `changes` replace its keys, and `...` leaves one out."""
    record = {
        "id": f"T{number}",
        "stars": 1 + number % 5,
        "text": f"question {number}",
        "at": 1_700_000_000 + number,
        "replies": number % 3,
    }
    return {key: value for key, value in (record | {"segment": "gold"} | changes).items() if value is not ...}


def lines(records: Iterable[dict[str, Any]]) -> bytes:
    """JSON lines."""
    return b"".join(json.dumps(record, ensure_ascii=False).encode() + b"\n" for record in records)


def records_of(path: Path) -> Records:
    """All records of a file as one block."""
    return _joined(path)[0]


def warnings_of(path: Path) -> list[str]:
    """What reading a file warns of."""
    return _joined(path)[1]


def _joined(path: Path) -> tuple[Records, list[str]]:
    warnings: list[str] = []
    whole = Records([], [], [], [], [])
    with opened(path, path.parent) as stream:
        for block in read_records(stream, warnings):
            whole = Records(
                lines=[*whole.lines, *block.lines],
                parts=[*whole.parts, *block.parts],
                raws=whole.raws + block.raws,
                values=whole.values + block.values,
                malformed=whole.malformed + block.malformed,
            )
    return whole, warnings


def stream_of(path: Path) -> bytes:
    """All that a landing file unpacks to."""
    with opened(path, path.parent) as stream:
        return _drained(stream)


def _drained(stream: LandingStream) -> bytes:
    blocks = []
    while block := stream.read(1 << 20):
        blocks.append(block)
    return b"".join(blocks)


class Door:
    """One home with the dataset TICKETS and, unless told otherwise, the source DESK."""

    def __init__(self, home: Path, source: Source = DESK) -> None:
        self.landing = home / "landing"
        self.lake = home / "lake"
        self.source = source
        self.today = datetime.date(2026, 11, 23)

    @property
    def ledger(self) -> Ledger:
        """Read anew every time, as by a new process."""
        return Ledger(self.lake, "tickets")

    def put(self, name: str, content: bytes, day: datetime.date | str = DAY) -> Path:
        """Write a file into landing."""
        path = self.landing / "tickets" / self.source.name / str(day) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        return path

    def pending(self, **days: datetime.date) -> Pending:
        """What there is to do."""
        return pending(TICKETS, {self.source.name: self.source}, self.landing, self.ledger, today=self.today, **days)

    def run(self) -> list[Entry]:
        """Take in everything pending."""
        return [self.take(batch) for batch in self.pending().batches]

    def take(self, batch: Batch) -> Entry:
        """Take one batch in."""
        return take_in(TICKETS, self.source, batch, self.landing, self.ledger, now=NOW)

    def raw(self, seq: int) -> list[dict[str, Any]]:
        """The rows of an entry."""
        with (self.ledger.folder(seq) / "raw.parquet").open("rb") as file:
            return pq.read_table(file).to_pylist()

    def removed(self, seq: int) -> list[int]:
        """The record_no that an entry removed."""
        with (self.ledger.folder(seq) / "removed.parquet").open("rb") as file:
            return pq.read_table(file)["record_no"].to_pylist()

    def quarantine(self, folder: Path) -> list[dict[str, Any]]:
        """The quarantined records of an entry's or a refusal's folder."""
        with (folder / "quarantine.parquet").open("rb") as file:
            return pq.read_table(file).to_pylist()

    def current(self) -> dict[str, dict[str, Any]]:
        """The rows that stand after all entries, by record_id."""
        rows: dict[int, dict[str, Any]] = {}
        for entry in self.ledger.entries():
            if entry.counts.removed:
                for number in self.removed(entry.seq):
                    del rows[number]
            rows |= {row["record_no"]: row for row in self.raw(entry.seq)}
        return {row["record_id"]: row for row in rows.values()}
