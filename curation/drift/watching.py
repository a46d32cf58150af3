"""Drift of a dataset's predictions: which rows are the champion's reference, which days are new, what is said of each.

The reference are the rows of the batches that the champion's snapshot was frozen from, also those without a label, for those are
predicted every day too. What the model says of rows that it learned from is surer than of any other, so labels and confidence are
compared with rows outside the train split only. A day's rows are those that came after the snapshot.
"""

import datetime
import hashlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import duckdb

from curation.drift.columns import Column
from curation.drift.judging import ColumnDrift, drifted, judged_columns
from curation.drift.kept import ChampionReference, DayDrift, DriftBook
from curation.drift.policy import DriftPolicy
from curation.drift.reference import Reference, reference_of
from curation.ingestion.ledger import ORDINALS
from curation.predictions import PredictionStore, digest_of
from curation.promotions import ModelReference
from curation.snapshots.store import SnapshotStore
from curation.training_rows import literal, quoted

INPUTS = (
    Column("length", "number"),
    Column("language", "category"),
    Column("source", "category"),
    Column("rating", "number"),
    Column("vocabulary", "text", "text"),
)
OUTPUTS = (Column("label", "category"), Column("confidence", "number", "list_max(map_values(probabilities))"))
EXTRA_PREFIX = "extra."
FORMAT = 1  # of a kept reference: another number makes them all anew
MEMORY_LIMIT = "400MB"


@dataclass(frozen=True)
class Watched:
    """What drift of one dataset is judged from, and where verdicts are kept."""

    predictions: PredictionStore
    snapshots: SnapshotStore
    champion: ModelReference
    book: DriftBook
    policy: DriftPolicy

    @property
    def identity(self) -> str:
        """What makes the reference another one: the model, its snapshot, how both are looked at."""
        told = f"{FORMAT} {self.champion.artefact_sha256} {self.champion.snapshot_digest}"
        return hashlib.sha256(told.encode()).hexdigest()[:16]


def judge_new_days(watched: Watched) -> list[DayDrift]:
    """One verdict per arrival day whose rows were not judged yet against the present champion's reference, oldest first.

    Work follows the new days; the first call after a promotion also makes the reference. A killed call goes on where it stopped.

    Raises:
        CurationError: the champion's snapshot is gone and its reference was never made, or a kept file is damaged.
    """
    parts = parts_by_day(watched.predictions, watched.champion.version)
    done = watched.book.judged(watched.identity)
    digests = {day: _judged_as(digest_of(paths), watched.policy) for day, paths in parts.items()}
    todo = [day for day, digest in digests.items() if done.get(day) != digest]
    if not todo:
        return []
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": MEMORY_LIMIT,
    }
    verdicts = []
    with duckdb.connect(config=config) as connection:
        reference = _reference(connection, watched)
        for day in todo:
            verdict = _judged_day(connection, watched, reference, parts, day)
            if verdict:
                watched.book.keep(verdict)
                verdicts.append(verdict)
            done[day] = digests[day]
            watched.book.keep_judged(watched.identity, {name: digest for name, digest in done.items() if name in digests})
    return verdicts


def _judged_as(digest: str, policy: DriftPolicy) -> str:
    """What a verdict follows from, apart from the reference: the day's predictions and the policy."""
    return hashlib.sha256(f"{digest} {policy.model_dump_json()}".encode()).hexdigest()[:16]


def parts_by_day(store: PredictionStore, version: int) -> dict[str, list[Path]]:
    """Arrival day (ISO) to the Parquet parts of a model's predictions, oldest first."""
    found: dict[str, list[Path]] = {}
    for path in store.parts(version):
        found.setdefault(path.parent.name.removeprefix("day="), []).append(path)
    return dict(sorted(found.items()))


def _view(connection: duckdb.DuckDBPyConnection, view: str, parts: Iterable[Path], condition: str) -> None:
    read = ", ".join(literal(str(path)) for path in parts)  # a view takes no bound values
    connection.execute(
        f"create or replace temp view {view} as select * from read_parquet([{read}], hive_partitioning = false) where {condition}"
    )


def _of_reference(entries: Iterable[int]) -> str:
    """SQL condition on a prediction: its row stems from one of these entries of the ledger."""
    listed = ", ".join(str(int(entry)) for entry in entries) or "null"
    return f"record_no // {ORDINALS} in ({listed})"


def _extras(connection: duckdb.DuckDBPyConnection, view: str) -> list[Column]:
    """One column per extra field that any row of the view has, by name."""
    rows = connection.execute(
        f"select distinct unnest(json_keys(extra)) as name from {view} where json_valid(extra) and json_type(extra) = 'OBJECT' order by 1"
    ).fetchall()
    return [Column(f"{EXTRA_PREFIX}{name}", "any", _of_extra(name)) for (name,) in rows]


def _of_extra(name: str) -> str:
    """SQL: an extra field's value, addressed by JSON pointer, which leaves no character of its name a meaning."""
    pointer = "/" + name.replace("~", "~0").replace("/", "~1")
    return f"(case when json_valid(extra) then extra ->> {literal(pointer)} end)"


