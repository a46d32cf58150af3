"""The notifier against real receivers on loopback that fail, hang and come back: it is never held, and says what was taken."""

import datetime
import re
import time
from collections.abc import Iterator

import pytest

from curation.alerts.book import Message
from curation.alerts.causes import TEXT_CHARACTERS, Cause
from curation.alerts.harmless import harmless
from curation.alerts.telling import Letter, body_of, title_of
from curation.errors import CurationError
from resources.notifier import NOT_TAKEN, SEVERAL, AlertSettings, Notifier, try_receivers
from tests.alert_receiver import Receiver, receiving, receiving_mail

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


NOW = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
HOSTILE = (
    "größe 評価 😀 @channel @everyone <!here> <@U123> [x](http://evil.example) www.evil.example <b>bold</b> &lt;"
    "\r\nBcc: all@evil.example\r\n\r\n.\r\nMAIL FROM:<a@evil.example>"
)


def hostile_letter(url: str, number: int) -> Letter:
    """A letter in which everything that may stem from a record is hostile, as the alerter makes it."""
    word, words = harmless(HOSTILE), harmless(HOSTILE * 3, TEXT_CHARACTERS)
    cause = Cause(
        scope="reviews/batch_refused", title=f"reviews: {word}", asset="raw_reviews", field=word, file=word, line=12, told=words,
        next="mend the file", text=words,
    )  # fmt: skip
    message = Message(number=number, alert_id=f"{number}-abc", cause=cause, is_recovery=False, opened_at=NOW, at=NOW)
    return Letter(url, number, title_of(message), body_of(message, ("team:data",), "http://127.0.0.1:3000"))


def test_mail_and_chat_bring_a_hostile_record_as_words_in_as_many_lines_as_were_written(receiver: Receiver) -> None:
    with receiving() as other, receiving_mail() as mails:
        urls = (f"mmost://127.0.0.1:{receiver.port}/token", f"rocket://a/b@127.0.0.1:{other.port}/", mails.url("anna"))
        sent = [hostile_letter(url, number) for url in urls for number in (1, 2, 3, 4)]
        assert set(Notifier(limit_s=15.0).send(sent).values()) == {None}, "without a pause after each mail"
    titles, bodies = [one.title for one in sent[:4]], [one.body for one in sent[:4]]
    for chat in (receiver, other):
        assert [told["text"].splitlines() for told in chat.taken] == [
            [title, *body.splitlines()] for title, body in zip(titles, bodies, strict=True)
        ]
        assert "http" not in str({name: value for told in chat.taken for name, value in told.items() if name != "text"})
    assert all("evil(.)example" in body and "größe 評価 😀" in body and len(body.splitlines()) == 8 for body in bodies)
    assert all(len(one.title) + len(one.body) < 2000 for one in sent), "Discord refuses more"
    assert not re.search(r"[@<>|\[\]&]|evil\.example", "".join(bodies))
    assert re.findall(r"\S+://\S+", bodies[0]) == ["http://127.0.0.1:3000/assets/raw_reviews"]
    for (recipients, mail), title, body in zip(mails.taken, titles, bodies, strict=True):
        assert (recipients, mail["To"], mail["Bcc"], mail["Subject"]) == (["anna"], "anna@example.org", None, title)
        assert mail.get_content_type() == "text/plain" and mail.get_content().splitlines() == body.splitlines()


def test_a_mail_server_that_refuses_or_hangs_is_told_for_its_recipient_alone() -> None:
    with receiving_mail() as mails:
        expected = {
            mails.url("anna"): None,
            mails.url("gone"): NOT_TAKEN,
            mails.url("full"): NOT_TAKEN,
            mails.url("stuck", cto=0.2): NOT_TAKEN,
            mails.url("anna", "gone"): SEVERAL,
        }
        answers = Notifier(limit_s=10.0).send([Letter(url, 1, "title", "body") for url in expected])
        assert answers == {(url, 1): why for url, why in expected.items()}
        assert [recipients for recipients, _ in mails.taken] == [["anna"]]
