"""The checks that every door of the feedback log shares: what is an event, what is refused, in which words."""

import json
import math
import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import orjson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from curation.feedback.events import (
    KINDS,
    LABELLED,
    Event,
    EventError,
    checked_event,
    derived_event_id,
    parse_events,
    parts_of,
    prediction_id_of,
)
from tests.curation.feedback.statements import LABELS, NOW, item, statement


def parsed(*statements: dict[str, Any], **options: Any) -> tuple[Event, ...]:
    return parse_events(orjson.dumps(list(statements)), LABELS, now=NOW, **options)


def refusal(raw: bytes) -> EventError:
    with pytest.raises(EventError) as refused:
        parse_events(raw, LABELS, now=NOW)
    return refused.value


def refusal_of(**changes: Any) -> str:
    """Why the second of two events is refused, in words."""
    return refusal(orjson.dumps([statement(1), statement(2, **changes)])).message


def nested(levels: int) -> dict[str, Any]:
    """Objects within each other, `levels` in all."""
    return {"a": nested(levels - 1)} if levels > 1 else {}


def test_one_object_and_a_list_of_one_are_the_same_event() -> None:
    assert parse_events(orjson.dumps(statement()), LABELS, now=NOW) == parsed(statement())


def test_the_body_is_canonical_whatever_the_order_of_keys_the_zone_and_the_nulls() -> None:
    sent = statement(reason=None, context={"b": 1, "a": {"d": 2, "c": 3}})
    shuffled = dict(reversed(sent.items())) | {
        "occurred_at": "2026-03-05T11:30:00Z",
        "context": {"a": {"c": 3, "d": 2}, "b": 1},
        "event_id": str(sent["event_id"]).upper(),
    }
    one, other = parsed(sent)[0].body(), parsed(shuffled)[0].body()
    assert one == other
    assert list(orjson.loads(one)) == sorted(orjson.loads(one))
    assert orjson.loads(one)["occurred_at"] == "2026-03-05T11:30:00Z"


def test_the_item_of_a_prediction_is_known_without_being_sent() -> None:
    assert [e.item for e in parsed(statement(7), statement(8, item_id=item(8)))] == [item(7), item(8)]


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in LABELLED])
def test_kinds_that_give_no_label_go_without_one(kind: str) -> None:
    assert parsed(statement(kind=kind, label=...))[0].kind == kind


