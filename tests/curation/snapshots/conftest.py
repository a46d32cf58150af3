"""A store and tables of tickets for the tests of snapshots."""

from collections.abc import Callable, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
from support_tickets import COLUMNS, Row

from curation.snapshots.parts import arrow_schema, index_columns
from curation.snapshots.store import SnapshotStore


@pytest.fixture
def connect() -> Iterator[Callable[[list[Row]], duckdb.DuckDBPyConnection]]:
    """Makes a connection whose table `rows` holds the given rows."""
    made: list[duckdb.DuckDBPyConnection] = []
    names = arrow_schema((*COLUMNS, *index_columns("ticket_uid")[1:]))
    schema = names.append(pa.field("month", pa.string()))

    def make(rows: list[Row], *, threads: int = 2) -> duckdb.DuckDBPyConnection:
        connection = duckdb.connect(
            config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false", "threads": threads}
        )
        made.append(connection)
        connection.register("given", pa.Table.from_pylist(rows, schema=schema))
        connection.execute("create table rows as select * from given")
        return connection

    yield make
    for connection in made:
        connection.close()


@pytest.fixture
def store(tmp_path: Path) -> SnapshotStore:
    """An empty store."""
    return SnapshotStore(tmp_path / "snapshots")
