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
EXTRA_TYPES = {"string": "varchar", "integer": "bigint", "number": "double", "boolean": "boolean", "any": "varchar"}


class TrainingPolicy(BaseModel):
    """What a dataset decides about its training rows. SQL here is the project's own, over the curated table's columns."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...]  # in the order of the label's meaning
    label_sql: str  # expression that yields one of them, or null for a row that trains nothing
    text_sql: str = "clean_text"
    weight_sql: str = "1.0"
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)  # of train, validation, test
    minimum_rows: int = 100  # a snapshot below it blocks training
    minimum_class_share: float = 0.05  # a class below it is a warning


def quoted(name: str) -> str:
    """A SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


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
) -> str:
    """Create temp view `training_rows` over curated `relation` and return its name: one row per labelled, kept record.

    Columns: the dataset's key, source, item_id, text, label, rating, weight, one per extra field; and of the row's way here:
    split, cluster, subject, batch, file, line, month. The split is a hash of the cluster's first row, which is the kept row itself:
    so neither a copy nor a later version of a record ever lies in another split.
    """
    uid = quoted(dataset.key)
    has = {name.lower() for name, *_ in connection.execute(f"describe {relation}").fetchall()}
    train, validation, _ = policy.shares
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
        f"{policy.label_sql} as label",
        f"{'rating' if 'rating' in has else 'null::double'} as rating",
        f"({policy.weight_sql})::double as weight",
        *extras,
        f"case when place < {train} then 'train' when place < {train + validation} then 'validation' else 'test' end as split",
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
        f"from (select *, ('0x' || substr(sha256('split:' || {uid}), 1, 8))::ubigint / 4294967296.0 as place from {relation}) as curated {joined} "
        f"where ({policy.label_sql}) is not null"
    )
    return "training_rows"
