"""The contract of one source: types as delivered before any cast, then values, then canonical columns and a name for each row.

Judges records one by one; what share of them may fail, and what becomes of those, is for `intake`.
"""

import hashlib
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import compress, repeat
from typing import Any

import orjson
import pyarrow as pa

from curation.dataset import Dataset, FieldType
from curation.ingestion.columns import Break, ColumnCheck, Delivered, column_check
from curation.ingestion.sources import Source

# Canonical types of extra fields.
EXTRA_TYPES: dict[str, FieldType] = {
    "string": "string",
    "integer": "integer",
    "number": "number",
    "boolean": "boolean",
    "any": "string",
}
_ARROW = {
    "string": pa.string(),
    "integer": pa.int64(),
    "number": pa.float64(),
    "boolean": pa.bool_(),
    "timestamp": pa.timestamp("us", tz="UTC"),
    "rating": pa.float64(),
}


def contract_digest(dataset: Dataset, source: Source) -> str:
    """Hex SHA-256 of all that is declared and can change a verdict, a value or a column of this source's rows."""
    fields = [(field.name, field.type, field.required) for field in dataset.fields]
    declared = [source.digest, fields, dataset.key, dataset.native_id, dataset.ordered_by]
    return hashlib.sha256(json.dumps(declared).encode()).hexdigest()


@dataclass(frozen=True)
class Checked:
    """A block of records under contract. `rows` are the positions of the valid ones; all columns have one value for each of them."""

    rows: Sequence[int]
    columns: dict[str, pa.Array]  # the dataset's fields in declared order, then `extra`
    uids: bytes  # 32 bytes a row
    content_hashes: bytes  # 16 bytes a row
    breaks: dict[int, list[Break]]  # position -> what the record breaks, in the order of the fields
    canonical: dict[str, pa.Array]  # declared field, extra ones too -> the values of the valid rows
    delivered: dict[str, Delivered]  # declared field -> what all records hold of it
    native_ids: list[str | None]  # of all records, best effort


class Contract:
    """What `source` declares for `dataset`, ready to check blocks of records. Fields it does not declare are null."""

    def __init__(self, dataset: Dataset, source: Source) -> None:
        self.dataset = dataset
        self.source = source
        self._field_names = [field.name for field in dataset.fields]
        self.checks: dict[str, ColumnCheck] = {
            field.name: column_check(field.name, source.fields[field.name], field.type, field.required, source)
            for field in dataset.fields
            if field.name in source.fields
        }
        self.extra_checks: dict[str, ColumnCheck] = {
            name: column_check(name, rule, EXTRA_TYPES[rule.type], False, source) for name, rule in sorted(source.extra.items())
        }
        # json writes numbers the same in every version; orjson is ten times faster where there are no fractions.
        self._has_extra_numbers = any(rule.type == "number" for rule in source.extra.values())

    def check(self, values: list[dict[str, Any]], raws: list[bytes]) -> Checked:
        """Check and cast a block of records: `values[i]` was parsed from `raws[i]`."""
        breaks: dict[int, list[Break]] = {}
        delivered: dict[str, Delivered] = {}
        canonical: dict[str, list[Any]] = {}
        for name, check in (self.checks | self.extra_checks).items():
            delivered[name] = check.deliver(values, raws)
            canonical[name] = check.canonical(delivered[name], breaks)
        native = canonical.get(self.dataset.native_id, [None] * len(values))
        rows: Sequence[int] = range(len(values))
        if breaks:
            sound = bytearray(b"\1") * len(values)
            for row in breaks:
                sound[row] = 0
            rows = list(compress(rows, sound))
            values = list(compress(values, sound))
            canonical = {name: list(compress(column, sound)) for name, column in canonical.items()}
        types = {field.name: _ARROW[field.type] for field in self.dataset.fields}
        types |= {name: _ARROW[EXTRA_TYPES[rule.type]] for name, rule in self.source.extra.items()}
        arrays = {name: pa.array(column, types[name]) for name, column in canonical.items()}
        extra = self._extra(canonical)
        return Checked(
            rows=rows,
            columns={name: arrays[name] if name in arrays else pa.nulls(len(rows), types[name]) for name in self._field_names}
            | {"extra": pa.nulls(len(rows), pa.string()) if extra is None else pa.array(extra, pa.string())},
            uids=self._uids(canonical.get(self.dataset.native_id), values),
            content_hashes=self._content_hashes(canonical, extra, len(rows)),
            breaks=breaks,
            canonical=arrays,
            delivered=delivered,
            native_ids=native,
        )

    @staticmethod
    def schema(dataset: Dataset) -> pa.Schema:
        """Of `Checked.columns`."""
        return pa.schema([(field.name, _ARROW[field.type]) for field in dataset.fields] + [("extra", pa.string())])

    def _extra(self, canonical: dict[str, list[Any]]) -> list[str] | None:
        if not self.extra_checks:
            return None
        names = list(self.extra_checks)
        rows = (dict(zip(names, row, strict=True)) for row in zip(*(canonical[name] for name in names), strict=True))
        if self._has_extra_numbers:
            return [canonical_json(row) for row in rows]
        return [orjson.dumps(row).decode() for row in rows]

    def _content_hashes(self, canonical: dict[str, list[Any]], extra: list[str] | None, count: int) -> bytes:
        nothing = [None] * count
        columns: list[Iterable[Any]] = []
        for field in self.dataset.fields:
            column = canonical.get(field.name, nothing)
            columns.append(column if field.type != "number" else [None if value is None else repr(value) for value in column])
        rating = self.source.rating
        scale = None if rating is None else f"{float(rating.minimum)!r} to {float(rating.maximum)!r}"
        sha256, dumps = hashlib.sha256, orjson.dumps
        rows = zip(*columns, nothing if extra is None else extra, repeat(scale, count), strict=True)
        return b"".join([sha256(dumps(row)).digest()[:16] for row in rows])

    def _uids(self, native_ids: list[str | None] | None, values: list[dict[str, Any]]) -> bytes:
        """SHA-256 of source and native id, or of the record itself where it has none but blanks."""
        sha256, source = hashlib.sha256, self.source.name
        return b"".join(
            [
                sha256((f"{source}:{native}" if native and not native.isspace() else canonical_json(value)).encode()).digest()
                for native, value in zip(native_ids or [None] * len(values), values, strict=True)
            ]
        )


def canonical_json(value: Any) -> str:
    """`json.dumps` with sorted keys and no spaces: one text for equal values, the same in every version of everything."""
    fast: bytes = orjson.dumps(value, option=orjson.OPT_SORT_KEYS)
    if b"e-" in fast or b"e+" in fast:  # perhaps an exponent, which the two write differently
        return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return fast.decode()
