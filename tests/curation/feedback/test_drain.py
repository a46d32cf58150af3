"""The drain: what enters the table, what is adopted or refused, and that no interruption and no other process makes a difference."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import duckdb
import pytest

from curation.feedback.counting import LabelCount, count_labels
from curation.feedback.drain import TableLocked
from curation.feedback.events import LOGGED, checked_event
from curation.feedback.log import Head
from curation.feedback.segments import segment_files, write_segment
from tests.curation.feedback.drained_place import LABELS, NOW, Place, predicted, said

BY_HAND = "insert into feedback (dataset, item_id, kind, label, annotator) values"


@contextlib.contextmanager
def held_by_another_process(code: str) -> Iterator[subprocess.Popen[str]]:
    """A process that runs `code`, says so, and stays until the block ends."""
    program = f"import sys\n{code}\nprint('held', flush=True)\nsys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        try:
            yield process
        finally:
            process.kill()


def test_an_empty_log_makes_an_empty_table(place: Place) -> None:
    drained = place.drain()
    assert (drained.rows, drained.adopted, drained.waiting, drained.head) == (0, 0, 0, Head(0, "0" * 64))
    assert drained.segment is None
    assert place.rows() == []


def test_the_table_holds_what_the_log_holds(place: Place) -> None:
    place.say_many(1, 5)
    drained = place.drain()
    with place.log() as log:
        logged = log.read(0, 10)
        assert drained.head == log.head()
    assert (drained.rows, drained.last_seq, drained.segment) == (5, 5, "000000000001-000000000005.parquet")
    with duckdb.connect(str(place.file)) as connection:
        found = connection.execute(f"select {', '.join(LOGGED.names)} from feedback order by seq").to_arrow_table()
    assert found.to_pylist() == logged.to_pylist()


def test_a_second_drain_changes_nothing(place: Place) -> None:
    place.say_many(1, 5)
    place.drain()
    rows, names = place.rows(), place.names()
    drained = place.drain()
    assert (drained.rows, drained.last_seq, drained.segment) == (0, 5, None)
    assert (place.rows(), place.names()) == (rows, names)


def test_a_limit_tells_how_many_wait_and_the_next_drains_bring_them(place: Place) -> None:
    place.say_many(1, 25)
    told = [(drained.rows, drained.waiting, drained.last_seq) for drained in (place.drain(at_most=10) for _ in range(4))]
    assert told == [(10, 15, 10), (10, 5, 20), (5, 0, 25), (0, 0, 25)]
    assert [row[0] for row in place.rows("seq")] == list(range(1, 26))
    assert [path.name[:25] for path in segment_files(place.segments)] == [
        "000000000001-000000000010",
        "000000000011-000000000020",
        "000000000021-000000000025",
    ]


def test_a_row_inserted_by_sql_becomes_an_event_and_counts(place: Place) -> None:
    place.predict({"i1": "negative"})
    place.drain()
    place.sql(f"{BY_HAND} ('reviews', 'i1', 'label', 'positive', 'anna')")
    with place.log() as log, place.table.drained(log, LABELS, now=NOW) as (drained, connection):
        assert (drained.adopted, drained.rows, drained.refused) == (1, 1, ())
        assert count_labels(connection, "reviews", LABELS["reviews"], 0, 1.0) == LabelCount(1, 0, 0, 0, 1, 1)
    assert place.rows("seq, item_id, label, annotator, source, occurred_at, problem") == [
        (1, "i1", "positive", "anna", "sql", NOW, None)
    ]
    assert place.drain().adopted == 0
    assert place.logged() == ["i1"]


def test_everything_a_hand_made_row_says_arrives(place: Place) -> None:
    place.drain()
    place.sql(
        "insert into feedback by name select 'reviews' as dataset, "
        f"'{predicted('i1')}' as prediction_id, 'agree' as kind, 'anna' as annotator, 'shop-app' as source, 'clear' as reason, "
        "'00000000-0000-4000-8000-000000000009' as event_id, '2026-11-01 10:00:00.25+02'::timestamptz as occurred_at, "
        """'{"page": 3}' as context"""
    )
    place.drain()
    with place.log() as log:
        logged = log.find("00000000-0000-4000-8000-000000000009")
    assert logged is not None
    assert {name: logged[name] for name in ("item_id", "kind", "source", "reason", "context")} == {
        "item_id": "i1",
        "kind": "agree",
        "source": "shop-app",
        "reason": "clear",
        "context": '{"page":3}',
    }
    assert logged["occurred_at"].isoformat() == "2026-11-01T08:00:00.250000+00:00"


def test_a_row_that_is_wrong_stays_and_says_why_until_it_is_mended(place: Place) -> None:
    place.drain()
    place.sql(
        f"{BY_HAND} ('reviews', 'i1', 'label', 'postive', 'anna'), ('reviews', 'i2', 'label', 'positive', 'anna'), "
        "('reviews', 'i3', 'label', 'positive', null)"
    )
    drained = place.drain()
    assert drained.adopted == 1
    assert [why.partition(":")[0] for why in drained.refused] == ["i1", "i3"]
    assert 'did you mean "positive"?' in drained.refused[0]
    problems = place.rows("seq, item_id, problem")
    assert [row[:2] for row in problems] == [(1, "i2"), (None, "i1"), (None, "i3")]
    assert "label must be one of negative, positive" in problems[1][2]
    assert "annotator is missing" in problems[2][2]
    place.sql("update feedback set label = 'positive' where item_id = 'i1'")
    assert place.drain().adopted == 1
    assert place.rows("seq, item_id, problem is null") == [(1, "i2", True), (2, "i1", True), (None, "i3", False)]


def test_a_time_no_calendar_holds_is_a_problem_of_its_row_only(place: Place) -> None:
    place.drain()
    place.sql(
        "insert into feedback (dataset, item_id, kind, annotator, occurred_at) values ('reviews', 'i1', 'spam', 'anna', 'infinity'), "
        "('reviews', 'i2', 'spam', 'anna', '2026-11-22 10:00')"
    )
    drained = place.drain()
    assert (drained.adopted, len(drained.refused)) == (1, 1)
    assert "must be a time" in drained.refused[0]


def test_an_event_id_that_is_taken_is_a_problem_unless_the_row_says_the_same(place: Place) -> None:
    place.say(said(1, occurred_at=None))
    place.drain()
    event_id = said(1).event_id
    for label in ("negative", "positive"):
        place.sql(
            "insert into feedback (event_id, dataset, item_id, kind, label, annotator, source) "
            f"values ('{event_id}', 'reviews', 'item1', 'label', '{label}', 'anna', 'test')"
        )
    drained = place.drain()
    assert (drained.rows, drained.adopted) == (0, 1)
    assert "already there with another body" in drained.refused[0]
    assert place.rows("seq, label") == [(1, "positive"), (None, "negative")]
    assert place.logged() == ["item1"]


def test_refused_rows_never_keep_new_ones_waiting(place: Place) -> None:
    place.drain()
    place.sql(f"{BY_HAND} {', '.join(['(null, null, null, null, null)'] * 5)}")
    place.drain(at_most=5)
    place.sql(f"{BY_HAND} ('reviews', 'i1', 'label', 'positive', 'anna')")
    assert place.drain(at_most=5).adopted == 1


def test_adopted_rows_wait_for_their_turn_behind_a_backlog(place: Place) -> None:
    place.drain()
    place.say_many(1, 10)
    place.sql(f"{BY_HAND} ('reviews', 'i1', 'label', 'positive', 'anna')")
    told = [(drained.rows, drained.adopted, drained.waiting) for drained in (place.drain(at_most=5) for _ in range(3))]
    assert told == [(5, 0, 6), (5, 0, 1), (1, 1, 0)]
    assert [row[0] for row in place.rows("seq")] == list(range(1, 12))
    assert place.logged().count("i1") == 1


def test_a_drain_that_died_between_log_and_table_adopts_once(place: Place) -> None:
    place.drain()
    place.sql(f"{BY_HAND} ('reviews', 'i1', 'label', 'positive', 'anna'), ('reviews', 'i2', 'label', 'positive', 'anna')")
    row = {"dataset": "reviews", "item_id": "i1", "kind": "label", "label": "positive", "annotator": "anna", "source": "sql"}
    place.say(checked_event(row, LABELS, now=NOW))  # as far as the dead one came
    drained = place.drain()
    assert (drained.rows, drained.adopted) == (2, 2)
    assert place.rows("seq, item_id") == [(1, "i1"), (2, "i2")]
    assert place.logged() == ["i1", "i2"]


def test_a_drain_that_died_after_its_segment_is_completed(place: Place) -> None:
    place.say_many(1, 5)
    place.drain()
    place.say_many(6, 9)
    with place.log() as log:
        write_segment(place.segments, log, 6, 9)
    drained = place.drain()
    assert (drained.rows, drained.last_seq, drained.segment) == (4, 9, None)
    assert [row[0] for row in place.rows("seq")] == list(range(1, 10))


STEPS = 14
KILLED = """
import os, signal, sys
from pathlib import Path
from curation.feedback.log import FeedbackLog
from tests.curation.feedback.drained_place import LABELS, NOW, Place

