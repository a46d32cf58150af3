"""Exports of preferences as TRL reads them, versioned like snapshots: `<root>/<dataset>/<form>/v0001/`, `LATEST` beside it.

A version appears by one rename, whole, and is never changed; the same rows made of the same words are the same version. It holds
JSON lines by split, `index.jsonl` that says what each line was made of, and `manifest.json`. What is preferred is settled before.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, get_args

import orjson
from filelock import FileLock, Timeout
from pydantic import ValidationError

from curation.errors import CurationError
from curation.feedback.log import Head
from curation.files import folder_written_whole, sha256_of_file, valid_name, written_whole
from curation.labelling.preferences import IDS, OF_WORDS, TEXTS, Form, LeftOut, Preferences
from curation.snapshots.manifest import MANIFEST_NAME, Column, Frozen, Parent, SnapshotFile
from curation.snapshots.store import VERSION
from curation.training_rows import SPLITS

if TYPE_CHECKING:
    import polars as pl

FORMAT = 1
INDEX = "index.jsonl"
LATEST = "LATEST"
FORMS: tuple[Form, ...] = get_args(Form)
_WORKSHOP = ".workshop"


class ExportManifest(Frozen):
    """`manifest.json`: what the export holds, what it was made from, and how to tell that it is still that."""

    format: int = FORMAT
    dataset: str
    form: Form
    version: str
    digest: str  # of the rows with their split, see `curation.snapshots.digest`
    parent: Parent | None
    rows: int
    counts: dict[str, int]  # split -> rows
    left_out: LeftOut
    method: str  # majority or dawid_skene
    why: str
    consumed_feedback_seq: int  # the dataset's last event in the log
    consumed_feedback_head: str  # the log's hash chain at that event
    files: dict[str, SnapshotFile]  # by name, without the manifest itself

    def to_bytes(self) -> bytes:
        """The file's bytes: UTF-8 JSON, fields in declared order."""
        return orjson.dumps(self.model_dump(mode="json"), option=orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


@dataclass(frozen=True)
class Export:
    """A version on disk; `is_new` is False when nothing has changed since."""

    folder: Path
    manifest: ExportManifest
    is_new: bool


@dataclass(frozen=True)
class Verified:
    """Every readable manifest, and one sentence per finding; none when all is as it was written."""

    manifests: tuple[ExportManifest, ...]
    findings: tuple[str, ...]

    @property
    def heads(self) -> dict[str, Head]:
        """Where the versions remember the end of the feedback log, by who remembers."""
        return {
            f"{one.form} export {one.dataset} {one.version}": Head(one.consumed_feedback_seq, one.consumed_feedback_head)
            for one in self.manifests
        }


class PreferenceExports:
    """All versions of all forms of one dataset below `root` (snapshots)."""

    def __init__(self, root: Path, dataset: str) -> None:
        self.dataset = valid_name(dataset, "dataset")
        self.root = root / dataset

    def versions(self, form: Form) -> list[str]:
        """Versions on disk, oldest first."""
        folder = self.root / form
        names = [entry.name for entry in folder.iterdir() if VERSION.fullmatch(entry.name)] if folder.is_dir() else []
        return sorted(names, key=lambda name: int(name[1:]))

    def manifest(self, form: Form, version: str) -> ExportManifest:
        """Manifest of a version; CurationError when it is missing or is none."""
        path = self.root / form / version / MANIFEST_NAME
        try:
            return ExportManifest.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            raise CurationError(f"{path} is no manifest: {str(error).splitlines()[0]}", "restore the file from a copy") from None

    def write(self, found: Preferences) -> Export:
        """Freeze the rows as the next version, or return the latest where its files would have the same bytes.

        CurationError when there are no rows, or another process is writing.
        """
        if found.rows.is_empty():
            raise CurationError(f"{self.dataset} has no {found.form} rows: {_why_none(found)}", _what_then(found))
        home = self.root / found.form
        (home / _WORKSHOP).mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(home / _WORKSHOP / "lock", timeout=0):
                export = self._write(home, found)
                with written_whole(home / LATEST) as temporary:
                    temporary.write_text(f"{export.folder.name}\n")
                return export
        except Timeout:
            raise CurationError(f"another process is writing an export in {home}", "wait until it has ended") from None

    def verify(self) -> Verified:
        """Hold every file of every version against its manifest, and every manifest against the version built upon it."""
        manifests, findings = [], []
        for form in FORMS:
            for version in self.versions(form):
                try:
                    manifests.append(self.manifest(form, version))
                except CurationError as error:
                    findings.append(error.message)
        for manifest in manifests:
            findings += self._findings(manifest)
        return Verified(tuple(manifests), tuple(findings))

    def _write(self, home: Path, found: Preferences) -> Export:
        versions = self.versions(found.form)
        former = self.manifest(found.form, versions[-1]) if versions else None
        workshop = home / _WORKSHOP
        with tempfile.TemporaryDirectory(dir=workshop) as name:
            staged = Path(name)
            files = _write_files(staged, found)
            if former is not None and former.files == files:
                return Export(home / former.version, former, is_new=False)
            version = f"v{int(versions[-1][1:]) + 1 if versions else 1:04d}"
            manifest = ExportManifest(
                dataset=self.dataset,
                form=found.form,
                version=version,
                digest=_digest(found.rows, found.form),
                parent=_parent(home / former.version, former) if former else None,
                rows=found.rows.height,
                counts={split: found.rows.filter(found.rows["split"] == split).height for split in SPLITS},
                left_out=found.left_out,
                method=found.method,
                why=found.why,
                consumed_feedback_seq=found.head.seq,
                consumed_feedback_head=found.head.chain,
                files=files,
            )
            (staged / MANIFEST_NAME).write_bytes(manifest.to_bytes())
            with folder_written_whole(home / version, workshop) as folder:
                for file in staged.iterdir():
                    file.chmod(0o444)
                    file.rename(folder / file.name)
        return Export(home / version, manifest, is_new=True)

    def _findings(self, manifest: ExportManifest) -> Iterator[str]:
        home = self.root / manifest.form
        folder = home / manifest.version
        on_disk = {file.name for file in folder.iterdir()} - {MANIFEST_NAME}
        for name in sorted(on_disk | set(manifest.files)):
            if name not in on_disk or name not in manifest.files:
                yield f"{folder / name} is {'missing' if name not in on_disk else 'unknown'}"
            elif (found := sha256_of_file(folder / name)) != manifest.files[name].sha256:
                yield f"{folder / name}: sha256: expected {manifest.files[name].sha256}, found {found}"
        if (folder / MANIFEST_NAME).read_bytes() != manifest.to_bytes():
            yield f"{folder / MANIFEST_NAME} is not as the program writes it"
        parent = manifest.parent
        if parent is not None:
            path = home / parent.version / MANIFEST_NAME
            if not path.is_file() or sha256_of_file(path) != parent.manifest_sha256:
                yield f"{path} is not the one that {manifest.version} was built upon"


def _parent(folder: Path, manifest: ExportManifest) -> Parent:
    return Parent(version=manifest.version, digest=manifest.digest, manifest_sha256=sha256_of_file(folder / MANIFEST_NAME))


def _digest(rows: "pl.DataFrame", form: Form) -> str:
    """The digest of the training rows, as a snapshot has one: it depends neither on their order nor on who said so."""
    from curation.snapshots.digest import SPLIT, digest_of_rows, row_digests

    columns = [Column(name=name, type="boolean" if name == "label" else "string") for name in TEXTS[form]]
    return digest_of_rows([row_digests(rows.select(SPLIT.name, *TEXTS[form]), (SPLIT, *columns))])


def _write_files(folder: Path, found: Preferences) -> dict[str, SnapshotFile]:
    """One file of JSON lines per split that has rows, and the index; by name."""
    files = {}
    for split in SPLITS:
        rows = found.rows.filter(found.rows["split"] == split)
        if rows.height:  # readers take an empty file for a damaged one
            files[f"{split}.jsonl"] = _write_lines(folder / f"{split}.jsonl", rows.select(TEXTS[found.form]), split)
    index = found.rows.select("split", *IDS[found.form], *OF_WORDS)
    files[INDEX] = _write_lines(folder / INDEX, index, None)
    return dict(sorted(files.items()))


def _write_lines(path: Path, rows: "pl.DataFrame", split: str | None) -> SnapshotFile:
    with path.open("wb") as file:
        for row in rows.iter_rows(named=True):
            file.write(orjson.dumps(row, option=orjson.OPT_APPEND_NEWLINE))
    return SnapshotFile(bytes=path.stat().st_size, sha256=sha256_of_file(path), rows=rows.height, split=split)


def _why_none(found: Preferences) -> str:
    """Why nothing came out, in words."""
    told = {name: count for name, count in found.left_out.model_dump().items() if count}
    what = "pairs" if found.form == "dpo" else "answers"
    return (
        f"of the {what} judged, {', '.join(f'{count:,} {name}' for name, count in told.items())}" if told else f"no {what} judged"
    )


def _what_then(found: Preferences) -> str:
    if found.left_out.unknown:
        return "bring in the answers that people judged: curation labels answers DATASET FILE"
    if found.form == "kto":
        return "send kind agree or disagree for single answers; of pairs make a dpo, which TRL's KTO trainer takes as well"
    return "send kind preference for pairs of answers; of single answers make a kto"
