"""What stands in the files of an entry, and the rows that a batch has by its entries.

Layout and names only; which rows go where is decided by `intake`.
"""

import datetime
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from curation.dataset import Dataset
from curation.errors import CurationError
from curation.ingestion.contract import Checked, Contract
from curation.ingestion.ledger import ORDINALS, RAW, REMOVED
from curation.ingestion.sources import Source

GROUP_ROWS = 61_440  # of a row group; twice as many took 120 MB more while they were sorted and written
RAW_TEXT_BYTES = 64 * 1024  # of a quarantined record are kept; the whole is in landing
_HEX = np.frombuffer("".join(f"{byte:02x}" for byte in range(256)).encode(), dtype="<u2")
_QUARANTINE_SCHEMA = pa.schema(
    [("record_id", pa.string()), ("source", pa.string()), ("day", pa.date32()), ("file", pa.string()), ("line", pa.int64())]
    + [(name, pa.string()) for name in ("rule", "field", "reason", "native_id", "raw")]
)


def raw_schema(dataset: Dataset) -> pa.Schema:
    """Columns of raw.parquet."""
    columns = [("record_no", pa.int64()), ("record_id", pa.string()), (dataset.key, pa.string()), ("content_hash", pa.string())]
    columns += [("source", pa.string()), ("day", pa.date32()), ("file", pa.string()), ("line", pa.int64())]
    columns += [(field.name, field.type) for field in Contract.schema(dataset)]
    if any(field.type == "rating" for field in dataset.fields):
        columns += [("rating_min", pa.float64()), ("rating_max", pa.float64())]
    return pa.schema(columns)


def record_prefix(source: str, day: datetime.date) -> str:
    """How every record_id of a batch begins; file, line and, from the second record of a line on, its place there follow."""
    return f"{source}/{day.isoformat()}/"


class RawWriter:
    """Writes raw.parquet from sorted blocks of `checked_rows`. Same rows, same bytes."""

    def __init__(self, path: Path, dataset: Dataset, source: Source, day: datetime.date, *, files: list[str], seq: int) -> None:
        self._schema = raw_schema(dataset)
        self._dataset, self._source, self._day = dataset, source, day
        self._files = pa.array(files, pa.string())
        self._prefixes = pa.array([f"{record_prefix(source.name, day)}{name}:" for name in files], pa.string())
        self._next_no = seq * ORDINALS
        plain = {dataset.key, "content_hash"}  # hashes do not pack
        repeating = {"source", "day", "file", "rating_min", "rating_max"} | {
            field.name for field in dataset.fields if field.type in ("rating", "integer", "boolean")
        }
        self._writer = pq.ParquetWriter(
            path,
            self._schema,
            compression={name: "none" if name in plain else "snappy" for name in self._schema.names},
            use_dictionary=[name for name in self._schema.names if name in repeating],
            # Bounds of texts and hashes rule no row group out.
            write_statistics=[
                "record_no",
                "line",
                dataset.native_id,
                *(field.name for field in dataset.fields if field.type == "timestamp"),
            ],
        )

    def __enter__(self) -> "RawWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, block: pa.Table) -> None:
        """The next rows in order, at most GROUP_ROWS."""
        count = block.num_rows
        columns: dict[str, Any] = {name: block[name] for name in block.column_names if name in self._schema.names}
        lines = block["line"].cast(pa.string())
        ids = pc.binary_join_element_wise(self._prefixes.take(block["file"].combine_chunks()), lines, "")
        if pc.max(block["part"]).as_py() > 1:
            with_part = pc.binary_join_element_wise(ids, block["part"].cast(pa.string()), ".")
            ids = pc.if_else(pc.greater(block["part"], 1), with_part, ids)
        columns |= {
            "record_no": pa.array(np.arange(self._next_no, self._next_no + count)),
            "record_id": ids,
            self._dataset.key: _hex(block["uid"]),
            "content_hash": _hex(block["content_hash"]),
            "source": pa.repeat(self._source.name, count),
            "day": pa.repeat(pa.scalar(self._day), count),
            "file": self._files.take(block["file"].combine_chunks()),
        }
        rating = self._source.rating
        if "rating_min" in self._schema.names:
            columns["rating_min"] = pa.repeat(pa.scalar(rating.minimum if rating else None, pa.float64()), count)
            columns["rating_max"] = pa.repeat(pa.scalar(rating.maximum if rating else None, pa.float64()), count)
        self._next_no += count
        self._writer.write_table(
            pa.table([columns[name] for name in self._schema.names], schema=self._schema), row_group_size=GROUP_ROWS
        )