class Dying(FeedbackLog):
    left = 0
    def __getattribute__(self, name):
        if name in ("append", "read", "head", "head_at"):
            Dying.left -= 1
            if Dying.left == 0:
                os.kill(os.getpid(), signal.SIGKILL)
        return super().__getattribute__(name)

for step in range(1, int(sys.argv[2]) + 1):
    child = os.fork()
    if not child:
        Dying.left, place = step, Place(Path(sys.argv[1]) / str(step))
        with Dying(place.log_file, b"k" * 32) as log, place.table.drained(log, LABELS, now=NOW):
            os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""


@pytest.mark.slow
def test_killed_at_any_of_its_steps_the_next_drain_ends_the_same(tmp_path: Path) -> None:
    """The n-th process kills itself at its n-th use of the log, which lies between and within the stages; the last ones survive."""
    places = [Place(tmp_path / str(step)) for step in range(1, STEPS + 1)]
    for place in places:
        place.say_many(1, 3)
        place.drain()
        place.say_many(4, 6)
        place.sql(f"{BY_HAND} ('reviews', 'i1', 'label', 'positive', 'anna')")
        (place.segments / "000000000001-000000000003.parquet").unlink()
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path), str(STEPS)], check=True, timeout=120, capture_output=True, text=True
    )
    codes = [int(code) for code in ended.stdout.split()]
    assert set(codes) == {0, -signal.SIGKILL}
    assert sorted(codes) == codes
    for place in places:
        place.drain()
        assert place.rows("seq, item_id") == [*[(seq, f"item{seq}") for seq in range(1, 7)], (7, "i1")]
        assert place.logged() == [*[f"item{seq}" for seq in range(1, 7)], "i1"]
        assert [path.name[:25] for path in segment_files(place.segments)] == [
            "000000000001-000000000003",
            "000000000004-000000000007",
        ]


