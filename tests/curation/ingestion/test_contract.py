"""The contract of a source on records: types before any cast, values, canonical columns, names and hashes of rows."""

import datetime
import hashlib
import json
from typing import Any

import pytest

from curation.ingestion.contract import Checked, Contract, canonical_json, contract_digest
from curation.ingestion.profile import Profiler, moved
from curation.ingestion.sources import FieldRule, Rating, Source
from tests.curation.ingestion.doors import DESK, TICKETS, ticket


def desk(field: str, rule: FieldRule, **source: Any) -> Source:
    """DESK with another rule for one field."""
    return DESK.model_copy(update={"fields": DESK.fields | {field: rule}} | source)


def check(source: Source, *records: dict[str, Any]) -> Checked:
    raws = [json.dumps(record).encode() for record in records]
    return Contract(TICKETS, source).check(list(records), raws)


def told(source: Source, record: dict[str, Any]) -> list[str]:
    """What one record breaks, in words."""
    return [f"{broken.field} {broken.expectation}: {broken.found}" for broken in check(source, record).breaks.get(0, [])]


def value(source: Source, field: str, record: dict[str, Any]) -> Any:
    """The canonical value of a valid record."""
    checked = check(source, record)
    assert checked.breaks == {}
    return checked.columns[field][0].as_py()


def test_a_valid_record_becomes_typed_columns_in_declared_order() -> None:
    checked = check(DESK, ticket(1), ticket(2, id=..., replies=None, segment=...))
    assert {name: column.to_pylist() for name, column in checked.columns.items()} == {
        "native_id": ["T1", None],
        "stars": [2.0, 3.0],
        "text": ["question 1", "question 2"],
        "opened_at": [datetime.datetime(2023, 11, 14, 22, 13, 20 + second, tzinfo=datetime.UTC) for second in (1, 2)],
        "replies": [1, None],
        "extra": ['{"segment":"gold"}', '{"segment":null}'],
    }


@pytest.mark.parametrize(
    ("changes", "broken"),
    [
        ({"stars": "4"}, "stars must be an integer: strings"),
        ({"stars": 3.7}, "stars must be an integer: numbers"),
        ({"stars": True}, "stars must be an integer: booleans"),
        ({"stars": None}, "stars must be there: null"),
        ({"stars": ...}, "stars must be there: missing"),
        ({"stars": 6}, "stars must be at most 5: more"),
        ({"stars": -1}, "stars must be at least 1: less"),
        ({"text": 7}, "text must be a string: integers"),
        ({"text": ["a"]}, "text must be a string: lists"),
        ({"segment": 3}, "segment must be a string: integers"),
        ({"segment": {"a": 1}}, "segment must be a string: objects"),
        ({"replies": 2**63}, "replies must fit into 64 bits: beyond 64 bits"),
        ({"replies": -(2**63) - 1}, "replies must fit into 64 bits: beyond 64 bits"),
        ({"replies": 10**30}, "replies must fit into 64 bits: beyond 64 bits"),
        ({"replies": 1.0}, "replies must be an integer: numbers"),
        ({"at": 10**15}, "opened_at must be a date as epoch_s: something else"),
    ],
)
def test_what_is_not_as_declared_breaks_the_contract_before_any_cast(changes: dict[str, Any], broken: str) -> None:
    assert told(DESK, ticket(1, **changes)) == [broken]


def test_a_text_of_blanks_is_no_break() -> None:
    assert value(DESK, "text", ticket(1, text="  ")) == "  "


def test_all_that_a_record_breaks_is_told_and_neighbours_stay_valid() -> None:
    checked = check(DESK, ticket(1), ticket(2, stars="4", segment=3), ticket(3))
    assert list(checked.rows) == [0, 2]
    assert [broken.field for broken in checked.breaks[1]] == ["stars", "segment"]
    assert checked.columns["native_id"].to_pylist() == ["T1", "T3"]


@pytest.mark.parametrize(
    ("rule", "at", "second"),
    [
        (("epoch_ms", "integer"), 1_600_000_000_250, 1_600_000_000.25),
        (("epoch_s", "number"), 1_600_000_000.5, 1_600_000_000.5),
        (("epoch_s", "string"), "1600000000", 1_600_000_000),
        (("iso8601", "string"), "2020-09-13T12:26:40", 1_600_000_000),
        (("iso8601", "string"), "2020-09-13T14:26:40+02:00", 1_600_000_000),
        (("iso8601", "string"), "2020-09-13T12:26:40Z", 1_600_000_000),
        (("%m %d, %Y", "string"), "09 3, 2020", 1_599_091_200),
        (("%y.%m.%d", "string"), "20.09.13", 1_599_955_200),
    ],
)
def test_times_are_read_as_declared_and_without_zone_they_are_utc(rule: tuple[str, Any], at: Any, second: float) -> None:
    source = desk("opened_at", FieldRule(path=("at",), type=rule[1]), date_format=rule[0])
    assert value(source, "opened_at", ticket(1, at=at)).timestamp() == second


