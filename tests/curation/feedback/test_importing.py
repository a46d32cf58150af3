"""Feedback from files: both formats, the same file again, and files in which rows are wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from curation.errors import CurationError
from curation.feedback.events import Event
from curation.feedback.importing import ROWS_AT_MOST, Imported, import_file, read_events
from curation.feedback.log import Conflict, FeedbackLog
from tests.curation.feedback.statements import LABELS, NOW, appended, event, item, statement


def taken(log: FeedbackLog, path: Path, dataset: str | None = "reviews") -> Imported:
    return import_file(log, path, LABELS, dataset=dataset, now=NOW)


def read(path: Path, content: str | bytes) -> list[Event]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return read_events(path, LABELS, dataset="reviews", source="import", now=NOW)


def refusal(path: Path, content: str | bytes) -> str:
    """Why a file is refused, with its rows and the fix."""
    with pytest.raises(CurationError) as refused:
        read(path, content)
    return str(refused.value)


def lines(*records: dict[str, Any]) -> str:
    return "\n".join(json.dumps(record) for record in records)


ROWS = "item_id,kind,label,annotator\na,label,positive,anna\nb,label,negative,anna\na,spam,,ben\n"


def test_a_csv_file_is_appended_with_dataset_and_source_filled_in(log: FeedbackLog, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(ROWS)
    assert taken(log, path) == Imported(3, 3, 0, 3)
    columns = ["seq", "dataset", "item_id", "kind", "label", "annotator", "source", "occurred_at", "received_as"]
    assert [tuple(row.values()) for row in log.read(0, 10).select(columns).to_pylist()] == [
        (1, "reviews", "a", "label", "positive", "anna", "import", NOW, None),
        (2, "reviews", "b", "label", "negative", "anna", "import", NOW, None),
        (3, "reviews", "a", "spam", None, "ben", "import", NOW, None),
    ]


def test_the_same_file_again_changes_nothing_and_one_row_more_is_one_event_more(log: FeedbackLog, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(ROWS)
    taken(log, path)
    assert taken(log, path) == Imported(3, 0, 3, 3)
    path.write_text(ROWS + "c,skip,,ben\n")
    assert taken(log, path) == Imported(4, 1, 3, 4)
    assert log.verify({}) == []


def test_csv_and_json_lines_of_the_same_content_are_the_same_events(tmp_path: Path) -> None:
    occurred_at = "2026-03-05T10:00:00Z"
    table = (
        "\ufeffitem_id,kind,label,annotator,reason,occurred_at,context\r\n"
        f'a,label,positive,änne,"two\nlines, ""one"" reason",{occurred_at},"{{""page"": 3}}"\r\n\r\nb,skip,,ben,,,\r\n'
    )
    records = lines(
        {"item_id": "a", "kind": "label", "label": "positive", "annotator": "änne", "reason": 'two\nlines, "one" reason'}
        | {"occurred_at": occurred_at, "context": {"page": 3}},
        {"item_id": "b", "kind": "skip", "label": None, "annotator": "ben"},
    )
    events = read(tmp_path / "a.csv", table)
    assert events == read(tmp_path / "a.jsonl", "\ufeff" + records + "\n\n") == read(tmp_path / "a.ndjson", records)
    assert (events[0].context, events[0].reason) == ({"page": 3}, 'two\nlines, "one" reason')


def test_what_a_row_says_itself_is_kept(tmp_path: Path) -> None:
    sent = statement(1, source="desk")
    other = {"event_id": None, "dataset": "images", "item_id": "x", "kind": "label", "label": "cat", "annotator": "ben"}
    first, second = read(tmp_path / "a.jsonl", lines(sent, other))
    assert first == event(1, source="desk")
    assert (second.dataset, second.source, second.event_id.version) == ("images", "import", 5)


def test_a_file_in_which_half_of_the_rows_are_wrong_is_told_row_by_row_and_not_taken(log: FeedbackLog, tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    bad = [
        "a,label,postive,anna",
        "a,lable,positive,anna",
        ",label,positive,anna",
        "a,label,positive,",
        "a,label,positive",
        "a,skip,positive,b",
    ]
    path.write_text(
        "item_id,kind,label,annotator\n" + "\n".join(f"{row}\ngood{place},skip,,anna" for place, row in enumerate(bad))
    )
    with pytest.raises(CurationError) as refused:
        taken(log, path)
    message = refused.value.message.splitlines()
    assert message[0] == f"{path}: 6 of 12 rows are wrong, so none was taken"
    assert [line.strip() for line in message[1:]] == [
        'line 2: label must be one of negative, neutral, positive; found "postive" (did you mean "positive"?)',
        'line 4: kind must be one of label, agree, disagree, spam, skip, withdraw, adjudicate, preference; found "lable" (did you mean "label"?)',
        "line 6: item_id is missing (name what is judged: prediction_id, or item_id where there is no prediction)",
        "line 8: annotator is missing (every event needs dataset, kind, annotator, source)",
        "line 10: row has 3 cells; the header has 4",
        "line 12: label must be left out where kind is skip (leave it out, or send kind label)",
    ]
    assert log.head().seq == 0


def test_of_many_wrong_rows_twenty_are_told_and_all_are_counted(tmp_path: Path) -> None:
    told = refusal(tmp_path / "a.csv", "item_id,kind,annotator\n" + "a,skip,\n" * 30 + "b,skip,anna\n").splitlines()
    assert "30 of 31 rows are wrong" in told[0]
    assert [told[1].split(":")[0], told[20].split(":")[0], told[21]] == ["  line 2", "  line 21", "  and 10 more"]


def test_json_lines_are_held_to_strict_json_and_types(tmp_path: Path) -> None:
    good = '{"item_id":"a","kind":"skip","annotator":"anna"}'
    bad = [
        '{"item_id":"a"',
        "[1]",
        '{"item_id":"a","kind":"skip","annotator":"anna","kind":"spam"}',
        '{"item_id":5,"kind":"skip","annotator":"anna"}',
        '{"item_id":"a","kind":"skip","annotator":"anna","context":{"a":NaN}}',
        '{"item_id":"a","kind":"skip","annotator":"anna","contxt":{}}',
        '{"item_id":"a\\u0000","kind":"skip","annotator":"anna"}',
    ]
    told = refusal(tmp_path / "a.jsonl", "\n".join([good, *bad, "", good])).splitlines()
    assert [line.strip()[:46] for line in told[1:-1]] == [
        "line 2: row is no valid JSON: unexpected end o",
        "line 3: row must be an object",
        'line 4: row has the key "kind" twice in one ob',
        "line 5: item_id must be text; found a number (",
        "line 6: row is no valid JSON: unexpected chara",
        "line 7: contxt is no field of an event (did yo",
        "line 8: item_id is blank or holds a control ch",
    ]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", "item_id,kin\n", "column 'kin' is no field of an event\n  fix: did you mean \"kind\"?"),
        ("a.csv", "item_id;kind\n", "column 'item_id;kind' is no field of an event"),
        ("a.csv", "item_id,item_id\n", "column 'item_id' is there twice"),
        ("a.csv", 'item_id,kind,annotator\n"a"b,skip,anna\n', "is no valid CSV from line 2 on"),
        ("a.csv", "item_id,kind,annotator\n" + "a" * 200_000 + ",skip,anna\n", "is no valid CSV from line 2 on"),
        ("a.csv", b"item_id,kind,annotator\na,skip,\xff\n", "line 2: annotator holds a lone surrogate"),
        ("a.csv", "item_id,kind,annotator\na\0,skip,anna\n", "line 2: item_id is blank or holds a control character"),
        ("a.csv", "item_id,kind,annotator,context\na,skip,anna,{'a':1}\n", "line 2: context is no valid JSON"),
        ("a.csv", "", "holds no events"),
        ("a.csv", "item_id,kind\n", "holds no events"),
        ("a.jsonl", "\n", "holds no events"),
        ("a.parquet", "", "is neither CSV nor JSON lines by its name"),
    ],
    ids=["column", "semicolons", "twice", "quotes", "huge", "no UTF-8", "NUL", "context", "empty", "header", "blank", "suffix"],
)
def test_a_file_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: str | bytes, why: str) -> None:
    assert why in refusal(tmp_path / name, content)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match=r"nowhere\.csv cannot be read: No such file"):
        read_events(tmp_path / "nowhere.csv", LABELS, dataset=None, source=None, now=NOW)


def test_without_a_dataset_every_row_must_name_its_own(log: FeedbackLog, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text(ROWS)
    with pytest.raises(CurationError, match="3 of 3 rows are wrong"):
        taken(log, path, dataset=None)


def test_a_row_with_the_id_of_another_event_refuses_the_whole_file(log: FeedbackLog, tmp_path: Path) -> None:
    appended(log, 1)
    path = tmp_path / "a.jsonl"
    path.write_text(lines(statement(2), statement(1, label="negative")))
    with pytest.raises(Conflict, match="already there with another body"):
        taken(log, path)
    assert log.head().seq == 1


def test_more_rows_than_a_request_may_hold_enter_in_one_piece(log: FeedbackLog, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("item_id,kind,annotator\n" + "".join(f"{item(number)},skip,anna\n" for number in range(2_500)))
    assert taken(log, path) == Imported(2_500, 2_500, 0, 2_500)
    assert log.read(0, 5_000)["item_id"].to_pylist() == [item(number) for number in range(2_500)]


def test_a_file_with_more_rows_than_one_transaction_should_hold_is_refused(tmp_path: Path) -> None:
    told = refusal(tmp_path / "a.jsonl", "1\n" * (ROWS_AT_MOST + 1))
    assert "has more than 200,000 rows\n  fix: split it" in told
