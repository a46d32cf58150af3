"""What changed between two versions of a snapshot, by how much, and why. Reads Parquet parts; writes nothing.

Parts with the same digest in both versions are not opened. Rows are told apart by 64-bit hashes that live only as long as
the comparison: nothing stored depends on them.
"""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset
from pydantic import BaseModel

from curation.snapshots.manifest import Manifest
from curation.snapshots.parts import arrow_schema, index_columns
from curation.snapshots.store import SnapshotStore
from curation.training_rows import quoted

Fates = Callable[[pa.Table], pa.Table]
"""Given a table with one column, the key: a table of that key column, fate, rule and duplicate_of (a key or null)."""

NOT_DELIVERED = "no longer delivered"
UNTRAINED = "kept, but trains nothing now"


class Sample(BaseModel):
    """One row that changed: its values in both versions (None where it is absent), its batch, and why it left."""

    key: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    batch: str | None
    reason: str | None = None
    duplicate_of: str | None = None


class Difference(BaseModel):
    """Rows of version `a` against those of version `b`. A changed row counts once in `changed` and once in each kind it is of."""

    dataset: str
    a: str
    b: str
    digest_a: str
    digest_b: str
    rows_a: int
    rows_b: int
    added: int
    removed: int
    changed: int
    relabelled: int
    reweighted: int
    moved: int  # to another split
    changed_columns: dict[str, int]  # column -> rows, for columns that both versions have
    relabelled_as: dict[str, int]  # "negative -> positive" -> rows
    columns_added: list[str]
    columns_removed: list[str]
    added_from: dict[str, int]  # batch -> rows
    removed_from: dict[str, int]  # batch -> rows
    removed_because: dict[str, int]  # reason -> rows; empty when no fates were given
    samples: dict[str, list[Sample]]  # "added", "removed", "relabelled", "reweighted", "moved", "changed <column>"
    parts_compared: int
    parts_skipped: int

    @property
    def is_empty(self) -> bool:
        """Whether both versions hold the same rows."""
        return not (self.added or self.removed or self.changed)


def _differing(mine: Manifest, other: Manifest) -> list[str]:
    """Data parts of `mine` that `other` does not have with the same rows."""
    if mine.column_types != other.column_types:
        return list(mine.data_parts())
    theirs = other.data_parts()
    return [path for path, file in mine.data_parts().items() if path not in theirs or theirs[path].digest != file.digest]


@contextlib.contextmanager
def _scratch() -> Iterator[duckdb.DuckDBPyConnection]:
    """A DuckDB of its own with bounded memory, its spill in a temporary folder."""
    with tempfile.TemporaryDirectory(prefix="curation-diff-") as spill:
        config: dict[str, str | bool | int | float | list[str]] = {
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
            "memory_limit": "700MB",
            "temp_directory": spill,
        }
        with duckdb.connect(config=config) as connection:
            yield connection


class _Side:
    """One version, as far as it differs: views `<name>` (rows with split) and `<name>_index` in the connection."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, name: str, *, folder: Path, manifest: Manifest, parts: Sequence[str]
    ) -> None:
        self.name = name
        self.connection = connection
        self.manifest = manifest
        schema = arrow_schema(manifest.columns)
        by_split: dict[str, list[str]] = {}
        for path in parts:
            by_split.setdefault(manifest.files[path].split or "", []).append(str(folder / path))
        selects = []
        for split, paths in by_split.items():
            connection.register(f"{name}_{split}", pyarrow.dataset.dataset(paths, schema=schema, format="parquet"))
            selects.append(f"select *, '{split}' as split from {name}_{split}")
        if not selects:
            connection.register(f"{name}_none", schema.empty_table())
            selects = [f"select *, '' as split from {name}_none"]
        connection.execute(f"create temp view {name} as {' union all by name '.join(selects)}")
        months = sorted({path.rsplit("/", 1)[1] for path in parts})
        index = arrow_schema(index_columns(manifest.key))
        paths = [str(folder / "index" / month) for month in months]
        rows = pyarrow.dataset.dataset(paths, schema=index, format="parquet") if paths else index.empty_table()
        connection.register(f"{name}_index", rows)

    def narrow(self, columns: Sequence[str]) -> str:
        """SQL of one row per row: key, split, label, and the hash of each of `columns`."""
        key = quoted(self.manifest.key)
        hashes = "".join(f", hash({quoted(column)}) as {quoted('h_' + column)}" for column in columns)
        return f"select {key} as key, split, label{hashes} from {self.name}"

    def rows(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Full rows by key."""
        listed = pa.table({"wanted": pa.array(keys, pa.string())})
        self.connection.register("wanted_keys", listed)
        query = f"select rows.* from {self.name} as rows semi join wanted_keys on rows.{quoted(self.manifest.key)} = wanted"
        found = self.connection.execute(query).to_arrow_table()
        self.connection.unregister("wanted_keys")
        return {row[self.manifest.key]: row for row in found.to_pylist()}


