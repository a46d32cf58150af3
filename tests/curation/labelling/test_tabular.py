"""Tables that people fill in: rows become events about what was asked, and what is wrong is told by line."""

import io
import json
from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.feedback.events import EventError
from curation.labelling import tabular
from curation.labelling.exchange import Answer, queue_tasks
from curation.predictions import PredictionStore
from tests.curation.labelling.elsewhere import LABELS, NOW, every_shape, item, queue_of


def table_answers(tmp_path: Path, content: str, name: str = "a.csv") -> list[Answer]:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    return list(tabular.answers(path, "reviews", LABELS, now=NOW))


def test_a_queue_filled_in_by_hand_becomes_events_about_the_predictions_it_asked_for(tmp_path: Path) -> None:
    tasks = list(queue_tasks(queue_of(tmp_path / "queue", 4), PredictionStore(tmp_path / "predictions", "reviews")))
    buffer = io.BytesIO()
    tabular.write_json_lines(tasks, buffer)
    lines = [json.loads(line) for line in buffer.getvalue().splitlines()]
    for line, label in zip(lines, ("positive", None, "spam", "neutral"), strict=True):
        line |= {"label": label, "annotator": "Ann" if label else None}
    told = table_answers(tmp_path, "\n".join(map(json.dumps, lines)), "a.jsonl")
    assert told[1] == Answer("line 2", None)
    events = [answer.said for answer in told if answer.said is not None and not isinstance(answer.said, EventError)]
    assert [(event.item, event.kind, event.label, event.annotator) for event in events] == [
        (item(0), "label", "positive", "Ann"),
        (item(2), "spam", None, "Ann"),
        (item(3), "label", "neutral", "Ann"),
    ]
    assert events[0].prediction_id == tasks[0].prediction_id
    assert (events[0].context, events[0].source) == ({"queue": "000001", "reason": "control"}, "labels-file")


def test_a_label_that_was_changed_in_the_table_is_a_new_statement_of_now(tmp_path: Path) -> None:
    shapes = every_shape(200, seed=4)
    task = next(task for task in shapes if [(event.kind, event.occurred_at is None) for event in task.said] == [("label", False)])
    buffer = io.BytesIO()
    tabular.write_json_lines([task], buffer)
    row = json.loads(buffer.getvalue())
    row["label"] = next(label for label in LABELS["reviews"] if label != row["label"])
    [answer] = table_answers(tmp_path, json.dumps(row), "a.jsonl")
    assert not isinstance(answer.said, EventError | None)
    assert (answer.said.label, answer.said.annotator, answer.said.occurred_at) == (row["label"], row["annotator"], None)
    assert answer.said.event_id != task.said[0].event_id


def test_rows_that_are_wrong_are_told_by_line(tmp_path: Path) -> None:
    content = (
        "item_id,label,annotator,rank,fields,dataset\n"
        'a,postive,ann,,,\na,positive,,,,\n,positive,ann,,,\n"a\nb",positive,ann,x,,\na,positive,ann,,{,\na,positive,ann\n'
        "a,positive,ann,,,images\na,,,,,\n"
    )
    told = [
        f"{answer.place}: {answer.said.message if isinstance(answer.said, EventError) else answer.said}"
        for answer in table_answers(tmp_path, content)
    ]
    assert told == [
        'line 2: label must be one of negative, neutral, positive; found "postive"',
        "line 3: annotator is missing",
        "line 4: item_id is missing",
        "line 5: rank is no number: 'x'",
        "line 7: fields is no valid JSON: unexpected end of data: line 1 column 2 (char 1)",
        "line 8: row has 3 cells; the header has 6",
        "line 9: dataset is 'images'",
        "line 10: None",
    ]


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("a.csv", "item_id,lable\n", r"column 'lable' is unknown\n  fix: did you mean \"label\"\?"),
        ("a.csv", "item_id,item_id\n", "column 'item_id' is there twice"),
        ("a.csv", 'item_id,label\n"a"b,x\n', "is no valid CSV from line 2 on"),
        ("none/a.csv", None, "cannot be read: No such file"),
        ("none/a.jsonl", None, "cannot be read: No such file"),
    ],
    ids=["column", "twice", "quotes", "no csv", "no jsonl"],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path: Path, name: str, content: str | None, why: str) -> None:
    if content is not None:
        (tmp_path / name).write_text(content)
    with pytest.raises(CurationError, match=why):
        list(tabular.answers(tmp_path / name, "reviews", LABELS, now=NOW))


def test_json_lines_of_another_shape_are_told(tmp_path: Path) -> None:
    lines = [
        "5",
        '{"item_id": "a", "lable": "x"}',
        '{"item_id": "a", "fields": []}',
        '{"item_id": ["a"]}',
        '{"item_id": "a", "said": 5}',
        "{",
        '{"item_id": "a", "fields": ' + '{"a":' * 400 + "1" + "}" * 401,
    ]
    told = [answer.said for answer in table_answers(tmp_path, "\n".join(lines), "a.jsonl")]
    assert [error.problem.partition(":")[0] for error in told if isinstance(error, EventError)] == [
        "must be an object",
        "is no column of labels",
        "must be an object",
        "is missing",
        "must be an object",
        "is no valid JSON",
        "is nested too deeply",
    ]
