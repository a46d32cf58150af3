"""What a model said of each item: immutable Parquet parts by model and arrival day, and the one way to add to them.

Knows neither how a model is made nor which one is champion; `predict` is handed a pipeline. Parts are public: feedback is matched
with them, queues are drawn from them, pages show them.
"""

import datetime
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.feedback.events import prediction_id_of
from curation.files import valid_name, written_whole
from curation.training_rows import literal, quoted

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

SCHEMA = pa.schema({
    "prediction_id": pa.string(),  # deterministic: the same model on the same item and text has the same one
    "dataset": pa.string(),
    "item_id": pa.string(),  # the dataset's key: what is judged (of reviews, review_uid)
    "record_no": pa.int64(),
    "source": pa.string(),
    "day": pa.date32(),  # arrival day of the item
    "text": pa.string(),  # the features as they were
    "label": pa.string(),
    "probabilities": pa.map_(pa.string(), pa.float64()),
    "margin": pa.float64(),  # of the first over the second class
    "model_version": pa.int32(),
    "model_sha256": pa.string(),
    "snapshot_version": pa.string(),
    "language": pa.string(),
    "length": pa.int32(),  # words
    "rating": pa.float64(),
    "extra": pa.string(),
    "predicted_at": pa.timestamp("us", "UTC"),
})  # fmt: skip
ROWS_AT_ONCE = 20_000  # texts in memory; their features take 100 MB
ROWS_A_PART = 100_000
ROWS_A_GROUP = 5_000  # the 50 least sure of a million in 210 CPU ms; with groups of 20,000 in 580, at 1% less space


@dataclass(frozen=True)
class Predictor:
    """A fitted pipeline with what its predictions must say of it."""

    pipeline: "Pipeline"
    version: int
    artefact_sha256: str
    snapshot_version: str


class PredictionStore:
    """The predictions of one dataset, by model version and arrival day of the item."""

    def __init__(self, root: Path, dataset: str) -> None:
        self.dataset = valid_name(dataset, "dataset")
        self.root = root / dataset

    def parts(self, version: int | None = None) -> list[Path]:
        """Parquet parts of a model version, or of all, in the order of their names."""
        model = "*" if version is None else f"{version:04d}"
        return sorted(self.root.glob(f"model={model}/day=*/*.parquet"))

    def register(self, connection: duckdb.DuckDBPyConnection, view: str, version: int | None = None) -> None:
        """Temp view `view` with the columns of SCHEMA: the predictions of a model version, or of all."""
        parts = ", ".join(literal(str(path)) for path in self.parts(version))  # a view takes no bound values
        if parts:
            read = f"select * from read_parquet([{parts}], hive_partitioning = false)"
            connection.execute(f"create or replace temp view {quoted(view)} as {read}")
        else:
            connection.register(view, SCHEMA.empty_table())

    def add(
        self, connection: duckdb.DuckDBPyConnection, relation: str, key: str, predictor: Predictor, *, now: datetime.datetime
    ) -> int:
        """Predict the rows of curated `relation` that this model has not seen with this text; how many there were.

        `relation`: columns of the dataset's `key`, source, day, record_no, clean_text, and where it has them rating and extra.
        A record_no never means another text, unless the code that cleans changes; then the next model predicts anew.
        A part is written whole and its rows follow from the relation alone, so a killed call goes on where it stopped.
        """
        has = {name for name, *_ in connection.execute(f"describe {relation}").fetchall()}
        self.register(connection, "predicted", predictor.version)
        optional = ", ".join(name if name in has else f"null as {name}" for name in ("rating", "extra"))
        todo = connection.execute(
            f"select {quoted(key)} as item_id, record_no, source, day, clean_text as text, {optional} from {relation} "
            "where record_no not in (select record_no from predicted) order by day, record_no"
        )
        added = 0
        for day, rows in _by_day(todo.to_arrow_reader(ROWS_AT_ONCE)):
            self._write(day, self._predicted(rows, predictor, now), predictor.version)
            added += rows.num_rows
        return added

    def _write(self, day: datetime.date, rows: pa.Table, version: int) -> None:
        folder = self.root / f"model={version:04d}" / f"day={day.isoformat()}"
        number = max((int(part.stem) for part in folder.glob("*.parquet")), default=0) + 1
        with written_whole(folder / f"{number:04d}.parquet") as temporary:
            pq.write_table(rows, temporary, compression="zstd", row_group_size=ROWS_A_GROUP)

    def _predicted(self, rows: pa.Table, predictor: Predictor, now: datetime.datetime) -> pa.Table:
        import polars as pl
        from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

        from curation.learning.language import script_of

        texts = rows["text"].to_pylist()
        with threadpool_limits(limits=1):  # as in training: sums of floats depend on how threads share them
            probabilities = np.vstack([
                predictor.pipeline.predict_proba(texts[start : start + ROWS_AT_ONCE])
                for start in range(0, len(texts), ROWS_AT_ONCE)
            ])  # fmt: skip
        # The model's own are float32 and sum to 1 within 1e-6: divided anew, they are probabilities to whoever multiplies them.
        probabilities = probabilities.astype(np.float64)
        probabilities /= probabilities.sum(axis=1, keepdims=True)
        classes = [str(name) for name in predictor.pipeline.classes_]
        ranked = np.sort(probabilities, axis=1)
        ids = [
            prediction_id_of(self.dataset, item, predictor.artefact_sha256, text)
            for item, text in zip(rows["item_id"].to_pylist(), texts, strict=True)
        ]
        told = pl.Series(rows["text"])
        count = rows.num_rows
        offsets = np.arange(0, count * len(classes) + 1, len(classes), dtype=np.int32)
        columns: dict[str, Any] = {
            "prediction_id": ids,
            "dataset": [self.dataset] * count,
            "item_id": rows["item_id"],
            "record_no": rows["record_no"],
            "source": rows["source"],
            "day": rows["day"],
            "text": rows["text"],
            "label": [classes[index] for index in probabilities.argmax(axis=1)],
            "probabilities": pa.MapArray.from_arrays(offsets, classes * count, probabilities.ravel()),
            "margin": ranked[:, -1] - ranked[:, -2],
            "model_version": np.full(count, predictor.version),
            "model_sha256": [predictor.artefact_sha256] * count,
            "snapshot_version": [predictor.snapshot_version] * count,
            "language": script_of(told),
            "length": told.str.count_matches(r"\S+"),
            "rating": rows["rating"],
            "extra": rows["extra"],
            "predicted_at": [now] * count,
        }
        return pa.table([_as(columns[field.name], field.type) for field in SCHEMA], schema=SCHEMA)