def _reference(connection: duckdb.DuckDBPyConnection, watched: Watched) -> ChampionReference:
    """The champion's reference: kept, or made from its snapshot now."""
    kept = watched.book.reference(watched.identity)
    if kept is not None:
        return kept
    manifest = watched.snapshots.manifest(watched.book.dataset, watched.champion.snapshot_version)
    folder = watched.snapshots.folder(watched.book.dataset, watched.champion.snapshot_version)
    entries = tuple(sorted({batch.seq for batch in manifest.batches}))
    parts = watched.predictions.parts(watched.champion.version)
    _view(connection, "reference_rows", parts, _of_reference(entries))
    learned = ", ".join(literal(str(folder / path)) for path in manifest.data_parts("train"))
    taught = f"select {quoted(manifest.key)} from read_parquet([{learned}])" if learned else "select null where false"
    _view(connection, "unlearned_rows", parts, f"{_of_reference(entries)} and item_id not in ({taught})")
    row = connection.execute("select count(*) from reference_rows").fetchone()
    made = ChampionReference(
        model_version=watched.champion.version,
        snapshot_version=watched.champion.snapshot_version,
        rows=row[0] if row else 0,
        entries=entries,
        inputs=reference_of(connection, "reference_rows", [*INPUTS, *_extras(connection, "reference_rows")], "record_no"),
        outputs=reference_of(connection, "unlearned_rows", OUTPUTS, "record_no"),
    )
    watched.book.keep_reference(watched.identity, made)
    return made


def _judged_day(
    connection: duckdb.DuckDBPyConnection, watched: Watched, reference: ChampionReference, parts: dict[str, list[Path]], day: str
) -> DayDrift | None:
    """The verdict on one day, None where all its rows are the reference's own."""
    date = datetime.date.fromisoformat(day)
    condition = f"not {_of_reference(reference.entries)}" if reference.entries else "true"
    rows = _count(connection, parts[day], condition)
    if rows == 0:
        return None
    pooled, total, since = list(parts[day]), rows, None
    for back in range(1, watched.policy.pooled_days):
        if total >= watched.policy.minimum_rows:
            break
        earlier = (date - datetime.timedelta(days=back)).isoformat()
        if more := _count(connection, parts.get(earlier, []), condition):
            pooled, total, since = [*parts[earlier], *pooled], total + more, datetime.date.fromisoformat(earlier)
    _view(connection, "day_rows", pooled, condition)
    columns = _judged_all(connection, reference, watched.policy)
    return DayDrift(
        dataset=watched.book.dataset,
        day=date,
        rows=rows,
        pooled_rows=total,
        pooled_since=since,
        model_version=reference.model_version,
        snapshot_version=reference.snapshot_version,
        columns=columns,
        alarm=any(column.alarm for column in columns),
        sentence=_sentence(day, total, since, reference, columns, watched.policy),
    )


def _count(connection: duckdb.DuckDBPyConnection, parts: list[Path], condition: str) -> int:
    if not parts:
        return 0
    _view(connection, "counted_rows", parts, condition)
    row = connection.execute("select count(*) from counted_rows").fetchone()
    return row[0] if row else 0


def _judged_all(connection: duckdb.DuckDBPyConnection, reference: ChampionReference, policy: DriftPolicy) -> list[ColumnDrift]:
    """Inputs, extra fields and outputs in one family."""
    known = Reference(columns=reference.inputs.columns | reference.outputs.columns)
    extras = {column.name: column for column in _extras(connection, "day_rows")}
    gone = [name for name in known.columns if name.startswith(EXTRA_PREFIX) and name not in extras]
    extras |= {name: Column(name, "any", _of_extra(name.removeprefix(EXTRA_PREFIX))) for name in gone}
    return judged_columns(connection, "day_rows", [*INPUTS, *extras.values(), *OUTPUTS], known, policy, "record_no")


def _sentence(
    day: str,
    rows: int,
    since: datetime.date | None,
    reference: ChampionReference,
    columns: list[ColumnDrift],
    policy: DriftPolicy,
) -> str:
    """What is said of the day as a whole, in one line."""
    days = f"{since.isoformat()} to {day}" if since else day
    against = f"against {reference.snapshot_version}, the snapshot of model {reference.model_version}"
    counted = f"{days}: {rows:,} row{'s' if rows != 1 else ''}"
    alarms = drifted(columns)
    judged = sum(column.effect is not None for column in columns)
    if alarms:
        return f"{counted} {against}: {', '.join(column.name for column in alarms)} drifted. {alarms[0].sentence}"
    if rows < policy.minimum_rows:
        return f"{counted}, too few to judge; {policy.minimum_rows} are needed within {policy.pooled_days} days"
    if not judged:
        return f"{counted}, but the reference has only {reference.rows:,}; {policy.minimum_rows} are needed"
    return f"{counted} {against}: no drift in {judged} columns"
