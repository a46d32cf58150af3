"""The log under replays, conflicts, crashes, full disks, several writers and tampering: what was acknowledged is there, once."""

import sqlite3
import stat
import subprocess
import sys
import textwrap
import threading
import uuid
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.errors import CurationError
from curation.feedback.events import LOGGED
from curation.feedback.log import Appended, Conflict, FeedbackLog, Head, LogBusy
from curation.training_rows import subject_id
from tests.curation.feedback.statements import KEY, NOW, append, appended, event, item

ROOT = Path(__file__).parents[3]


def ids(log: FeedbackLog) -> list[int]:
    """The numbers of the logged events, by seq; seq is dense."""
    table = log.read(0, 100_000)
    assert table["seq"].to_pylist() == list(range(1, len(table) + 1))
    return [uuid.UUID(text).int for text in table["event_id"].to_pylist()]


def child(path: Path, code: str, *arguments: str) -> subprocess.Popen[str]:
    """A process of its own that runs `code` with `log` open."""
    opening = f"""
        import sys, uuid
        from pathlib import Path
        from curation.feedback.log import FeedbackLog, LogFull
        from tests.curation.feedback.statements import KEY, NOW, event
        log = FeedbackLog(Path({str(path)!r}), KEY, busy_timeout_s=30)
    """
    return subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(opening) + textwrap.dedent(code), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )


def test_every_logged_field_comes_back_by_seq_and_by_id(log: FeedbackLog) -> None:
    append(
        log,
        [event(1), event(2, occurred_at=..., context=..., prediction_id=..., item_id="x", kind="spam", label=..., reason="why")],
    )
    rows = log.read(0, 10)
    assert rows.schema == LOGGED
    first, second = rows.to_pylist()
    assert first == {
        "seq": 1,
        "event_id": str(uuid.UUID(int=1)),
        "dataset": "reviews",
        "prediction_id": event(1).prediction_id,
        "item_id": item(1),
        "kind": "label",
        "label": "positive",
        "annotator": "anna",
        "source": "shop-app",
        "reason": None,
        "occurred_at": datetime(2026, 3, 5, 11, 30, tzinfo=UTC),
        "received_at": NOW,
        "received_as": "desk",
        "subject": subject_id(KEY, "anna"),
        "context": '{"page":3,"shown":["fine",null,true]}',
    }
    assert second | {"item_id": "x", "occurred_at": NOW, "context": None, "prediction_id": None, "reason": "why"} == second
    assert [log.find(row["event_id"]) for row in (first, second)] == [first, second]
    assert log.find(str(uuid.UUID(int=3))) is None
    assert log.find("no id") is None
    assert log.last_received_at() == NOW


def test_reading_goes_on_above_a_seq_and_stops_at_the_limit(log: FeedbackLog) -> None:
    appended(log, *range(1, 1_302))
    assert log.read(1_298, 2)["seq"].to_pylist() == [1_299, 1_300]
    assert ids(log) == list(range(1, 1_302))
    nothing = log.read(1_301, 10)
    assert (len(nothing), nothing.schema) == (0, LOGGED)


def test_an_empty_log_has_a_head_of_zeros_and_nothing_to_find(log: FeedbackLog) -> None:
    assert log.head() == log.head_at(0) == Head(0, "0" * 64)
    assert (log.head_at(1), log.last_received_at(), log.verify({"a": log.head()})) == (None, None, [])
    assert append(log, []) == [Appended(0, 0, None, None, ())]


def test_a_replay_gives_the_old_numbers_and_changes_nothing(log: FeedbackLog) -> None:
    assert appended(log, 1, 2, 3) == Appended(3, 0, 1, 3, (1, 2, 3))
    before = log.head(), log.read(0, 10)
    assert log.append([[event(3), event(1)]], now=NOW + timedelta(days=1), received_as=[None]) == [
        Appended(0, 2, None, None, (3, 1))
    ]
    assert (log.head(), log.read(0, 10)) == before
    assert appended(log, 2, 4, 3, 5) == Appended(2, 2, 4, 5, (2, 4, 3, 5))


def test_another_body_under_a_logged_id_refuses_its_whole_list(log: FeedbackLog) -> None:
    appended(log, 1)
    refused = append(log, [event(2), event(1, label="negative")])[0]
    assert isinstance(refused, Conflict)
    assert refused.event_id == str(uuid.UUID(int=1))
    assert ids(log) == [1]


def test_an_id_twice_in_a_list_is_a_duplicate_or_refuses_the_list(log: FeedbackLog) -> None:
    assert appended(log, 1, 2, 1) == Appended(2, 1, 1, 2, (1, 2, 1))
    assert isinstance(append(log, [event(3), event(3, reason="else")])[0], Conflict)
    assert ids(log) == [1, 2]


