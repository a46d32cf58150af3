"""From a curated table to training rows: label, split, weight and the subject's keyed id. One relation, any dataset.

The policy says how; the snapshot store freezes what comes out. Nothing is written here.
"""

import hashlib
import hmac
from collections.abc import Mapping

import duckdb
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from curation.dataset import Dataset
from curation.ingestion.sources import Source

SPLITS = ("train", "validation", "test")
SPAM = "spam"
"""What annotators may say of any dataset's item: it leaves the training rows."""
EXTRA_TYPES = {"string": "varchar", "integer": "bigint", "number": "double", "boolean": "boolean", "any": "varchar"}


class TrainingPolicy(BaseModel):
    """What a dataset decides about its training rows. SQL here is the project's own, over the curated table's columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...]  # in the order of the label's meaning
    label_sql: str  # expression that yields one of them, or null for a row that trains nothing
    text_sql: str = "clean_text"
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)  # of train, validation, test
    minimum_rows: int = 100  # a snapshot below it blocks training
    minimum_class_share: float = 0.05  # a class below it is a warning

    @property
    def train_until(self) -> float:
        """Where the train split ends in [0, 1), see `place_of`."""
        return self.shares[0]

    @property
    def test_from(self) -> float:
        """Where the test split begins in [0, 1)."""
        return self.shares[0] + self.shares[1]


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: str) -> str:
    """A SQL text."""
    return "'" + text.replace("'", "''") + "'"


def place_of(column: str) -> str:
    """SQL: the place of a row in [0, 1), a hash of its key; the split follows from it and never changes."""
    return f"('0x' || substr(sha256('split:' || {column}), 1, 8))::ubigint / 4294967296.0"


def extra_columns(sources: Mapping[str, Source]) -> dict[str, str]:
    """Extra fields of all sources with their DuckDB types, by name."""
    return {name: EXTRA_TYPES[rule.type] for source in sources.values() for name, rule in sorted(source.extra.items())}


def subject_id(key: bytes, person: str) -> str:
    """Keyed id of a person: HMAC-SHA-256, 32 hex digits. Who has the key can find a person's rows, nobody else."""
    return hmac.new(key, person.encode(), hashlib.sha256).hexdigest()[:32]


def _register_subjects(connection: duckdb.DuckDBPyConnection, dataset: Dataset, relation: str, key: bytes) -> None:
    """Table `subjects` (person, subject): each person hashed once."""
    column = quoted(dataset.subject or "")
    people = connection.execute(f"select distinct {column} as person from {relation} where {column} is not null").to_arrow_table()
    ids = pa.array([subject_id(key, person) for person in people["person"].to_pylist()], pa.string())
    connection.register("subjects_now", pa.table({"person": people["person"], "subject": ids}))
    connection.execute("create or replace temp table subjects as select * from subjects_now")
    connection.unregister("subjects_now")


def training_rows(
    connection: duckdb.DuckDBPyConnection,
    dataset: Dataset,
    policy: TrainingPolicy,
    sources: Mapping[str, Source],
    relation: str,
    key: bytes,
    human_labels: pa.Table | None = None,
) -> str:
    """Create temp view `training_rows` over curated `relation` and return its name: one row per labelled, kept record.

    Columns: the dataset's key, source, item_id, text, label, label_origin ("derived" from the record, or "human"), weight (the
    label's reliability: 1 where derived), labelled_at, rating, one per extra field; and of the row's way here: split, cluster,
    subject, batch, file, line, month. The split is a hash of the cluster's first row, which is the kept row itself: so neither a
    copy nor a later version of a record ever lies in another split.

    `human_labels`: item_id (the dataset's key), label, confidence, labelled_at, one row per item that people agree on. They
    replace derived labels in the train and validation splits, and take out what people call spam. The test split stays as
    derived for ever: models are compared on it.
    """
    uid = quoted(dataset.key)
    has = {name.lower() for name, *_ in connection.execute(f"describe {relation}").fetchall()}
    _register_labels(connection, human_labels)
    if dataset.subject:
        _register_subjects(connection, dataset, relation, key)
    extras = [
        f"try_cast(extra ->> '$.{quoted(name)}' as {kind}) as {quoted(name)}" for name, kind in extra_columns(sources).items()
    ]
    chosen = [
        uid,
        "source",
        f"{'item_id' if 'item_id' in has else 'null::varchar'} as item_id",
        f"{policy.text_sql} as text",
        f"coalesce(human_labels.label, {policy.label_sql}) as label",
        f"{'rating' if 'rating' in has else 'null::double'} as rating",
        "if(human_labels.label is null, 'derived', 'human') as label_origin",
        "coalesce(human_labels.confidence, 1.0)::double as weight",
        "coalesce(human_labels.labelled_at, day::timestamp) as labelled_at",
        *extras,
        f"case when place < {policy.train_until} then 'train' when place < {policy.test_from} then 'validation' else 'test' end as split",
        f"{uid} as cluster",
        "subject" if dataset.subject else "null::varchar as subject",
        "source || '/' || day as batch",
        "file",
        "line",
        "strftime(day, '%Y-%m') as month",
    ]
    joined = f"left join subjects on subjects.person = curated.{quoted(dataset.subject)}" if dataset.subject else ""
    connection.execute(
        f"create or replace temp view training_rows as select {', '.join(chosen)} "
        f"from (select *, {place_of(uid)} as place from {relation}) as curated {joined} "
        f"left join human_labels on human_labels.labelled = curated.{uid} and place < {policy.test_from} "
        f"where coalesce(human_labels.label, {policy.label_sql}) is not null and human_labels.label is distinct from '{SPAM}'"
    )
    return "training_rows"


LABELS = pa.schema({
    "item_id": pa.string(),
    "label": pa.string(),
    "confidence": pa.float64(),
    "labelled_at": pa.timestamp("us"),  # UTC, without saying so: DuckDB's time zone must not matter
})  # fmt: skip


def _register_labels(connection: duckdb.DuckDBPyConnection, human_labels: pa.Table | None) -> None:
    """Table `human_labels`, empty where there are none."""
    rows = LABELS.empty_table() if human_labels is None else human_labels.select(LABELS.names).cast(LABELS)
    connection.register("labels_now", rows)
    connection.execute(
        "create or replace temp table human_labels as select item_id as labelled, * exclude (item_id) from labels_now"
    )
    connection.unregister("labels_now")
