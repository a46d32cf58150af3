"""What lies in landing, as batches, and whatever there cannot be one. Looks at names and links; opens no file."""

import datetime
import os
import stat
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from pathlib import Path

from curation.errors import CurationError
from curation.files import NAME
from curation.ingestion.landing import FIRST_DAY, can_be_kept, leads_out

UNFINISHED = (".tmp", ".part")  # what copies and downloads are called until they are whole


@dataclass(frozen=True)
class Arrival:
    """The files of one source and day, by name."""

    source: str
    day: datetime.date
    folder: Path
    paths: list[Path]


@dataclass(frozen=True)
class Problem:
    """What keeps something in landing from being taken in. It stops nothing else."""

    path: Path
    message: str
    fix: str | None


def arrivals(landing: Path, dataset: str, sources: Collection[str], today: datetime.date) -> tuple[list[Arrival], list[Problem]]:
    """Every batch in landing, empty ones too, by source and day; and what is no batch, or none that may be opened.

    `today` is a day in UTC: a later one is a problem. So are an unknown source, a folder that is no date, and a link that
    leads out of landing.
    """
    found: list[Arrival] = []
    problems: list[Problem] = []
    for folder in _visible(landing / dataset):
        try:
            _check_source(folder, landing, sources)
        except CurationError as error:
            problems.append(Problem(folder, error.message, error.fix))
            continue
        for day_folder in _visible(folder):
            try:
                day = _checked_day(day_folder, today)
                found.append(Arrival(folder.name, day, day_folder, files_in(day_folder, landing)))
            except CurationError as error:
                problems.append(Problem(day_folder, error.message, error.fix))
    return found, problems


def files_in(folder: Path, landing: Path) -> list[Path]:
    """The files of a batch by name. CurationError, naming it, on one that is no file or leads out of landing."""
    paths = []
    for path in _visible(folder):
        _check_name(path)
        if leads_out(path, landing):
            raise CurationError(
                f"{path} is a link that leads out of landing",
                "replace it by the file itself: curation ingest DATASET SOURCE FILE",
            )
        try:
            is_file = stat.S_ISREG(path.stat().st_mode)
        except OSError as error:
            raise CurationError(f"{path} cannot be read: {error.strerror}", "mend or remove it") from error
        if not is_file:
            raise CurationError(f"{path} is not a file", "put the files themselves into the day's folder, and nothing else")
        _check_readable(path, os.R_OK)
        paths.append(path)
    return paths


def _visible(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from sorted(
            path for path in folder.iterdir() if not path.name.startswith(".") and not path.name.endswith(UNFINISHED)
        )


def _check_name(path: Path) -> None:
    if not can_be_kept(path.name):
        told = f"{path.parent} holds {path.name!a}: records could not tell where they come from"
        raise CurationError(told, "rename it: UTF-8, no control characters")


def _check_readable(path: Path, mode: int) -> None:
    if not os.access(path, mode):
        raise CurationError(f"{path} cannot be read: Permission denied", "give read permission")


def _check_source(folder: Path, landing: Path, sources: Collection[str]) -> None:
    _check_name(folder)
    if not folder.is_dir():
        raise CurationError(
            f"{folder} is no folder of arrival days", f"take it in by: curation ingest {folder.parent.name} SOURCE {folder.name}"
        )
    if folder.name not in sources:
        declare = f"declare it (curation sources draft {folder.name} FILE --write), or " if NAME.fullmatch(folder.name) else ""
        raise CurationError(
            f"{folder}: {folder.name!r} is no declared source; there are {', '.join(sorted(sources)) or 'none'}",
            f"{declare}rename the folder",
        )
    if leads_out(folder, landing):
        raise CurationError(f"{folder} is a link that leads out of landing", "replace it by a folder")
    _check_readable(folder, os.R_OK | os.X_OK)


def _checked_day(folder: Path, today: datetime.date) -> datetime.date:
    _check_name(folder)
    try:
        day = datetime.date.fromisoformat(folder.name)
    except ValueError:
        day = None
    if day is None or day.isoformat() != folder.name or not folder.is_dir():
        raise CurationError(f"{folder} is no arrival day", "name the folder YYYY-MM-DD, or move it away")
    if day < FIRST_DAY:
        raise CurationError(f"{folder} lies before {FIRST_DAY}, the first day there is", "rename it to the day the files arrived")
    if day > today:
        raise CurationError(
            f"{folder} lies in the future: today is {today.isoformat()} (UTC)", "rename it to the day the files arrived"
        )
    _check_readable(folder, os.R_OK | os.X_OK)
    return day
