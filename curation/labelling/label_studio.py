"""Label Studio's JSON: tasks with a guess as prediction or what people said as annotations, and what its export brings back.

Label Studio keeps a task's `data` and `meta` as they are, so what matches an answer with our item travels there. Checked against
Label Studio 1.23. No HTTP, no log.
"""

import datetime
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, BinaryIO
from xml.sax.saxutils import quoteattr

import orjson

from curation.errors import CurationError
from curation.feedback.events import EVENT_NAMESPACE, Event, EventError, LabelsOf, checked_event, parsed_json
from curation.ingestion.arrays import BLOCK_BYTES, array_elements
from curation.ingestion.opening import LandingStream
from curation.labelling.exchange import Answer, Task
from curation.labelling.page import LabellingPage
from curation.training_rows import SPAM

CONTROL, OBJECT = "label", "text"  # names of the two tags that results refer to
OURS = "curation"  # our part of a task's meta
SOURCE = "label-studio"
ELEMENT_CHARACTERS_AT_MOST = 8_000_000  # a text of 100,000 characters and 50 annotations take 2 % of it
_OF_TASK = tuple(column.name for column in fields(Task) if column.name not in {"fields", "said"})


@dataclass(frozen=True)
class Reading:
    """What an export is read with: the dataset that its tasks must be of, all datasets' labels, the present moment.

    `people`: Label Studio's ids of users with their e-mail addresses, as far as somebody knows them. `is_ours`: whether to believe
    an event that a task says went out with it; who can edit tasks on a server could else speak for anybody.
    """

    dataset: str
    labels: LabelsOf
    now: datetime.datetime
    people: Mapping[int, str] = field(default_factory=dict)
    is_ours: Callable[[uuid.UUID], bool] = lambda _: True


def label_config(page: LabellingPage) -> str:
    """The labelling interface for Label Studio: the item's text, one choice per answer of the page, with the page's keys."""
    choices = "\n".join(f"    <Choice value={quoteattr(answer.label)} hotkey={quoteattr(answer.key)}/>" for answer in page.keys)
    return (
        f'<View>\n  <Header value="$heading" size="5"/>\n  <Text name="{OBJECT}" value="$text"/>\n'
        f'  <Choices name="{CONTROL}" toName="{OBJECT}" choice="single-radio" required="true" showInLine="true">\n{choices}\n'
        "  </Choices>\n</View>\n"
    )


def write(tasks: Iterable[Task], file: BinaryIO, shown: tuple[str, ...]) -> int:
    """Write tasks as one JSON array, a task a line, the same bytes for the same tasks; how many there were.

    `shown` names the fields that make the line above the text, in its order.
    """
    count = 0
    for task in tasks:
        file.write(b",\n" if count else b"[\n")
        file.write(encoded(task, shown))
        count += 1
    file.write(b"\n]\n" if count else b"[]\n")
    return count


def encoded(task: Task, shown: tuple[str, ...]) -> bytes:
    """One task as Label Studio takes it in: canonical JSON on one line."""
    text = task.fields["text"]
    heading = [str(task.fields[name]) for name in shown if name != "text" and task.fields.get(name)]
    ours = {name: getattr(task, name) for name in _OF_TASK} | {
        "fields": {name: value for name, value in task.fields.items() if name != "text" or value is None},
        "said": [orjson.loads(event.body()) for event in task.said],
    }
    record = {
        "data": {"text": text or "", "heading": " · ".join(heading), "item_id": task.item_id},
        "meta": {OURS: ours},
        "predictions": [] if task.guess is None else [_prediction(task, task.guess)],
        "annotations": [annotation for event in task.said if (annotation := _annotation(event, task.guess))],
    }
    return orjson.dumps(record, option=orjson.OPT_SORT_KEYS | orjson.OPT_UTC_Z)


def _prediction(task: Task, guess: str) -> dict[str, Any]:
    return {
        "model_version": task.dataset if task.model_version is None else f"{task.dataset}-{task.model_version}",
        "score": task.confidence,
        "result": [_region("guess", guess)],
    }


def _annotation(event: Event, guess: str | None) -> dict[str, Any] | None:
    """The event as an annotation; None for what no choice can say (a disagreement that leaves the label open)."""
    chosen = {"agree": guess, "spam": SPAM}.get(event.kind, event.label)
    if event.kind != "skip" and chosen is None:
        return None
    return {
        "id": _number_of(event.event_id),
        "completed_by": {"email": event.annotator},
        "created_at": event.occurred_at,
        "updated_at": event.occurred_at,
        "lead_time": (event.context or {}).get("seconds"),
        "was_cancelled": event.kind == "skip",
        "ground_truth": False,  # Label Studio takes an imported annotation without a word on it for one
        "result": [] if event.kind == "skip" else [_region(str(event.event_id), str(chosen))],
    }


