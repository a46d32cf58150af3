"""What lineage is traced in: the folders of a home, one dataset's name and labels, and the one way to ask their Parquet files.

Holds no question of its own. Whoever asks hands the folders over; nothing here knows how a home is laid out.
"""

import contextlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from curation.errors import CurationError
from curation.training_rows import literal

CONFIG: dict[str, Any] = {
    "memory_limit": "1GB",
    "temp_directory": "",  # nothing is written where lineage only reads
    "threads": "2",  # a page asks too, and the other cores take events in
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}


@dataclass(frozen=True)
class Places:
    """The folders of one home: `models` is what a model reference's artefact is relative to, `segments` the feedback as Parquet."""

    lake: Path
    segments: Path
    predictions: Path
    promotions: Path
    models: Path
    snapshots: Path


@dataclass(frozen=True)
class Traced:
    """One dataset of a home, the labels that people may give, and the place in [0, 1) from which on items train nothing."""

    places: Places
    dataset: str
    labels: tuple[str, ...]
    test_from: float


@contextlib.contextmanager
def asking() -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection for one question; CurationError names the file that cannot be read."""
    with duckdb.connect(config=CONFIG) as connection:
        try:
            connection.execute("set timezone = 'UTC'")
            yield connection
        except (duckdb.IOException, duckdb.InvalidInputException) as error:
            raise CurationError(
                f"a file cannot be read: {str(error).splitlines()[0]}",
                "restore it from a backup; curation verify lists what differs",
            ) from error


def parquet(paths: Iterable[Path]) -> str:
    """SQL: the rows of those files, one at least; to stand where a query takes no bound values, too."""
    return f"read_parquet([{', '.join(literal(str(path)) for path in paths)}], hive_partitioning = false)"


def rows_of(found: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """The rows of an executed query, one dict each; Arrow's `to_pylist` would import pandas (0.3 s) for times with a zone."""
    names = [column[0] for column in found.description or []]
    return [dict(zip(names, values, strict=True)) for values in found.fetchall()]


def clean(given: str) -> str:
    """What was typed, as text that a query can take: bytes of a command line that are no UTF-8 name nothing."""
    return given.encode("utf-8", "replace").decode()


def shown(given: str) -> str:
    """What was typed, safe to print in a message."""
    return f"{given if given.isprintable() else ascii(given):.150}"
