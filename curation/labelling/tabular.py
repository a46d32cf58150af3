"""Tasks as CSV or JSON lines, a row per answer or per item that waits for one, and the same files filled in by people.

Both hold everything a task holds, so that reading is the inverse of writing. Which events a row stands for is decided here; how
they enter the log is not.
"""

import contextlib
import csv
import datetime
import io
import re
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import orjson

from curation.errors import CurationError
from curation.feedback.events import Event, EventError, LabelsOf, checked_event, nearest, parsed_json
from curation.labelling.exchange import Answer, Task
from curation.training_rows import SPAM

SOURCE = "labels-file"
CELL_CHARACTERS_AT_MOST = 10_000_000
OF_ITEM = (
    *("dataset", "item_id", "prediction_id", "text", "fields", "guess", "confidence", "model_version", "snapshot_version"),
    *("queue", "queue_reason", "probability", "rank", "asked_at"),
)
OF_ANSWER = ("kind", "label", "annotator", "reason", "occurred_at")
COLUMNS = (*OF_ITEM, *OF_ANSWER, "said")
"""Of every file that is written. `said` is the event as it was sent, in full; people fill in `label` and `annotator`."""
_AS_THEY_ARE = ("prediction_id", "guess", "confidence", "model_version", "snapshot_version", "queue", "probability", "rank")
_JSON, _FLOATS, _INTEGERS = ("fields", "said"), ("confidence", "probability"), ("model_version", "rank")
_GUARDED = re.compile(r"'*(?:[=+\-@\t\r]|$)")
"""What a spreadsheet may take for a formula, and the empty text, which is not null: both get an apostrophe in front."""


def write_csv(tasks: Iterable[Task], file: BinaryIO) -> int:
    """Write rows of COLUMNS with a header, in UTF-8; how many tasks there were. A null is an empty cell."""
    buffer = io.StringIO(newline="")
    writer = csv.writer(buffer, lineterminator="\r\n")  # RFC 4180
    writer.writerow(COLUMNS)
    count = 0
    for task in tasks:
        count += 1
        writer.writerows([_cell(row[name]) for name in COLUMNS] for row in _rows(task))
        file.write(buffer.getvalue().encode())
        buffer.seek(0)
        buffer.truncate()
    file.write(buffer.getvalue().encode())
    return count


def write_json_lines(tasks: Iterable[Task], file: BinaryIO) -> int:
    """Write one object of COLUMNS a line; how many tasks there were."""
    count = 0
    for task in tasks:
        count += 1
        for row in _rows(task):
            file.write(orjson.dumps(row, option=orjson.OPT_UTC_Z | orjson.OPT_APPEND_NEWLINE))
    return count


def _rows(task: Task) -> Iterator[dict[str, Any]]:
    """The rows of one task: one per answer, one with an empty answer where there is none."""
    item = {name: getattr(task, {"queue_reason": "reason"}.get(name, name)) for name in OF_ITEM if name not in {"text", "fields"}}
    item |= {"text": task.fields["text"], "fields": {name: task.fields[name] for name in task.fields if name != "text"}}
    for event in task.said or (None,):
        said = None if event is None else orjson.loads(event.body())
        answer = {name: (said or {}).get(name) for name in OF_ANSWER}
        row = item | answer | {"said": said}
        yield {name: row[name] for name in COLUMNS}


def _cell(value: Any) -> str | None:
    """The text of a cell from which `_value` makes the value again."""
    if value is None or isinstance(value, int | float):
        return None if value is None else repr(value)
    if isinstance(value, datetime.datetime):
        return value.isoformat()
    text = value if isinstance(value, str) else orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()
    return f"'{text}" if _GUARDED.match(text) else text


def rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | EventError]]:
    """(place in words, row) of a .csv file or of JSON lines, values by column, nulls for what is empty.

    CurationError for another format, a column that is none of COLUMNS, or a file that cannot be read.
    """
    try:
        yield from _csv_rows(path) if path.suffix.lower() == ".csv" else _json_rows(path)
    except OSError as error:
        raise CurationError(f"{path} cannot be read: {error.strerror}", "check the path, and who may read it") from None


def _csv_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | EventError]]:
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file, _long_cells():
        reader = csv.reader(file, strict=True)
        try:
            columns = next(reader, [])
            for column in columns:
                _check_column(path, column, columns.count(column))
            line = reader.line_num + 1
            for cells in reader:
                if len(cells) == len(columns):
                    yield f"line {line}", _values(dict(zip(columns, cells, strict=True)))
                elif cells:
                    yield f"line {line}", EventError("row", f"has {len(cells)} cells; the header has {len(columns)}")
                line = reader.line_num + 1
        except csv.Error as error:
            told = f"{path} is no valid CSV from line {reader.line_num} on: {error}"
            raise CurationError(told, "mend its quotation marks") from None


