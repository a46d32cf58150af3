"""Label Studio's export: annotations become events once, and what comes back wrong is told by task and annotation."""

import dataclasses
import json
import uuid
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from curation.errors import CurationError
from curation.feedback.events import EventError, checked_event
from curation.feedback.log import FeedbackLog
from curation.labelling import label_studio
from curation.labelling.exchange import LINES_TOLD, TakenIn, Task, queue_tasks, taken_in
from curation.labelling.label_studio import Reading
from curation.predictions import PredictionStore
from tests.curation.labelling.elsewhere import LABELS, NOW, every_shape, item, logged, page, queue_of

READING = Reading("reviews", LABELS, NOW, {3: "Cleo@Example.com"})


def test_the_interface_offers_every_answer_of_the_page_under_its_key(tmp_path: Path) -> None:
    view = ET.fromstring(label_studio.label_config(page(tmp_path / "item.html")))
    assert [(choice.get("value"), choice.get("hotkey")) for choice in view.iter("Choice")] == [
        ("negative", "1"),
        ("neutral", "2"),
        ("positive", "3"),
        ("spam", "x"),
    ]
    assert view.find("Text") is not None and view.find("Choices") is not None


def test_the_queue_goes_out_with_guesses_as_predictions_and_nothing_hidden_shown(tmp_path: Path) -> None:
    tasks = list(queue_tasks(queue_of(tmp_path / "queue", 4), PredictionStore(tmp_path / "predictions", "reviews")))
    first = json.loads(label_studio.encoded(tasks[1], ("title", "text", "source")))
    assert first["data"] == {"text": "", "heading": "Title 1 · shop", "item_id": item(1)}
    assert first["predictions"][0]["model_version"] == "reviews-7"
    assert first["predictions"][0]["result"][0]["value"] == {"choices": ["neutral"]}
    assert first["annotations"] == []
    assert (tasks[1].queue, tasks[1].reason, tasks[1].confidence) == ("000001", "uncertain", pytest.approx(0.41))


def test_before_the_first_queue_there_is_nothing_to_send(tmp_path: Path) -> None:
    queue = queue_of(tmp_path / "queue", 1)
    (queue.current() or tmp_path).unlink()
    with pytest.raises(CurationError, match="reviews has no label queue yet"):
        next(queue_tasks(queue, PredictionStore(tmp_path / "predictions", "reviews")))


def exported(number: int, *annotations: dict[str, Any], said: Task | None = None) -> dict[str, Any]:
    """A task as Label Studio exports it."""
    task = said or Task("reviews", item(number), {"text": f"text {number}"}, queue="000002", reason="uncertain")
    sent = json.loads(label_studio.encoded(task, ()))
    return {"id": number, "project": 5, "data": sent["data"], "meta": sent["meta"], "annotations": list(annotations)}


def annotation(number: int, choice: str | None, **more: Any) -> dict[str, Any]:
    """An annotation as Label Studio exports it; without a choice a skip."""
    region = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [choice]}}
    return {
        "id": number,
        "completed_by": 3,
        "was_cancelled": choice is None,
        "result": [] if choice is None else [region],
        "created_at": "2026-11-21T10:00:00.000001Z",
        "updated_at": "2026-11-21T10:00:00.654321Z",
        "lead_time": 2.5,
        "unique_id": f"0f3c8f5e-8a51-4c0e-9b53-{number:012d}",
        "prediction": {"model_version": "reviews-7"},
    } | more


def taken(log: FeedbackLog, tmp_path: Path, *tasks: Any, reading: Reading = READING) -> TakenIn:
    path = tmp_path / "export.json"
    path.write_text(json.dumps(list(tasks)))
    return taken_in(log, "export.json", label_studio.answers(path, reading), now=NOW)


def refused(log: FeedbackLog, tmp_path: Path, *tasks: Any) -> list[str]:
    """The lines of the message with which an export is refused; the log stays as it was."""
    head = log.head()
    with pytest.raises(CurationError) as error:
        taken(log, tmp_path, *tasks)
    assert log.head() == head
    return [line.strip() for line in str(error.value).splitlines()]