def _region(name: str, choice: str) -> dict[str, Any]:
    return {"id": name, "from_name": CONTROL, "to_name": OBJECT, "type": "choices", "value": {"choices": [choice]}}


def _number_of(event_id: uuid.UUID) -> int:
    """52 bits of an event's id, which JavaScript holds exactly: Label Studio gives it back as an annotation's `import_id`."""
    return event_id.int >> 76


def records(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | EventError]]:
    """(place in words, task) of each task of an export, in bounded memory. CurationError when the file as a whole is no JSON."""
    warnings: list[str] = []
    try:
        with path.open("rb", buffering=0) as file:
            stream = LandingStream(path, path.name, file)
            for number, (line, _, text) in enumerate(
                array_elements(stream, stream.read(BLOCK_BYTES), ELEMENT_CHARACTERS_AT_MOST, warnings), start=1
            ):
                yield _record(number, line, text)
    except OSError as error:
        raise CurationError(f"{path} cannot be read: {error.strerror}", "check the path, and who may read it") from None
    if warnings:
        raise CurationError(warnings[0], "export it again")


def _record(number: int, line: int, text: str) -> tuple[str, Mapping[str, Any] | EventError]:
    try:
        value = parsed_json(text.encode("utf-8", "surrogateescape"), "task")
    except EventError as error:
        return f"task {number} (line {line})", error
    if not isinstance(value, dict):
        return f"task {number} (line {line})", EventError("task", "must be an object", "export from Label Studio as JSON")
    return f"task {_told_id(value, number)}", value


def answers(path: Path, reading: Reading) -> Iterator[Answer]:
    """One answer per annotation of an export, and one without anything per task that nobody annotated."""
    for place, record in records(path):
        annotations = None if isinstance(record, EventError) else record.get("annotations")
        if isinstance(record, EventError):
            yield Answer(place, record)
        elif not isinstance(annotations, list):
            yield Answer(place, EventError("annotations", "is missing", "export from Label Studio as JSON, not JSON-MIN"))
        elif not annotations:
            yield Answer(place, None)
        else:
            try:
                task = task_of(record, reading)
            except EventError as error:
                yield from (Answer(place, error) for _ in annotations)
            else:
                for number, annotation in enumerate(annotations, start=1):
                    yield _answer(place, number, annotation, record, task, reading)


def task_of(record: Mapping[str, Any], reading: Reading) -> Task:
    """The task that went out, from one that came back. EventError where it is none of the dataset's, or our part was changed."""
    data, meta = record.get("data"), record.get("meta")
    ours = meta.get(OURS) if isinstance(meta, dict) else None
    if not isinstance(data, dict) or not isinstance(ours, dict) or not isinstance(ours.get("fields"), dict):
        raise EventError(
            f"meta.{OURS}", "is missing, so nobody knows its item", "label tasks that curation labels export wrote; delete others"
        )
    values: dict[str, Any] = {name: ours.get(name) for name in _OF_TASK}
    if not all(isinstance(values[name], str) for name in ("dataset", "item_id")) or values["item_id"] != data.get("item_id"):
        raise EventError("data.item_id", f"is not the item of meta.{OURS}", "export the tasks again: they were changed")
    if values["dataset"] != reading.dataset:
        fix = f"import it with: curation labels import {values['dataset']!a} FILE"
        raise EventError(f"meta.{OURS}.dataset", f"is {values['dataset']!r}", fix)
    try:
        asked_at = values.pop("asked_at")
        return Task(
            **values,
            asked_at=None if asked_at is None else datetime.datetime.fromisoformat(asked_at),
            fields={"text": data.get("text"), **ours["fields"]},
            said=tuple(checked_event(event, reading.labels, now=reading.now) for event in ours.get("said") or ()),
        )
    except (TypeError, ValueError, AttributeError):
        raise EventError(f"meta.{OURS}", "was changed", "export the tasks again") from None


def item_ids(path: Path) -> set[str]:
    """The items that an export has a task of, whoever made it."""
    tasks = (record.get("data") for _, record in records(path) if not isinstance(record, EventError))
    return {data["item_id"] for data in tasks if isinstance(data, dict) and isinstance(data.get("item_id"), str)}


