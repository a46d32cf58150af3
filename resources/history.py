"""Dagster's own history of runs, opened. Its SQLite files are made by one process at a time: Dagster's check and its creation of a
table are two steps, so two first starts at once would fail, or corrupt them. Reads and writes nothing of that history itself.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

from filelock import FileLock

from resources.home import Home

if TYPE_CHECKING:
    from dagster import DagsterInstance


@contextlib.contextmanager
def opened_history(home: Home) -> "Iterator[DagsterInstance]":
    """The instance that DAGSTER_HOME names, which is `home.dagster`."""
    from dagster import DagsterInstance

    with _sole_maker(home):
        instance = DagsterInstance.get()
    with instance:
        yield instance


def make_history(home: Home) -> None:
    """Create the files where there are none, for processes that will open them by themselves."""
    with _sole_maker(home):
        if (home.dagster / "schedules" / "schedules.db").exists():  # the last one made; importing Dagster costs 1.5 CPU s
            return
        from dagster import DagsterInstance

        with DagsterInstance.get():
            pass


def _sole_maker(home: Home) -> FileLock:
    return FileLock(home.root / "locks" / "history.lock")