def test_an_adjudication_gives_a_label_of_the_dataset_or_finds_spam() -> None:
    sent = [statement(1, kind="adjudicate"), statement(2, kind="adjudicate", label="spam")]
    assert [event.label for event in parsed(*sent)] == ["positive", "spam"]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"label": "postive"}, '[1].label must be one of negative, neutral, positive; found "postive"'),
        ({"label": "cat"}, '[1].label must be one of negative, neutral, positive; found "cat"'),
        ({"label": ...}, "[1].label is missing"),
        ({"label": None}, "[1].label is missing"),
        ({"label": 1}, "[1].label must be text; found a number"),
        ({"kind": "skip"}, "[1].label must be left out where kind is skip"),
        ({"kind": "lable"}, f'[1].kind must be one of {", ".join(KINDS)}; found "lable"'),
        ({"kind": "adjudicate", "label": ...}, "[1].label is missing"),
        ({"kind": "adjudicate", "label": "cat"}, '[1].label must be one of negative, neutral, positive, spam; found "cat"'),
        ({"label": "spam"}, '[1].label must be one of negative, neutral, positive; found "spam"'),
        ({"kind": ...}, "[1].kind is missing"),
        ({"kind": "agree", "label": ..., "prediction_id": ..., "item_id": "x"}, "[1].prediction_id is missing"),
        ({"kind": "disagree", "label": ..., "prediction_id": ..., "item_id": "x"}, "[1].prediction_id is missing"),
        ({"dataset": "review"}, '[1].dataset must be one of images, reviews; found "review"'),
        ({"dataset": "x" * 99}, f'[1].dataset must be one of images, reviews; found "{"x" * 60}…"'),
        ({"dataset": "images", "label": "cat"}, '[1].prediction_id belongs to dataset "reviews", but dataset is "images"'),
        ({"prediction_id": ...}, "[1].item_id is missing"),
        ({"prediction_id": "reviews:abc"}, "[1].prediction_id must read dataset:item:16 hex digits"),
        (
            {"prediction_id": f"reviews:a\tb:{'0' * 16}"},
            "[1].prediction_id names an item with a control character, or of more than 300",
        ),
        ({"prediction_id": f"reviews:{'a' * 301}:{'0' * 16}"}, "[1].prediction_id names an item with a control character, or of"),
        ({"prediction_id": "x" * 361}, "[1].prediction_id has 361 characters"),
        ({"item_id": item(3)}, "[1].item_id is not the item of prediction_id"),
        ({"item_id": "x" * 301}, "[1].item_id has 301 characters"),
        ({"event_id": ...}, "[1].event_id is missing"),
        ({"event_id": "1"}, "[1].event_id must be a UUID"),
        ({"event_id": 1}, "[1].event_id must be a UUID"),
        ({"event_id": f"{{{uuid.UUID(int=2)}}}"}, "[1].event_id must be a UUID"),
        ({"annotator": ...}, "[1].annotator is missing"),
        ({"annotator": " "}, "[1].annotator is blank or holds a control character"),
        ({"annotator": "a\0"}, "[1].annotator is blank or holds a control character"),
        ({"annotator": "a" * 101}, "[1].annotator has 101 characters"),
        ({"source": "../etc"}, "[1].source must be a plain name"),
        ({"source": "s" * 101}, "[1].source has 101 characters"),
        ({"reason": "a\0b"}, "[1].reason is blank or holds a control character"),
        ({"reason": "r" * 1_001}, "[1].reason has 1,001 characters"),
        ({"occurred_at": "2026-03-05T12:00:00"}, "[1].occurred_at has no time zone"),
        ({"occurred_at": "2026-03-05"}, "[1].occurred_at has no time zone"),
        ({"occurred_at": "2026-03-05T12:05:01Z"}, "[1].occurred_at lies in the future by more than 5 minutes"),
        ({"occurred_at": "yesterday"}, "[1].occurred_at must be a time in ISO 8601"),
        ({"occurred_at": "1700000000"}, "[1].occurred_at must be a time in ISO 8601"),
        ({"occurred_at": 1_700_000_000}, "[1].occurred_at must be a time in ISO 8601"),
        ({"occurred_at": "0001-01-01T00:00:00+10:00"}, "[1].occurred_at must be a time in ISO 8601"),
        ({"context": []}, "[1].context must be an object; found a list"),
        ({"context": nested(21)}, "[1].context is more than 20 levels deep"),
        ({"context": nested(100)}, "[1].context is more than 20 levels deep"),
        ({"context": {"a": "x" * 8_185}}, "[1].context takes 8,193 bytes"),
        ({"context": {"a": [{"b": "\0"}]}}, "[1].context.a[0].b holds a NUL character"),
        ({"context": {"a": {"\0": 1}}}, "[1].context.a has a key with a NUL character"),
        ({"context": {"a": 1e30}}, "[1].context.a is a number that 64 bits do not hold"),
        ({"lable": "x"}, "[1].lable is no field of an event"),
        ({"a\0": "x"}, '[1]."a\\u0000" is no field of an event'),
        ({"": "x"}, '[1]."" is no field of an event'),
    ],
    ids=lambda value: value[:60] if isinstance(value, str) else "",
)
def test_an_event_that_is_refused_is_told_by_place_and_field(changes: dict[str, Any], why: str) -> None:
    assert refusal_of(**changes).startswith(why)


@pytest.mark.parametrize(
    ("changes", "fix"),
    [
        ({"label": "postive"}, 'did you mean "positive"?'),
        ({"dataset": "review"}, 'did you mean "reviews"?'),
        ({"lable": "x"}, 'did you mean "label"?'),
        ({"occurred_at": "2026-03-05T12:00:00"}, "end it with Z or an offset such as +02:00"),
    ],
)
def test_a_refusal_says_what_to_do(changes: dict[str, Any], fix: str) -> None:
    assert refusal(orjson.dumps(statement(**changes))).fix == fix


