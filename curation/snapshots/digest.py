"""The digest of training rows: which bytes stand for a row, and what is made of their SHA-256 values. Nothing else.

A row is the concatenation of its values, the split first, then every data column in the manifest's order:

    null       N
    string     S<length of the UTF-8 bytes, decimal>:<the UTF-8 bytes>
    integer    I<decimal>;
    number     F<the 64 bits of the IEEE 754 double read as an unsigned integer, decimal>;
    boolean    B1; or B0;
    timestamp  T<microseconds since 1970-01-01T00:00:00Z, decimal>;

A row's digest is the SHA-256 of these bytes (32 bytes). The digest of a set of rows, a part or a whole snapshot, is the
SHA-256 of its rows' digests, sorted and concatenated, in hex. The digests of erased rows (tombstones) are sorted in among
them. So any changed cell changes the digest, null is not the empty string, 1 is not "1", and order does not matter.

The row index is not training data and is ordered by key: its digest is the SHA-256 of its rows' bytes in file order, which
spares a SHA-256 a row (1 CPU s a million).
"""

import hashlib
import itertools
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.snapshots.manifest import Column

if TYPE_CHECKING:
    import polars as pl

SPLIT = Column(name="split", type="string")
ROW_DIGEST = np.dtype("S32")


def _value(column: Column, has_nulls: bool) -> "list[pl.Expr]":
    """Expressions that, concatenated, give the bytes of one column's values."""
    import polars as pl

    value = pl.col(column.name)
    if column.type == "string":
        pieces = [pl.lit("S"), value.str.len_bytes().cast(pl.String), pl.lit(":"), value]
    else:
        tag, number = {
            "integer": ("I", value),
            "number": ("F", value.reinterpret(dtype=pl.UInt64)),
            "boolean": ("B", value.cast(pl.UInt8)),
            "timestamp": ("T", value.to_physical()),
        }[column.type]
        pieces = [pl.lit(tag), number.cast(pl.String), pl.lit(";")]
    return [pl.concat_str(pieces).fill_null("N")] if has_nulls else pieces


def _encoded(frame: "pl.DataFrame", columns: Sequence[Column]) -> tuple[npt.NDArray[np.int64], memoryview]:
    """The rows' bytes, one after the other, and the offsets (rows + 1) at which they start and end."""
    import polars as pl

    pieces = [piece for column in columns for piece in _value(column, frame[column.name].null_count() > 0)]
    rows = frame.select(pl.concat_str(pieces).alias("row")).to_series()
    array = rows.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(pa.large_binary())
    _, offsets, data = array.buffers()
    at = np.frombuffer(offsets, dtype=np.int64)[array.offset : array.offset + len(array) + 1]
    return at, memoryview(data if data is not None else b"")


def row_digests(frame: "pl.DataFrame", columns: Sequence[Column]) -> npt.NDArray[np.bytes_]:
    """The digest of each row of `frame`, which has exactly typed `columns` (the split among them, first); shape (rows,)."""
    if frame.is_empty():
        return np.empty(0, dtype=ROW_DIGEST)
    offsets, data = _encoded(frame, columns)
    sha256 = hashlib.sha256
    digests = b"".join([sha256(data[start:end]).digest() for start, end in itertools.pairwise(offsets.tolist())])
    return np.frombuffer(digests, dtype=ROW_DIGEST)


def digest_of_rows(digests: Iterable[npt.NDArray[np.bytes_]], erased: Iterable[str] = ()) -> str:
    """Hex digest of a set of rows, given their digests in any order and pieces; `erased`: hex digests of tombstones."""
    tombstones = np.array([bytes.fromhex(digest) for digest in erased], dtype=ROW_DIGEST)
    whole = np.concatenate([*digests, tombstones])
    whole.sort()
    return hashlib.sha256(whole.tobytes()).hexdigest()


class OrderedDigest:
    """The digest of rows that come in a fixed order, a frame at a time."""

    def __init__(self, columns: Sequence[Column]) -> None:
        self.columns = columns
        self._sha256 = hashlib.sha256()

    def add(self, frame: "pl.DataFrame") -> None:
        """Rows that follow those added before."""
        if not frame.is_empty():
            offsets, data = _encoded(frame, self.columns)
            self._sha256.update(data[offsets[0] : offsets[-1]])

    def hexdigest(self) -> str:
        """Hex digest of all rows so far."""
        return self._sha256.hexdigest()
