"""What a snapshot says of itself: the shapes of `manifest.json` and of the facts that whoever writes one must hand over.

Holds no reading of rows and no writing of folders. A manifest knows no run, no path and no clock: the same rows and facts
give the same bytes in any home.
"""

import datetime
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from curation.errors import CurationError
from curation.training_rows import SPLITS

FORMAT = 1
MANIFEST_NAME = "manifest.json"
ColumnType = Literal["string", "integer", "number", "boolean", "timestamp"]


class Frozen(BaseModel):
    """A value with declared fields and no others."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Column(Frozen):
    """One data column of the training rows. In Parquet: string, int64, double, bool, timestamp[us, UTC]."""

    name: str
    type: ColumnType
    description: str = ""


class Batch(Frozen):
    """One batch that the rows stem from, and the SHA-256 of each of its files by name."""

    id: str  # "<source>/<day>"
    seq: int  # its entry in the ledger
    files: dict[str, str] = Field(default_factory=dict)

    @field_validator("files")
    @classmethod
    def _by_name(cls, files: dict[str, str]) -> dict[str, str]:
        return dict(sorted(files.items()))


class CardTexts(Frozen):
    """What only a person can say in the dataset card; every number in it is computed."""

    pretty_name: str
    description: str
    licence: str  # an identifier of Hugging Face's list, such as "apache-2.0", "other" or "unknown"
    task: str = "text-classification"
    language: tuple[str, ...] = ("en",)  # ISO 639-1


class SnapshotFacts(Frozen):
    """What writer and manifest share. `columns` are all data columns in order, the key first, `source` and `label` among them."""

    dataset: str
    key: str
    columns: tuple[Column, ...]
    labels: tuple[str, ...]  # in the order of their meaning
    batches: tuple[Batch, ...]
    contracts: dict[str, str]  # source -> digest of its contract
    code_versions: dict[str, str]
    consumed_feedback_seq: int = 0  # the last event of the feedback log whose labels are in the rows
    consumed_feedback_head: str = ""  # the log's hash chain at that event
    card: CardTexts

    @field_validator("batches")
    @classmethod
    def _in_ledger_order(cls, batches: tuple[Batch, ...]) -> tuple[Batch, ...]:
        return tuple(sorted(batches, key=lambda batch: (batch.seq, batch.id)))

    @field_validator("contracts", "code_versions")
    @classmethod
    def _by_name(cls, table: dict[str, str]) -> dict[str, str]:
        return dict(sorted(table.items()))

    @model_validator(mode="after")
    def _columns_fit(self) -> "SnapshotFacts":
        names = [column.name for column in self.columns]
        if len(set(names)) < len(names) or not names or names[0] != self.key or not {"source", "label"} <= set(names):
            raise ValueError(f"columns must be distinct, start with {self.key!r} and hold `source` and `label`; got {names}")
        return self

    @property
    def column_types(self) -> tuple[tuple[str, str], ...]:
        """Names and types of the columns in order, without their descriptions."""
        return tuple((column.name, column.type) for column in self.columns)


class SnapshotSpec(SnapshotFacts):
    """Everything about a snapshot that is not in its rows."""

    created_on: datetime.date  # day of the newest batch


class Parent(Frozen):
    """The version before this one, so that the chain shows an edit of an older manifest."""

    version: str
    digest: str
    manifest_sha256: str


class SnapshotFile(Frozen):
    """One file of a snapshot. `digest` (of rows, see `digest`) is given for Parquet parts, `split` where all rows share one."""

    bytes: int
    sha256: str
    rows: int | None = None
    digest: str | None = None
    split: str | None = None
    value_bytes: int | None = None  # of the rows in memory as Arrow holds them, without validity bits


class Tombstone(Frozen):
    """A row that was erased after the snapshot was made; its digest stays so that the snapshot's own still holds."""

    part: str  # the data part that held it
    digest: str


class Manifest(SnapshotFacts):
    """`manifest.json`: what the snapshot holds, what it was made from, and how to tell that it is still that."""

    format: int = FORMAT
    version: str
    digest: str
    parent: Parent | None
    created_at: str  # the newest batch's day at 00:00Z
    rows: int
    counts: dict[str, dict[str, dict[str, int]]]  # split -> label -> source -> rows
    files: dict[str, SnapshotFile]  # by path in the folder, without the manifest itself
    tombstones: tuple[Tombstone, ...] = ()

    def data_parts(self, split: str | None = None) -> dict[str, SnapshotFile]:
        """Parquet parts with training rows, in the order of the CSV: split by split, month by month."""
        wanted = SPLITS if split is None else (split,)
        return {path: file for name in wanted for path, file in sorted(self.files.items()) if path.startswith(f"data/{name}/")}

    def index_parts(self) -> dict[str, SnapshotFile]:
        """Parquet parts of the row index, month by month."""
        return {path: file for path, file in sorted(self.files.items()) if path.startswith("index/")}

    def rows_of(self, *, split: str | None = None, label: str | None = None, source: str | None = None) -> int:
        """Rows that match what is given."""
        return sum(
            rows
            for (in_split, of_label, from_source), rows in self._cells()
            if split in (None, in_split) and label in (None, of_label) and source in (None, from_source)
        )

    def sources(self) -> list[str]:
        """Names of the sources that rows stem from, sorted."""
        return sorted({source for (_, _, source), _ in self._cells()})

    def _cells(self) -> Iterator[tuple[tuple[str, str, str], int]]:
        for split, by_label in self.counts.items():
            for label, by_source in by_label.items():
                for source, rows in by_source.items():
                    yield (split, label, source), rows

    def as_metadata(self) -> dict[str, str | int]:
        """Plain values for whoever plots or lists snapshots."""
        shown: dict[str, str | int] = {"version": self.version, "digest": self.digest, "rows": self.rows}
        shown |= {f"rows_{split}": self.rows_of(split=split) for split in SPLITS}
        shown |= {f"label_{label}": self.rows_of(label=label) for label in self.labels}
        shown |= {f"source_{source}": self.rows_of(source=source) for source in self.sources()}
        shown |= {"parent": self.parent.version if self.parent else "none", "batches": len(self.batches)}
        return shown | {"created_at": self.created_at, "consumed_feedback_seq": self.consumed_feedback_seq}

    def to_bytes(self) -> bytes:
        """The file's bytes: UTF-8 JSON, fields in declared order, names within a table sorted by whoever filled it."""
        return (json.dumps(self.model_dump(mode="json"), indent=1, ensure_ascii=False) + "\n").encode()


def read_manifest(path: Path) -> Manifest:
    """The manifest at `path`; CurationError when it is missing, of a newer format, or not a manifest at all."""
    try:
        declared = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise CurationError(f"{path} does not exist", "restore the snapshot's folder from a copy") from None
    except ValueError as error:
        raise CurationError(f"{path} is not JSON: {error}", "restore the file from a copy") from None
    number = declared.get("format") if isinstance(declared, dict) else None
    if number != FORMAT:
        raise CurationError(
            f"{path} has format {number!r}, this program reads {FORMAT}", "update the program, or restore the file"
        )
    try:
        return Manifest.model_validate(declared)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(step) for step in first["loc"])
        raise CurationError(f"{path} is no manifest: {where}: {first['msg']}", "restore the file from a copy") from None
