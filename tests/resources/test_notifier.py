"""The notifier against a real receiver on loopback that fails, hangs and comes back: it is never held, and says what was taken."""

import time
from collections.abc import Iterator

import pytest

from curation.alerts.telling import Letter
from curation.errors import CurationError
from resources.notifier import AlertSettings, Notifier, try_receivers
from tests.alert_receiver import Receiver, receiving

pytestmark = pytest.mark.slow


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as one:
        yield one


def letters(url: str, count: int = 2) -> list[Letter]:
    return [Letter(url, number, f"[alert {number}] ‹!channel› (at)all", "what: a\nfield: b_c") for number in range(1, count + 1)]


def test_letters_arrive_in_order_and_word_for_word(receiver: Receiver) -> None:
    answers = Notifier().send(letters(receiver.url, 3))
    assert answers == dict.fromkeys([(receiver.url, number) for number in (1, 2, 3)])
    assert [(told["title"], told["message"]) for told in receiver.taken] == [
        (letter.title, letter.body) for letter in letters(receiver.url, 3)
    ]


def test_a_failing_receiver_gets_one_letter_and_the_next_ones_wait(receiver: Receiver) -> None:
    receiver.mode = "fails"
    assert Notifier().send(letters(receiver.url)) == {(receiver.url, 1): "the receiver did not take it"}
    receiver.mode = "ok"
    assert set(Notifier().send(letters(receiver.url)).values()) == {None}


def test_a_hanging_receiver_holds_nobody_beyond_the_limit_and_delays_no_other(receiver: Receiver) -> None:
    with receiving() as other:
        receiver.mode = "hangs"
        started = time.monotonic()
        answers = Notifier(limit_s=3.0).send([*letters(f"{receiver.url}?rto=60"), *letters(other.url)])
        assert time.monotonic() - started < 4.0
        assert answers == {(other.url, 1): None, (other.url, 2): None}
        assert len(other.taken) == 2


def test_a_url_of_no_known_kind_is_told_and_hurts_no_other(receiver: Receiver) -> None:
    answers = Notifier().send([*letters("nonsense://x", 1), *letters(receiver.url, 1)])
    assert answers[receiver.url, 1] is None
    assert "no receiver of this kind" in (answers["nonsense://x", 1] or "")


def test_a_monitor_is_called_and_one_that_hangs_holds_nobody(receiver: Receiver) -> None:
    url = f"http://127.0.0.1:{receiver.port}/beat"
    assert Notifier().beat(url) and receiver.beats == 1
    receiver.mode = "hangs"
    started = time.monotonic()
    assert not Notifier(limit_s=1.0).beat(url)
    assert time.monotonic() - started < 2.0
    assert not Notifier().beat("file:///etc/passwd")


def test_the_test_letter_names_each_receiver_without_its_secrets(receiver: Receiver) -> None:
    with pytest.raises(CurationError, match="CURATION_ALERT_URLS"):
        try_receivers(AlertSettings(), ("team:tickets",))
    found = try_receivers(AlertSettings(urls=(receiver.url,)), ("team:tickets",))
    ((name, why),) = found.items()
    assert why is None and name.startswith("json ") and str(receiver.port) not in name
    assert receiver.taken[0]["title"] == "[alert test] curation"
