"""What is open, and what still waits for which receiver: one file, replaced whole, so that a kill finds the one before or the one after.

Pure steps from book to book. Knows a receiver by a digest of its URL, which holds secrets and is never written down.
"""

import datetime
import hashlib
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, NonNegativeInt, ValidationError

from curation.alerts.causes import Cause
from curation.errors import CurationError
from curation.files import written_whole

BOOK_NAME, HEARTBEAT_NAME = "alerts.json", "heartbeat.json"
KEPT_MESSAGES = 200  # told to everyone and recovered, kept for `curation alerts list`
SENT_AT_ONCE = 10  # to one receiver in one tick: a kill during it doubles no more than these
FIRST_WAIT_S, LONGEST_WAIT_S = 60.0, 600.0  # a receiver that comes back after a day is told within ten minutes
SILENT_S = 600.0
"""The alerter looks every 60 s; ten minutes without it are an outage, as with the retrain sensor."""


class _Stored(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


Kept = TypeVar("Kept", bound=_Stored)


class Open(_Stored):
    """A cause that stands, and the alert about it."""

    alert_id: str
    cause: Cause
    opened_at: AwareDatetime


class Message(_Stored):
    """An alert or its recovery. `alert_id` stands in the text of both, so that what comes twice is recognised."""

    number: int
    alert_id: str
    cause: Cause
    is_recovery: bool
    opened_at: AwareDatetime
    at: AwareDatetime


class Pending(_Stored):
    """A message that a receiver has not taken yet."""

    number: int
    attempts: NonNegativeInt = 0


class Receiver(_Stored):
    """Where one receiver stands. `scheme` is all that is told of its URL."""

    scheme: str
    pending: tuple[Pending, ...] = ()
    failures: NonNegativeInt = 0  # in a row
    retry_at: AwareDatetime | None = None
    told: str | None = None  # why the last attempt failed


class Book(_Stored):
    """Everything that the alerter remembers. `open` by the key of the cause, `receivers` by digest of the URL."""

    next_number: int = 1
    open: dict[str, Open] = {}
    messages: tuple[Message, ...] = ()
    receivers: dict[str, Receiver] = {}

    @property
    def unsent(self) -> int:
        """Messages that wait, over all receivers."""
        return sum(len(receiver.pending) for receiver in self.receivers.values())


class Heartbeat(_Stored):
    """That the alerter has looked, and what kept it from seeing or telling everything."""

    at: AwareDatetime
    open: NonNegativeInt
    unsent: NonNegativeInt
    unread: tuple[str, ...]


def receiver_key(url: str) -> str:
    """Twelve hex digits that stand for a URL."""
    return hashlib.sha256(url.encode()).hexdigest()[:12]


def with_receivers(book: Book, urls: Collection[str]) -> Book:
    """The book for exactly these receivers. A new one has the open alerts before it; one that is no longer configured is forgotten."""
    standing = {entry.alert_id for entry in book.open.values()}
    told = tuple(Pending(number=one.number) for one in book.messages if one.alert_id in standing and not one.is_recovery)
    receivers = {
        receiver_key(url): book.receivers.get(receiver_key(url), Receiver(scheme=url.split(":", 1)[0][:20], pending=told))
        for url in urls
    }
    return book.model_copy(update={"receivers": receivers})


def observed(
    book: Book, causes: Sequence[Cause], unread: Collection[str], now: datetime.datetime
) -> tuple[Book, tuple[Message, ...]]:
    """The book after one look, and what there is to tell: an alert per new cause, a recovery per cause that is gone.

    `unread`: scopes that could not be read, in which nothing recovers: not seeing a cause is not its end.
    """
    seen = {cause.key: cause for cause in causes}
    fresh: list[Message] = []
    standing = dict(book.open)
    for key, cause in seen.items():
        if key not in standing:
            number = book.next_number + len(fresh)
            digest = hashlib.sha256(f"{key} {now.isoformat()}".encode()).hexdigest()[:6]
            standing[key] = Open(alert_id=f"{number}-{digest}", cause=cause, opened_at=now)
            fresh.append(_message(number, standing[key], now, is_recovery=False))
    for key in [key for key, entry in standing.items() if key not in seen and entry.cause.scope not in unread]:
        fresh.append(_message(book.next_number + len(fresh), standing.pop(key), now, is_recovery=True))
    if not fresh:
        return book, ()
    added = tuple(Pending(number=message.number) for message in fresh)
    after = book.model_copy(
        update={
            "next_number": book.next_number + len(fresh),
            "open": standing,
            "messages": (*book.messages, *fresh),
            "receivers": {
                name: receiver.model_copy(update={"pending": (*receiver.pending, *added)})
                for name, receiver in book.receivers.items()
            },
        }
    )
    return _shortened(after), tuple(fresh)


def due(book: Book, receiver: str, now: datetime.datetime) -> tuple[Message, ...]:
    """What to send to a receiver now, at most SENT_AT_ONCE, in this order; () while it is given time to come back.

    What there is to tell of one cause goes in order. What was refused most often goes last, so that one message that a receiver
    cannot take holds up no other.
    """
    state = book.receivers[receiver]
    if state.retry_at is not None and now < state.retry_at:
        return ()
    messages = {message.number: message for message in book.messages}
    tried: dict[str, int] = {}
    for one in state.pending:
        key = messages[one.number].cause.key
        tried[key] = max(one.attempts, tried.get(key, 0))
    ordered = sorted(state.pending, key=lambda one: (tried[messages[one.number].cause.key], one.number))
    return tuple(messages[one.number] for one in ordered[:SENT_AT_ONCE])


def attempted(book: Book, receiver: str, sent: Collection[int], failed: Mapping[int, str], now: datetime.datetime) -> Book:
    """The book after an attempt: numbers that the receiver took, and numbers that it did not take, with the reason."""
    state = book.receivers[receiver]
    pending = tuple(
        one.model_copy(update={"attempts": one.attempts + 1}) if one.number in failed else one
        for one in state.pending
        if one.number not in sent
    )
    failures = state.failures + 1 if failed else 0
    wait_s = min(FIRST_WAIT_S * 2.0 ** min(failures - 1, 10), LONGEST_WAIT_S) if failures else 0.0
    after = state.model_copy(
        update={
            "pending": pending,
            "failures": failures,
            "retry_at": now + datetime.timedelta(seconds=wait_s) if failures else None,
            "told": next(iter(failed.values()), None),
        }
    )
    return _shortened(book.model_copy(update={"receivers": book.receivers | {receiver: after}}))


def _message(number: int, entry: Open, now: datetime.datetime, *, is_recovery: bool) -> Message:
    return Message(
        number=number, alert_id=entry.alert_id, cause=entry.cause, is_recovery=is_recovery, opened_at=entry.opened_at, at=now
    )


def _shortened(book: Book) -> Book:
    """Without old messages that nobody waits for and that are about nothing open."""
    if len(book.messages) <= KEPT_MESSAGES:
        return book
    needed = {one.number for receiver in book.receivers.values() for one in receiver.pending}
    standing = {entry.alert_id for entry in book.open.values()}
    newest = book.messages[-KEPT_MESSAGES].number
    kept = tuple(
        one
        for one in book.messages
        if one.number >= newest or one.number in needed or (one.alert_id in standing and not one.is_recovery)
    )
    return book.model_copy(update={"messages": kept})


def read_book(folder: Path) -> Book:
    """The book in `folder`, an empty one before the first look. CurationError where it is damaged."""
    return _read(folder / BOOK_NAME, Book, "what is open is then told once more") or Book()


def write_book(folder: Path, book: Book) -> None:
    """Replace the book: one rename."""
    with written_whole(folder / BOOK_NAME) as temporary:
        temporary.write_text(book.model_dump_json())


def read_heartbeat(folder: Path) -> Heartbeat | None:
    """The alerter's last sign of life, None before the first. CurationError where it is damaged."""
    return _read(folder / HEARTBEAT_NAME, Heartbeat, "the next look writes it again, within a minute")


def write_heartbeat(folder: Path, heartbeat: Heartbeat) -> None:
    """Leave a sign of life."""
    with written_whole(folder / HEARTBEAT_NAME) as temporary:
        temporary.write_text(heartbeat.model_dump_json())


def _read(path: Path, kind: type[Kept], consequence: str) -> Kept | None:
    try:
        return kind.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        told = f"{path} is damaged: {error.errors(include_url=False)[0]['msg']}"
        raise CurationError(told, f"remove it: {consequence}") from error