@pytest.mark.parametrize(
    ("raw", "field", "problem"),
    [
        (b"", "body", "is no valid JSON"),
        (b'{"event_id":', "body", "is no valid JSON"),
        (b'{"context": NaN}', "body", "is no valid JSON"),
        (b'{"context": {"a": 1e999}}', "body", "is no valid JSON"),
        (b'{"context": {"a": ' + b"1" * 5_000 + b"}}", "body", "is no valid JSON"),
        (b'{"reason": "\\ud800"}', "body", "is no valid JSON"),
        (b'{"reason": "\xff"}', "body", "is no valid JSON"),
        (b"[" * 100_000, "body", "is no valid JSON"),
        (b"[]", "body", "holds 0 events"),
        (b"[" + b",".join([b"{}"] * 1_001) + b"]", "body", "holds 1,001 events"),
        (b"3", "body", "must be an object; found a number"),
        (b"[null]", "[0]", "must be an object; found null"),
    ],
    ids=[
        "empty", "cut off", "NaN", "infinite", "huge integer", "surrogate", "no UTF-8", "deep", "no event", "1,001", "number", "null",
    ],
)  # fmt: skip
def test_what_is_no_list_of_events_is_refused_as_a_whole(raw: bytes, field: str, problem: str) -> None:
    refused = refusal(raw)
    assert (refused.field, refused.problem[: len(problem)]) == (field, problem)


@pytest.mark.parametrize(
    "twice",
    [b'"kind":"spam","kind":"label"', b'"context":{"a":1,"a":2}', b'"context":{"a":1,"a":"\\u0022\\u0022"}', b'"kin\\u0064":"label","kind":"label"'],
    ids=["of the event", "of the context", "masked by an escape", "spelt otherwise"],
)  # fmt: skip
def test_a_key_that_is_there_twice_is_refused(twice: bytes) -> None:
    fields = orjson.dumps(statement(kind=..., context=...))[:-1]
    raw = fields + (b"," if b"kin" in twice else b',"kind":"label",') + twice + b"}"
    assert "twice in one object" in refusal(raw).message


def test_quotation_marks_within_text_are_no_key_that_is_there_twice() -> None:
    raw = orjson.dumps(statement(reason='she said "fine"', context={"a": '"', "b": {"a": '\\"'}}))
    for text in (raw, raw.replace(b'\\"fine', b"\\u0022fine")):
        assert parse_events(text, LABELS, now=NOW)[0].reason == 'she said "fine"'


def test_the_largest_of_everything_is_taken() -> None:
    largest = statement(
        annotator="ä" * 100,
        source="s" * 100,
        reason="r" * 1_000,
        item_id="i" * 300,
        prediction_id=f"reviews:{'i' * 300}:{'0' * 16}",
        occurred_at="2026-03-05T12:05:00Z",
        context={"a": "x" * 8_184},
    )
    assert parsed(largest)[0].reason == "r" * 1_000
    assert parsed(statement(context=nested(20)))[0].context == nested(20)
    assert len(parsed(*(statement(number) for number in range(1_000)))) == 1_000


def test_a_missing_annotator_is_the_callers_and_another_stays() -> None:
    events = parsed(statement(1, annotator=...), statement(2, annotator=None), statement(3, annotator="ben"), annotator="anna")
    assert [e.annotator for e in events] == ["anna", "anna", "ben"]


def test_a_prediction_id_names_dataset_item_and_what_was_predicted_on() -> None:
    made = prediction_id_of("reviews", "a:b", "c" * 64, "fine")
    assert parts_of(made)[:2] == ("reviews", "a:b")
    assert made != prediction_id_of("reviews", "a:b", "c" * 64, "fine.")
    assert made != prediction_id_of("reviews", "a:b", "d" * 64, "fine")
    with pytest.raises(EventError, match="dataset:item:16 hex digits"):
        parts_of("reviews:a:0123")


