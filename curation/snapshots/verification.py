"""Whether a snapshot on disk is still what its manifest says: files, rows, digest, CSV, counts, chain. Changes nothing."""

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict

from curation.errors import CurationError
from curation.files import sha256_of_file
from curation.snapshots.digest import SPLIT, OrderedDigest, digest_of_rows, row_digests
from curation.snapshots.manifest import MANIFEST_NAME, Column, Manifest, read_manifest
from curation.snapshots.parts import READ_ROWS, arrow_schema, index_columns
from curation.snapshots.store import SnapshotStore
from curation.training_rows import SPLITS

CSV_BLOCK_BYTES = 64 * 1024 * 1024  # a row must fit into one


class Problem(BaseModel):
    """One thing that is not as the manifest says; `file` is relative to the dataset's folder of snapshots."""

    model_config = ConfigDict(frozen=True)

    file: str
    what: str
    expected: str
    found: str


class Verification(BaseModel):
    """What was looked at, and every mismatch."""

    dataset: str
    versions: list[str]
    files: int
    bytes: int
    problems: list[Problem]

    @property
    def holds(self) -> bool:
        """Whether everything on disk still matches."""
        return not self.problems


class _Findings:
    """Mismatches of one version, in the order they were found."""

    def __init__(self, version: str) -> None:
        self.version = version
        self.problems: list[Problem] = []

    def compare(self, file: str, what: str, expected: object, found: object) -> bool:
        if expected != found:
            self.problems.append(Problem(file=f"{self.version}/{file}", what=what, expected=str(expected), found=str(found)))
        return expected == found


def _parquet_frames(path: Path, columns: Sequence[Column]) -> Iterator[pl.DataFrame]:
    schema = arrow_schema(columns)
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(READ_ROWS, columns=schema.names):
            yield pl.DataFrame(pa.Table.from_batches([batch]).cast(schema))


def _csv_frames(path: Path, columns: Sequence[Column]) -> Iterator[pl.DataFrame]:
    """The CSV's rows with the declared types, read by another program than the one that wrote them."""
    schema = arrow_schema(columns)
    options = pyarrow.csv.ConvertOptions(
        column_types=schema,
        null_values=[""],
        strings_can_be_null=True,
        quoted_strings_can_be_null=False,
    )
    reader = pyarrow.csv.open_csv(
        path,
        read_options=pyarrow.csv.ReadOptions(block_size=CSV_BLOCK_BYTES, use_threads=False),
        parse_options=pyarrow.csv.ParseOptions(newlines_in_values=True),
        convert_options=options,
    )
    for batch in reader:
        yield pl.DataFrame(pa.Table.from_batches([batch]).select(schema.names).cast(schema))


def _digests(
    frames: Iterator[pl.DataFrame], columns: Sequence[Column], split: str, counts: Counter[tuple[str, str, str]]
) -> npt.NDArray[np.bytes_]:
    """The digests of all rows of a split's file; adds to `counts` by (split, label, source)."""
    pieces = [np.empty(0, dtype="S32")]
    for frame in frames:
        pieces.append(row_digests(frame.with_columns(pl.lit(split).alias(SPLIT.name)), (SPLIT, *columns)))
        for label, source, rows in frame.group_by("label", "source").len().iter_rows():
            counts[split, label, source] += rows
    return np.concatenate(pieces)


def _check_files(folder: Path, manifest: Manifest, findings: _Findings) -> None:
    """Bytes and SHA-256 of every file, and files that nobody knows."""
    on_disk = {str(path.relative_to(folder)) for path in folder.rglob("*") if not path.is_dir()}
    known = {*manifest.files, MANIFEST_NAME}
    for path in sorted(on_disk - known):
        findings.compare(path, "unknown file", "absent", f"{(folder / path).lstat().st_size} bytes")
    for path in sorted(known - on_disk):
        findings.compare(path, "file", "present", "absent")
    for path, file in manifest.files.items():
        if path in on_disk and findings.compare(path, "bytes", file.bytes, (folder / path).stat().st_size):
            findings.compare(path, "sha256", file.sha256, sha256_of_file(folder / path))