def checked_rows(checked: Checked, file: int, lines: Sequence[int], parts: Sequence[int]) -> pa.RecordBatch:
    """The valid rows of a block: uid, content_hash, file (its index), line, part, then the canonical columns."""
    count = len(checked.rows)
    columns = {
        "uid": pa.FixedSizeBinaryArray.from_buffers(pa.binary(32), count, [None, pa.py_buffer(checked.uids)]),
        "content_hash": pa.FixedSizeBinaryArray.from_buffers(pa.binary(16), count, [None, pa.py_buffer(checked.content_hashes)]),
        "file": pa.repeat(pa.scalar(file, pa.int32()), count),
        "line": pa.array([lines[row] for row in checked.rows], pa.int64()),
        "part": pa.array([parts[row] for row in checked.rows], pa.int32()),
    }
    return pa.RecordBatch.from_pydict(columns | checked.columns)


def sort_keys(checked: Checked, ordered_by: str) -> tuple[npt.NDArray[Any], ...]:
    """Keys that put rows in the order of decision: time with nulls first, uid, content_hash (64 bits of each tell them apart)."""
    times = checked.columns[ordered_by].cast(pa.int64()).fill_null(-(2**63)).to_numpy()
    uids = np.frombuffer(checked.uids, dtype=">u8")[::4].astype(np.uint64)
    hashes = np.frombuffer(checked.content_hashes, dtype=">u8")[::2].astype(np.uint64)
    return times, uids, hashes


class QuarantineWriter:
    """Writes quarantine.parquet, in the order of the records, with the id that can be read of each."""

    def __init__(self, path: Path, source: Source, day: datetime.date, native_path: tuple[str, ...] | None) -> None:
        self._source, self._day = source.name, day
        self._writer = pq.ParquetWriter(path, _QUARANTINE_SCHEMA, compression="zstd")
        key = re.escape(native_path[-1]).encode() if native_path else None
        self._native = re.compile(rb'"' + key + rb'"\s*:\s*"?([^"\\,}\s]{1,200})') if key else None

    def __enter__(self) -> "QuarantineWriter":
        return self

    def __exit__(self, *_: object) -> None:
        self._writer.close()

    def write(self, file: str, rejected: Iterable[tuple[int, int, str, str | None, str, str | None, bytes]]) -> None:
        """Records as (line, part, rule, field, reason, native_id, raw) of one file."""
        rows = []
        for line, part, rule, field, reason, known_id, raw in rejected:
            native_id = known_id
            text = raw[:RAW_TEXT_BYTES].rstrip(b"\r").decode("utf-8", "backslashreplace")
            note = f" (the first {RAW_TEXT_BYTES:,} bytes of it are kept here)" if len(raw) > RAW_TEXT_BYTES else ""
            if native_id is None and self._native and (found := self._native.search(raw[:RAW_TEXT_BYTES])):
                native_id = found.group(1).decode("utf-8", "replace")
            where = f"{record_prefix(self._source, self._day)}{file}:{line}" + (f".{part}" if part > 1 else "")
            rows.append((where, self._source, self._day, file, line, rule, field, reason + note, native_id, text))
        if rows:
            arrays = [
                pa.array(column, kind) for column, kind in zip(zip(*rows, strict=True), _QUARANTINE_SCHEMA.types, strict=True)
            ]
            self._writer.write_table(pa.table(arrays, schema=_QUARANTINE_SCHEMA))


def write_removed(path: Path, record_nos: npt.NDArray[np.int64]) -> None:
    """removed.parquet: the rows of earlier entries that are no longer part of the batch, sorted."""
    pq.write_table(pa.table({"record_no": np.sort(record_nos)}), path, compression="snappy")