def _as(values: Any, kind: pa.DataType) -> Any:
    """`values` (Arrow, NumPy, polars or a list) as one Arrow array of that type."""
    if hasattr(values, "to_arrow"):
        values = values.to_arrow()
    return values.cast(kind) if isinstance(values, pa.Array | pa.ChunkedArray) else pa.array(values, kind)


def _by_day(batches: pa.RecordBatchReader) -> Iterator[tuple[datetime.date, pa.Table]]:
    """The rows (sorted by day) in tables of one day and at most ROWS_A_PART rows each, the same cuts wherever one starts."""
    waiting: list[pa.Table] = []

    def day_of(table: pa.Table, row: int) -> datetime.date:
        day: datetime.date = table["day"][row].as_py()
        return day

    for batch in batches:
        rest = pa.Table.from_batches([batch])
        while rest.num_rows:
            day = day_of(rest, 0)
            days = rest["day"].to_numpy()
            same = int(np.searchsorted(days, days[0], side="right"))
            if waiting and day_of(waiting[0], 0) != day:
                yield day_of(waiting[0], 0), pa.concat_tables(waiting)
                waiting = []
            room = ROWS_A_PART - sum(table.num_rows for table in waiting)
            waiting.append(rest.slice(0, min(same, room)))
            rest = rest.slice(min(same, room))
            if sum(table.num_rows for table in waiting) == ROWS_A_PART:
                yield day, pa.concat_tables(waiting)
                waiting = []
    if waiting:
        yield day_of(waiting[0], 0), pa.concat_tables(waiting)


def digest_of(parts: list[Path]) -> str:
    """Hex SHA-256 over names and sizes of parts: what changes when predictions were added."""
    listed = "\n".join(f"{path.parent.parent.name}/{path.parent.name}/{path.name} {path.stat().st_size}" for path in parts)
    return hashlib.sha256(listed.encode()).hexdigest()
