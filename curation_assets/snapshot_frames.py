"""Shape and leaks of a snapshot's Parquet, for any dataset: what checks count. pandera judges frames, DuckDB counts clusters."""

from pathlib import Path
from typing import Any

import duckdb

from curation.snapshots.manifest import Manifest


def leaks_between_splits(folder: Path) -> tuple[int, int]:
    """(clusters, clusters with rows in more than one split) of a snapshot's row index."""
    with duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}) as connection:
        found = connection.execute(
            "select count(*), count(*) filter (splits > 1) from (select count(distinct split) as splits from read_parquet(?) group by cluster)",
            [[str(path) for path in sorted((folder / "index").glob("*.parquet"))]],
        ).fetchone()
    return found if found else (0, 0)


def shape_failures(folder: Path, manifest: Manifest) -> tuple[int, list[list[Any]]]:
    """(rows, failure cases as [column, check, case]) of a snapshot's data parts, one part in memory at a time."""
    import pandera.polars as pa
    import polars as pl
    from pandera.errors import SchemaErrors

    types: dict[str, Any] = {
        "string": pl.String,
        "integer": pl.Int64,
        "number": pl.Float64,
        "boolean": pl.Boolean,
        "timestamp": pl.Datetime("us", "UTC"),
    }
    rules: dict[str, list[pa.Check]] = {
        "text": [pa.Check.str_length(min_value=1)],
        "label": [pa.Check.isin(manifest.labels)],
        "weight": [pa.Check.greater_than(0)],
    }
    needed = {manifest.key, "source", *rules}
    schema = pa.DataFrameSchema(
        {
            column.name: pa.Column(
                types[column.type],
                rules.get(column.name, []),
                nullable=column.name not in needed,
                unique=column.name == manifest.key,
            )
            for column in manifest.columns
        },
        strict=True,
    )
    rows, failures = 0, []
    for path in manifest.data_parts():
        frame = pl.read_parquet(folder / path)
        rows += frame.height
        try:
            schema.validate(frame, lazy=True)
        except SchemaErrors as error:
            failures += [
                [case["column"], case["check"], case["failure_case"]] for case in error.failure_cases.head(20).to_dicts()
            ]
    return rows, failures
