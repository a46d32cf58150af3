"""The digest is what its docstring says: anybody can compute it, and any changed cell changes it."""

import datetime
import hashlib
import struct

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from support_tickets import COLUMNS, SPEC, Row, ticket, tickets

from curation.snapshots.digest import SPLIT, OrderedDigest, digest_of_rows, row_digests
from curation.snapshots.parts import arrow_schema


def plain_bytes(value: object, kind: str) -> bytes:
    """One value as the docstring of `digest` has it, in plain Python."""
    if value is None:
        return b"N"
    if kind == "string":
        return b"S%d:%s" % (len(value.encode()), value.encode())
    if kind == "timestamp":
        value = (value - datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)) // datetime.timedelta(microseconds=1)
    if kind == "number":
        value = struct.unpack(">Q", struct.pack(">d", value))[0]
    return {"integer": b"I", "number": b"F", "boolean": b"B", "timestamp": b"T"}[kind] + b"%d;" % int(value)


def digests(rows: list[Row]) -> object:
    frame = pl.DataFrame(pa.Table.from_pylist(rows, schema=arrow_schema((SPLIT, *COLUMNS))))
    return row_digests(frame, (SPLIT, *COLUMNS))


def digest(rows: list[Row]) -> str:
    return digest_of_rows([digests(rows)])


def test_a_snapshots_digest_can_be_recomputed_in_a_few_lines_of_plain_python(store, connect):
    snapshot = store.write(SPEC, connect(tickets()), "rows")
    hashes = []
    for path in snapshot.folder.glob("data/*/*.parquet"):
        for row in pq.ParquetFile(path).read().to_pylist():
            values = [(path.parent.name, "string"), *((row[column.name], column.type) for column in COLUMNS)]
            hashes.append(hashlib.sha256(b"".join(plain_bytes(*value) for value in values)).digest())
    assert snapshot.manifest.digest == hashlib.sha256(b"".join(sorted(hashes))).hexdigest()


@pytest.mark.parametrize(
    ("column", "before", "after"),
    [
        ("text", None, ""),
        ("text", "1", "2"),
        ("text", "N", None),
        ("item_id", "007", "7"),
        ("rating", 0.1, 0.1 + 2**-56),
        ("rating", 0.0, -0.0),
        ("rating", None, 0.0),
        ("weight", 1.0, 1.0000000000000002),
        ("visits", 2**62, 2**62 + 1),
        ("visits", None, 0),
        ("is_member", False, None),
        (
            "opened_at",
            datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
            datetime.datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=datetime.UTC),
        ),
        ("split", "train", "test"),
    ],
)
def test_any_changed_cell_changes_the_digest(column, before, after):
    rows = tickets(20)
    assert digest([*rows, ticket(99, **{column: before})]) != digest([*rows, ticket(99, **{column: after})])


def test_a_value_that_moves_to_the_next_column_changes_the_digest():
    assert digest([ticket(1, text="ab", item_id="c")]) != digest([ticket(1, text="bc", item_id="a")])
    assert digest([ticket(1, text="x", item_id="S1:x")]) != digest([ticket(1, text="xS1:x", item_id="")])


def test_order_does_not_change_the_digest_and_a_repeated_row_does():
    rows = tickets(50)
    assert digest(rows) == digest(rows[::-1])
    assert digest(rows) != digest([*rows, rows[0]])


def test_an_erased_row_stays_in_the_digest_as_its_tombstone():
    rows = tickets(50)
    tombstone = bytes(digests(rows)[7:8].tobytes()).hex()
    assert digest_of_rows([digests(rows[:7] + rows[8:])], [tombstone]) == digest(rows)


def test_rows_of_the_index_are_digested_in_their_order():
    frame = pl.DataFrame({"key": ["a", "b", None], "line": [1, 2, 3]})
    columns = (SPLIT.model_copy(update={"name": "key"}), COLUMNS[7].model_copy(update={"name": "line"}))
    whole = OrderedDigest(columns)
    whole.add(frame[:2])
    whole.add(frame[2:])
    assert whole.hexdigest() == hashlib.sha256(b"S1:aI1;S1:bI2;NI3;").hexdigest()