def test_annotations_become_events_with_annotator_time_and_model_version(log: FeedbackLog, tmp_path: Path) -> None:
    done = taken(
        log,
        tmp_path,
        exported(1, annotation(1, "positive")),
        exported(2, annotation(2, "spam")),
        exported(3, annotation(3, None)),
        exported(4),
    )
    assert done == TakenIn(answers=3, unanswered=1, accepted=3, duplicates=0, last_seq=3)
    assert logged(log, "item_id", "kind", "label", "annotator", "source") == [
        (item(1), "label", "positive", "cleo@example.com", "label-studio"),
        (item(2), "spam", None, "cleo@example.com", "label-studio"),
        (item(3), "skip", None, "cleo@example.com", "label-studio"),
    ]
    [(occurred_at, context)] = logged(log, "occurred_at", "context")[:1]
    assert occurred_at.isoformat() == "2026-11-21T10:00:00.654321+00:00"
    assert json.loads(context) == {
        "queue": "000002",
        "reason": "uncertain",
        "seconds": 2.5,
        "guess_seen": True,
        "model_version": "reviews-7",
        "label_studio": {"project": 5, "task": 1, "annotation": 1},
    }


@pytest.mark.parametrize(
    ("completed_by", "annotator"),
    [
        (3, "cleo@example.com"),
        (4, "label-studio-user-4"),
        ({"id": 3, "email": "Dan@Example.com"}, "dan@example.com"),
        ({"id": 4, "email": ""}, "label-studio-user-4"),
        ({"id": 3}, "cleo@example.com"),
    ],
    ids=["known id", "unknown id", "object", "object without address", "object with known id"],
)
def test_an_annotator_is_named_by_address_or_else_by_number(completed_by: Any, annotator: str) -> None:
    assert label_studio.annotator_of(completed_by, READING.people) == annotator


def test_the_same_export_again_changes_nothing_and_a_later_change_is_a_new_event(log: FeedbackLog, tmp_path: Path) -> None:
    taken(log, tmp_path, exported(1, annotation(1, "positive")))
    assert taken(log, tmp_path, exported(1, annotation(1, "positive"))) == TakenIn(1, 0, 0, 1, 1)
    changed = annotation(1, "negative", updated_at="2026-11-22T10:00:00Z")
    assert taken(log, tmp_path, exported(1, changed)) == TakenIn(1, 0, 1, 0, 2)
    back = annotation(1, "positive", updated_at="2026-11-23T10:00:00Z")
    assert taken(log, tmp_path, exported(1, back)) == TakenIn(1, 0, 1, 0, 3)
    assert [label for (label,) in logged(log, "label")] == ["positive", "negative", "positive"]


def test_an_annotation_that_came_under_another_name_of_its_annotator_is_not_taken_twice(log: FeedbackLog, tmp_path: Path) -> None:
    by_number = Reading("reviews", LABELS, NOW)
    taken(log, tmp_path, exported(1, annotation(1, "positive")), reading=by_number)
    done = taken(log, tmp_path, exported(1, annotation(1, "positive")), exported(2, annotation(2, "positive")))
    assert (done.accepted, done.duplicates) == (1, 1)
    assert [name for (name,) in logged(log, "annotator")] == ["label-studio-user-3", "cleo@example.com"]


def test_the_same_annotation_twice_in_an_export_counts_once(log: FeedbackLog, tmp_path: Path) -> None:
    task = exported(1, annotation(1, "positive"), annotation(1, "positive"))
    assert taken(log, tmp_path, task, task) == TakenIn(4, 0, 1, 3, 1)


def test_an_annotation_that_says_two_things_is_told(log: FeedbackLog, tmp_path: Path) -> None:
    told = refused(log, tmp_path, exported(1, annotation(1, "positive")), exported(1, annotation(1, "negative")))
    assert told[1] == (
        "task 1, annotation 1: is the same annotation as task 1, annotation 1, and says another thing (leave one of them out)"
    )
    taken(log, tmp_path, exported(1, annotation(1, "positive")))
    told = refused(log, tmp_path, exported(1, annotation(1, "negative")), exported(2, annotation(2, "negative")))
    assert told[0] == "export.json: 1 of 2 answers are wrong, so none was taken"
    assert told[1].startswith("task 1, annotation 1: event ") and told[1].endswith(
        "is in the log already, and says another thing there"
    )