def test_lists_committed_together_are_each_whole_or_not_at_all(log: FeedbackLog) -> None:
    answers = append(
        log,
        [event(1), event(2)],
        [event(3), event(2, label="negative"), event(4)],
        [event(3, label="neutral"), event(1)],
        [],
        [event(3), event(5)],
        [event(6)],
    )
    assert [answer if isinstance(answer, Appended) else answer.event_id for answer in answers] == [
        Appended(2, 0, 1, 2, (1, 2)),
        str(uuid.UUID(int=2)),
        Appended(1, 1, 3, 3, (3, 1)),
        Appended(0, 0, None, None, ()),
        str(uuid.UUID(int=3)),
        Appended(1, 0, 4, 4, (4,)),
    ]
    assert ids(log) == [1, 2, 3, 6]
    assert log.verify({}) == []


@settings(max_examples=25)
@given(groups=st.lists(st.lists(st.lists(st.tuples(st.integers(1, 6), st.booleans()), max_size=4), max_size=3), max_size=4))
def test_any_groups_of_lists_leave_what_a_dictionary_would(tmp_path_factory: pytest.TempPathFactory, groups: list[Any]) -> None:
    model: dict[int, bool] = {}
    with FeedbackLog(tmp_path_factory.mktemp("log") / "log.sqlite", KEY) as log:
        for group in groups:
            answers = append(
                log, *[[event(n, label="negative" if other else "positive") for n, other in events] for events in group]
            )
            for events, answer in zip(group, answers, strict=True):
                after = dict(model)
                is_sound = all(after.setdefault(number, other) == other for number, other in events)
                assert isinstance(answer, Appended) == is_sound
                model = after if is_sound else model
        assert ids(log) == list(model)
        assert log.verify({"now": log.head()}) == []


def test_the_file_is_its_owners_only_and_refuses_changes_but_for_erasure(log: FeedbackLog) -> None:
    appended(log, 1, 2)
    head = log.head()
    assert {stat.S_IMODE(path.stat().st_mode) for path in log.path.parent.iterdir()} == {0o600}
    assert len(list(log.path.parent.iterdir())) == 3  # the log, its -wal and -shm
    with closing(sqlite3.connect(log.path, isolation_level=None)) as connection:
        for change in (
            "delete from log",
            "update log set body = null, salt = null, received_as = null, seq = seq + 9",
            "update log set body = x'7b7d', salt = null, received_as = null",
            "update log set body = null, salt = null, received_as = null, chain = x''",
            "update log set body = null, salt = null",
        ):
            with pytest.raises(sqlite3.DatabaseError, match="append-only"):
                connection.execute(change)
        connection.execute("update log set body = null, salt = null, received_as = null where seq = 1")
    assert log.verify({"a snapshot": head}) == []
    erased = log.read(0, 1).to_pylist()[0]
    assert {name for name, value in erased.items() if value is not None} == {
        "seq",
        "event_id",
        "received_at",
        "occurred_at",
        "subject",
    }
    assert isinstance(append(log, [event(1)])[0], Conflict)  # what was erased does not come back


def write(text: str) -> Callable[[Path], None]:
    return lambda path: path.write_text(text) and None


def newer(path: Path) -> None:
    FeedbackLog(path, KEY).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("pragma user_version = 2")