class FormerRows:
    """The rows a batch has by its entries so far, to tell which of the rows read again are new."""

    def __init__(self, entries: Sequence[tuple[Path, str]], key: str) -> None:
        """`entries` are the folders of the batch's entries in order, each with its record_prefix."""
        folders = [folder for folder, _ in entries]
        self._by_file: dict[str, _FormerFile] = {}
        removed = [
            _read_exactly(folder / REMOVED, ["record_no"])["record_no"].to_numpy()
            for folder in folders
            if (folder / REMOVED).exists()
        ]
        gone = np.concatenate(removed) if removed else np.empty(0, np.int64)
        tables = [
            _read_exactly(folder / RAW, ["record_no", "record_id", "content_hash", "file", "line", key]) for folder in folders
        ]
        if not tables:
            return
        rows = pa.concat_tables(tables)
        rows = rows.filter(pa.array(~np.isin(rows["record_no"].to_numpy(), gone)))
        for name in pc.unique(rows["file"]).to_pylist():
            self._by_file[name] = _FormerFile(rows.filter(pc.equal(rows["file"], name)), key, f"{entries[0][1]}{name}:")

    def are_new(self, file: str, rows: pa.RecordBatch) -> npt.NDArray[np.bool_] | None:
        """Which of these rows (`checked_rows` of that file) the batch does not have yet; None when it has none of this file."""
        former = self._by_file.get(file)
        return None if former is None else former.are_new(rows)

    def removed(self, files: Iterable[str]) -> npt.NDArray[np.int64]:
        """record_no of the rows of these files that were not among those read again."""
        former = [self._by_file[name] for name in files if name in self._by_file]
        return np.concatenate([np.empty(0, np.int64), *(file.record_nos[~file.is_met] for file in former)])


class _FormerFile:
    def __init__(self, rows: pa.Table, key: str, prefix: str) -> None:
        lines = rows["line"].to_numpy()
        parts = np.ones(len(lines), np.int64)
        plain = pc.binary_join_element_wise(prefix, rows["line"].cast(pa.string()), "")
        for row in np.flatnonzero(pc.not_equal(rows["record_id"], plain).to_numpy()):
            parts[row] = int(rows["record_id"][row].as_py().rpartition(".")[2])
        places = _places(lines, parts)
        order = np.argsort(places, kind="stable")
        self._places = places[order]
        self._names = pc.binary_join_element_wise(rows[key], rows["content_hash"], "").combine_chunks().take(pa.array(order))
        self.record_nos = rows["record_no"].to_numpy()[order]
        self.is_met = np.zeros(len(order), bool)

    def are_new(self, rows: pa.RecordBatch) -> npt.NDArray[np.bool_]:
        if not rows.num_rows or not len(self._places):
            return np.ones(rows.num_rows, bool)
        places = _places(rows["line"].to_numpy(), rows["part"].to_numpy())
        found = np.minimum(np.searchsorted(self._places, places), len(self._places) - 1)
        names = pc.binary_join_element_wise(_hex(rows["uid"]), _hex(rows["content_hash"]), "")
        has_same_name: npt.NDArray[np.bool_] = pc.equal(self._names.take(pa.array(found)), names).to_numpy(zero_copy_only=False)
        is_same = (self._places[found] == places) & has_same_name
        self.is_met[found[is_same]] = True
        are_new: npt.NDArray[np.bool_] = ~is_same
        return are_new


def _read_exactly(path: Path, columns: list[str]) -> pa.Table:
    try:
        with path.open("rb") as file:  # opened by Python: a path is never a pattern
            return pq.read_table(file, columns=columns)
    except (OSError, pa.ArrowInvalid) as error:
        raise CurationError(f"{path} cannot be read: {error}", "restore it from a backup, or remove it and run again") from error


def _places(lines: npt.NDArray[Any], parts: npt.NDArray[Any]) -> npt.NDArray[np.int64]:
    places: npt.NDArray[np.int64] = lines.astype(np.int64) * ORDINALS + parts
    return places


def _hex(column: Any) -> pa.Array:
    """Hex strings of a column of fixed-size binaries, without a Python object per value."""
    array = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    width, count = array.type.byte_width, len(array)
    data = np.frombuffer(array.buffers()[1], np.uint8)[array.offset * width : (array.offset + count) * width]
    offsets = np.arange(count + 1, dtype=np.int32) * (2 * width)
    return pa.StringArray.from_buffers(count, pa.py_buffer(offsets), pa.py_buffer(_HEX[data]))
