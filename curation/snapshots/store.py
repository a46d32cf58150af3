"""The folder of all snapshots: which versions there are, and the one way to add another.

`<root>/<dataset>/v0001/` holds a version, `LATEST` beside it names the newest. A version appears by one rename, whole, and is
never changed afterwards (its files are read-only); Parquet parts equal to the parent's are hard links to them.
Which rows belong in a snapshot is the caller's affair.
"""

import contextlib
import os
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
from filelock import FileLock, Timeout

from curation.errors import CurationError
from curation.files import folder_written_whole, sha256_of_file, valid_name, written_whole
from curation.snapshots.card import card
from curation.snapshots.manifest import (
    MANIFEST_NAME,
    Column,
    Manifest,
    Parent,
    SnapshotFacts,
    SnapshotFile,
    SnapshotSpec,
    read_manifest,
)
from curation.snapshots.parts import Written, check_columns, check_places, described, write_csv, write_index, write_rows
from curation.training_rows import SPLITS, quoted

VERSION = re.compile(r"v(\d{4,})")
CARD_NAME = "README.md"


@dataclass(frozen=True)
class Snapshot:
    """A version on disk; `is_new` is False when `write` found nothing to change."""

    folder: Path
    manifest: Manifest
    is_new: bool


class SnapshotStore:
    """All versions of all datasets below one folder."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def versions(self, dataset: str) -> list[str]:
        """Versions on disk, oldest first; v10000 follows v9999."""
        folder = self.root / valid_name(dataset, "dataset")
        names = [entry.name for entry in folder.iterdir() if VERSION.fullmatch(entry.name)] if folder.is_dir() else []
        return sorted(names, key=lambda name: int(name[1:]))

    def latest(self, dataset: str) -> str | None:
        """What LATEST says, or None before the first snapshot."""
        path = self.root / valid_name(dataset, "dataset") / "LATEST"
        return path.read_text().strip() if path.exists() else None

    def folder(self, dataset: str, version: str | None = None) -> Path:
        """Folder of a version, the latest when none is given; CurationError when there is no such version."""
        wanted = version if version is not None else self.latest(dataset)
        versions = self.versions(dataset)
        if wanted is None:
            raise CurationError(f"{dataset} has no snapshot yet", f"curation run {dataset}")
        if wanted not in versions:
            raise CurationError(f"{dataset} has no snapshot {wanted!r}", f"there are: {', '.join(versions) or 'none'}")
        return self.root / dataset / wanted

    def manifest(self, dataset: str, version: str | None = None) -> Manifest:
        """Manifest of a version, the latest when none is given."""
        return read_manifest(self.folder(dataset, version) / MANIFEST_NAME)

    def write(self, spec: SnapshotSpec, connection: duckdb.DuckDBPyConnection, relation: str) -> Snapshot:
        """Freeze the rows of `relation` as the next version, or return the latest when nothing changed.

        `relation` (a table or view, `schema.name` or `name`) has one row per training row: the columns of the spec, and split
        (train, validation, test), cluster, subject (nullable), batch, file, line (int64), month (YYYY-MM of arrival). It is read
        four times, once wide. Nothing changed: same rows, same index, same columns, labels and feedback consumed.
        Needs as much free disk as the version takes; the connection's memory limit bounds the memory, its temp_directory takes
        what does not fit.
        """
        try:
            return self._write(spec, connection, ".".join(quoted(step) for step in relation.split(".")))
        except OSError as error:
            raise CurationError(
                f"cannot write a snapshot of {spec.dataset} below {self.root}: {error}",
                "make room or mend the permissions; what was there before is untouched",
            ) from error

    def _write(self, spec: SnapshotSpec, connection: duckdb.DuckDBPyConnection, relation: str) -> Snapshot:
        home = self.root / valid_name(spec.dataset, "dataset")
        with _workshop(home / ".workshop") as workshop:
            check_columns(connection, relation, spec)
            check_places(connection, relation, spec.key)
            folder = workshop / "staged"
            folder.mkdir()
            staged = _Staged(
                folder, write_rows(connection, relation, spec, folder), write_index(connection, relation, spec.key, folder)
            )
            if not staged.written.files:
                raise CurationError(f"{relation} has no rows", "a snapshot needs at least one training row")
            versions = self.versions(spec.dataset)
            parent = _ParentVersion.read(home / versions[-1]) if versions else None
            if parent is not None and _is_unchanged(parent.manifest, spec, staged):
                snapshot = Snapshot(parent.folder, parent.manifest, is_new=False)
            else:
                number = int(versions[-1][1:]) + 1 if versions else 1
                snapshot = _publish(home / f"v{number:04d}", workshop, staged, parent, spec)
            if self.latest(spec.dataset) != snapshot.folder.name:  # also where a killed writer left LATEST behind
                with written_whole(home / "LATEST") as temporary:
                    temporary.write_text(f"{snapshot.folder.name}\n")
            return snapshot


@dataclass(frozen=True)
class _Staged:
    """Parts as written for a version that may or may not come to be."""

    folder: Path
    written: Written
    index: dict[str, SnapshotFile]


@dataclass(frozen=True)
class _ParentVersion:
    folder: Path
    manifest: Manifest
    reference: Parent

    @classmethod
    def read(cls, folder: Path) -> "_ParentVersion":
        path = folder / MANIFEST_NAME
        manifest = read_manifest(path)
        reference = Parent(version=manifest.version, digest=manifest.digest, manifest_sha256=sha256_of_file(path))
        return cls(folder, manifest, reference)

    def file_like(self, path: str, file: SnapshotFile) -> Path | None:
        """This version's file at `path` if it stands for the same rows and is still what its manifest says."""
        mine = self.manifest.files.get(path)
        if mine is None or file.digest is None or (mine.digest, mine.rows) != (file.digest, file.rows):
            return None
        return self.intact(path)

    def intact(self, path: str) -> Path | None:
        """This version's file at `path` unless it is missing or was edited: an edit must not spread to the next version."""
        mine, on_disk = self.manifest.files[path], self.folder / path
        return on_disk if on_disk.is_file() and sha256_of_file(on_disk) == mine.sha256 else None


