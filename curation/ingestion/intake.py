"""The door: which batches are to be taken in, and taking one in. The declared contract decides, and nothing else.

Works from landing and the ledger only. What a record must be is in `contract`, what lies in an entry's folder in `rows`.
"""

import datetime
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from curation.dataset import Dataset
from curation.errors import CurationError
from curation.files import sha256_of_file, written_whole
from curation.ingestion.arrivals import Arrival, Problem, arrivals, files_in
from curation.ingestion.contract import contract_digest
from curation.ingestion.ledger import QUARANTINE, RAW, REMOVED, Counts, Entry, Ledger, Violation
from curation.ingestion.opening import FileSeen, opened
from curation.ingestion.profile import FieldProfile, moved
from curation.ingestion.reading import Reading, UnreadableFileError, read_batch
from curation.ingestion.rows import (
    GROUP_ROWS,
    FormerRows,
    QuarantineWriter,
    RawWriter,
    record_prefix,
    write_removed,
)
from curation.ingestion.sorting import SortedRows
from curation.ingestion.sources import Source

_TOLD_VIOLATIONS = 3


@dataclass(frozen=True)
class Batch:
    """A batch to take in, and why; with `lost_seq` only the rows of that entry are to be written again."""

    source: str
    day: datetime.date
    why: str
    lost_seq: int | None = None


@dataclass
class Pending:
    """What there is to do: `batches` in the order to take them in. `problems` fail a run at its end, `notices` are told."""

    batches: list[Batch] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    notices: list[str] = field(default_factory=list)


def pending(
    dataset: Dataset,
    sources: Mapping[str, Source],
    landing: Path,
    ledger: Ledger,
    *,
    today: datetime.date,
    from_day: datetime.date | None = None,
    to_day: datetime.date | None = None,
) -> Pending:
    """What differs between landing and the ledger: new or changed files, another contract, a new exception, lost rows.

    Days outside `from_day` to `to_day` (both included) are left for another time; lost rows are not, for all need them.
    """
    landed, problems = arrivals(landing, dataset.name, sources, today)
    found = Pending(problems=problems)
    for entry in ledger.entries():
        if _is_lost(ledger.folder(entry.seq), entry):
            found.batches.append(Batch(entry.source, entry.day, f"the rows of entry {entry.seq} are lost", entry.seq))
    latest = ledger.latest() | ledger.refused()
    for here in sorted(landed, key=lambda one: (one.day, one.source)):
        last = latest.pop((here.source, here.day), None)
        if (from_day and here.day < from_day) or (to_day and here.day > to_day):
            continue
        found.notices += _gone(here, last)
        if not here.paths:
            found.notices.append(f"{here.folder} is empty: nothing to take in")
        elif why := _why(dataset, sources[here.source], here, last, ledger):
            found.batches.append(Batch(here.source, here.day, why))
    unreadable = {problem.path for problem in problems}
    for source, day in sorted(latest):
        folder = landing / dataset.name / source / day.isoformat()
        if not folder.exists() and not unreadable & {folder, folder.parent}:
            found.notices.append(f"{folder} is gone; its rows stay as they were taken in")
    return found


def _is_lost(folder: Path, entry: Entry) -> bool:
    written = (RAW, QUARANTINE, REMOVED) if entry.counts.removed else (RAW, QUARANTINE)
    return not all((folder / name).exists() for name in written)


def _gone(here: Arrival, last: Entry | None) -> list[str]:
    names = {path.name for path in here.paths}
    gone = [seen.name for seen in last.files if seen.name not in names] if last else []
    return [f"{here.folder / name} is gone; its rows stay as they were taken in" for name in gone]


def _why(dataset: Dataset, source: Source, here: Arrival, last: Entry | None, ledger: Ledger) -> str | None:
    if last is None:
        return "new"
    if last.contract_digest != contract_digest(dataset, source):
        return "its contract changed"
    if last.verdict == "refused" and last.exception is None and ledger.exception(here.source, here.day):
        return "an exception was accepted"
    known = {seen.name: seen for seen in last.files}
    for path in here.paths:
        seen = known.get(path.name)
        if seen is None:
            return f"{path.name} is new"
        if not seen.is_unchanged(path.stat()) and seen.sha256 != sha256_of_file(path):
            return f"{path.name} changed"
    return None


def take_in(
    dataset: Dataset, source: Source | None, batch: Batch, landing: Path, ledger: Ledger, *, now: datetime.datetime
) -> Entry:
    """Take a batch in, or refuse it; what became of it, already on disk. A lost entry is written again as it was.

    `source` is None where it is no longer declared: enough to write a lost entry again, which holds its contract.
    CurationError when the disk does not take it or files are not what they were: then nothing changed.
    """
    with _disk_errors_named(ledger.workshop.parent):
        ledger.workshop.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=ledger.workshop, prefix="intake.") as scratch:
            if batch.lost_seq is not None:
                return _write_again(dataset, batch.lost_seq, landing, ledger, Path(scratch))
            if source is None:
                raise CurationError(
                    f"{batch.source!r} is no declared source", f"curation sources draft {batch.source} FILE --write"
                )
            return _Intake(dataset, source, batch.day, landing=landing, ledger=ledger, now=now).run(Path(scratch))


