"""Group commit: who waits together is written together, everyone hears the truth, and the queue has an end."""

import asyncio
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from curation.feedback.events import Event, checked_event
from curation.feedback.log import Appended, Conflict, FeedbackLog, LogBusy
from feedback_service.committer import QUEUE_EVENTS, Committer
from tests.feedback_service.serving import LABELS, event

NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FeedbackLog]:
    with FeedbackLog(tmp_path / "log.sqlite", b"key", busy_timeout_s=0.1) as opened:
        yield opened


def an_event(**changes: object) -> Event:
    return checked_event(event(**changes), LABELS, now=NOW)


def test_lists_that_wait_together_are_one_commit_and_a_conflict_is_its_own_lists_alone(log: FeedbackLog) -> None:
    commits: list[int] = []
    first = an_event()
    other = an_event(event_id=str(first.event_id), label="negative")

    async def at_once() -> list[Appended | BaseException]:
        committer = Committer(log, lambda: NOW, lambda _, last_seq: commits.append(last_seq))
        lists = [[first], [an_event(), other], [first], [an_event()]]
        outcomes = await asyncio.gather(*(committer.append(each, "shop") for each in lists), return_exceptions=True)
        await committer.close()
        return outcomes

    new, conflict, duplicate, last = asyncio.run(at_once())
    assert (new, duplicate) == (Appended(1, 0, 1, 1, (1,)), Appended(0, 1, None, None, (1,)))
    assert isinstance(conflict, Conflict)
    assert conflict.event_id == str(first.event_id)
    assert last == Appended(1, 0, 2, 2, (2,))
    assert commits == [2]
    assert log.read(0, 9)["received_as"].to_pylist() == ["shop", "shop"]


def test_more_than_the_queue_holds_is_refused_at_once_and_what_was_taken_is_written(log: FeedbackLog) -> None:
    many = [an_event() for _ in range(1_000)]

    async def flooded() -> list[Appended | BaseException]:
        committer = Committer(log, lambda: NOW, lambda *_: None)
        lists = [many] * (QUEUE_EVENTS // 1_000 + 1)
        outcomes = await asyncio.gather(*(committer.append(each, None) for each in lists), return_exceptions=True)
        await committer.close()
        return outcomes

    *taken, refused = asyncio.run(flooded())
    assert isinstance(refused, LogBusy)
    assert sum(each.accepted for each in taken if isinstance(each, Appended)) == 1_000
    assert len([each for each in taken if isinstance(each, Appended)]) == QUEUE_EVENTS // 1_000


def test_a_failed_commit_reaches_its_whole_group_and_the_next_one_succeeds(log: FeedbackLog) -> None:
    sent = [an_event(), an_event()]

    async def held_and_let_go() -> tuple[list[Appended | BaseException], bool, Appended, bool]:
        committer = Committer(log, lambda: NOW, lambda *_: None)
        other = sqlite3.connect(log.path, isolation_level=None)
        other.execute("begin immediate")
        failed = await asyncio.gather(*(committer.append([each], None) for each in sent), return_exceptions=True)
        is_failing = committer.recent_failure() is not None
        other.execute("rollback")
        other.close()
        later = await committer.append(sent, None)
        return failed, is_failing, later, committer.recent_failure() is not None

    failed, was_failing, later, is_failing = asyncio.run(held_and_let_go())
    assert [type(each) for each in failed] == [LogBusy, LogBusy]
    assert later == Appended(2, 0, 1, 2, (1, 2))
    assert (was_failing, is_failing) == (True, False)
