"""Landing: `landing/<dataset>/<source>/<YYYY-MM-DD>/*`, files exactly as they arrived. Copies in and lists; never changes one.

What a batch holds and whether it is pending is for intake: nothing here opens a record.
"""

import os
import shutil
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from curation.errors import CurationError
from curation.files import NAME, sha256_of_file, sync, valid_name, written_whole

FIRST_DAY = date(2000, 1, 1)  # an earlier day is a slip, and would make a partition of every day since


@dataclass(frozen=True)
class _Arrival:
    """A file that shall land, checked: what the user named, where it goes, its bytes' hash, whether it is there already."""

    origin: Path
    target: Path
    sha256: str
    is_landed: bool


def copy_in(dataset: str, source: str, files: Sequence[Path], day: date, landing: Path, *, today: date) -> list[Path]:
    """Copy the user's files into the batch of `source` and `day` (UTC); their paths in landing, in the order given.

    All files are checked before the first is copied; each appears whole and on disk, or not at all. A file that is there with
    the same bytes stays untouched. CurationError on a bad name, a day after `today` or before FIRST_DAY, a missing, empty or special file, another
    file of that name, or a disk that does not take it.
    """
    folder = _batch_folder(dataset, source, day, landing, today)
    arrivals: dict[str, _Arrival] = {}
    for file in files:
        arrival = _checked(file, folder)
        former = arrivals.setdefault(arrival.target.name, arrival)
        if former.sha256 != arrival.sha256:
            raise _collision(file, former.origin)
    try:
        for arrival in arrivals.values():
            if not arrival.is_landed:
                _copy(arrival)
        for made in (folder, *folder.parents[:3]) if folder.is_dir() else ():
            sync(made)
    except OSError as error:
        raise CurationError(
            f"cannot write to {folder}: {error.strerror}", "make room or give write permission there, then ingest again"
        ) from error
    return [folder / file.name for file in files]


def leads_out(path: Path, landing: Path) -> bool:
    """Whether links on the way to `path` end outside of `landing`. A loop of links leads nowhere; reading it tells."""
    return not Path(os.path.realpath(path)).is_relative_to(os.path.realpath(landing))


def can_be_kept(name: str) -> bool:
    """Whether a file of that name can be told in messages and records: no control characters, no bytes that are not UTF-8."""
    return name.isprintable()


def batch_days(landing: Path, dataset: str) -> dict[str, list[date]]:
    """The arrival days of each source that has a folder, in order; what is neither source nor possible day is passed over."""
    days: dict[str, list[date]] = {}
    for source in _folders(landing / dataset):
        if NAME.fullmatch(source):
            days[source] = sorted(day for name in _folders(landing / dataset / source) if (day := _day(name)) is not None)
    return days


def earliest_day(landing: Path, dataset: str) -> date | None:
    """The first arrival day of any source, None while nothing has arrived."""
    return min((days[0] for days in batch_days(landing, dataset).values() if days), default=None)


def _batch_folder(dataset: str, source: str, day: date, landing: Path, today: date) -> Path:
    folder = landing / valid_name(dataset, "dataset") / valid_name(source, "source") / day.isoformat()
    if day > today:
        raise CurationError(
            f"{day} is in the future (today is {today}, UTC)", "give the day the files arrived: --date YYYY-MM-DD"
        )
    if day < FIRST_DAY:
        raise CurationError(
            f"{day} is before {FIRST_DAY}, the first day there is", "give the day the files arrived: --date YYYY-MM-DD"
        )
    if leads_out(folder, landing):
        raise CurationError(f"{folder} leads out of landing, to {os.path.realpath(folder)}", "replace the link by a folder")
    return folder


def _checked(file: Path, folder: Path) -> _Arrival:
    if file.name.startswith(".") or not can_be_kept(file.name):
        raise CurationError(
            f"{str(file)!a:.200} has a name that landing cannot keep", "rename it: no leading dot, no control characters"
        )
    try:
        found = file.stat()  # follows a link: it is the user's own file
        if stat.S_ISDIR(found.st_mode):
            raise CurationError(f"{file} is a folder", f"name its files: {file}/*")
        if not stat.S_ISREG(found.st_mode):
            raise CurationError(f"{file} is not a regular file", "save what it delivers to a file and ingest that")
        if found.st_size == 0:
            raise CurationError(f"{file} is empty", "deliver it again; a day without records needs no file")
        sha256 = sha256_of_file(file)
    except OSError as error:
        raise CurationError(f"cannot read {file}: {error.strerror}", "check its path and permissions") from error
    target = folder / file.name
    if target.is_symlink() or (target.exists() and not target.is_file()):
        raise CurationError(f"{target} is not a regular file", "remove it from landing, then ingest again")
    if target.exists() and sha256_of_file(target) != sha256:
        raise _collision(file, target)
    return _Arrival(file, target, sha256, is_landed=target.exists())


def _copy(arrival: _Arrival) -> None:
    with written_whole(arrival.target) as temporary:
        shutil.copyfile(arrival.origin, temporary)
        if sha256_of_file(temporary) != arrival.sha256:
            raise CurationError(f"{arrival.origin} changed while it was copied", "wait until it is complete, then ingest again")


def _collision(file: Path, other: Path) -> CurationError:
    return CurationError(
        f"{file} and {other} have the same name and different bytes",
        "rename it, or give the --date of the day it arrived; to correct a delivery, replace the file in landing",
    )


def _folders(path: Path) -> list[str]:
    try:
        with os.scandir(path) as entries:
            return sorted(entry.name for entry in entries if entry.is_dir())
    except FileNotFoundError:
        return []


def _day(name: str) -> date | None:
    try:
        day = date.fromisoformat(name)
    except ValueError:
        return None
    return day if day.isoformat() == name and day >= FIRST_DAY else None  # fromisoformat takes 20240105 too