def _check_split(folder: Path, manifest: Manifest, split: str, findings: _Findings) -> npt.NDArray[np.bytes_]:
    """Digest and rows of every part of a split, its counts, its CSV; returns the digests of its rows."""
    counts: Counter[tuple[str, str, str]] = Counter()
    every = [np.empty(0, dtype="S32")]
    for path, file in manifest.data_parts(split).items():
        if not (folder / path).is_file():
            continue
        try:
            digests = _digests(_parquet_frames(folder / path, manifest.columns), manifest.columns, split, counts)
        except (pa.ArrowException, KeyError) as error:
            findings.compare(path, "Parquet", "readable", _first_line(error))
            continue
        erased = [tombstone.digest for tombstone in manifest.tombstones if tombstone.part == path]
        findings.compare(path, "rows", file.rows, len(digests))
        findings.compare(path, "digest of the rows", file.digest, digest_of_rows([digests], erased))
        every.append(digests)
    declared = manifest.counts.get(split, {})
    by_source = {(split, label, source): rows for label, of_label in declared.items() for source, rows in of_label.items()}
    findings.compare(MANIFEST_NAME, f"counts of {split}", dict(sorted(by_source.items())), dict(sorted(counts.items())))
    rows = np.concatenate(every)
    name = f"{split}.csv"
    if (folder / name).is_file():
        try:
            from_csv = _digests(_csv_frames(folder / name, manifest.columns), manifest.columns, split, Counter())
        except (pa.ArrowException, KeyError) as error:
            findings.compare(name, "CSV", "readable", _first_line(error))
        else:
            findings.compare(name, "rows", len(rows), len(from_csv))
            findings.compare(name, "digest of the rows against Parquet", digest_of_rows([rows]), digest_of_rows([from_csv]))
    return rows


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _check_index(folder: Path, manifest: Manifest, findings: _Findings) -> None:
    columns = index_columns(manifest.key)
    indexed = 0
    for path, file in manifest.index_parts().items():
        if not (folder / path).is_file():
            continue
        digest = OrderedDigest(columns)
        rows = 0
        try:
            for frame in _parquet_frames(folder / path, columns):
                digest.add(frame)
                rows += len(frame)
        except (pa.ArrowException, KeyError) as error:
            findings.compare(path, "Parquet", "readable", _first_line(error))
            continue
        findings.compare(path, "rows", file.rows, rows)
        findings.compare(path, "digest of the rows", file.digest, digest.hexdigest())
        indexed += rows
    findings.compare("index", "rows", manifest.rows, indexed)


def _check_chain(store: SnapshotStore, manifest: Manifest, findings: _Findings) -> None:
    """Whether the parent is the version before, and its manifest still the one that was built upon."""
    versions = store.versions(manifest.dataset)
    place = versions.index(findings.version)
    before = versions[place - 1] if place else None
    parent = manifest.parent
    findings.compare(MANIFEST_NAME, "parent", parent.version if parent else None, before)
    if parent and parent.version == before:
        path = store.folder(manifest.dataset, before) / MANIFEST_NAME
        digest = sha256_of_file(path) if path.is_file() else "absent"
        findings.compare(f"../{before}/{MANIFEST_NAME}", f"sha256, said {findings.version}", parent.manifest_sha256, digest)


def verify_snapshot(store: SnapshotStore, dataset: str, version: str | None = None) -> Verification:
    """Check one version (the latest by default) against its manifest; CurationError when there is no such version."""
    folder = store.folder(dataset, version)
    findings = _Findings(folder.name)
    try:
        manifest = read_manifest(folder / MANIFEST_NAME)
    except CurationError as error:
        findings.compare(MANIFEST_NAME, "manifest", "readable", error.message)
        return Verification(dataset=dataset, versions=[folder.name], files=0, bytes=0, problems=findings.problems)
    findings.compare(MANIFEST_NAME, "version", folder.name, manifest.version)
    findings.compare(MANIFEST_NAME, "dataset", dataset, manifest.dataset)
    as_written = manifest.to_bytes() == (folder / MANIFEST_NAME).read_bytes()
    findings.compare(MANIFEST_NAME, "form", "as the program writes it", "as the program writes it" if as_written else "another")
    _check_files(folder, manifest, findings)
    rows = [_check_split(folder, manifest, split, findings) for split in SPLITS]
    findings.compare(MANIFEST_NAME, "rows", manifest.rows, sum(len(digests) for digests in rows))
    erased = [tombstone.digest for tombstone in manifest.tombstones]
    findings.compare(MANIFEST_NAME, "digest", manifest.digest, digest_of_rows(rows, erased))
    _check_index(folder, manifest, findings)
    _check_chain(store, manifest, findings)
    return Verification(
        dataset=dataset,
        versions=[folder.name],
        files=len(manifest.files) + 1,
        bytes=sum(file.bytes for file in manifest.files.values()),
        problems=findings.problems,
    )


def verify_dataset(store: SnapshotStore, dataset: str) -> Verification:
    """Check every version of a dataset, and that LATEST names the newest; CurationError when there is none."""
    versions = store.versions(dataset)
    latest = store.latest(dataset)
    if not versions:
        store.folder(dataset)
    checked = [verify_snapshot(store, dataset, version) for version in versions]
    problems = [problem for one in checked for problem in one.problems]
    if latest != versions[-1]:
        problems.append(Problem(file="LATEST", what="newest version", expected=versions[-1], found=str(latest)))
    return Verification(
        dataset=dataset,
        versions=versions,
        files=sum(one.files for one in checked),
        bytes=sum(one.bytes for one in checked),
        problems=problems,
    )
