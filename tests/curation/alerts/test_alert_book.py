"""One alert per cause until it recovers, then one recovery; nothing lost to a receiver that is down, nor to a kill at any step."""

import datetime
import random
import re
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.alerts.book import Book, read_book, receiver_key, with_receivers, write_book
from curation.alerts.causes import Cause
from curation.alerts.telling import Seen, Ticked, alerter_oddities, alerts_told, tick
from curation.errors import CurationError
from resources.home import REPOSITORY
from tests.alert_receiver import Receiver, receiving

NOW = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
MINUTE = datetime.timedelta(minutes=1)
OWNERS = ("team:tickets",)


def cause(subject: str, scope: str = "tickets/batch_refused") -> Cause:
    return Cause(
        scope=scope, subject=subject, title=f"tickets: {subject}", asset="raw_tickets", told=f"{subject} is bad", next="mend it",
        field="mood", file="a.jsonl", line=12,
    )  # fmt: skip


def seen(*subjects: str, unread: tuple[str, ...] = ()) -> Seen:
    return Seen(tuple(cause(subject) for subject in subjects), dict.fromkeys(unread, "it is damaged"))


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def ticked(folder: Path, receiver: Receiver | None, what: Seen, at: datetime.datetime) -> Ticked:
    urls = [receiver.url] if receiver else []
    send = receiver.send if receiver else lambda letters: {}
    return tick(folder, what, urls, send, owners=OWNERS, dagster_url="http://127.0.0.1:3000/", now=at)


def test_a_cause_is_told_once_until_it_recovers_and_its_recovery_once(tmp_path: Path, receiver: Receiver) -> None:
    for minute, subjects in enumerate([("a",), ("a",), ("a", "b"), ("b",), ("b",), (), ("a",)]):
        ticked(tmp_path, receiver, seen(*subjects), NOW + minute * MINUTE)
    told = [re.sub(r"(\d+)-[0-9a-f]{6}", r"\1", title) for title in receiver.titles]
    assert told == [
        "[alert 1] tickets: a",
        "[alert 2] tickets: b",
        "[recovered 1] tickets: a",
        "[recovered 2] tickets: b",
        "[alert 5] tickets: a",
    ]


def test_a_letter_names_owner_asset_field_file_and_line_and_what_to_do(tmp_path: Path, receiver: Receiver) -> None:
    ticked(tmp_path, receiver, seen("a"), NOW)
    assert receiver.taken[0]["message"].splitlines() == [
        "what: a is bad",
        "owner: team:tickets",
        "asset: http://127.0.0.1:3000/assets/raw_tickets",
        "field: mood",
        "where: a.jsonl, line 12",
        "next: mend it",
        "since: 2026-11-23 08:00 UTC",
    ]


def test_not_seeing_a_cause_is_not_its_end(tmp_path: Path, receiver: Receiver) -> None:
    ticked(tmp_path, receiver, seen("a"), NOW)
    ticked(tmp_path, receiver, seen(unread=("tickets/batch_refused",)), NOW + MINUTE)
    assert len(receiver.taken) == 1
    assert alerter_oddities(tmp_path, NOW + MINUTE) == ("The alerter could not read tickets/batch_refused: it is damaged.",)
    ticked(tmp_path, receiver, seen(), NOW + 2 * MINUTE)
    assert receiver.titles[1].startswith("[recovered 1-")


def test_a_receiver_that_fails_for_a_day_gets_everything_within_ten_minutes_of_its_return(
    tmp_path: Path, receiver: Receiver
) -> None:
    receiver.mode = "fails"
    for minute in range(0, 24 * 60, 5):
        standing = [f"hour {hour}" for hour in range(24) if hour * 60 <= minute < hour * 60 + 90]
        ticked(tmp_path, receiver, seen(*standing), NOW + minute * MINUTE)
    tried = receiver.requests
    assert 130 < tried < 160, "once in ten minutes, after the first few"
    assert receiver.taken == []
    assert "failed" in alerter_oddities(tmp_path, NOW + 24 * 60 * MINUTE)[0]
    receiver.mode = "ok"
    for minute in range(24 * 60, 24 * 60 + 16):
        ticked(tmp_path, receiver, seen(), NOW + minute * MINUTE)
    kinds = Counter(title.split()[0] for title in receiver.titles)
    assert kinds == {"[alert": 24, "[recovered": 24}
    assert len(set(receiver.titles)) == 48, "nothing twice"
    for title in receiver.titles:
        assert receiver.titles.index(title.replace("recovered", "alert")) <= receiver.titles.index(title)
    assert read_book(tmp_path).unsent == 0
    assert alerter_oddities(tmp_path, NOW + 24 * 60 * MINUTE + 16 * MINUTE) == ()