@contextlib.contextmanager
def _long_cells() -> Iterator[None]:
    """Python's limit of 131,072 characters a cell is one for the whole process: it is raised while this file is read."""
    former = csv.field_size_limit(CELL_CHARACTERS_AT_MOST)
    try:
        yield
    finally:
        csv.field_size_limit(former)


def _check_column(path: Path, column: str, count: int) -> None:
    if column not in COLUMNS:
        raise CurationError(
            f"{path}: column {column!r} is unknown", nearest(column, COLUMNS) or f"known are {', '.join(COLUMNS)}"
        )
    if count > 1:
        raise CurationError(f"{path}: column {column!r} is there twice", "leave one of them out")


def _values(cells: Mapping[str, str]) -> Mapping[str, Any] | EventError:
    """The values of a row's cells; the first that is none of its column as an EventError."""
    values: dict[str, Any] = {}
    for name, cell in cells.items():
        try:
            values[name] = _value(name, cell)
        except EventError as error:
            return error
        except ValueError:
            return EventError(name, f"is no number: {cell[:60]!r}", "leave the columns of the item as they were exported")
    return values


def _value(name: str, cell: str) -> Any:
    if not cell:
        return None
    if name in _FLOATS or name in _INTEGERS:
        return float(cell) if name in _FLOATS else int(cell)
    text = cell[1:] if cell.startswith("'") and _GUARDED.match(cell) else cell
    return parsed_json(text, name) if name in _JSON else text


def _json_rows(path: Path) -> Iterator[tuple[str, Mapping[str, Any] | EventError]]:
    with path.open("rb") as file:
        for line, text in enumerate(file, start=1):
            record = text.removeprefix(b"\xef\xbb\xbf") if line == 1 else text
            if not record.strip():
                continue
            yield f"line {line}", _object(record)


def _object(text: bytes) -> Mapping[str, Any] | EventError:
    """The values of one JSON line."""
    try:
        value = parsed_json(text, "row")
    except EventError as error:
        return error
    if not isinstance(value, dict):
        return EventError("row", "must be an object")
    unknown = next((name for name in value if name not in COLUMNS), None)
    return value if unknown is None else EventError(unknown, "is no column of labels", nearest(unknown, COLUMNS))


def answers(path: Path, dataset: str, labels: LabelsOf, *, now: datetime.datetime) -> Iterator[Answer]:
    """One answer per row of a file; nothing said where neither kind nor label is filled in."""
    for place, row in rows(path):
        if isinstance(row, EventError):
            yield Answer(place, row)
            continue
        try:
            yield Answer(place, _event(row, task_of(row, dataset, labels, now=now), labels, now))
        except EventError as error:
            yield Answer(place, error)


def task_of(row: Mapping[str, Any], dataset: str, labels: LabelsOf, *, now: datetime.datetime) -> Task:
    """The task of one row, with the one event that was exported in it, if any. EventError where it is none of the dataset's."""
    if row.get("dataset") not in (None, dataset):
        raise EventError("dataset", f"is {row['dataset']!r}", f"import it with: curation labels import {row['dataset']!a} FILE")
    item_id, fields, said = row.get("item_id"), row.get("fields"), row.get("said")
    fields = {} if fields is None else fields
    if not isinstance(item_id, str):
        raise EventError("item_id", "is missing", "leave the columns of the item as they were exported")
    if not isinstance(fields, dict) or not isinstance(said, dict | None):
        raise EventError("said" if isinstance(fields, dict) else "fields", "must be an object", "leave it as it was exported")
    try:
        asked_at = row.get("asked_at")
        return Task(
            **{name: row.get(name) for name in _AS_THEY_ARE},
            dataset=dataset,
            item_id=item_id,
            fields={**fields, "text": row.get("text")},
            reason=row.get("queue_reason"),
            asked_at=None if asked_at is None else datetime.datetime.fromisoformat(asked_at),
            said=() if said is None else (checked_event(said, labels, now=now),),
        )
    except (TypeError, ValueError):
        raise EventError("asked_at", "is no time", "leave the columns of the item as they were exported") from None


def _event(row: Mapping[str, Any], task: Task, labels: LabelsOf, now: datetime.datetime) -> Event | None:
    """The event of a row: the one that was exported as long as its answer is the same, else a new statement."""
    answer = {name: row[name] for name in OF_ANSWER if row.get(name) is not None}
    if answer.get("label") == SPAM and answer.get("kind") in (None, "label"):
        answer = {name: value for name, value in answer.items() if name != "label"} | {"kind": SPAM}
    if "kind" not in answer and "label" not in answer:
        return None
    said = row.get("said") or {}
    if task.said and all(said.get(name) == answer.get(name) for name in OF_ANSWER):
        return task.said[0]
    if said.get("occurred_at") == answer.get("occurred_at"):  # a new answer was not given when the former was
        answer.pop("occurred_at", None)
    where = {"dataset": task.dataset, "item_id": task.item_id, "prediction_id": task.prediction_id}
    return checked_event({"kind": "label", "source": SOURCE, "context": task.asked() or None, **answer, **where}, labels, now=now)
