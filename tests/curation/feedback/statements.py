"""Events to send and to append, for the tests of the log and its doors. No rule, no assertion."""

import hashlib
import uuid
from datetime import UTC, datetime
from typing import Any

from curation.feedback.events import Event, checked_event, prediction_id_of
from curation.feedback.log import Appended, Conflict, FeedbackLog

LABELS = {"reviews": ("negative", "neutral", "positive"), "images": ("cat", "dog")}
NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
KEY = b"k" * 32


def item(number: int) -> str:
    """A review's id, 64 hex digits."""
    return hashlib.sha256(str(number).encode()).hexdigest()


def statement(number: int = 1, **changes: Any) -> dict[str, Any]:
    """What a client sends: a label for the prediction of an item; `changes` replace fields, and `...` leaves one out."""
    fields = {
        "event_id": str(uuid.UUID(int=number)),
        "dataset": "reviews",
        "prediction_id": prediction_id_of("reviews", item(number), "a" * 64, "fine"),
        "kind": "label",
        "label": "positive",
        "annotator": "anna",
        "source": "shop-app",
        "occurred_at": "2026-03-05T13:30:00+02:00",
        "context": {"page": 3, "shown": ["fine", None, True]},
    }
    return {name: value for name, value in (fields | changes).items() if value is not ...}


def event(number: int = 1, **changes: Any) -> Event:
    """The checked event of `statement`."""
    return checked_event(statement(number, **changes), LABELS, now=NOW)


def append(log: FeedbackLog, *lists: list[Event]) -> list[Appended | Conflict]:
    """The answers to lists that are committed together, under the token `desk`."""
    return log.append(lists, now=NOW, received_as=["desk"] * len(lists))


def appended(log: FeedbackLog, *numbers: int) -> Appended:
    """The answer to one list of the events of those numbers."""
    answer = append(log, [event(number) for number in numbers])[0]
    if isinstance(answer, Conflict):
        raise answer
    return answer
