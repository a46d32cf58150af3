"""Fifty people at once, and a service that is killed: the board's promises hold there too."""

import signal
import subprocess
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from curation.feedback.log import FeedbackLog
from tests.curation.labelling.desk import NOW, Desk

PEOPLE = 50
ITEMS = [f"item-{number:03d}" for number in range(100)]
DISPUTED = dict.fromkeys(ITEMS[::10], "second_opinion")

KILLED_WHILE_LEASING = """
import os, signal, sys
from pathlib import Path
from curation.feedback.log import FeedbackLog
from tests.curation.labelling.desk import Desk
folder = Path(sys.argv[1])
Desk(folder, FeedbackLog(folder / "log.sqlite", b"k" * 32)).give("ann", wanted=2)
os.kill(os.getpid(), signal.SIGKILL)
"""


def test_fifty_people_at_once_answer_every_item_once_and_disputed_ones_twice(tmp_path: Path) -> None:
    answered: Counter[str] = Counter()
    had: dict[str, set[str]] = {}  # item -> who has it in front of them
    crowded: list[str] = []
    lock, start = threading.Lock(), threading.Barrier(PEOPLE)

    def note(annotator: str, before: set[str], items: set[str]) -> None:
        with lock:
            for item in before - items:
                had[item].discard(annotator)
            for item in items:
                had.setdefault(item, set()).add(annotator)
                if len(had[item]) > (2 if item in DISPUTED else 1):
                    crowded.append(item)

    with FeedbackLog(tmp_path / "log.sqlite", b"k" * 32) as log:
        desk = Desk(tmp_path, log)
        desk.ask(*ITEMS, reasons=DISPUTED)

        def work(annotator: str) -> None:
            start.wait(timeout=30)
            holding: tuple[str, ...] = ()
            while items := desk.give(annotator, wanted=2, holding=holding):
                note(annotator, set(holding), set(items))
                desk.say(annotator, items[0])
                with lock:
                    answered[items[0]] += 1
                    had[items[0]].discard(annotator)
                holding = tuple(items[1:])

        with ThreadPoolExecutor(PEOPLE) as pool:
            list(pool.map(work, [f"person-{number}" for number in range(PEOPLE)]))
        standing = desk.board.standing("nobody", now=NOW)
        logged = log.head().seq
    assert crowded == []
    assert answered == {item: 2 if item in DISPUTED else 1 for item in ITEMS}
    assert (standing.answered, standing.open, standing.leased_to_others) == (len(ITEMS), 0, 0)
    assert logged == len(ITEMS) + len(DISPUTED)


@pytest.mark.slow
def test_a_process_that_is_killed_with_leases_leaves_them_to_the_next(tmp_path: Path) -> None:
    with FeedbackLog(tmp_path / "log.sqlite", b"k" * 32) as log:
        desk = Desk(tmp_path, log)
        desk.ask("a", "b", "c")
        ended = subprocess.run([sys.executable, "-c", KILLED_WHILE_LEASING, tmp_path], check=False, timeout=60)
        assert ended.returncode == -signal.SIGKILL
        desk.open()
        assert desk.give("ben", wanted=3) == ["c"]
        assert desk.give("ann", wanted=3, holding=("b", "a")) == ["b", "a"]
