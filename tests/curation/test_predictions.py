"""Predictions: one per record and model, in parts that never change, with what is needed to judge them later."""

import datetime
import hashlib
from pathlib import Path

import duckdb
import polars as pl
import pytest

from curation.feedback.events import parts_of
from curation.learning.classifier import Examples, TrainingSettings, train
from curation.predictions import PredictionStore, Predictor

NOW = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
GOOD, BAD = "works great and feels solid", "broke after a week of use"


@pytest.fixture(scope="module")
def pipeline() -> object:
    rows = [(f"{GOOD} number {n}", "good") for n in range(20)] + [(f"{BAD} number {n}", "bad") for n in range(20)]
    texts, labels = zip(*rows, strict=True)
    return train(Examples(texts, labels, [1.0] * 40), Examples((), (), ()), TrainingSettings(feature_bits=12))


@pytest.fixture
def predictor(pipeline: object) -> Predictor:
    return Predictor(pipeline, 3, "ab" * 32, "v0002")


def curated(rows: int) -> duckdb.DuckDBPyConnection:
    """A curated table: `rows` records over three days, the later day first in the table."""
    connection = duckdb.connect()
    connection.execute(
        "create table curated as select sha256('item ' || n) as uid, n as record_no, 'shop' as source, "
        f"date '2026-11-20' - (n % 3)::integer as day, case when n % 2 = 0 then '{GOOD}' else '{BAD}' end || ' ' || n as clean_text, "
        f"5.0 as rating from range({rows}) as numbers(n)"
    )
    return connection


def bytes_of(store: PredictionStore) -> dict[str, str]:
    return {str(path.relative_to(store.root)): hashlib.sha256(path.read_bytes()).hexdigest() for path in store.parts()}


def test_every_record_is_predicted_once_and_stands_under_its_arrival_day(tmp_path: Path, predictor: Predictor) -> None:
    store = PredictionStore(tmp_path, "reviews")
    assert store.add(curated(30), "curated", "uid", predictor, now=NOW) == 30
    rows = pl.concat([pl.read_parquet(part) for part in store.parts(3)])
    assert rows["item_id"].n_unique() == 30
    assert {path.parent.name for path in store.parts()} == {"day=2026-11-18", "day=2026-11-19", "day=2026-11-20"}
    right = rows.filter((pl.col("label") == "good") == pl.col("text").str.contains("great"))
    assert right.height == 30
    connection = duckdb.connect()
    store.register(connection, "predicted", 3)
    gap = connection.execute("select max(abs(list_sum(map_values(probabilities)) - 1)) from predicted").fetchone()
    assert gap is not None
    assert gap[0] < 1e-12
    assert rows.select("model_version", "snapshot_version", "language").unique().rows() == [(3, "v0002", "latin")]
    assert rows["length"].to_list() == [len(text.split()) for text in rows["text"]]


def test_a_prediction_id_names_dataset_and_item_and_changes_with_the_model(
    tmp_path: Path, pipeline: object, predictor: Predictor
) -> None:
    store = PredictionStore(tmp_path, "reviews")
    store.add(curated(3), "curated", "uid", predictor, now=NOW)
    store.add(curated(3), "curated", "uid", Predictor(pipeline, 4, "cd" * 32, "v0003"), now=NOW)
    old, new = (
        pl.concat([pl.read_parquet(part, columns=["prediction_id", "item_id"]) for part in store.parts(version)]).sort("item_id")
        for version in (3, 4)
    )
    assert [parts_of(one)[:2] for one in old["prediction_id"]] == [("reviews", item) for item in old["item_id"]]
    assert set(old["prediction_id"]).isdisjoint(new["prediction_id"])


def test_a_second_call_predicts_only_what_is_new_and_touches_no_part(tmp_path: Path, predictor: Predictor) -> None:
    store = PredictionStore(tmp_path, "reviews")
    store.add(curated(30), "curated", "uid", predictor, now=NOW)
    before = bytes_of(store)
    assert store.add(curated(30), "curated", "uid", predictor, now=NOW) == 0
    assert bytes_of(store) == before
    assert store.add(curated(33), "curated", "uid", predictor, now=NOW) == 3
    assert before.items() <= bytes_of(store).items()


def test_the_same_rows_give_the_same_bytes_also_after_a_part_was_lost(tmp_path: Path, predictor: Predictor) -> None:
    store, other = PredictionStore(tmp_path / "a", "reviews"), PredictionStore(tmp_path / "b", "reviews")
    store.add(curated(30), "curated", "uid", predictor, now=NOW)
    other.add(curated(30), "curated", "uid", predictor, now=NOW)
    other.parts()[1].unlink()  # as if the process had been killed between two days
    assert other.add(curated(30), "curated", "uid", predictor, now=NOW) == 10
    assert bytes_of(other) == bytes_of(store)


def test_without_predictions_the_view_is_empty_and_typed(tmp_path: Path) -> None:
    connection = duckdb.connect()
    PredictionStore(tmp_path, "reviews").register(connection, "predicted")
    assert connection.execute("select count(*), any_value(probabilities['good']) from predicted").fetchone() == (0, None)