def test_everything_wrong_in_an_export_is_told_by_task_and_annotation_and_nothing_is_taken(
    log: FeedbackLog, tmp_path: Path
) -> None:
    foreign = {"id": 12, "data": {"text": "x"}, "annotations": [annotation(12, "positive")]}
    moved = exported(13, annotation(13, "positive"))
    moved["data"]["item_id"] = item(14)
    other = exported(15, annotation(15, "cat"), said=Task("images", "i", {"text": None}))
    two = annotation(16, "positive")
    two["result"] = two["result"] * 2
    bad = [
        exported(11, annotation(11, "postive")),
        foreign,
        moved,
        other,
        exported(16, two),
        exported(17, annotation(17, "positive", result=[])),
        exported(18, annotation(18, "positive", completed_by=None)),
        exported(19, annotation(19, "positive", updated_at="yesterday")),
        exported(20, annotation(20, "positive", updated_at="2027-11-21T10:00:00Z")),
        {"id": 21, "text": "x", "label": "positive"},
        "no object",
        exported(22, "nothing"),  # type: ignore[arg-type]
    ]
    told = refused(log, tmp_path, exported(1, annotation(1, "positive")), *bad)
    assert told[0] == "export.json: 12 of 13 answers are wrong, so none was taken"
    assert [line.partition(" (")[0] for line in told[1:-1]] == [
        'task 11, annotation 11: label must be one of negative, neutral, positive; found "postive"',
        "task 12: meta.curation is missing, so nobody knows its item",
        "task 13: data.item_id is not the item of meta.curation",
        "task 15: meta.curation.dataset is 'images'",
        'task 16, annotation 16: result has 2 choices of "label"',
        'task 17, annotation 17: result has 0 choices of "label"',
        "task 18, annotation 18: completed_by names nobody",
        "task 19, annotation 19: occurred_at must be a time in ISO 8601",
        "task 20, annotation 20: occurred_at lies in the future by more than 5 minutes",
        "task 21: annotations is missing",
        "task 12",
        "task 22, annotation 1: annotation must be an object",
    ]


@pytest.mark.parametrize(
    ("part", "value"),
    [("said", 5), ("said", [5]), ("said", {"x": 1}), ("asked_at", 5), ("asked_at", "soon"), ("fields", []), ("item_id", None)],
    ids=str,
)
def test_a_task_whose_part_of_ours_was_changed_is_told(log: FeedbackLog, tmp_path: Path, part: str, value: Any) -> None:
    task = exported(1, annotation(1, "positive"))
    task["meta"]["curation"][part] = value
    assert refused(log, tmp_path, task)[1].startswith("task 1: ")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("result", {"choices": 1}),
        ("result", [5, {"type": "choices", "from_name": "label", "value": {"choices": 7}}]),
        ("id", [1]),
    ],
    ids=str,
)
def test_an_annotation_of_another_shape_is_told_or_taken_but_never_breaks(
    log: FeedbackLog, tmp_path: Path, field: str, value: Any
) -> None:
    path = tmp_path / "export.json"
    path.write_text(json.dumps([exported(1, annotation(1, "positive", **{field: value}))]))
    [answer] = label_studio.answers(path, READING)
    assert isinstance(answer.said, EventError) == (field == "result")


def test_what_is_told_of_a_hostile_export_moves_no_terminal_and_breaks_nothing(log: FeedbackLog, tmp_path: Path) -> None:
    painted = exported(1, annotation(1, "odd", id="\x1b[2J")) | {"id": "\x1b]0;title\x07"}
    other = exported(2, annotation(2, "cat"), said=Task("\x1b[31m", "i", {"text": None}))
    deep: Any = {}
    for _ in range(400):
        deep = {"a": deep}
    told = refused(log, tmp_path, painted, other, exported(3, annotation(3, "positive")) | {"deep": deep})
    assert told[1].startswith("task 1, annotation 1: label must be one of")
    assert "task is nested too deeply" in told[3]
    assert all(line.isprintable() for line in told)