def _answer(place: str, number: int, annotation: Any, record: Mapping[str, Any], task: Task, reading: Reading) -> Answer:
    if not isinstance(annotation, dict):
        return Answer(f"{place}, annotation {number}", EventError("annotation", "must be an object"))
    where = f"{place}, annotation {_told_id(annotation, number)}"
    try:
        kind, label = _said(annotation)
        event = _known(annotation, kind, label, task)
        if event is None or not reading.is_ours(event.event_id):
            event_fields = _fields(annotation, kind, label, record, task, reading.people)
            event = checked_event(event_fields, reading.labels, now=reading.now)
    except EventError as error:
        return Answer(where, error)
    return Answer(where, event)


def _told_id(record: Mapping[str, Any], number: int) -> int:
    """The number that Label Studio gave, else the place in the file: a text here may be meant for the terminal it is told on."""
    given = record.get("id")
    return given if isinstance(given, int) else number


def _said(annotation: Mapping[str, Any]) -> tuple[str, str | None]:
    """(kind, label) of an annotation: skip where it was cancelled, else its one choice."""
    if annotation.get("was_cancelled"):
        return "skip", None
    result = annotation.get("result")
    regions = [region for region in result if isinstance(region, dict)] if isinstance(result, list) else []
    values = [region.get("value") for region in regions if region.get("type") == "choices" and region.get("from_name") == CONTROL]
    lists = [value.get("choices") for value in values if isinstance(value, dict)]
    chosen = [choice for choices in lists if isinstance(choices, list) for choice in choices]
    if len(chosen) != 1 or not isinstance(chosen[0], str):
        raise EventError("result", f'has {len(chosen)} choices of "{CONTROL}"', "choose one label, or skip the task")
    return (SPAM, None) if chosen[0] == SPAM else ("label", chosen[0])


def _known(annotation: Mapping[str, Any], kind: str, label: str | None, task: Task) -> Event | None:
    """The event of ours that this annotation is, unless it was changed in Label Studio since."""
    numbers = (annotation.get("id"), annotation.get("import_id"))
    for event in task.said:
        same = _annotation(event, task.guess)
        if same and same["id"] in numbers and _said(same) == (kind, label):
            return event
    return None


def _fields(
    annotation: Mapping[str, Any],
    kind: str,
    label: str | None,
    record: Mapping[str, Any],
    task: Task,
    people: Mapping[int, str],
) -> dict[str, Any]:
    """The event's fields. Its id follows from the annotation's identity and when it was last saved."""
    seen = annotation.get("prediction")
    at = annotation.get("updated_at") or annotation.get("created_at")
    place = {"project": record.get("project"), "task": record.get("id"), "annotation": annotation.get("id")}
    identity = annotation.get("unique_id") or [*place.values(), task.item_id]
    context = {
        **task.asked(),
        "seconds": annotation.get("lead_time"),
        "guess_seen": bool(seen) if isinstance(seen, dict) else None,
        "label_studio": {name: value for name, value in place.items() if value is not None},
        "model_version": seen.get("model_version") if isinstance(seen, dict) else None,
    }
    return {
        "event_id": str(_event_id(identity, at, kind, label)),
        "dataset": task.dataset,
        "item_id": task.item_id,
        "prediction_id": task.prediction_id,
        "kind": kind,
        "label": label,
        "annotator": annotator_of(annotation.get("completed_by"), people),
        "source": SOURCE,
        "occurred_at": at,
        "context": {name: value for name, value in context.items() if value is not None},
    }


def _event_id(identity: Any, at: Any, kind: str, label: str | None) -> uuid.UUID:
    """An annotation without a time of its own is told apart by what it says."""
    named = [SOURCE, identity, at] if at else [SOURCE, identity, kind, label]
    return uuid.uuid5(EVENT_NAMESPACE, orjson.dumps(named).decode())


def annotator_of(completed_by: Any, people: Mapping[int, str]) -> str:
    """Who annotated: the e-mail address in lower case where it is known, else label-studio-user-<id>. EventError for nobody."""
    number = completed_by.get("id") if isinstance(completed_by, dict) else completed_by
    email = completed_by.get("email") if isinstance(completed_by, dict) else None
    if isinstance(number, int) and not isinstance(number, bool):
        email = email or people.get(number) or f"label-studio-user-{number}"
    if not isinstance(email, str) or not email.strip():
        raise EventError("completed_by", "names nobody", "Label Studio's export names who annotated: export it as JSON")
    return email.strip().lower()
