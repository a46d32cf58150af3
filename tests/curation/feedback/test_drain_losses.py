"""What was deleted, changed or damaged around the table: the next drain makes it good, or names it with the fix. Predictions too."""

import pyarrow.parquet as pq
import pytest

from curation.errors import CurationError
from curation.feedback.counting import LabelCount, count_labels
from curation.feedback.drain import TABLES
from curation.feedback.log import FeedbackLog
from curation.feedback.segments import segment_files
from tests.curation.feedback.drained_place import LABELS, NOW, Place, predicted, said


def test_a_deleted_table_comes_back_with_the_same_rows(place: Place) -> None:
    place.predict({"item1": "positive"})
    place.say_many(1, 5)
    place.drain()
    place.say_many(6, 8)
    place.drain()
    rows = place.rows()
    place.file.unlink()
    assert place.drain().last_seq == 8
    assert place.rows() == rows
    assert place.sql("select item_id from predictions") == [("item1",)]


def test_a_deleted_segment_comes_back_with_the_same_bytes(place: Place) -> None:
    for first in (1, 4, 7):
        place.say_many(first, first + 2)
        place.drain()
    lost = place.segments / "000000000004-000000000006.parquet"
    before = lost.read_bytes()
    lost.unlink()
    drained = place.drain()
    assert (drained.rows, drained.last_seq, drained.segment) == (0, 9, None)
    assert lost.read_bytes() == before


def test_all_segments_deleted_come_back_in_one_drain(place: Place) -> None:
    for first in (1, 4):
        place.say_many(first, first + 2)
        place.drain()
    for path in segment_files(place.segments):
        path.unlink()
    place.say_many(7, 8)
    assert place.drain(at_most=1).last_seq == 7
    assert [path.name[:25] for path in segment_files(place.segments)] == [
        "000000000001-000000000006",
        "000000000007-000000000007",
    ]


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param("delete from feedback where seq = 2", id="a row removed"),
        pytest.param("delete from feedback", id="every row removed"),
        pytest.param("insert into feedback select * from feedback where seq = 3", id="a row doubled"),
        pytest.param("update feedback set seq = 9 where seq = 5", id="a row renumbered"),
        pytest.param("drop table feedback", id="the table dropped"),
        pytest.param("drop table drained", id="the high water forgotten"),
        pytest.param("delete from drained", id="the high water removed"),
        pytest.param("alter table feedback add column stars integer", id="a column added"),
        pytest.param("alter table feedback drop column reason", id="a column removed"),
    ],
)
def test_what_was_done_to_numbered_rows_is_undone(place: Place, damage: str) -> None:
    place.say_many(1, 5)
    place.drain()
    rows = place.rows()
    place.sql(damage)
    drained = place.drain()
    assert (drained.last_seq, drained.waiting, drained.refused) == (5, 0, ())
    assert place.rows() == rows
    assert place.logged() == [f"item{number}" for number in range(1, 6)]
    assert place.sql("select column_name from (describe feedback)") == [(name,) for name in TABLES["feedback"]]


def test_a_row_inserted_with_a_number_of_its_own_is_adopted_under_the_next(place: Place) -> None:
    place.say_many(1, 3)
    place.drain()
    place.sql("insert into feedback (seq, dataset, item_id, kind, annotator) values (4, 'reviews', 'i1', 'spam', 'anna')")
    place.say_many(4, 4)
    drained = place.drain()
    assert (drained.adopted, drained.last_seq) == (1, 5)
    assert place.rows("seq, item_id") == [(1, "item1"), (2, "item2"), (3, "item3"), (4, "item4"), (5, "i1")]


def test_a_table_of_another_shape_keeps_its_hand_made_rows(place: Place) -> None:
    place.say_many(1, 2)
    place.drain()
    place.sql(
        "create or replace table feedback as select 'reviews' as dataset, 'i1' as item_id, 'spam' as kind, 'anna' as annotator, "
        "7 as stars"
    )
    assert place.drain().adopted == 1
    assert place.rows("seq, item_id") == [(1, "item1"), (2, "item2"), (3, "i1")]


