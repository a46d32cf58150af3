"""One pass over the files of a batch: parsed, checked, profiled, counted; valid rows sorted, bad ones in quarantine.parquet.

Finds out what the batch is; what becomes of it is decided by `intake`.
"""

import datetime
import gc
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa

from curation.dataset import Dataset
from curation.errors import CurationError
from curation.ingestion.contract import Checked, Contract
from curation.ingestion.ledger import QUARANTINE, Violation
from curation.ingestion.opening import FileSeen, opened
from curation.ingestion.profile import Profiler
from curation.ingestion.records import Malformed, Records, read_records
from curation.ingestion.rows import FormerRows, QuarantineWriter, checked_rows, sort_keys
from curation.ingestion.sorting import Keys, SortedRows
from curation.ingestion.sources import Source


class UnreadableFileError(CurationError):
    """A file of the batch that cannot be read as a whole; `file` is its name."""

    def __init__(self, file: str, error: CurationError) -> None:
        super().__init__(error.message, error.fix)
        self.file = file


@dataclass
class _Kind:
    """Records that are bad in one way."""

    found: str
    count: int
    file: str
    line: int


@dataclass
class Reading:
    """What was read of a batch. `rows` holds the rows that the batch did not have before."""

    rows: SortedRows
    profiler: Profiler = field(default_factory=Profiler)
    files: list[FileSeen] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    malformed: int = 0
    contract: int = 0
    valid: int = 0
    kinds: dict[tuple[str, str | None, str, str], _Kind] = field(default_factory=dict)

    @property
    def records(self) -> int:
        """All records of the batch."""
        return self.malformed + self.contract + self.valid

    def violations(self) -> list[Violation]:
        """What is bad about the batch, the most frequent first."""
        found = [
            Violation(
                rule="malformed" if rule == "malformed" else "contract",
                field=name,
                expectation=expectation,
                found=kind.found,
                count=kind.count,
                share=kind.count / self.records,
                file=kind.file,
                line=kind.line,
            )
            for (rule, name, expectation, _), kind in self.kinds.items()
        ]
        return sorted(found, key=lambda violation: -violation.count)

    def note(self, key: tuple[str, str | None, str, str], found: str, file: str, line: int) -> None:
        """Count one bad record."""
        known = self.kinds.get(key)
        if known is None:
            self.kinds[key] = _Kind(found, 1, file, line)
        else:
            known.count += 1


def read_batch(
    dataset: Dataset,
    source: Source,
    day: datetime.date,
    *,
    paths: Sequence[Path],
    landing: Path,
    former: FormerRows,
    folder: Path,
) -> Reading:
    """Read `paths`, in this order; quarantine.parquet and what does not fit into memory are written to `folder`.

    UnreadableFileError on the first file that cannot be read as a whole.
    """
    contract = Contract(dataset, source)
    native = source.fields.get(dataset.native_id)
    reading = Reading(SortedRows(folder))
    with _no_cycles_sought(), QuarantineWriter(folder / QUARANTINE, source, day, native.path if native else None) as quarantine:
        for index, path in enumerate(paths):
            for records in _records(path, landing, reading):
                checked = contract.check(records.values, records.raws)
                quarantine.write(path.name, _rejected(path.name, records, checked, reading))
                reading.rows.add(*_new_rows(dataset, (index, path.name), records, checked, former))
                _count(records, checked, reading)
    _warn_of_copies(reading)
    return reading


@contextmanager
def _no_cycles_sought() -> Iterator[None]:
    """Parsed records hold no cycles; looking for them after every 700 objects took a fifth of the time."""
    was_enabled = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_enabled:
            gc.enable()


def _records(path: Path, landing: Path, reading: Reading) -> Iterator[Records]:
    try:
        with opened(path, landing) as stream:
            yield from read_records(stream, reading.warnings)
            reading.files.append(stream.seen())
    except CurationError as error:
        raise UnreadableFileError(path.name, error) from error


def _count(records: Records, checked: Checked, reading: Reading) -> None:
    reading.malformed += len(records.malformed)
    reading.contract += len(checked.breaks)
    reading.valid += len(checked.rows)
    for name, delivered in checked.delivered.items():
        reading.profiler.add(name, delivered, checked.canonical[name])


def _new_rows(
    dataset: Dataset, index_and_file: tuple[int, str], records: Records, checked: Checked, former: FormerRows
) -> tuple[pa.RecordBatch, Keys]:
    index, file = index_and_file
    rows, keys = checked_rows(checked, index, records.lines, records.parts), sort_keys(checked, dataset.ordered_by)
    are_new = former.are_new(file, rows)
    return (rows, keys) if are_new is None else (rows.filter(are_new), tuple(key[are_new] for key in keys))


def _rejected(
    file: str, records: Records, checked: Checked, reading: Reading
) -> Iterator[tuple[int, int, str, str | None, str, str | None, bytes]]:
    """The bad records of a block in file order, counted into `reading` on the way."""
    bad: list[tuple[int, int, int | Malformed]] = [(item.line, item.part, item) for item in records.malformed]
    bad += [(records.lines[row], records.parts[row], row) for row in checked.breaks]
    for line, part, item in sorted(bad, key=lambda one: one[:2]):
        if isinstance(item, Malformed):
            reading.note(("malformed", None, "", ""), f"malformed ({item.reason})", file, line)
            yield line, part, "malformed", None, item.reason, None, item.raw
            continue
        for broken in checked.breaks[item]:
            reading.note(("contract", broken.field, broken.expectation, broken.found), broken.found, file, line)
        reason = "; ".join(f"{broken.field} {broken.expectation} (found: {broken.found})" for broken in checked.breaks[item])
        yield line, part, "contract", checked.breaks[item][0].field, reason, checked.native_ids[item], records.raws[item]


def _warn_of_copies(reading: Reading) -> None:
    first: dict[str, str] = {}
    for seen in reading.files:
        former = first.setdefault(seen.sha256, seen.name)
        if former != seen.name and seen.bytes:
            reading.warnings.append(f"{seen.name} holds the same bytes as {former}: its records are copies")
