"""The snapshots of a dataset as lineage sees them: which there are or must have been, and which of their rows answer to a value.

A version that was deleted or damaged by hand is not passed over in silence: it comes out as `Lost`, with what is wrong. Parquet parts
that versions share (hard links under one SHA-256) are read once.
"""

import re
from collections.abc import Collection, Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb

from curation.binding import execute_bound
from curation.errors import CurationError
from curation.lineage.places import parquet, rows_of
from curation.snapshots.manifest import MANIFEST_NAME, Manifest, SnapshotFile, read_manifest
from curation.training_rows import quoted

COLUMNS = ("text", "label", "label_origin", "weight", "labelled_at")
"""Of a training row, beside its key."""
NAME = re.compile(r"v(\d{4,})")  # as the store names versions; to import it would import all that writes them
RESTORE = "restore its folder from a copy, or with `dvc pull` where snapshots are under DVC"


@dataclass(frozen=True)
class Lost:
    """A version that must have been there and cannot be read, with why."""

    version: str
    why: str


@dataclass(frozen=True)
class Version:
    """A version on disk."""

    folder: Path
    manifest: Manifest

    def paths(self, files: Iterable[str]) -> list[Path]:
        """Where these files of the manifest lie."""
        return [self.folder / name for name in files]


@dataclass
class FrozenSnapshots:
    """All versions of one dataset, each manifest read once; `counted` remembers what a part was asked already."""

    root: Path
    dataset: str
    _read: dict[str, Version | Lost] = field(default_factory=dict)
    _counted: dict[tuple[str, Hashable], int] = field(default_factory=dict)

    def versions(self, named: Collection[str]) -> list[str]:
        """Every version there is or was, oldest first: on disk, `named` by models, and the numbers missing between them."""
        folder = self.root / self.dataset
        on_disk = [entry.name for entry in folder.iterdir()] if folder.is_dir() else []
        found = {name for name in [*on_disk, *named] if NAME.fullmatch(name)}
        newest = max((int(name[1:]) for name in found), default=0)
        return [f"v{number:04d}" for number in range(1, newest + 1)]

    def version(self, name: str) -> Version | Lost:
        """A version with its manifest, or what is wrong with it."""
        if name not in self._read:
            self._read[name] = self._look(name)
        return self._read[name]

    def _look(self, name: str) -> Version | Lost:
        folder = self.root / self.dataset / name
        if not folder.is_dir():
            return Lost(name, f"its folder {folder} is gone")
        try:
            manifest = read_manifest(folder / MANIFEST_NAME)
        except CurationError as error:
            return Lost(name, error.message)
        read = [path for path in manifest.files if path.endswith(".parquet")]
        gone = next((path for path in read if not (folder / path).exists()), None)
        return Lost(name, f"its file {folder / gone} is gone") if gone else Version(folder, manifest)

    def count(
        self,
        connection: duckdb.DuckDBPyConnection,
        version: Version,
        files: dict[str, SnapshotFile],
        condition: str,
        values: dict[str, str | tuple[str, ...]],
    ) -> int:
        """Rows of these parts that meet an SQL condition with these values; a part that another version has too is asked once."""
        total = 0
        asked = (condition, *values.items())
        for path, file in files.items():
            key = (file.sha256, asked)
            if key not in self._counted:
                query = f"select count(*) from {parquet([version.folder / path])} where {condition}"
                row = execute_bound(connection, query, values).fetchone()
                self._counted[key] = row[0] if row else 0
            total += self._counted[key]
        return total


@dataclass(frozen=True)
class Place:
    """One row of a snapshot's index: which split it is in, and where it came from."""

    key: str
    split: str
    cluster: str
    batch: str
    file: str
    line: int

    @property
    def month(self) -> str:
        """YYYY-MM of arrival, which names the row's part."""
        return self.batch.rpartition("/")[2][:7]


def places(connection: duckdb.DuckDBPyConnection, version: Version, key: str) -> list[Place]:
    """The index rows of the row with that key and of all that share its cluster, by key; none where the key is not in it.

    Row groups are sorted by key, so the first look reads one; the second reads the cluster column alone (64 MB at 1,000,000 rows).
    """
    manifest = version.manifest
    index = parquet(version.paths(manifest.index_parts()))
    uid = quoted(manifest.key)
    own = execute_bound(connection, f"select cluster from {index} where {uid} = $key", {"key": key}).fetchone()
    if own is None:
        return []
    query = f"select {uid}, split, cluster, batch, file, line from {index} where cluster = $cluster order by 1"
    return [Place(*row) for row in execute_bound(connection, query, {"cluster": own[0]}).fetchall()]


def data_of(connection: duckdb.DuckDBPyConnection, version: Version, found: Collection[Place]) -> dict[str, dict[str, Any]]:
    """Key -> what the snapshot holds of that row: text, label, and label_origin, weight, labelled_at, None where it has no such column.

    Opens the parts of these rows' splits and months only; DuckDB narrows them to the row groups that the keys lie in.
    """
    manifest = version.manifest
    has = {column.name for column in manifest.columns}
    chosen = ", ".join(name if name in has else f"null as {name}" for name in COLUMNS)
    parts = {f"data/{place.split}/{place.month}.parquet" for place in found} & manifest.files.keys()
    if not parts:
        return {}
    query = (
        f"select {quoted(manifest.key)} as key, {chosen} from {parquet(version.paths(sorted(parts)))} "
        f"where {quoted(manifest.key)} in (select unnest($keys))"
    )
    return {row.pop("key"): row for row in rows_of(execute_bound(connection, query, {"keys": [place.key for place in found]}))}