class _Intake:
    """Taking in one batch."""

    def __init__(
        self, dataset: Dataset, source: Source, day: datetime.date, *, landing: Path, ledger: Ledger, now: datetime.datetime
    ) -> None:
        self._dataset, self._source, self._day, self._landing, self._ledger, self._now = (
            dataset,
            source,
            day,
            landing,
            ledger,
            now,
        )
        self._folder = landing / dataset.name / source.name / day.isoformat()
        self._entries = ledger.of_batch(source.name, day)
        self._seq = ledger.next_seq()
        exception = ledger.exception(source.name, day)
        self._exception = exception.reason if exception else None

    def run(self, scratch: Path) -> Entry:
        paths = files_in(self._folder, self._landing)
        if not paths:
            raise CurationError(
                f"{self._folder} holds no file to take in", "deliver it again, or run again to see what is pending"
            )
        former = _former_rows(self._dataset, self._entries, self._ledger)
        try:
            reading = read_batch(
                self._dataset, self._source, self._day, paths=paths, landing=self._landing, former=former, folder=scratch
            )
        except UnreadableFileError as error:
            return self._refuse_unreadable(paths, error, scratch)
        bad_share = (reading.malformed + reading.contract) / reading.records if reading.records else 0.0
        if bad_share > self._source.max_bad_share and self._exception is None:
            return self._refuse(self._entry("refused", self._refusal(reading, bad_share), reading), scratch)
        return self._accept(reading, former, bad_share, scratch)

    def _accept(self, reading: Reading, former: FormerRows, bad_share: float, scratch: Path) -> Entry:
        removed = former.removed(seen.name for seen in reading.files)
        is_excepted = bad_share > self._source.max_bad_share
        message = (
            f"{reading.valid:,} of {reading.records:,} records valid; {reading.rows.count:,} rows added, {len(removed):,} removed"
        )
        if is_excepted:
            message += f"; {bad_share:.1%} are bad, accepted all the same: {self._exception}"
        entry = self._entry("excepted" if is_excepted else "accepted", message, reading, len(removed))
        with self._ledger.commit(entry, self._ledger.folder(self._seq)) as folder:
            names = [seen.name for seen in reading.files]
            with RawWriter(folder / RAW, self._dataset, self._source, self._day, files=names, seq=self._seq) as raw:
                for block in reading.rows.blocks(GROUP_ROWS):
                    raw.write(block)
            if len(removed):
                write_removed(folder / REMOVED, removed)
            (scratch / QUARANTINE).rename(folder / QUARANTINE)
        self._ledger.settle(self._source.name, self._day)
        return entry

    def _refuse(self, entry: Entry, scratch: Path) -> Entry:
        folder = self._ledger.refused_folder(self._source.name, self._day)
        self._ledger.settle(self._source.name, self._day)
        with self._ledger.commit(entry, folder) as temporary:
            (scratch / QUARANTINE).rename(temporary / QUARANTINE)
        return entry

    def _refuse_unreadable(self, paths: list[Path], error: UnreadableFileError, scratch: Path) -> Entry:
        """Refuse the batch whole: with a file that cannot be read, no one knows what share of it is bad."""
        violation = Violation(
            rule="unreadable",
            field=None,
            expectation="must be readable",
            found=error.message,
            count=0,
            share=0.0,
            file=error.file,
            line=None,
        )
        message = f"{self._source.name} {self._day} refused: {error.message}" + (f"; {error.fix}" if error.fix else "")
        with QuarantineWriter(scratch / QUARANTINE, self._source, self._day, None):
            pass  # nothing of a half-read batch
        reading = Reading(SortedRows(scratch), files=[_seen_unread(path, self._landing) for path in paths])
        entry = self._entry("refused", message, reading).model_copy(update={"violations": [violation]})
        return self._refuse(entry, scratch)

    def _entry(
        self, verdict: Literal["accepted", "excepted", "refused"], message: str, reading: Reading, removed: int = 0
    ) -> Entry:
        gone = self._gone(reading)
        warnings = reading.warnings + [f"{seen.name} is gone; its rows stay as they were taken in" for seen in gone]
        is_refused = verdict == "refused"
        profile = reading.profiler.profiles()
        return Entry(
            seq=self._seq,
            dataset=self._dataset.name,
            source=self._source.name,
            day=self._day,
            verdict=verdict,
            message=message,
            files=reading.files + gone,
            contract=self._source.model_dump(mode="json"),
            contract_digest=contract_digest(self._dataset, self._source),
            exception=self._exception,
            counts=Counts(
                **{"in": reading.records},
                malformed=reading.malformed,
                contract=reading.contract,
                valid=reading.valid,
                added=0 if is_refused else reading.rows.count,
                removed=removed,
            ),
            profile=profile,
            moved=self._moved(profile),
            warnings=warnings,
            violations=reading.violations(),
            taken_in_at=self._now,
        )

    def _gone(self, reading: Reading) -> list[FileSeen]:
        """Files of the batch's last entry that are no longer in landing."""
        here = {seen.name for seen in reading.files}
        last = self._entries[-1].files if self._entries else []
        return [seen.model_copy(update={"is_gone": True}) for seen in last if seen.name not in here]

    def _moved(self, profile: dict[str, FieldProfile]) -> list[str]:
        """Against the source's accepted batch of the nearest day before."""
        before = [
            entry for entry in self._ledger.latest().values() if entry.source == self._source.name and entry.day < self._day
        ]
        if not before:
            return []
        former = max(before, key=lambda entry: entry.day)
        times = frozenset(field.name for field in self._dataset.fields if field.type == "timestamp")
        return [f"{warning} since {former.day}" for warning in moved(former.profile, profile, times)]

    def _refusal(self, reading: Reading, bad_share: float) -> str:
        """Source, day, field, expectation, share, file and line of the first; what to do about it."""
        violations = reading.violations()
        told = [_sentence(violation, reading.records) for violation in violations[:_TOLD_VIOLATIONS]]
        if len(violations) > _TOLD_VIOLATIONS:
            told.append(f"and {len(violations) - _TOLD_VIOLATIONS} other kinds")
        if len(violations) > 1:
            told.insert(0, f"{bad_share:.1%} of {reading.records:,} records are bad, {self._source.max_bad_share:.1%} may be")
        command = f'uv run curation accept {self._dataset.name} {self._source.name} {self._day} --reason "..."'
        return f"{self._source.name} {self._day} refused: {'; '.join(told)}; mend the file and run again, or: {command}"


