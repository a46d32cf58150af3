"""The files that hold rows: Parquet parts by split and month of arrival, the row index by month, one CSV a split.

Turns a DuckDB relation into such files in a given folder, in one sorted stream whose memory is DuckDB's limit plus a row
group. Knows nothing of versions, parents or manifests as files: that is `store`.
"""

import itertools
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.errors import CurationError
from curation.files import sha256_of_file
from curation.snapshots.digest import SPLIT, OrderedDigest, digest_of_rows, row_digests
from curation.snapshots.manifest import Column, SnapshotFile, SnapshotSpec
from curation.training_rows import SPLITS, quoted

if TYPE_CHECKING:
    import polars as pl

ARROW_TYPES = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", "UTC"),
}
DUCKDB_TYPES = {
    "string": {"VARCHAR"},
    "integer": {"TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"},
    "number": {"DOUBLE", "FLOAT"},
    "boolean": {"BOOLEAN"},
    "timestamp": {"TIMESTAMP", "TIMESTAMP WITH TIME ZONE"},
}
MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
ROW_GROUP = 32_768
SPLIT_STEP = 1_000_000  # a part's number is its split times this, plus the month as YYYYMM
READ_ROWS = 16_384  # DuckDB hands over at most 2 GiB of text at once: 128 KiB a row
TIMESTAMP_FORMAT = "%Y-%m-%dT%H:%M:%S%.6fZ"


def index_columns(key: str) -> tuple[Column, ...]:
    """Columns of the row index: where each row came from, and whom it belongs to."""
    names = (key, "split", "cluster", "subject", "batch", "file")
    return (*(Column(name=name, type="string") for name in names), Column(name="line", type="integer"))


def arrow_schema(columns: Sequence[Column]) -> pa.Schema:
    """The Parquet schema of `columns`."""
    return pa.schema([(column.name, ARROW_TYPES[column.type]) for column in columns])


class Seen(NamedTuple):
    """What rows added up to while they were written: rows by (split, label, source), and their digests."""

    counts: Counter[tuple[str, str, str]]
    digests: list[npt.NDArray[np.bytes_]]


class Written(NamedTuple):
    """What `write_rows` wrote: files by path, the digest of all rows, and rows by (split, label, source)."""

    files: dict[str, SnapshotFile]
    digest: str
    counts: Counter[tuple[str, str, str]]


def check_columns(connection: duckdb.DuckDBPyConnection, relation: str, spec: SnapshotSpec) -> None:
    """CurationError unless the relation has every column in a type that fits."""
    found = {name: kind for name, kind, *_ in connection.execute(f"describe {relation}").fetchall()}
    wanted = (*spec.columns, *index_columns(spec.key), Column(name="month", type="string"))
    for column in wanted:
        if column.name not in found:
            raise CurationError(f"{relation} has no column {column.name!r}", f"it has {', '.join(found)}")
        if found[column.name] not in DUCKDB_TYPES[column.type]:
            raise CurationError(
                f"{relation}.{column.name} is {found[column.name]}, declared {column.type}",
                f"cast it to one of {', '.join(sorted(DUCKDB_TYPES[column.type]))}",
            )


def check_places(connection: duckdb.DuckDBPyConnection, relation: str, key: str) -> None:
    """CurationError unless every row has a known split, a month and a key of its own."""
    for split, month in connection.execute(f"select distinct split, month from {relation}").fetchall():
        if split not in SPLITS:
            raise CurationError(f"{relation} has the split {split!r}", f"use one of {', '.join(SPLITS)}")
        if month is None or not MONTH.fullmatch(month):
            raise CurationError(f"{relation} has the month {month!r}", "use the month of arrival as YYYY-MM")
    row = connection.execute(
        f"select {quoted(key)}, count(*) from {relation} group by 1 having count(*) > 1 or {quoted(key)} is null limit 1"
    ).fetchone()
    if row:
        raise CurationError(f"{relation} has {row[1]} rows with {key} {row[0]!r}", "a training row needs a key of its own")


