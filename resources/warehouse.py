"""The warehouse of a dataset, opened for reading after dbt has let go of it. Runs only: everyone else reads what runs publish."""

import contextlib
from collections.abc import Iterator

import duckdb

from curation.errors import CurationError
from resources.home import Home

MEMORY_LIMIT = "700MB"


@contextlib.contextmanager
def reading(home: Home, dataset: str) -> Iterator[duckdb.DuckDBPyConnection]:
    """A connection that cannot write the warehouse; temp views and what spills go to a folder of their own."""
    path = home.warehouse(dataset)
    if not path.exists():
        raise CurationError(f"{path} does not exist: the dbt models of {dataset} have never been built", f"curation run {dataset}")
    spill = home.lake / "tmp" / dataset / "spill"
    config = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "memory_limit": MEMORY_LIMIT, "temp_directory": str(spill)}
    with duckdb.connect(path, read_only=True, config=config) as connection:
        yield connection