@pytest.mark.parametrize("at", ["13.09.2020", "2020-13-01", "", "2020-02-30T00:00:00"])
def test_a_text_that_is_no_such_date_breaks_the_contract(at: str) -> None:
    source = desk("opened_at", FieldRule(path=("at",), type="string"), date_format="iso8601")
    assert told(source, ticket(1, at=at)) == ["opened_at must be a date as iso8601: something else"]


def test_a_rating_may_come_as_text_where_that_is_declared() -> None:
    source = desk("stars", FieldRule(path=("stars",), type="string"))
    assert value(source, "stars", ticket(1, stars="4")) == 4.0
    assert told(source, ticket(1, stars=4)) == ["stars must be a string: integers"]
    assert told(source, ticket(1, stars="five")) == ["stars must be a number: something else"]
    assert told(source, ticket(1, stars="٤")) == ["stars must be a number: something else"]
    assert told(source, ticket(1, stars="3.5")) == ["stars must be whole: fractions"]


def test_a_rating_may_have_fractions_where_that_is_declared() -> None:
    number = FieldRule(path=("stars",), type="number")
    assert told(desk("stars", number), ticket(1, stars=3.5)) == ["stars must be whole: fractions"]
    assert value(desk("stars", number), "stars", ticket(1, stars=4.0)) == 4.0
    assert value(desk("stars", number, rating=Rating(minimum=1, maximum=5, whole=False)), "stars", ticket(1, stars=3.5)) == 3.5


def test_named_categories_become_their_values() -> None:
    rating = Rating(minimum=1, maximum=5, categories={"bad": 1, "good": 5})
    source = desk("stars", FieldRule(path=("stars",), type="string"), rating=rating)
    assert value(source, "stars", ticket(1, stars="good")) == 5.0
    assert told(source, ticket(1, stars="fair")) == ['stars must be one of "bad", "good": something else']


@pytest.mark.parametrize(
    ("rule", "delivered", "expected"),
    [
        ({"type": "string"}, "1,026", 1026),
        ({"type": "string"}, "-3", -3),
        ({"type": "string"}, "1,02", "replies must be a whole number of at most 64 bits: something else"),
        ({"type": "string"}, "9999999999999999999", "replies must be a whole number of at most 64 bits: something else"),
        ({"type": "string"}, " 3", "replies must be a whole number of at most 64 bits: something else"),
        ({"type": "number"}, 3.0, 3),
        ({"type": "number"}, 3.5, "replies must be a whole number of at most 64 bits: something else"),
        ({"type": "any"}, True, "replies must be a whole number of at most 64 bits: something else"),
        ({"type": "any"}, "3", 3),
        ({"type": "integer", "allowed": (1, 2)}, 3, "replies must be one of 1, 2: something else"),
        ({"type": "integer", "minimum": 1}, 0, "replies must be at least 1: less"),
        ({"type": "integer", "required": True}, None, "replies must be there: null"),
    ],
)
def test_a_field_follows_its_rule(rule: dict[str, Any], delivered: Any, expected: int | str) -> None:
    source = desk("replies", FieldRule(path=("replies",), **rule))
    record = ticket(1, replies=delivered)
    if isinstance(expected, int):
        assert value(source, "replies", record) == expected
    else:
        assert told(source, record) == [expected]


def test_the_length_of_a_text_is_counted_in_characters() -> None:
    source = desk("text", FieldRule(path=("text",), type="string", max_length=3))
    assert value(source, "text", ticket(1, text="éé😀")) == "éé😀"
    assert told(source, ticket(1, text="abcd")) == ["text must have at most 3 characters: longer"]


def test_a_path_goes_through_keys_of_any_name_and_ends_missing_where_there_is_no_object() -> None:
    source = desk("text", FieldRule(path=("a.b", '$["x"]', "'; --"), type="string"))
    assert value(source, "text", ticket(1, **{"a.b": {'$["x"]': {"'; --": "found"}}})) == "found"
    assert told(source, ticket(1, **{"a.b": "no object"})) == ["text must be there: missing"]


def test_an_integer_beyond_64_bits_is_no_number_but_a_large_number_is() -> None:
    rules = {"size": FieldRule(path=("size",), type="number", required=False)}
    source = DESK.model_copy(update={"extra": rules})
    assert told(source, ticket(1, size=10**25)) == ["size must fit into 64 bits: beyond 64 bits"]
    assert value(source, "extra", ticket(1, size=1e25)) == '{"size":1e+25}'
    assert value(source, "extra", ticket(1, size=1e-7)) == '{"size":1e-07}'