def test_a_receiver_that_is_down_delays_no_other(tmp_path: Path, receiver: Receiver) -> None:
    with receiving() as other:
        receiver.mode = "fails"
        urls = [receiver.url, other.url]
        for minute in range(5):
            what = seen(*(f"cause {number}" for number in range(minute + 1)))
            tick(
                tmp_path, what, urls,
                lambda letters: {
                    **receiver.send([one for one in letters if one.url == receiver.url]),
                    **other.send([one for one in letters if one.url == other.url]),
                },
                owners=OWNERS, dagster_url=None, now=NOW + minute * MINUTE,
            )  # fmt: skip
            assert len(other.taken) == minute + 1
        waiting = {one["name"].split()[1]: one["waiting"] for one in alerts_told(tmp_path, "tickets", NOW)["receivers"]}
        assert waiting == {receiver_key(receiver.url): 5, receiver_key(other.url): 0}


def test_one_letter_that_a_receiver_never_takes_holds_up_no_other(tmp_path: Path, receiver: Receiver) -> None:
    def send(letters: object) -> dict[tuple[str, int], str | None]:
        answers: dict[tuple[str, int], str | None] = {}
        for letter in letters:  # type: ignore[attr-defined]
            if "poison" in letter.title:
                answers[letter.url, letter.number] = "status 400"
                break
            answers |= receiver.send([letter])
        return answers

    for minute in range(40):
        what = seen("poison", "second poison", *(f"cause {number}" for number in range(minute // 10)))
        tick(tmp_path, what, [receiver.url], send, owners=OWNERS, dagster_url=None, now=NOW + minute * MINUTE)
    assert [title.split("] ")[1] for title in receiver.titles] == [f"tickets: cause {number}" for number in range(3)]
    pending = read_book(tmp_path).receivers[receiver_key(receiver.url)].pending
    assert sorted(one.number for one in pending) == [1, 2]
    assert abs(pending[0].attempts - pending[1].attempts) <= 1, "each has its turn"


def test_a_receiver_that_takes_only_some_in_time_is_slow_and_has_not_failed(tmp_path: Path, receiver: Receiver) -> None:
    for minute in range(3):
        tick(
            tmp_path, seen("a", "b", "c"), [receiver.url], lambda letters: receiver.send(letters[:1]), owners=OWNERS,
            dagster_url=None, now=NOW + minute * MINUTE,
        )  # fmt: skip
        assert alerter_oddities(tmp_path, NOW + minute * MINUTE) == ()
    assert [title.split("] ")[1] for title in receiver.titles] == ["tickets: a", "tickets: b", "tickets: c"]


def test_a_receiver_that_is_added_later_is_told_what_is_open_and_nothing_else(tmp_path: Path, receiver: Receiver) -> None:
    ticked(tmp_path, None, seen("a", "b"), NOW)
    ticked(tmp_path, None, seen("b"), NOW + MINUTE)
    ticked(tmp_path, receiver, seen("b"), NOW + 2 * MINUTE)
    ticked(tmp_path, receiver, seen(), NOW + 3 * MINUTE)
    assert [title.split("-")[0] for title in receiver.titles] == ["[alert 2", "[recovered 2"]


def test_no_url_is_ever_written_down(tmp_path: Path, receiver: Receiver) -> None:
    url = f"json://user:hunter2@127.0.0.1:{receiver.port}/"
    tick(tmp_path, seen("a"), [url], receiver.send, owners=OWNERS, dagster_url=None, now=NOW)
    written = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert receiver.titles and b"hunter2" not in written and b"127.0.0.1" not in written


def test_ten_thousand_alerts_later_the_book_is_small_and_what_is_open_is_still_known(tmp_path: Path) -> None:
    ticked(tmp_path, None, seen("old"), NOW)
    for minute in range(1, 400):
        ticked(tmp_path, None, seen("old", *(["new"] if minute % 2 else [])), NOW + minute * MINUTE)
    book = read_book(tmp_path)
    assert book.next_number == 401 and len(book.messages) <= 201
    assert book.messages[0].cause.subject == "old"


def test_a_damaged_book_is_named_with_what_to_do_and_a_silent_alerter_is_told(tmp_path: Path) -> None:
    assert alerter_oddities(tmp_path, NOW) == (), "no alerter has ever looked"
    ticked(tmp_path, None, seen("a"), NOW)
    assert alerter_oddities(tmp_path, NOW + 9 * MINUTE) == ()
    assert alerter_oddities(tmp_path, NOW + 11 * MINUTE) == ("The alerter has been silent for 11 min; is curation up running?",)
    (tmp_path / "alerts.json").write_text('{"open": ')
    with pytest.raises(CurationError, match=r"alerts.json is damaged.*\n.*remove it"):
        ticked(tmp_path, None, seen("a"), NOW)


KILLED = """
import datetime, os, signal, sys
from pathlib import Path
from tests.alert_receiver import post
from tests.curation.alerts.test_alert_book import MINUTE, NOW, OWNERS, seen
from curation.alerts.telling import tick
folder, url, port, last = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
STEPS = {"open", "os.rename", "os.remove", "os.mkdir", "socket.connect"}
done = 0
def hook(event, arguments):
    global done
    if event in STEPS or event.startswith("fcntl."):  # not os.kill, which is an event too
        done += 1
        if done == last:
            os.kill(os.getpid(), signal.SIGKILL)
sys.addaudithook(hook)
what = seen("stays", "new", "newer")
tick(folder, what, [url], lambda letters: post(port, letters), owners=OWNERS, dagster_url=None, now=NOW + MINUTE)
"""


def killed_at(step: int, folder: Path, receiver: Receiver) -> bool:
    """Whether a tick in a process of its own was killed at its `step`th touch of disk or network; False where it ended first."""
    command = [sys.executable, "-c", KILLED, str(folder), receiver.url, str(receiver.port), str(step)]
    ended = subprocess.run(command, cwd=REPOSITORY, timeout=30, check=False, capture_output=True)
    assert ended.returncode in {0, -signal.SIGKILL}, ended.stderr.decode()
    return ended.returncode != 0


@pytest.mark.slow
def test_a_kill_at_any_step_of_a_tick_loses_nothing_and_a_double_has_the_same_id(tmp_path: Path, receiver: Receiver) -> None:
    step = 1
    while True:
        folder = tmp_path / str(step)
        receiver.taken.clear()
        ticked(folder, receiver, seen("gone", "stays"), NOW)
        was_killed = killed_at(step, folder, receiver)
        ticked(folder, receiver, seen("stays", "new", "newer"), NOW + 2 * MINUTE)
        told = Counter(re.sub(r"-[0-9a-f]+\]", "]", title) for title in receiver.titles)
        assert set(told) == {
            "[alert 1] tickets: gone",
            "[alert 2] tickets: stays",
            "[alert 3] tickets: new",
            "[alert 4] tickets: newer",
            "[recovered 1] tickets: gone",
        }, step
        assert len(set(receiver.titles)) == 5, f"a double after step {step} has another id"
        assert read_book(folder).unsent == 0
        if not was_killed:
            break
        step += 1
    assert step > 15, "it was killed between every two steps"
    assert set(told.values()) == {1}, "without a kill nothing comes twice"


def test_over_random_weeks_every_change_is_told_once_and_in_order(tmp_path: Path, receiver: Receiver) -> None:
    chance = random.Random(20261123)
    standing: set[str] = set()
    expected: list[tuple[str, str]] = []
    for minute in range(600):
        receiver.mode = "fails" if (minute // 60) % 3 == 1 else "ok"
        for subject in "abc":
            if chance.random() < 0.05:
                expected.append(("[recovered" if subject in standing else "[alert", subject))
                standing ^= {subject}
        ticked(tmp_path, receiver, seen(*sorted(standing)), NOW + minute * MINUTE)
    receiver.mode = "ok"
    for minute in range(600, 640):
        ticked(tmp_path, receiver, seen(*sorted(standing)), NOW + minute * MINUTE)
    told = [(title.split()[0], title[-1]) for title in receiver.titles]
    assert sorted(told) == sorted(expected)
    for subject in "abc":
        kinds = [kind for kind, whom in told if whom == subject]
        assert set(kinds[::2]) == {"[alert"} and set(kinds[1::2]) <= {"[recovered"}


def test_a_book_reads_back_as_it_was_written(tmp_path: Path) -> None:
    book = with_receivers(Book(), ["json://127.0.0.1:1/", "json://127.0.0.1:2/"])
    write_book(tmp_path, book)
    assert read_book(tmp_path) == book
