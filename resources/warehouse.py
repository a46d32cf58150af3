"""The warehouse of a dataset, opened for reading after dbt has let go of it. Runs only: everyone else reads what runs publish."""

import contextlib
from collections.abc import Iterator

import duckdb

from curation.errors import CurationError
from resources.home import Home

MEMORY_LIMIT = "400MB"


def check_whole(home: Home, dataset: str) -> None:
    """CurationError where the warehouse's file is no DuckDB file: dbt would say so in a page of Python. No file is fine."""
    path = home.warehouse(dataset)
    if path.exists():
        with path.open("rb") as file:
            if file.read(12)[8:] != b"DUCK":
                raise CurationError(f"{path} is damaged", "remove it; the next run builds it anew from the ledger")


@contextlib.contextmanager
def reading(home: Home, dataset: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that cannot write the warehouse; temp views and what spills go to a folder of their own."""
    path = home.warehouse(dataset)
    if not path.exists():
        raise CurationError(
            f"{path} does not exist: the dbt models of {dataset} have never been built", f"curation run {dataset}"
        )
    spill = home.lake / "tmp" / dataset / "spill"
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        "memory_limit": MEMORY_LIMIT,
        "temp_directory": str(spill),
        "preserve_insertion_order": "false",  # order is asked for where it matters; keeping it holds whole results in memory
    }
    with duckdb.connect(path, read_only=True, config=config) as connection:
        yield connection
