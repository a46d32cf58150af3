"""How an event says which of two answers is better: what is taken, what is refused, and that older events stay what they were."""

import uuid
from typing import Any

import orjson
import pytest

from curation.feedback.events import Event, EventError, parse_events
from curation.feedback.pairs import PREFERENCES, Pair, pair_id_of, pair_of
from tests.curation.feedback.statements import NOW

LABELS = {"reviews": ("negative", "neutral", "positive"), "chats": PREFERENCES}
ONE, OTHER = "0123456789abcdef", "fedcba9876543210"
ANSWER = f"chats:p:1:{ONE}"


def sent(**changes: Any) -> dict[str, Any]:
    fields = {
        "event_id": str(uuid.UUID(int=1)),
        "dataset": "chats",
        "item_id": f"p:1:{ONE}:{OTHER}",
        "kind": "preference",
        "label": "first",
        "annotator": "ann",
        "source": "shop",
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}


def taken(**changes: Any) -> Event:
    return parse_events(orjson.dumps(sent(**changes)), LABELS, now=NOW)[0]


def refused(**changes: Any) -> EventError:
    with pytest.raises(EventError) as refusal:
        taken(**changes)
    return refusal.value


@pytest.mark.parametrize("label", PREFERENCES)
@pytest.mark.parametrize("kind", ["preference", "adjudicate"])
def test_a_preference_names_two_answers_and_the_better_one_or_a_tie(kind: str, label: str) -> None:
    event = taken(kind=kind, label=label)
    assert (pair_of(event.item), event.label) == (Pair("p:1", ONE, OTHER), label)


@pytest.mark.parametrize("kind", ["agree", "disagree", "skip", "withdraw"])
def test_good_or_bad_is_said_of_one_answer_by_its_prediction_id(kind: str) -> None:
    assert taken(kind=kind, label=None, item_id=None, prediction_id=ANSWER).item == "p:1"


@pytest.mark.parametrize("kind", ["skip", "withdraw"])
def test_a_pair_can_be_skipped_and_taken_back(kind: str) -> None:
    assert taken(kind=kind, label=None).item == f"p:1:{ONE}:{OTHER}"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"item_id": f"p:1:{ONE}:{ONE}"}, "item_id names the same answer twice"),
        ({"item_id": f"p:1:{ONE}"}, "item_id must read item:16 hex digits:16 hex digits"),
        ({"item_id": f"{ONE}:{OTHER}"}, "item_id must read item:16 hex digits:16 hex digits"),
        ({"item_id": f"p:1:{ONE.upper()}:{OTHER}"}, "item_id must read item:16 hex digits:16 hex digits"),
        ({"kind": "skip", "label": None, "item_id": "p:1"}, "item_id must read item:16 hex digits:16 hex digits"),
        ({"item_id": None, "prediction_id": ANSWER}, "prediction_id must be left out where kind is preference"),
        ({"item_id": None}, "item_id is missing"),
        ({"label": None}, "label is missing"),
        ({"label": "left"}, 'label must be one of first, second, tie; found "left"'),
        ({"label": "spam", "kind": "adjudicate"}, 'label must be one of first, second, tie; found "spam"'),
        ({"kind": "label"}, "kind must not be label: chats holds prompts and answers"),
        ({"kind": "spam", "label": None}, "kind must not be spam: chats holds prompts and answers"),
        ({"kind": "agree", "label": None}, "prediction_id is missing"),
        ({"dataset": "reviews"}, "kind must not be preference: reviews holds no prompts and answers"),
    ],
)
def test_what_has_no_one_reading_is_refused_with_its_field_and_a_fix(changes: dict[str, Any], told: str) -> None:
    error = refused(**changes)
    assert error.message == told
    assert error.fix or "must be one of" in told


def test_a_pair_is_named_by_two_answers_to_one_prompt() -> None:
    assert pair_id_of(ANSWER, f"chats:p:1:{OTHER}") == f"p:1:{ONE}:{OTHER}"
    for other in (ANSWER, f"chats:p:2:{OTHER}", f"tales:p:1:{OTHER}", "chats:p:1:none"):
        with pytest.raises(ValueError, match="not two answers to one prompt"):
            pair_id_of(ANSWER, other)


def test_the_body_of_an_event_of_before_there_were_preferences_is_what_it_was() -> None:
    event = taken(dataset="reviews", kind="label", label="neutral", item_id="a")
    assert event.body() == (
        b'{"annotator":"ann","dataset":"reviews","event_id":"00000000-0000-0000-0000-000000000001","item_id":"a",'
        b'"kind":"label","label":"neutral","source":"shop"}'
    )