def foreign(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("create table log (a)")


@pytest.mark.parametrize(
    ("prepare", "message"),
    [
        (write("no database" * 100), "is damaged: file is not a database"),
        (newer, "has format 2; this release knows 1"),
        (foreign, "is no feedback log"),
        (write(""), "is no feedback log"),
        (lambda path: path.with_name("log.sqlite-wal").write_bytes(b"x"), "is gone, but its log.sqlite-wal is there"),
        (Path.mkdir, "cannot be used: unable to open database file"),
    ],
    ids=["damaged", "newer", "foreign", "empty", "gone", "folder"],
)
def test_a_file_that_is_no_log_of_this_format_is_named(tmp_path: Path, prepare: Callable[[Path], object], message: str) -> None:
    path = tmp_path / "log.sqlite"
    prepare(path)
    with pytest.raises(CurationError, match=message) as refused:
        FeedbackLog(path, KEY)
    assert str(path) in refused.value.message


def test_a_lock_held_by_another_ends_in_log_busy_and_the_next_append_works(tmp_path: Path) -> None:
    with FeedbackLog(tmp_path / "log.sqlite", KEY, busy_timeout_s=0.05) as log:
        with closing(sqlite3.connect(log.path, isolation_level=None)) as other:
            other.execute("begin immediate")
            with pytest.raises(LogBusy, match="held by another process"):
                appended(log, 1)
            assert log.head().seq == 0  # readers do not wait for writers
        assert appended(log, 1).seqs == (1,)


def test_an_append_that_breaks_on_its_way_leaves_nothing(log: FeedbackLog) -> None:
    unchecked = event(2).model_copy(update={"annotator": "\ud800"})
    with pytest.raises(UnicodeEncodeError):
        append(log, [event(1)], [unchecked])
    assert ids(log) == []
    assert appended(log, 1).seqs == (1,)


def test_all_who_make_a_log_at_once_have_the_same_one(tmp_path: Path) -> None:
    path = tmp_path / "log.sqlite"
    at_once = threading.Barrier(8)

    def work(number: int) -> None:
        at_once.wait()
        with FeedbackLog(path, KEY, busy_timeout_s=30) as log:
            appended(log, number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    with FeedbackLog(path, KEY) as log:
        assert sorted(ids(log)) == list(range(8))


def test_threads_share_a_log(log: FeedbackLog) -> None:
    def work(start: int) -> None:
        for number in range(start, start + 20):
            appended(log, number)
            assert log.find(str(uuid.UUID(int=number)))

    threads = [threading.Thread(target=work, args=(start,)) for start in (100, 200, 300)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(ids(log)) == [*range(100, 120), *range(200, 220), *range(300, 320)]
    assert log.verify({}) == []


@pytest.mark.slow
def test_processes_that_make_and_fill_a_log_at_once_lose_and_double_nothing(tmp_path: Path) -> None:
    code = """
        for number in range(int(sys.argv[1]), int(sys.argv[1]) + 60):
            log.append([[event(number)], [event(10_000 + number % 60)]], now=NOW, received_as=[None, None])
    """
    path = tmp_path / "log.sqlite"
    writers = [child(path, code, str(start)) for start in (1_000, 2_000, 3_000)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    with FeedbackLog(path, KEY) as log:
        expected = [start + step for start in (1_000, 2_000, 3_000, 10_000) for step in range(60)]
        assert sorted(ids(log)) == expected
        assert log.verify({"now": log.head()}) == []


@pytest.mark.slow
def test_what_was_acknowledged_before_a_kill_is_there_once(tmp_path: Path) -> None:
    code = """
        number = int(sys.argv[1])
        while True:
            log.append([[event(number), event(number + 1)], [event(number + 2)]], now=NOW, received_as=[None, None])
            print(number, flush=True)
            number += 3
    """
    path = tmp_path / "log.sqlite"
    acknowledged: list[int] = []
    for attempt in range(4):
        writer = child(path, code, str(1 + attempt * 999_999))
        assert writer.stdout is not None
        heard = [int(writer.stdout.readline()) for _ in range(20 + 7 * attempt)]
        writer.kill()
        heard += [int(line) for line in writer.stdout.read().splitlines()]
        writer.wait()
        acknowledged += [number + step for number in heard for step in range(3)]
        with FeedbackLog(path, KEY) as log:
            logged = ids(log)
            assert len(set(logged)) == len(logged)
            assert set(acknowledged) <= set(logged)
            assert len(logged) - len(acknowledged) <= 3 * (attempt + 1)  # committed and not yet told: one call a kill
            assert len(logged) % 3 == 0  # a transaction is there whole
            assert log.verify({"now": log.head()}) == []


@pytest.mark.slow
def test_a_full_disk_refuses_leaves_nothing_half_written_and_recovers(tmp_path: Path) -> None:
    code = """
        import resource, signal
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        unlimited = resource.RLIM_INFINITY
        resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, unlimited))
        batch, refused = 0, 0
        while refused < 3:
            events = [event(batch * 10 + step, reason="r" * 500) for step in range(10)]
            try:
                log.append([events], now=NOW, received_as=[None])
                assert not refused, "the disk was still full"
                batch += 1
            except LogFull as error:
                refused += 1
                assert "disk is full" in error.message and log.head().seq == batch * 10, log.head()
        resource.setrlimit(resource.RLIMIT_FSIZE, (unlimited, unlimited))
        log.append([events], now=NOW, received_as=[None])
        assert log.verify({}) == []
        print(batch + 1)
    """
    path = tmp_path / "log.sqlite"
    writer = child(path, code)
    told = writer.communicate(timeout=60)[0]
    assert writer.returncode == 0
    with FeedbackLog(path, KEY) as log:
        assert ids(log) == list(range(int(told) * 10))
        assert int(told) > 2
        assert log.verify({"now": log.head()}) == []


@pytest.mark.slow
def test_no_room_for_a_new_log_leaves_no_log(tmp_path: Path) -> None:
    code = """
        import resource, signal
        from pathlib import Path
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (3_000, resource.RLIM_INFINITY))
        try:
            FeedbackLog(Path(sys.argv[1]), KEY)
        except LogFull:
            print("full")
    """
    writer = child(tmp_path / "other" / "log.sqlite", code, str(tmp_path / "log" / "log.sqlite"))
    assert writer.communicate(timeout=60)[0] == "full\n"
    assert list((tmp_path / "log").iterdir()) == []
