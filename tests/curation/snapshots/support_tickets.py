"""A small world of support tickets: training rows, and what the snapshot store wants to know about them."""

import datetime
import random
from pathlib import Path
from typing import Any

from curation.snapshots.manifest import Batch, CardTexts, Column, SnapshotSpec

COLUMNS = (
    Column(name="ticket_uid", type="string"),
    Column(name="source", type="string"),
    Column(name="item_id", type="string"),
    Column(name="text", type="string", description="What the customer wrote."),
    Column(name="label", type="string"),
    Column(name="rating", type="number"),
    Column(name="weight", type="number"),
    Column(name="visits", type="integer"),
    Column(name="is_member", type="boolean"),
    Column(name="opened_at", type="timestamp"),
)
SPEC = SnapshotSpec(
    dataset="tickets",
    key="ticket_uid",
    columns=COLUMNS,
    labels=("calm", "angry"),
    batches=(
        Batch(id="desk/2026-02-03", seq=2, files={"b.json": "bb"}),
        Batch(id="desk/2026-01-02", seq=1, files={"a.json": "aa"}),
    ),
    contracts={"phone": "22", "desk": "11"},
    code_versions={"cleaning": "1"},
    created_on=datetime.date(2026, 2, 3),
    card=CardTexts(pretty_name="Tickets", description="What customers wrote to the desk.", licence="apache-2.0"),
)
AWKWARD = (
    "plain", "", None, "007", "=1+1", "a,b", 'say "hi"', '"', "two\nlines", "carriage\rreturn", "crlf\r\nline", "é 😀 漢字", " spaces ",
    "NA", "null", "NULL", "\\N", "1e5", "true", "#", "\t", "\u2028", "\ufeff", "x" * 5000,
)  # fmt: skip

Row = dict[str, Any]


def ticket(number: int, **changed: Any) -> Row:
    """One training row with its way here; everything follows from its number."""
    split = ("train", "train", "train", "validation", "test")[number % 5]
    row: Row = {
        "ticket_uid": f"uid{number:05d}",
        "source": "desk" if number % 3 else "phone",
        "item_id": f"item{number % 7}" if number % 4 else None,
        "text": f"{AWKWARD[number % len(AWKWARD)]} {number}" if number >= len(AWKWARD) else AWKWARD[number],
        "label": "calm" if number % 4 else "angry",
        "rating": None if number % 6 == 0 else number / 7,
        "weight": 1.0,
        "visits": None if number % 5 == 0 else number - 3,
        "is_member": (None, True, False)[number % 3],
        "opened_at": None
        if number % 9 == 0
        else datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC) + datetime.timedelta(microseconds=number),
        "split": split,
        "cluster": f"uid{number:05d}",
        "subject": None if number % 8 == 0 else f"subject{number % 11}",
        "batch": "desk/2026-01-02" if number % 2 else "desk/2026-02-03",
        "file": "a.json" if number % 2 else "b.json",
        "line": number,
        "month": "2026-01" if number % 2 else "2026-02",
    }
    return row | changed


def tickets(count: int = 120) -> list[Row]:
    """That many rows, the first of them awkward."""
    return [ticket(number) for number in range(count)]


def shuffled(rows: list[Row], seed: int) -> list[Row]:
    """The same rows in another order."""
    return random.Random(seed).sample(rows, len(rows))


def contents(folder: Path) -> dict[str, bytes]:
    """Every file below a folder, by path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