def _compare(connection: duckdb.DuckDBPyConnection, a: _Side, b: _Side, columns: Sequence[str]) -> None:
    """Temp table `changes`: one row per key that differs, with its kinds."""
    hashes = [(quoted(f"h_{column}"), quoted(f"c_{column}")) for column in columns]
    differs = "".join(f", a.{hashed} is distinct from b.{hashed} as {changed}" for hashed, changed in hashes)
    flags = " or ".join(["a.split is distinct from b.split", *(changed for _, changed in hashes)])
    connection.execute(
        "create temp table changes as select coalesce(a.key, b.key) as key, "
        "a.key is null as is_added, b.key is null as is_removed, "
        f"a.split is distinct from b.split as is_moved, a.label as label_before, b.label as label_after{differs} "
        f"from ({a.narrow(columns)}) as a full join ({b.narrow(columns)}) as b on a.key = b.key "
        f"where a.key is null or b.key is null or {flags}"
    )


def _grouped(connection: duckdb.DuckDBPyConnection, query: str) -> dict[str, int]:
    """A two-column query as a dictionary, largest first."""
    return {str(name): int(count) for name, count in connection.execute(f"{query} order by 2 desc, 1").fetchall()}


def _count(connection: duckdb.DuckDBPyConnection, condition: str) -> int:
    row = connection.execute(f"select count(*) from changes where {condition}").fetchone()
    return int(row[0]) if row else 0


def fates_in(path: Path, key: str) -> Fates:
    """A lookup in one Parquet file with columns `key`, fate, rule, duplicate_of; one row per key, that of its last record."""

    def look_up(keys: pa.Table) -> pa.Table:
        rows = pyarrow.dataset.dataset([str(path)], format="parquet")
        asked = pyarrow.dataset.field(key).isin(keys[key].combine_chunks())
        return rows.to_table(columns=[key, "fate", "rule", "duplicate_of"], filter=asked)

    return look_up


def _explain(connection: duckdb.DuckDBPyConnection, key: str, fates: Fates | None) -> None:
    """Temp table `reasons` (key, reason, duplicate_of): one row per removed key; empty without fates."""
    if fates is None:
        connection.execute("create temp table reasons (key varchar, reason varchar, duplicate_of varchar)")
        return
    removed = connection.execute(f"select key as {quoted(key)} from changes where is_removed order by 1").to_arrow_table()
    connection.register("known_fates", fates(removed))
    connection.execute(
        f"create temp table reasons as select changes.key, case when fate is null then '{NOT_DELIVERED}' "
        f"when fate = 'kept' then '{UNTRAINED}' when rule is null then fate "
        "else fate || ': ' || rule end as reason, duplicate_of "
        f"from changes left join (select {quoted(key)} as known, fate::varchar as fate, rule::varchar as rule, "
        "duplicate_of::varchar as duplicate_of from known_fates) on changes.key = known where is_removed"
    )
    connection.unregister("known_fates")


def _first_keys(connection: duckdb.DuckDBPyConnection, condition: str, count: int) -> list[str]:
    query = f"select key from changes where {condition} order by key limit {count}"
    return [key for (key,) in connection.execute(query).fetchall()]