def test_a_uid_comes_from_source_and_native_id() -> None:
    assert check(DESK, ticket(1)).uids == hashlib.sha256(b"desk:T1").digest()
    assert check(DESK, ticket(1, text="corrected")).uids == check(DESK, ticket(1)).uids


@pytest.mark.parametrize("native_id", [..., None, "", "  "])
def test_without_a_native_id_a_uid_comes_from_the_record_as_delivered(native_id: Any) -> None:
    record = ticket(1, id=native_id, note={"b": 1, "a": [1.5, "é"]})
    canonical = json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()
    assert check(DESK, record).uids == hashlib.sha256(canonical).digest()
    other_order = dict(reversed(record.items()))
    assert check(DESK, other_order).uids == check(DESK, record).uids


@pytest.mark.parametrize("number", [1e16, 1e22, 1e-5, 1.5e-7, 0.0001, -0.0, 123456789.123, 5e-324, 2**63, 1e15, 0.1 + 0.2])
def test_the_canonical_text_of_a_record_is_that_of_the_standard_library(number: float) -> None:
    record = {"é": "e-e+ \u2028 \x7f /", "b": [number, {"z": None, "a": True}], "a": '"\\\n'}
    assert canonical_json(record) == json.dumps(record, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def test_the_content_hash_follows_values_and_scale_and_not_the_way_they_were_written() -> None:
    plain = check(DESK, ticket(1)).content_hashes
    assert len(plain) == 16
    assert check(DESK, dict(reversed(ticket(1).items())) | {"undeclared": 1}).content_hashes == plain
    wider = DESK.model_copy(update={"rating": Rating(minimum=1, maximum=10)})
    changed = [check(DESK, ticket(1, text="x")), check(DESK, ticket(1, segment="silver")), check(wider, ticket(1))]
    assert len({plain, *(one.content_hashes for one in changed)}) == 4


def test_the_digest_of_a_contract_follows_what_can_change_a_verdict() -> None:
    digest = contract_digest(TICKETS, DESK)
    assert contract_digest(TICKETS, DESK.model_copy(update={"description": "other", "deadline_hours": 1.0})) == digest
    assert contract_digest(TICKETS, DESK.model_copy(update={"max_bad_share": 0.1})) != digest
    required = TICKETS.model_copy(
        update={"fields": tuple(field.model_copy(update={"required": True}) for field in TICKETS.fields)}
    )
    assert contract_digest(required, DESK) != digest


def profiled(records: list[dict[str, Any]]) -> dict[str, Any]:
    profiler = Profiler()
    for start in range(0, len(records), 100):
        checked = check(DESK, *records[start : start + 100])
        for name, delivered in checked.delivered.items():
            profiler.add(name, delivered, checked.canonical[name])
    return profiler.profiles()


def test_a_profile_tells_types_gaps_values_and_lengths() -> None:
    profiles = profiled(
        [ticket(number, replies=... if number < 10 else None if number < 30 else number % 3) for number in range(300)]
    )
    replies, text, stars = profiles["replies"], profiles["text"], profiles["stars"]
    assert (replies.records, replies.types, replies.missing, replies.null, replies.distinct) == (300, {"integer": 270}, 10, 20, 3)
    assert (stars.minimum, stars.maximum, stars.mean, stars.distinct) == (1.0, 5.0, 3.0, 5)
    assert (text.length_minimum, text.length_maximum, text.distinct) == (10, 12, 300)
    assert profiles["opened_at"].minimum == 1_700_000_000
    assert replies.share("missing") == pytest.approx(1 / 30)


def test_what_moves_is_told_with_figures_and_what_stays_is_not() -> None:
    before = profiled([ticket(number) for number in range(1000, 2000)])
    assert moved(before, profiled([ticket(number) for number in range(5000, 6100)]), frozenset({"opened_at"})) == []
    after = profiled(
        [
            ticket(number, segment=number if number // 10 % 10 < 3 else "gold", replies=None, text="x" * 40)
            for number in range(1000, 2000)
        ]
    )
    assert moved(before, after, frozenset({"opened_at"})) == [
        "text: mean length 13 to 40 (standard deviation 0 to 0)",
        "replies: 100.0% to 0.0% of records are integer",
        "replies: 0.0% to 100.0% of records are null",
        "segment: 0.0% to 30.0% of records are integer",
        "segment: 100.0% to 70.0% of records are string",
    ]


def test_a_handful_of_records_raises_no_alarm() -> None:
    before = profiled([ticket(number) for number in range(20)])
    assert moved(before, profiled([ticket(number, replies=None if number == 3 else 1) for number in range(12)])) == []