@pytest.mark.slow
def test_a_table_held_by_another_process_is_skipped_and_nothing_is_lost(place: Place) -> None:
    place.say_many(1, 3)
    place.drain()
    place.say_many(4, 6)
    with held_by_another_process(f"import duckdb\nheld = duckdb.connect({str(place.file)!r}, read_only=True)") as process:
        with pytest.raises(TableLocked, match=rf"feedback\.duckdb is open in .*\(PID {process.pid}\)"):
            place.drain()
        assert len(place.names()) == 1
    assert place.drain().rows == 3
    assert [row[0] for row in place.rows("seq")] == list(range(1, 7))


@pytest.mark.slow
def test_two_drains_at_once_are_one_and_a_message(place: Place) -> None:
    place.say_many(1, 3)
    place.lock.parent.mkdir(parents=True)
    with (
        held_by_another_process(f"from filelock import FileLock\nheld = FileLock({str(place.lock)!r})\nheld.acquire()"),
        pytest.raises(TableLocked, match="another drain is running"),
    ):
        place.drain()
    assert place.drain().rows == 3


def test_a_connection_within_this_process_is_named_too(place: Place) -> None:
    place.drain()
    with duckdb.connect(str(place.file)), pytest.raises(TableLocked, match="open in this process"):
        place.drain()


def test_the_lock_is_free_again_after_an_error_in_the_block(place: Place) -> None:
    place.say_many(1, 2)
    with place.log() as log, pytest.raises(ZeroDivisionError), place.table.drained(log, LABELS, now=NOW):
        _ = 1 / 0
    assert (place.drain().rows, len(place.rows())) == (0, 2)


def test_many_ticks_leave_few_segments(place: Place) -> None:
    place.say_many(1, 65)
    with place.log() as log:
        for seq in range(1, 65):
            write_segment(place.segments, log, seq, seq)
    place.drain()
    assert [path.name[:25] for path in segment_files(place.segments)] == ["000000000001-000000000065"]
    assert len(place.names()) == 66
    place.drain(now=NOW + timedelta(days=3650))
    assert len(place.names()) == 1
    assert len(place.rows("seq")) == 65