def _samples(a: _Side, b: _Side, kinds: dict[str, str], count: int) -> dict[str, list[Sample]]:
    """The first `count` rows by key of each kind."""
    connection = a.connection
    picked = {kind: _first_keys(connection, condition, count) for kind, condition in kinds.items()}
    keys = sorted({key for chosen in picked.values() for key in chosen})
    before, after = a.rows(keys), b.rows(keys)
    connection.register("sampled", pa.table({"sampled_key": pa.array(keys, pa.string())}))
    batches: dict[str, str] = {}
    for side in (a, b):
        name = quoted(side.manifest.key)
        query = f"select {name}, batch from {side.name}_index semi join sampled on {name} = sampled_key"
        batches |= dict(connection.execute(query).fetchall())
    explained = connection.execute("select reasons.* from reasons semi join sampled on key = sampled_key").fetchall()
    why = {key: (reason, duplicate_of) for key, reason, duplicate_of in explained}
    connection.unregister("sampled")

    def sample(key: str) -> Sample:
        reason, duplicate_of = why.get(key, (None, None))
        values = {"before": before.get(key), "after": after.get(key)}
        return Sample(key=key, **values, batch=batches.get(key), reason=reason, duplicate_of=duplicate_of)

    return {kind: [sample(key) for key in chosen] for kind, chosen in picked.items() if chosen}


def _by_batch(connection: duckdb.DuckDBPyConnection, side: _Side, condition: str) -> dict[str, int]:
    key = quoted(side.manifest.key)
    chosen = f"(select key from changes where {condition})"
    return _grouped(connection, f"select batch, count(*) from {side.name}_index semi join {chosen} on {key} = key group by 1")


def diff(store: SnapshotStore, dataset: str, a: str, b: str, *, fates: Fates | None = None, samples: int = 5) -> Difference:
    """Compare version `a` with version `b` of a dataset; CurationError when one of them does not exist.

    `fates` tells why removed rows left (see `Fates` and `fates_in`). `samples`: rows shown of each kind.
    """
    folder_a, folder_b = store.folder(dataset, a), store.folder(dataset, b)
    before, after = store.manifest(dataset, a), store.manifest(dataset, b)
    parts_a, parts_b = _differing(before, after), _differing(after, before)
    names_a, names_b = ([column.name for column in manifest.columns] for manifest in (before, after))
    common = [name for name in names_a if name in names_b and name != before.key]
    changed = "not is_added and not is_removed"
    with _scratch() as connection:
        side_a = _Side(connection, "rows_a", folder=folder_a, manifest=before, parts=parts_a)
        side_b = _Side(connection, "rows_b", folder=folder_b, manifest=after, parts=parts_b)
        _compare(connection, side_a, side_b, common)
        _explain(connection, before.key, fates)
        kinds = {"added": "is_added", "removed": "is_removed", "moved": f"{changed} and is_moved"}
        kinds |= {_kind(name): f"{changed} and {quoted('c_' + name)}" for name in common}
        flip = "label_before || ' -> ' || label_after"
        counted = {kind: _count(connection, condition) for kind, condition in kinds.items()}
        return Difference(
            dataset=dataset,
            a=a,
            b=b,
            digest_a=before.digest,
            digest_b=after.digest,
            rows_a=before.rows,
            rows_b=after.rows,
            added=counted["added"],
            removed=counted["removed"],
            changed=_count(connection, changed),
            relabelled=counted["relabelled"],
            reweighted=counted.get("reweighted", 0),
            moved=counted["moved"],
            changed_columns={name: counted[_kind(name)] for name in common if counted[_kind(name)]},
            relabelled_as=_grouped(connection, f"select {flip}, count(*) from changes where {kinds['relabelled']} group by 1"),
            columns_added=[name for name in names_b if name not in names_a],
            columns_removed=[name for name in names_a if name not in names_b],
            added_from=_by_batch(connection, side_b, "is_added"),
            removed_from=_by_batch(connection, side_a, "is_removed"),
            removed_because=_grouped(connection, "select reason, count(*) from reasons group by 1"),
            samples=_samples(side_a, side_b, kinds, samples),
            parts_compared=len({*parts_a, *parts_b}),
            parts_skipped=len({*before.data_parts(), *after.data_parts()} - {*parts_a, *parts_b}),
        )


def _kind(column: str) -> str:
    """What a change of that column is called."""
    return {"label": "relabelled", "weight": "reweighted"}.get(column, f"changed {column}")