def test_a_record_from_a_table_may_hold_typed_values_and_its_context_as_text() -> None:
    occurred_at = datetime(2026, 3, 5, 13, 30, tzinfo=timezone(timedelta(hours=2)))
    typed = statement(
        event_id=uuid.UUID(int=1), occurred_at=occurred_at, context='{"page":3,"shown":["fine",null,true]}', reason=None
    )
    assert checked_event(typed, LABELS, now=NOW) == parsed(statement())[0]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"annotator": "\ud800"}, "annotator holds a lone surrogate"),
        ({"context": {"a": "\ud800"}}, "context.a holds a lone surrogate"),
        ({"context": {"a": math.nan}}, "context.a is a number that 64 bits do not hold"),
        ({"context": '{"a":1,"a":2}'}, 'context has the key "a" twice in one object'),
        ({"context": "{'a': 1}"}, "context is no valid JSON"),
        ({"context": "[1]"}, "context must be an object; found a list"),
        ({"occurred_at": datetime(2026, 3, 5, 12)}, "occurred_at has no time zone"),
    ],
    ids=["surrogate", "surrogate within", "NaN", "key twice", "Python text", "list", "naive"],
)
def test_a_record_is_held_to_the_same_rules_as_a_request(changes: dict[str, Any], why: str) -> None:
    with pytest.raises(EventError) as refused:
        checked_event(statement(**changes), LABELS, now=NOW)
    assert refused.value.message.startswith(why)


def test_a_record_without_an_id_gets_the_same_one_every_time_and_any_change_another() -> None:
    def id_of(**changes: Any) -> uuid.UUID:
        return checked_event(statement(event_id=..., **changes), LABELS, now=NOW).event_id

    assert id_of() == id_of(reason=None, occurred_at="2026-03-05T11:30:00Z", context='{"shown":["fine",null,true], "page":3}')
    assert len({id_of(), id_of(label="negative"), id_of(annotator="ben"), id_of(occurred_at=...), id_of(context=...)}) == 5
    assert id_of().version == 5


def test_a_derived_id_ignores_nulls_the_zone_and_the_order_and_takes_what_no_check_has_seen() -> None:
    noon = datetime(2026, 3, 5, 12, tzinfo=UTC)
    one = derived_event_id({"item_id": "a", "label": "\ud800", "occurred_at": noon, "reason": None, "event_id": "x"})
    other = derived_event_id({"occurred_at": noon.astimezone(timezone(timedelta(hours=2))), "label": "\ud800", "item_id": "a"})
    assert one == other == uuid.UUID("a8faad76-cb74-5357-ae90-7888d23c2e34")


TEXT = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=40)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats(-1e18, 1e18) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150)
@given(
    context=st.none() | st.dictionaries(TEXT, JSON_VALUES, max_size=4),
    reason=st.none() | TEXT,
    occurred_at=st.none() | st.datetimes(datetime(1990, 1, 1), datetime(2026, 3, 1), timezones=st.timezones()),
    identifier=st.uuids(),
    is_escaped=st.booleans(),
)
def test_a_body_sent_again_is_the_same_event_with_the_same_body(
    context: dict[str, Any] | None, reason: str | None, occurred_at: datetime | None, identifier: uuid.UUID, is_escaped: bool
) -> None:
    at = None if occurred_at is None else occurred_at.isoformat()
    sent = statement(event_id=str(identifier), context=context, reason=reason, occurred_at=at)
    first = parse_events(json.dumps(sent, ensure_ascii=is_escaped).encode(), LABELS, now=NOW)[0]
    again = parse_events(first.body(), LABELS, now=NOW)[0]
    assert again.body() == first.body()
    assert again.model_dump() == first.model_dump()
    # As it was sent, with its offset: Python calls a time that its zone had twice unequal to every time of another zone.
    assert (first.context, first.reason, first.occurred_at) == (context, reason, at and datetime.fromisoformat(at))


@settings(max_examples=150)
@given(raw=st.binary(max_size=80) | JSON_VALUES.map(lambda value: json.dumps(value).encode()))
def test_whatever_bytes_arrive_are_refused_with_an_event_error(raw: bytes) -> None:
    assert refusal(raw).field