def _sentence(violation: Violation, records: int) -> str:
    subject = f"{violation.field} {violation.expectation}, " if violation.field else ""
    return f"{subject}{violation.share:.1%} of {records:,} records are {violation.found}; first at {violation.file} line {violation.line}"


def _seen_unread(path: Path, landing: Path) -> FileSeen:
    with opened(path, landing) as stream:
        return stream.seen()


def _former_rows(dataset: Dataset, entries: list[Entry], ledger: Ledger) -> FormerRows:
    return FormerRows([(ledger.folder(entry.seq), record_prefix(entry.source, entry.day)) for entry in entries], dataset.key)


def _write_again(dataset: Dataset, seq: int, landing: Path, ledger: Ledger, scratch: Path) -> Entry:
    """The rows of an entry, from the same files under the contract of that time: same record_no, same bytes."""
    entry = next(entry for entry in ledger.entries() if entry.seq == seq)
    earlier = [one for one in ledger.of_batch(*entry.batch) if one.seq < seq]
    former = _former_rows(dataset, earlier, ledger)
    day_folder = landing / dataset.name / entry.source / entry.day.isoformat()
    source = Source.model_validate(entry.contract)
    recorded = [seen for seen in entry.files if not seen.is_gone]
    paths = [day_folder / seen.name for seen in recorded]
    for path, seen in zip(paths, recorded, strict=True):
        if not path.exists() or sha256_of_file(path) != seen.sha256:
            raise CurationError(
                f"the rows of entry {seq} ({entry.source} {entry.day}) are lost, and {path} is not the file they came from",
                f"put back the file with SHA-256 {seen.sha256}, or {ledger.folder(seq) / RAW} from a backup",
            )
    reading = read_batch(dataset, source, entry.day, paths=paths, landing=landing, former=former, folder=scratch)
    if reading.rows.count != entry.counts.added:
        raise CurationError(
            f"entry {seq} ({entry.source} {entry.day}) had {entry.counts.added:,} rows, and now has {reading.rows.count:,}",
            f"restore {ledger.folder(seq) / RAW} from a backup: the code that reads it has changed since",
        )
    removed = former.removed(seen.name for seen in reading.files)
    folder = ledger.folder(seq)
    if len(removed):
        with written_whole(folder / REMOVED) as temporary:
            write_removed(temporary, removed)
    with written_whole(folder / QUARANTINE) as temporary:
        (scratch / QUARANTINE).rename(temporary)
    names = [seen.name for seen in reading.files]
    with (
        written_whole(folder / RAW) as temporary,
        RawWriter(temporary, dataset, source, entry.day, files=names, seq=seq) as raw,
    ):
        for block in reading.rows.blocks(GROUP_ROWS):
            raw.write(block)
    return entry


@contextmanager
def _disk_errors_named(lake: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise CurationError(
            f"cannot write below {lake}: {error.strerror or error}", "make room or give write permission there, then run again"
        ) from error
