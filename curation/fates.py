"""The fate of every record as public Parquet: what a run leaves for commands and pages to read while other runs go on.

Fates come in generations: within one, each run adds a file with what it decided; where the warehouse was built anew, a new
generation replaces the old. `CURRENT.json` names the files that count, and is replaced last.
"""

import contextlib
import datetime
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
from pydantic import BaseModel, ValidationError

from curation.binding import execute_bound
from curation.errors import CurationError
from curation.files import written_whole

if TYPE_CHECKING:
    import pyarrow as pa

DECIDED = ("spam", "empty", "exact_duplicate", "near_duplicate", "superseded", "kept")
COUNTS = ("in", "malformed", "contract", *DECIDED)
"""The columns of every count table; the first is the sum of the others."""


class BatchFates(BaseModel):
    """How many records of one batch, of those that met the contract, had which fate."""

    source: str
    day: datetime.date
    fates: dict[str, int]


class Current(BaseModel):
    """What is published: up to which ledger entry, under which epoch of the warehouse, in which files."""

    generation: int
    epoch: str
    seq: int
    files: list[str]
    batches: list[BatchFates]


class FateBook:
    """Reads and extends the published fates of one dataset."""

    def __init__(self, lake: Path, dataset: str) -> None:
        self.root = lake / "fates" / dataset

    def current(self) -> Current | None:
        """What is published, or None before the first run. CurationError when it is not as it was written."""
        path = self.root / "CURRENT.json"
        if not path.exists():
            return None
        try:
            current = Current.model_validate_json(path.read_bytes())
        except ValidationError as error:
            raise self._damaged(f"{path} is damaged") from error
        if absent := [name for name in current.files if not (self.root / name).exists()]:
            raise self._damaged(f"{self.root / absent[0]} is gone")
        return current

    def _damaged(self, what: str) -> CurationError:
        return CurationError(what, f"remove the folder {self.root}; the next run publishes all fates again")

    @contextlib.contextmanager
    def _asking(self) -> Iterator[duckdb.DuckDBPyConnection]:
        with duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}) as connection:
            try:
                yield connection
            except (duckdb.IOException, duckdb.InvalidInputException) as error:
                raise self._damaged(f"the published fates cannot be read: {str(error).splitlines()[0]}") from error

    def files(self) -> list[str]:
        """Paths of the Parquet files that count, oldest first."""
        current = self.current()
        return [str(self.root / name) for name in current.files] if current else []

    def publish(self, connection: duckdb.DuckDBPyConnection, fates: str, batches: str, epoch: str) -> Current:
        """Write what relation `fates` decided since the last publication; `batches` has the counts of every batch.

        `fates`: columns record_no, record_id, the dataset's key, native_id, source, day, file, line, fate, rule, duplicate_of, jaccard,
        decided_at_seq. `epoch`: changes when the warehouse was built anew; then everything is written again.
        """
        before = self.current()
        fresh = before is None or before.epoch != epoch
        since = 0 if before is None or fresh else before.seq
        generation = (before.generation + 1 if before else 1) if before is None or fresh else before.generation
        row = connection.execute(f"select coalesce(max(decided_at_seq), 0) from {fates}").fetchone()
        seq = max(since, row[0] if row else 0)
        files = [] if before is None or fresh else list(before.files)
        if seq > since:
            name = f"{generation:04d}/{since + 1:06d}-{seq:06d}.parquet"
            with written_whole(self.root / name) as temporary:
                selection = connection.sql(f"select * from {fates} where decided_at_seq > {since}")
                selection.write_parquet(str(temporary), compression="zstd")
            files.append(name)
        counts = connection.execute(f"select source, day, {', '.join(DECIDED)} from {batches} order by day, source").fetchall()
        current = Current(
            generation=generation,
            epoch=epoch,
            seq=seq,
            files=files,
            batches=[
                BatchFates(source=source, day=day, fates=dict(zip(DECIDED, numbers, strict=True)))
                for source, day, *numbers in counts
            ],
        )
        with written_whole(self.root / "CURRENT.json") as temporary:
            temporary.write_text(current.model_dump_json(indent=1))
        if fresh and before is not None:
            shutil.rmtree(self.root / f"{before.generation:04d}", ignore_errors=True)
        return current

    def last_of(self, keys: "pa.Table", key: str) -> "pa.Table":
        """What became of the last delivery under each key: columns `key`, fate, rule, duplicate_of. `keys`: one column, `key`."""
        with self._asking() as connection:
            connection.register("wanted", keys)
            return connection.execute(
                f"select {key}, arg_max(fate, place) as fate, arg_max(rule, place) as rule, arg_max(duplicate_of, place) as duplicate_of "
                f"from (select *, {{'no': record_no, 'at': decided_at_seq}} as place from read_parquet(?) semi join wanted using ({key})) "
                "group by all",
                [self.files()],
            ).to_arrow_table()

    def of(self, identity: str, key: str) -> list[dict[str, object]]:
        """Every record with that native id or uid, oldest first, each with its last fate."""
        files = self.files()
        if not files:
            return []
        with self._asking() as connection:
            found = execute_bound(
                connection,
                f"select * from read_parquet($files) where {key} = $identity or native_id = $identity "
                "qualify row_number() over (partition by record_no order by decided_at_seq desc) = 1 order by record_no",
                {"files": files, "identity": identity},
            )
            names = [column[0] for column in found.description or []]
            return [dict(zip(names, values, strict=True)) for values in found.fetchall()]
