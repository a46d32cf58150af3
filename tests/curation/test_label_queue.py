"""The label queue's generations on disk: whole, immutable, and none too many."""

import datetime
from pathlib import Path

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import CurationError
from curation.label_queue import ASKED, QUEUED, SHOWN, LabelQueue, queued_in
from curation.learning.selection import CHOSEN

NOW = datetime.datetime(2026, 1, 10, 12, tzinfo=datetime.UTC)
LATER = NOW + datetime.timedelta(days=1)


def asking(*items: tuple[str, str, float]) -> pa.Table:
    rows = [
        {
            "item_id": item,
            "prediction_id": f"reviews:{item}:00",
            "reason": reason,
            "probability": probability,
            "rank": rank,
            "fields": f'{{"text":"{item}"}}',
            "guess": "positive",
            "confidence": 0.75,
        }
        for rank, (item, reason, probability) in enumerate(items, 1)
    ]
    return pa.Table.from_pylist(rows, pa.schema([*CHOSEN, *SHOWN]))


def write(queue: LabelQueue, chosen: pa.Table, asked_at: datetime.datetime = NOW, model_version: int = 3) -> Path:
    return queue.write(chosen, model_version=model_version, snapshot_version="v0002", asked_at=asked_at)


def test_a_generation_tells_who_was_asked_for_when_and_by_which_model(tmp_path: Path) -> None:
    path = write(LabelQueue(tmp_path, "reviews"), asking(("a", "control", 0.5)))
    assert path == tmp_path / "reviews" / "000001.parquet"
    assert pq.read_table(path).to_pylist() == [
        {
            "item_id": "a",
            "prediction_id": "reviews:a:00",
            "reason": "control",
            "probability": 0.5,
            "rank": 1,
            "dataset": "reviews",
            "model_version": 3,
            "snapshot_version": "v0002",
            "asked_at": NOW,
            "fields": '{"text":"a"}',
            "guess": "positive",
            "confidence": 0.75,
        }
    ]


def test_a_generation_from_before_pages_is_read_with_nulls_and_gives_way_to_one_that_shows_its_items(tmp_path: Path) -> None:
    queue = LabelQueue(tmp_path, "reviews")
    chosen = asking(("a", "control", 0.5))
    old = write(queue, chosen)
    pq.write_table(pq.read_table(old).select(ASKED.names), old)
    read = queued_in(old)
    assert read.schema == QUEUED
    assert read.select([*SHOWN.names, "item_id"]).to_pylist() == [
        {"fields": None, "guess": None, "confidence": None, "item_id": "a"}
    ]
    new = write(queue, chosen)
    assert queue.asked() == [old, new]
    assert queued_in(new)["fields"].to_pylist() == ['{"text":"a"}']
    with duckdb.connect() as connection:
        assert connection.execute(f"select item_id from {queue.asked_items(connection)}").fetchall() == [("a",), ("a",)]


def test_an_item_that_reads_differently_makes_a_new_generation(tmp_path: Path) -> None:
    queue = LabelQueue(tmp_path, "reviews")
    chosen = asking(("a", "control", 0.5))
    first = write(queue, chosen)
    other = chosen.set_column(chosen.column_names.index("fields"), SHOWN.field("fields"), pa.array(['{"text":"b"}']))
    assert write(queue, other) != first


def test_asking_the_same_again_makes_no_new_generation(tmp_path: Path) -> None:
    queue = LabelQueue(tmp_path, "reviews")
    first = write(queue, asking(("a", "control", 0.5)))
    before = first.read_bytes()
    assert write(queue, asking(("a", "control", 0.5)), LATER) == first
    assert (queue.asked(), first.read_bytes()) == ([first], before)
    other_items, other_model = (
        write(queue, asking(("b", "control", 0.5))),
        write(queue, asking(("b", "control", 0.5)), model_version=4),
    )
    assert queue.asked() == [first, other_items, other_model]
    assert queue.current() == other_model


def test_before_the_first_generation_there_is_none(tmp_path: Path) -> None:
    queue = LabelQueue(tmp_path, "reviews")
    assert (queue.current(), queue.asked()) == (None, [])
    with duckdb.connect() as connection:
        assert connection.execute(f"select count(*) from {queue.control_items(connection)}").fetchone() == (0,)


def test_what_a_killed_writer_left_is_no_generation(tmp_path: Path) -> None:
    queue = LabelQueue(tmp_path, "reviews")
    first = write(queue, asking(("a", "control", 0.5)))
    (first.parent / ".000002.parquet.0a1b2c3d.tmp").write_bytes(b"PAR1 torn")
    assert queue.current() == first
    assert write(queue, asking(("b", "control", 0.5))).name == "000002.parquet"
    with duckdb.connect() as connection:
        assert connection.execute(f"select count(*) from {queue.asked_items(connection)}").fetchone() == (2,)


def test_an_empty_queue_is_a_generation_too(tmp_path: Path) -> None:
    queue = LabelQueue(tmp_path, "reviews")
    write(queue, asking(("a", "control", 0.5)))
    assert pq.read_table(write(queue, asking())).schema == QUEUED


def test_a_control_item_is_known_by_its_first_asking(tmp_path: Path) -> None:
    queue = LabelQueue(tmp_path, "reviews")
    write(queue, asking(("a", "control", 0.5), ("b", "uncertain", 0.9)))
    write(queue, asking(("a", "control", 0.25), ("c", "control", 0.1)), LATER)
    with duckdb.connect() as connection:
        connection.execute("set timezone = 'UTC'")
        items = connection.execute(f"select * from {queue.control_items(connection)} order by item_id").to_arrow_table()
    assert items.to_pylist() == [
        {"item_id": "a", "probability": 0.5, "asked_at": NOW},
        {"item_id": "c", "probability": 0.1, "asked_at": LATER},
    ]


def test_a_naive_time_and_a_name_that_leaves_the_folder_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no time zone"):
        write(LabelQueue(tmp_path, "reviews"), asking(), NOW.replace(tzinfo=None))
    with pytest.raises(CurationError, match="cannot name a dataset"):
        LabelQueue(tmp_path, "../reviews")