def test_a_file_that_is_no_database_is_named_with_the_fix(place: Place) -> None:
    place.say_many(1, 2)
    place.drain()
    rows = place.rows()
    place.file.write_bytes(b"not a database" * 1_000)
    with pytest.raises(CurationError, match=r"cannot be used: .* not a valid DuckDB") as told:
        place.drain()
    assert "remove the file: the next drain makes it again" in (told.value.fix or "")
    place.file.unlink()
    place.drain()
    assert place.rows() == rows


def test_a_damaged_segment_is_named_with_the_fix(place: Place) -> None:
    place.say_many(1, 3)
    place.drain()
    rows = place.rows()
    path = segment_files(place.segments)[0]
    path.write_bytes(path.read_bytes()[:-100])
    place.file.unlink()
    with pytest.raises(CurationError, match="is damaged") as told:
        place.drain()
    assert "remove it" in (told.value.fix or "")
    path.unlink()
    place.drain()
    assert place.rows() == rows


def test_a_segment_with_other_rows_than_its_name_says_is_refused(place: Place) -> None:
    place.say_many(1, 5)
    place.drain()
    path = segment_files(place.segments)[0]
    pq.write_table(pq.ParquetFile(path).read().slice(1), path)
    place.file.unlink()
    with pytest.raises(CurationError, match="does not hold the rows its name says"):
        place.drain()


def test_another_log_is_not_mixed_with_what_came_from_the_first(place: Place) -> None:
    place.say_many(1, 3)
    place.drain()
    for path in place.log_file.parent.glob("log.sqlite*"):
        path.unlink()
    place.say_many(1, 2)
    with pytest.raises(CurationError, match=r"up to seq 3 that .* does not hold"):
        place.drain()
    place.say_many(3, 9)
    with pytest.raises(CurationError, match="curation verify"):
        place.drain()
    place.file.unlink()
    for path in segment_files(place.segments):
        path.unlink()
    assert place.drain().last_seq == 9


def test_predictions_are_loaded_once_and_a_part_may_vanish(place: Place) -> None:
    part = place.predict({"i1": "positive", "i2": "negative"})
    place.predict({"t1": "bug"}, "tickets")
    place.drain()
    expected = [("i1", "positive"), ("i2", "negative"), ("t1", "bug")]
    assert place.sql("select item_id, label from predictions order by 1") == expected
    part.unlink()
    place.predict({"i3": "negative"}, part="model=2/day=2026-11-23/1.parquet")
    place.drain()
    place.drain()
    assert place.sql("select item_id, label from predictions order by 1") == sorted([*expected, ("i3", "negative")])


def test_removed_predictions_are_loaded_again(place: Place) -> None:
    place.predict({"i1": "positive", "i2": "negative"})
    place.drain()
    place.sql("delete from predictions where item_id = 'i1'")
    place.drain()
    assert place.sql("select item_id from predictions order by 1") == [("i1",), ("i2",)]


def test_a_damaged_part_is_named_and_the_feedback_is_in_the_table_all_the_same(place: Place) -> None:
    place.predict({"i1": "positive"}).write_bytes(b"PAR1")
    place.say_many(1, 2)
    with pytest.raises(CurationError, match=r"1\.parquet is damaged"):
        place.drain()
    assert [row[0] for row in place.rows("seq")] == [1, 2]


def test_a_late_prediction_makes_an_earlier_event_match(place: Place) -> None:
    place.say(said(1, item_id=None, prediction_id=predicted("i1")))

    def count(log: FeedbackLog) -> LabelCount:
        with place.table.drained(log, LABELS, now=NOW) as (_, connection):
            return count_labels(connection, "reviews", LABELS["reviews"], 0, 1.0)

    with place.log() as log:
        assert count(log) == LabelCount(0, 0, 0, 1, 1, 1)
        place.predict({"i1": "negative"})
        assert count(log) == LabelCount(1, 0, 0, 0, 1, 1)
