"""The label queue on disk: one immutable Parquet file per generation, numbered from 1; the newest is the one people answer.

It keeps what `curation.learning.selection` chose and tells who was ever asked for; it chooses nothing. One writer at a time (the
run that holds the dataset's lock), any number of readers.
"""

import datetime
import re
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from curation.files import valid_name, written_whole
from curation.learning.selection import CHOSEN, CONTROL

ASKED = pa.schema(
    [
        *CHOSEN,
        ("dataset", pa.string()),
        ("model_version", pa.int64()),
        ("snapshot_version", pa.string()),
        ("asked_at", pa.timestamp("us", tz="UTC")),
    ]
)
"""One row per item and generation: why it was asked for, when, by which model."""
SHOWN = pa.schema(
    [
        ("fields", pa.string()),  # what people see of the item: a JSON object, keys sorted
        ("guess", pa.string()),  # the model's label
        ("confidence", pa.float64()),  # its probability of that label
    ]
)
"""What pages show of an item, so that they need no warehouse. Null in generations that were written before it was kept."""
QUEUED = pa.schema([*ASKED, *SHOWN])
GENERATION = re.compile(r"\d{6}\.parquet")
"""What a killed writer leaves has another name, and is no generation."""


@dataclass(frozen=True)
class LabelQueue:
    """The generations of one dataset's queue below `folder` (lake/label_queue)."""

    folder: Path
    dataset: str

    def __post_init__(self) -> None:
        valid_name(self.dataset, "dataset")

    def asked(self) -> list[Path]:
        """Every generation, oldest first."""
        folder = self.folder / self.dataset
        return sorted(path for path in folder.iterdir() if GENERATION.fullmatch(path.name)) if folder.is_dir() else []

    def current(self) -> Path | None:
        """The newest generation; None before the first."""
        return next(reversed(self.asked()), None)

    def write(self, chosen: pa.Table, *, model_version: int, snapshot_version: str, asked_at: datetime.datetime) -> Path:
        """The generation that asks for `chosen` (columns `CHOSEN`, `SHOWN`): a new one, or the current one when it asks the same.

        The same is everything but `asked_at`, so a repeated run changes nothing. ValueError for a naive `asked_at`.
        """
        if asked_at.tzinfo is None:
            raise ValueError(f"asked_at {asked_at} has no time zone")
        rows = chosen.num_rows
        constants = (self.dataset, model_version, snapshot_version, asked_at)
        columns = [
            pa.array([value] * rows, ASKED.field(name).type)
            for name, value in zip(ASKED.names[len(CHOSEN) :], constants, strict=True)
        ]
        asked, shown = (chosen.select(schema.names).cast(schema).columns for schema in (CHOSEN, SHOWN))
        queued = pa.table([*asked, *columns, *shown], schema=QUEUED)
        newest = self.current()
        if newest is not None and queued_in(newest).drop_columns("asked_at").equals(queued.drop_columns("asked_at")):
            return newest
        path = self.folder / self.dataset / f"{int(newest.stem) + 1 if newest else 1:06d}.parquet"
        with written_whole(path) as temporary:
            pq.write_table(queued, temporary)
        return path

    def asked_items(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Create temp table `asked_items` and return its name: one row per item and generation that asked for it, as `ASKED`."""
        everything = pa.concat_tables([ASKED.empty_table(), *(pq.read_table(path, schema=ASKED) for path in self.asked())])
        connection.register("asked_now", everything)
        connection.execute("create or replace temp table asked_items as select * from asked_now")
        connection.unregister("asked_now")
        return "asked_items"

    def control_items(self, connection: duckdb.DuckDBPyConnection) -> str:
        """Create temp table `control_items` and return its name: one row per item that was ever in the control arm.

        Columns: item_id, probability (with which it entered the arm), asked_at (when it first was asked for).
        """
        connection.execute(
            f"""create or replace temp table control_items as
            select item_id, arg_min(probability, asked_at) as probability, min(asked_at) as asked_at
            from {self.asked_items(connection)} where reason = $reason group by item_id""",
            {"reason": CONTROL},
        )
        return "control_items"


def queued_in(path: Path) -> pa.Table:
    """One row per item that the generation at `path` asks for, as `QUEUED`."""
    return pq.read_table(path, schema=QUEUED)