def _selected(columns: Sequence[Column]) -> str:
    """SQL select list with the declared types; times as microseconds, which needs no time zone of the connection's."""
    casts = {"string": "varchar", "integer": "bigint", "number": "double", "boolean": "boolean"}
    return ", ".join(
        f"epoch_us({quoted(column.name)}) as {quoted(column.name)}"
        if column.type == "timestamp"
        else f"{quoted(column.name)}::{casts[column.type]} as {quoted(column.name)}"
        for column in columns
    )


def _stretches(
    connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[Column], part: str, key: str
) -> Iterator[tuple[int, pa.Table]]:
    """The rows sorted by `part` (an integer expression) and key, in tables within one part each."""
    query = f"select {part} as part_, {_selected(columns)} from {relation} order by part_, {quoted(key)}"
    schema = arrow_schema(columns)
    for batch in connection.execute(query).to_arrow_reader(READ_ROWS):
        parts = batch.column("part_").to_numpy()
        edges = [0, *(np.flatnonzero(np.diff(parts)) + 1).tolist(), len(parts)]
        rows = pa.Table.from_batches([batch]).drop_columns("part_").cast(schema)
        for start, end in itertools.pairwise(edges):
            if end > start:
                yield int(parts[start]), rows.slice(start, end - start)


def value_bytes(rows: pa.Table) -> int:
    """Bytes of the values as Arrow holds them: UTF-8 and a 4-byte offset a string, 8 a number or time, one bit a boolean."""
    total = 0
    for column in rows.columns:
        if pa.types.is_string(column.type):
            total += 4 * len(column) + (pc.sum(pc.binary_length(column)).as_py() or 0)
        else:
            total += -(-len(column) * column.type.bit_width // 8)
    return total


def _month(number: int) -> str:
    return f"{number % SPLIT_STEP // 100:04d}-{number % 100:02d}"


class _PartWriter:
    """One Parquet file, its row groups cut at fixed rows so that its bytes do not depend on how the rows were delivered."""

    def __init__(self, path: Path, schema: pa.Schema, plain: Sequence[str], sorted_by: str) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.rows = 0
        self._waiting: list[pa.Table] = []
        self._waiting_rows = 0
        self._writer = pq.ParquetWriter(
            path,
            schema,
            compression="zstd",
            compression_level=1,  # half of snappy's size at the same CPU; level 3 costs 60% more for 12% less
            use_dictionary=[name for name in schema.names if name not in plain],
            write_statistics=[sorted_by],
            store_schema=False,
        )

    def add(self, rows: pa.Table) -> None:
        """Rows that follow, in key order."""
        self._waiting.append(rows)
        self._waiting_rows += len(rows)
        self.rows += len(rows)
        while self._waiting_rows >= ROW_GROUP:
            self._flush(ROW_GROUP)

    def __enter__(self) -> "_PartWriter":
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None and self._waiting_rows:
            self._flush(self._waiting_rows)
        self._writer.close()

    def _flush(self, count: int) -> None:
        waiting = pa.concat_tables(self._waiting)
        self._writer.write_table(waiting.slice(0, count).combine_chunks(), row_group_size=count)
        rest = waiting.slice(count)
        self._waiting, self._waiting_rows = ([rest] if len(rest) else []), len(rest)


def _check_rows(frame: "pl.DataFrame", spec: SnapshotSpec) -> None:
    """CurationError naming the first row whose label is unknown or whose text no CSV reader would give back."""
    import polars as pl

    wrong = frame.filter(~pl.col("label").is_in(spec.labels).fill_null(False) | pl.col("source").is_null())
    if len(wrong):
        raise CurationError(
            f"{spec.key} {wrong[spec.key][0]!r} has the label {wrong['label'][0]!r} and the source {wrong['source'][0]!r}",
            f"every row has a source; labels are {', '.join(spec.labels)}; leave out rows without one",
        )
    for column in spec.columns:
        if column.type == "string":
            hit = frame.filter(pl.col(column.name).str.contains("\0", literal=True))
            if len(hit):
                key = hit[spec.key][0]
                raise CurationError(
                    f"{column.name} of {spec.key} {key!r} holds a NUL character", "clean it out: no CSV can carry it"
                )


def _write_part(path: Path, tables: Iterable[pa.Table], spec: SnapshotSpec, split: str, seen: Seen) -> SnapshotFile:
    """Write one data part and add to `seen` what its rows add up to."""
    import polars as pl

    columns = (SPLIT, *spec.columns)
    digests = []
    held = 0
    with _PartWriter(path, arrow_schema(spec.columns), (spec.key, "text"), spec.key) as writer:
        for rows in tables:
            frame = pl.DataFrame(rows)
            _check_rows(frame, spec)
            digests.append(row_digests(frame.with_columns(pl.lit(split).alias(SPLIT.name)), columns))
            for label, source, count in frame.group_by("label", "source").len().iter_rows():
                seen.counts[split, label, source] += count
            held += value_bytes(rows)
            writer.add(rows)
    seen.digests.extend(digests)
    return described(path, writer.rows, digest_of_rows(digests), split=split, value_bytes=held)


def described(
    path: Path, rows: int | None = None, digest: str | None = None, split: str | None = None, value_bytes: int | None = None
) -> SnapshotFile:
    """A file's entry in the manifest: what is given, with its bytes and SHA-256."""
    size, sha256 = path.stat().st_size, sha256_of_file(path)
    return SnapshotFile(bytes=size, sha256=sha256, rows=rows, digest=digest, split=split, value_bytes=value_bytes)


def write_rows(connection: duckdb.DuckDBPyConnection, relation: str, spec: SnapshotSpec, folder: Path) -> Written:
    """Write `data/<split>/<month>.parquet` below `folder`, each sorted by key; CurationError names the row that may not be in."""
    place = " ".join(f"when '{split}' then {number}" for number, split in enumerate(SPLITS))
    part = f"(case split {place} end * {SPLIT_STEP} + replace(month, '-', '')::integer)::integer"
    seen = Seen(Counter(), [])
    files: dict[str, SnapshotFile] = {}
    stretches = _stretches(connection, relation, spec.columns, part, spec.key)
    for number, of_part in itertools.groupby(stretches, key=lambda stretch: stretch[0]):
        split = SPLITS[number // SPLIT_STEP]
        path = f"data/{split}/{_month(number)}.parquet"
        files[path] = _write_part(folder / path, (rows for _, rows in of_part), spec, split, seen)
    return Written(files, digest_of_rows(seen.digests), seen.counts)


def write_index(connection: duckdb.DuckDBPyConnection, relation: str, key: str, folder: Path) -> dict[str, SnapshotFile]:
    """Write `index/<month>.parquet` below `folder`, each sorted by key."""
    import polars as pl

    columns = index_columns(key)
    plain = (key, "cluster", "subject", "line")
    files = {}
    stretches = _stretches(connection, relation, columns, "replace(month, '-', '')::integer", key)
    for number, of_month in itertools.groupby(stretches, key=lambda stretch: stretch[0]):
        path = folder / "index" / f"{_month(number)}.parquet"
        digest = OrderedDigest(columns)
        with _PartWriter(path, arrow_schema(columns), plain, key) as writer:
            for _, rows in of_month:
                digest.add(pl.DataFrame(rows))
                writer.add(rows)
        files[f"index/{path.name}"] = described(path, writer.rows, digest.hexdigest())
    return files


def write_csv(parts: Sequence[Path], columns: Sequence[Column], split: str, path: Path) -> SnapshotFile:
    """One CSV of the parts' rows in their order: null is an empty field, the empty string is `""`, lines end in \\n.

    Quoted where needed; numbers in the shortest form that reads back equal; times as ISO 8601 with six decimals and Z.
    """
    import polars as pl

    empty = pl.DataFrame(arrow_schema(columns).empty_table())
    frame = pl.scan_parquet(list(parts), glob=False) if parts else empty.lazy()
    frame.sink_csv(path, quote_style="necessary", datetime_format=TIMESTAMP_FORMAT)
    rows = sum(pq.read_metadata(part).num_rows for part in parts)
    return described(path, rows, split=split)