@contextlib.contextmanager
def _workshop(folder: Path) -> Iterator[Path]:
    """The folder where a version is made, for one writer at a time and empty of what a killed one left."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / "lock", timeout=0):
            leftovers = [entry for entry in folder.iterdir() if entry.name != "lock"]
            try:
                for leftover in leftovers:
                    shutil.rmtree(leftover)
                for half_written in folder.parent.glob(".LATEST.*"):
                    half_written.unlink()
                yield folder
            finally:
                shutil.rmtree(folder / "staged", ignore_errors=True)
    except Timeout:
        raise CurationError(f"another process is writing a snapshot in {folder.parent}", "wait until it has ended") from None


def _is_unchanged(parent: Manifest, spec: SnapshotFacts, staged: _Staged) -> bool:
    """Whether a new version would hold the same rows. Texts, batches and code that lead to the same rows make no version."""

    def shape(facts: SnapshotFacts) -> tuple[object, ...]:
        return facts.key, facts.column_types, facts.labels, facts.consumed_feedback_seq

    same_index = _digests(parent.index_parts()) == _digests(staged.index)
    return parent.digest == staged.written.digest and same_index and shape(parent) == shape(spec)


def _digests(files: dict[str, SnapshotFile]) -> dict[str, str | None]:
    return {path: file.digest for path, file in files.items()}


def _link(existing: Path, new: Path) -> None:
    """Make `new` the same file as `existing`, or a copy where the file system knows no hard links."""
    new.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(existing, new)
    except OSError:
        shutil.copyfile(existing, new)


def _place_parts(folder: Path, staged: _Staged, parent: _ParentVersion | None) -> dict[str, SnapshotFile]:
    """Move the staged parts into the version's folder, or link the parent's where it holds the same rows."""
    placed = {}
    for path, file in (staged.written.files | staged.index).items():
        shared = parent.file_like(path, file) if parent is not None else None
        if shared is not None and parent is not None:
            _link(shared, folder / path)
            placed[path] = parent.manifest.files[path]
        else:
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (staged.folder / path).rename(folder / path)
            placed[path] = file
    return placed


def _place_csv(
    folder: Path, split: str, parts: dict[str, SnapshotFile], parent: _ParentVersion | None, columns: Sequence[Column]
) -> SnapshotFile:
    """Write a split's CSV from its parts, or link the parent's when all of its parts are the same."""
    name = f"{split}.csv"
    if parent is not None and _digests(parent.manifest.data_parts(split)) == _digests(parts):
        shared = parent.intact(name)
        if shared is not None:
            _link(shared, folder / name)
            return parent.manifest.files[name]
    return write_csv([folder / path for path in parts], columns, split, folder / name)


def _nested(counts: Mapping[tuple[str, str, str], int], labels: Sequence[str]) -> dict[str, dict[str, dict[str, int]]]:
    """Rows by split, label and source as nested tables: splits and labels in their order, sources by name."""
    nested: dict[str, dict[str, dict[str, int]]] = {}
    for split, label, source in sorted(counts, key=lambda cell: (SPLITS.index(cell[0]), labels.index(cell[1]), cell[2])):
        nested.setdefault(split, {}).setdefault(label, {})[source] = counts[split, label, source]
    return nested


def _publish(path: Path, workshop: Path, staged: _Staged, parent: _ParentVersion | None, spec: SnapshotSpec) -> Snapshot:
    """Make the version's folder from what was staged; one rename commits it."""
    shares = parent if parent is not None and parent.manifest.column_types == spec.column_types else None
    with folder_written_whole(path, workshop) as folder:
        placed = _place_parts(folder, staged, shares)
        for split in SPLITS:
            parts = {name: file for name, file in sorted(placed.items()) if file.split == split and file.digest is not None}
            placed[f"{split}.csv"] = _place_csv(folder, split, parts, shares, spec.columns)
        manifest = Manifest(
            **{name: getattr(spec, name) for name in SnapshotFacts.model_fields},
            version=path.name,
            digest=staged.written.digest,
            parent=parent.reference if parent is not None else None,
            created_at=f"{spec.created_on.isoformat()}T00:00:00Z",
            rows=staged.written.counts.total(),
            counts=_nested(staged.written.counts, spec.labels),
            files=dict(sorted(placed.items())),
        )
        (folder / CARD_NAME).write_text(card(manifest), encoding="utf-8", newline="\n")
        placed[CARD_NAME] = described(folder / CARD_NAME)
        manifest = manifest.model_copy(update={"files": dict(sorted(placed.items()))})
        (folder / MANIFEST_NAME).write_bytes(manifest.to_bytes())
        for file in folder.rglob("*"):
            if file.is_file():
                file.chmod(0o444)  # parts are shared between versions: an edit in place would change them all
    return Snapshot(path, manifest, is_new=True)
