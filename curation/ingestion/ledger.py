"""The ledger of a dataset: one folder per accepted entry, whose rename is the commit; refusals and exceptions beside it.

Stores and finds what intake decided. Decides nothing, reads no landing file.
"""

import datetime
import json
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from curation.errors import CurationError
from curation.files import folder_written_whole, valid_name, written_whole
from curation.ingestion.opening import FileSeen
from curation.ingestion.profile import FieldProfile

RAW, REMOVED, QUARANTINE = "raw.parquet", "removed.parquet", "quarantine.parquet"  # the files of an entry
ORDINALS = 2**32  # record_no = seq * ORDINALS + place in the entry
_Model = TypeVar("_Model", bound=BaseModel)
_FOLDER = re.compile(r"seq=(\d{6,})")


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)


class Counts(_Stored):
    """Records of a batch by what the door said, and rows this entry changed. `in` = malformed + contract + valid."""

    records_in: int = Field(alias="in")
    malformed: int
    contract: int
    valid: int
    added: int = 0  # rows of raw.parquet
    removed: int = 0  # rows of removed.parquet


class Violation(_Stored):
    """What a share of the batch's records breaks in the same way, with the first of them."""

    rule: Literal["malformed", "contract", "unreadable"]
    field: str | None  # None: the record, or the file, as a whole
    expectation: str
    found: str
    count: int
    share: float
    file: str
    line: int | None


class Entry(_Stored):
    """What became of a batch when it was taken in."""

    seq: int  # of a refusal: that of the next entry at that time
    dataset: str
    source: str
    day: datetime.date
    verdict: Literal["accepted", "excepted", "refused"]
    message: str
    files: list[FileSeen]
    contract: dict[str, Any]  # the source as declared, for a rebuild
    contract_digest: str
    exception: str | None = None  # the reason that `curation accept` recorded, when there was one
    counts: Counts
    profile: dict[str, FieldProfile]
    moved: list[str]  # what moved against the batch before
    warnings: list[str]  # what else is odd
    violations: list[Violation]
    taken_in_at: datetime.datetime

    @property
    def batch(self) -> tuple[str, datetime.date]:
        """Source and day."""
        return self.source, self.day


class Accepted(_Stored):
    """An exception: this batch is taken in whatever share of it is bad."""

    reason: str
    accepted_at: datetime.datetime


class Ledger:
    """The ledger of one dataset below `lake`. Entries never change, so an instance reads each once."""

    def __init__(self, lake: Path, dataset: str) -> None:
        valid_name(dataset, "dataset")
        self._lake = lake
        self._dataset = dataset
        self._folder = lake / "ledger" / dataset
        self._known: dict[str, Entry] = {}

    @property
    def workshop(self) -> Path:
        """Where folders are written before their rename."""
        return self._lake / "tmp" / self._dataset

    def entries(self) -> list[Entry]:
        """All entries by seq. CurationError on a folder that is not as it was written."""
        for name in self._folder_names():
            if name not in self._known:
                entry = _read(self._folder / name / "entry.json", Entry)
                if self.folder(entry.seq).name != name or entry.dataset != self._dataset:
                    raise _tampered(self._folder / name, f"it holds the entry {entry.seq} of {entry.dataset}")
                self._known[name] = entry
        return [self._known[name] for name in self._folder_names()]

    def latest(self) -> dict[tuple[str, datetime.date], Entry]:
        """The last entry of every batch."""
        return {entry.batch: entry for entry in self.entries()}

    def of_batch(self, source: str, day: datetime.date) -> list[Entry]:
        """The entries of one batch by seq."""
        return [entry for entry in self.entries() if entry.batch == (source, day)]

    def next_seq(self) -> int:
        """The seq of the entry to come, from 1."""
        names = self._folder_names()
        return int(names[-1].removeprefix("seq=")) + 1 if names else 1

    def folder(self, seq: int) -> Path:
        """Where the entry of that seq lies."""
        return self._folder / f"seq={seq:06d}"

    def refused(self) -> dict[tuple[str, datetime.date], Entry]:
        """The refusals that stand, by batch: none that a later entry of the same batch has settled."""
        folder = self._lake / "refused" / self._dataset
        if not folder.is_dir():
            return {}
        refusals = [_read(path / "entry.json", Entry) for path in sorted(folder.iterdir()) if not path.name.startswith(".")]
        latest = self.latest()
        return {
            refusal.batch: refusal
            for refusal in refusals
            if refusal.batch not in latest or latest[refusal.batch].seq < refusal.seq
        }

    def refused_folder(self, source: str, day: datetime.date) -> Path:
        """Where the refusal of that batch lies, if it was refused."""
        return self._lake / "refused" / self._dataset / f"{source}.{day.isoformat()}"

    @contextmanager
    def commit(self, entry: Entry, folder: Path) -> Iterator[Path]:
        """A folder to write the entry's files into; when the block ends well they appear at `folder` with entry.json, at once."""
        with folder_written_whole(folder, self.workshop) as temporary:
            yield temporary
            _write(temporary / "entry.json", entry)

    def settle(self, source: str, day: datetime.date) -> None:
        """Forget the refusal of a batch: it was accepted, or is about to be refused anew."""
        folder = self.refused_folder(source, day)
        if folder.exists():
            shutil.rmtree(folder)

    def accept(self, source: str, day: datetime.date, reason: str, now: datetime.datetime) -> None:
        """Record that this refused batch is to be taken in whatever share of it is bad. CurationError without refusal or reason."""
        if not reason.strip():
            raise CurationError("an exception needs a reason", 'say why: --reason "..."')
        refused = self.refused()
        if (source, day) not in refused:
            standing = ", ".join(f"{name} {when}" for name, when in sorted(refused)) or "none"
            raise CurationError(f"{source} {day} does not stand refused", f"give one of the refused batches: {standing}")
        with written_whole(self._exception_path(source, day)) as temporary:
            _write(temporary, Accepted(reason=reason.strip(), accepted_at=now))

    def exception(self, source: str, day: datetime.date) -> Accepted | None:
        """The exception recorded for this batch, if any."""
        path = self._exception_path(source, day)
        return _read(path, Accepted) if path.exists() else None

    def _exception_path(self, source: str, day: datetime.date) -> Path:
        valid_name(source, "source")
        return self._lake / "accepted_exceptions" / self._dataset / f"{source}.{day.isoformat()}.json"

    def _folder_names(self) -> list[str]:
        if not self._folder.is_dir():
            return []
        names = [path.name for path in self._folder.iterdir() if not path.name.startswith(".")]
        for name in names:
            if not _FOLDER.fullmatch(name):
                raise CurationError(f"{self._folder / name} does not belong into the ledger", "move it away, then run again")
        return sorted(names, key=lambda name: int(name.removeprefix("seq=")))


def _write(path: Path, model: BaseModel) -> None:
    path.write_text(
        json.dumps(model.model_dump(mode="json", by_alias=True), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )


def _read(path: Path, model: type[_Model]) -> _Model:
    try:
        return model.model_validate_json(path.read_bytes())
    except OSError as error:
        raise _tampered(path.parent, f"{path.name}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise _tampered(path.parent, f"{path.name}{f', {where}' if where else ''}: {first['msg']}") from error


def _tampered(folder: Path, what: str) -> CurationError:
    return CurationError(f"{folder} is not as it was written: {what}", "restore it from a backup; the ledger cannot be guessed")
