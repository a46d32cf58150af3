"""Programs read a snapshot back equal: its CSV with pandas, polars and DuckDB, its folder with Hugging Face's datasets."""

import os
import subprocess
import sys

import duckdb
import pandas
import polars as pl
import pyarrow.parquet as pq
import pytest
import yaml
from support_tickets import COLUMNS, SPEC, tickets

SPLITS = ("train", "validation", "test")


@pytest.fixture
def folder(store, connect):
    return store.write(SPEC, connect(tickets()), "rows").folder


def parquet(folder, split):
    return [row for path in sorted(folder.glob(f"data/{split}/*.parquet")) for row in pq.ParquetFile(path).read().to_pylist()]


@pytest.mark.parametrize("split", SPLITS)
def test_polars_reads_the_csv_back_equal_with_types_and_nulls(folder, split):
    types = {
        "string": pl.String,
        "integer": pl.Int64,
        "number": pl.Float64,
        "boolean": pl.Boolean,
        "timestamp": pl.Datetime("us", "UTC"),
    }
    read = pl.read_csv(folder / f"{split}.csv", schema={column.name: types[column.type] for column in COLUMNS})
    assert read.to_dicts() == parquet(folder, split)


@pytest.mark.parametrize("split", SPLITS)
def test_pandas_reads_every_string_back_equal(folder, split):
    read = pandas.read_csv(folder / f"{split}.csv", dtype=str, keep_default_na=False)
    for name in ("ticket_uid", "source", "item_id", "text", "label"):
        assert list(read[name]) == [row[name] or "" for row in parquet(folder, split)]
    assert [float(rating) if rating else None for rating in read["rating"]] == [row["rating"] for row in parquet(folder, split)]


@pytest.mark.parametrize("split", SPLITS)
def test_duckdb_reads_the_csv_back_equal_and_tells_null_from_empty(folder, split):
    query = "from read_csv(?, header=true, all_varchar=true, delim=',', quote='\"', escape='\"', allow_quoted_nulls=false)"
    with duckdb.connect() as connection:
        read = connection.execute(query, [str(folder / f"{split}.csv")]).fetchall()
    assert [row[:5] for row in read] == [tuple(row.values())[:5] for row in parquet(folder, split)]


def test_the_card_shows_computed_numbers_only_of_this_snapshot(store, connect):
    rows = tickets()
    snapshot = store.write(SPEC, connect(rows), "rows")
    text = (snapshot.folder / "README.md").read_text()
    header = yaml.safe_load(text.split("---\n")[1])
    train = [row for row in rows if row["split"] == "train"]
    angry = [row for row in train if row["label"] == "angry"]
    assert f"| train | {len(train) - len(angry)} (" in text
    assert header["license"] == "apache-2.0"
    assert header["size_categories"] == ["n<1K"]
    assert [split["num_examples"] for split in header["dataset_info"]["splits"]] == [
        sum(row["split"] == split for row in rows) for split in SPLITS
    ]
    parts = list(snapshot.folder.glob("data/*/*.parquet"))
    assert header["dataset_info"]["download_size"] == sum(part.stat().st_size for part in parts)
    assert header["dataset_info"]["dataset_size"] == sum(split["num_bytes"] for split in header["dataset_info"]["splits"])
    assert snapshot.manifest.digest in text
    assert "v0001" not in text


LOAD = """
import json, sys
from datasets import load_dataset
loaded = load_dataset(sys.argv[1])
print(json.dumps({split: [dict(row) for row in rows] for split, rows in loaded.items()}, default=str))
"""


@pytest.mark.slow
@pytest.mark.parametrize("without", [(), ("test",)])
def test_stock_datasets_loads_the_folder_offline(store, connect, tmp_path, without):
    import json

    folder = store.write(SPEC, connect([row for row in tickets() if row["split"] not in without]), "rows").folder
    environment = os.environ | {"HF_HOME": str(tmp_path / "hf"), "HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    done = subprocess.run([sys.executable, "-c", LOAD, str(folder)], env=environment, capture_output=True, text=True, check=True)
    loaded = json.loads(done.stdout.splitlines()[-1])
    assert set(loaded) == set(SPLITS) - set(without)
    for split, rows in loaded.items():
        wanted = [row | {"opened_at": row["opened_at"] and str(row["opened_at"])} for row in parquet(folder, split)]
        assert rows == wanted