def test_of_many_wrong_answers_twenty_are_told_and_all_are_counted(log: FeedbackLog, tmp_path: Path) -> None:
    told = refused(log, tmp_path, *(exported(number, annotation(number, "odd")) for number in range(1, 31)))
    assert told[0].startswith("export.json: 30 of 30 answers are wrong")
    assert told[LINES_TOLD + 1] == "and 10 more"


@pytest.mark.parametrize(
    ("content", "why"),
    [(b'[{"id": 1, "annotations": []},\n{"id": 2, ', "is cut off"), (b"PAR1", "Parquet"), (b"\xff\xfe[\x00", "UTF-16")],
    ids=["cut off", "Parquet", "UTF-16"],
)
def test_a_file_that_is_no_export_says_why(tmp_path: Path, content: bytes, why: str) -> None:
    path = tmp_path / "export.json"
    path.write_bytes(content)
    with pytest.raises(CurationError, match=why):
        list(label_studio.answers(path, READING))


def test_labels_that_went_through_label_studio_unchanged_are_the_events_they_were(log: FeedbackLog, tmp_path: Path) -> None:
    """Label Studio gives an imported annotation a new id, person and time, and keeps the number we gave it as `import_id`."""
    tasks = [task for task in every_shape(60, seed=3) if task.said]
    through = []
    for number, task in enumerate(tasks):
        sent = json.loads(label_studio.encoded(task, ()))
        for place, annotated in enumerate(sent["annotations"]):
            annotated |= {
                "import_id": annotated["id"],
                "id": number * 10 + place,
                "completed_by": 1,
                "unique_id": f"u-{number}-{place}",
            }
            annotated |= {"created_at": "2026-11-25T10:00:00Z", "updated_at": "2026-11-25T10:00:00Z"}
        through.append(sent | {"id": number, "project": 1})
    path = tmp_path / "export.json"
    path.write_text(json.dumps(through))
    sayable = [
        event for task in tasks for event in task.said if event.kind != "disagree" and (event.kind != "agree" or task.guess)
    ]
    assert [answer.said for answer in label_studio.answers(path, READING) if answer.said] == sayable
    labelled = next(task for task in through if task["annotations"] and task["annotations"][0]["result"])
    labelled["annotations"] = labelled["annotations"][:1]
    labelled["annotations"][0]["result"][0]["value"]["choices"] = [
        "spam" if "spam" not in str(labelled["annotations"]) else "neutral"
    ]
    path.write_text(json.dumps([labelled]))
    [changed] = label_studio.answers(path, READING)
    assert not isinstance(changed.said, EventError | None)
    assert (changed.said.annotator, changed.said.source) == ("label-studio-user-1", "label-studio")


def test_what_a_task_on_a_server_claims_that_others_have_said_is_not_believed(tmp_path: Path) -> None:
    fields = {
        "event_id": str(uuid.uuid4()),
        "dataset": "reviews",
        "item_id": item(1),
        "source": "label-page",
        "annotator": "boss",
    }
    forged = checked_event(fields | {"kind": "adjudicate", "label": "positive"}, LABELS, now=NOW)
    task = exported(1, said=Task("reviews", item(1), {"text": "t"}, said=(forged,)))
    task["annotations"] = [annotation(1, "positive", import_id=forged.event_id.int >> 76)]
    path = tmp_path / "export.json"
    path.write_text(json.dumps([task]))
    [answer] = label_studio.answers(path, READING)
    assert answer.said == forged
    [answer] = label_studio.answers(path, dataclasses.replace(READING, is_ours=lambda _: False))
    assert not isinstance(answer.said, EventError | None)
    assert (answer.said.annotator, answer.said.kind, answer.said.label) == ("cleo@example.com", "label", "positive")
