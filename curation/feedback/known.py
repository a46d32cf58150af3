"""Which predictions there are, and where: table `known` of a database in memory, for whoever shows feedback before it is curated.

Beside `matching`, which keeps the same in the drain's own file, that nobody else may open. Made anew when parts were added.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from curation.training_rows import literal

MATCHED = """(
    select said.*, predicted.predicted_label,
        case when said.prediction_id is null
                then hash(said.item_id) in (select item_key from known where item_key in (select hash(item_id) from arriving))
            else predicted.prediction_key is not null end as is_matched
    from arriving as said
    left join (
        select prediction_key, min(label) as predicted_label from known
        where prediction_key in (select hash(prediction_id) from arriving) group by prediction_key
    ) as predicted on predicted.prediction_key = hash(said.prediction_id)
)"""
"""SQL: the rows of relation `arriving` (events on one dataset) with predicted_label and is_matched, as `voting.last_words` means them."""


def know(connection: duckdb.DuckDBPyConnection, parts: Sequence[Path]) -> None:
    """Table `known`: one row per prediction in `parts`: keys of item and prediction, label, and where it is: part and row."""
    connection.execute(
        "create or replace table known (item_key ubigint, prediction_key ubigint, label varchar, part_no integer, row_no bigint)"
    )
    if parts:
        paths = [str(path) for path in parts]
        connection.register("parts", pa.table({"filename": paths, "part_no": range(len(paths))}))
        listed = ", ".join(literal(path) for path in paths)
        connection.execute(
            "insert into known select hash(item_id), hash(prediction_id), label, part_no, file_row_number from read_parquet("
            f"[{listed}], hive_partitioning = false, filename = true, file_row_number = true) join parts using (filename)"
        )
        connection.unregister("parts")


def newest(connection: duckdb.DuckDBPyConnection, parts: Sequence[Path], item_ids: Sequence[str]) -> list[dict[str, Any]]:
    """The newest known prediction of each of a page's items: item_id, prediction_id, text, source, predicted_label.

    `parts` are those that `know` was given, in the order of models, then days. An item without a prediction has no row.
    """
    connection.register("shown", pa.table({"item_id": pa.array(item_ids, pa.string())}))
    places = connection.execute(
        "select part_no, row_no from known where item_key in (select hash(item_id) from shown) "
        "qualify row_number() over (partition by item_key order by part_no desc, row_no desc) = 1"
    ).fetchall()
    connection.unregister("shown")
    if not places:
        return []
    rows = " union all ".join(  # row by row: 4 ms each, where looking for 20 ids among 1,000,000 takes 200
        "select item_id, prediction_id, text, source, label as predicted_label from read_parquet("
        f"{literal(str(parts[part_no]))}, hive_partitioning = false, file_row_number = true) where file_row_number = {row_no}"
        for part_no, row_no in places
    )
    found: list[dict[str, Any]] = connection.execute(rows).to_arrow_table().to_pylist()
    return found
