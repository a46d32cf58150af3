"""Feedback from a file: CSV with a header, or JSON lines, into the log, whole or not at all.

A row passes the same checks as an event over HTTP; all bad rows are told at once, by line. Nothing is guessed: a column that is no
field of an event is an error.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from curation.errors import CurationError
from curation.feedback.events import Event, EventError, LabelsOf, checked_event, nearest, parsed_json
from curation.feedback.log import Conflict, FeedbackLog

JSON_LINES = {".jsonl", ".ndjson", ".json"}
LINES_TOLD = 20
ROWS_AT_MOST = 200_000  # one transaction: more would keep the service waiting for longer than it waits


@dataclass(frozen=True)
class Imported:
    """What an import did: rows in the file, events that were new, events that the log held already, and the log's last seq."""

    rows: int
    accepted: int
    duplicates: int
    last_seq: int


def import_file(
    log: FeedbackLog, path: Path, labels: LabelsOf, *, dataset: str | None, now: datetime, source: str = "import"
) -> Imported:
    """Append the events of a file in one transaction; the same file again changes nothing. CurationError lists what is wrong."""
    events = read_events(path, labels, dataset=dataset, source=source, now=now)
    answer = log.append([events], now=now, received_as=[None])[0]
    if isinstance(answer, Conflict):
        raise answer
    return Imported(len(events), answer.accepted, answer.duplicates, log.head().seq)


def read_events(path: Path, labels: LabelsOf, *, dataset: str | None, source: str | None, now: datetime) -> list[Event]:
    """One event per row of the file, in its order; `dataset` and `source` fill what a row leaves out.

    A row without `event_id` gets one that follows from its content. CurationError: no such file, another format, unknown columns,
    or bad rows, the first 20 of them with line, field and reason.
    """
    events: list[Event] = []
    wrong: list[str] = []
    count = 0
    for line, record in _records(path):
        count += 1
        if count > ROWS_AT_MOST:
            raise CurationError(f"{path} has more than {ROWS_AT_MOST:,} rows", "split it; each part enters whole or not at all")
        try:
            if isinstance(record, EventError):
                raise record
            filled = {"dataset": dataset, "source": source} | {name: value for name, value in record.items() if value is not None}
            events.append(checked_event(filled, labels, now=now))
        except EventError as error:
            wrong.append(f"line {line}: {error.message}{f' ({error.fix})' if error.fix else ''}")
    if wrong:
        more = [f"and {len(wrong) - LINES_TOLD:,} more"] if len(wrong) > LINES_TOLD else []
        told = "\n  ".join([*wrong[:LINES_TOLD], *more])
        raise CurationError(
            f"{path}: {len(wrong):,} of {count:,} rows are wrong, so none was taken\n  {told}",
            "mend them and import the file again",
        )
    if not events:
        raise CurationError(f"{path} holds no events", "give it a header and rows, or one JSON object a line")
    return events


def _records(path: Path) -> Iterator[tuple[int, Mapping[str, object] | EventError]]:
    """(line, record) of every row; an EventError in place of a record that cannot be read."""
    suffix = path.suffix.lower()
    if suffix != ".csv" and suffix not in JSON_LINES:
        raise CurationError(f"{path} is neither CSV nor JSON lines by its name", "name it .csv, .jsonl or .ndjson")
    try:
        yield from _csv_rows(path) if suffix == ".csv" else _json_lines(path)
    except OSError as error:
        raise CurationError(f"{path} cannot be read: {error.strerror}", "check the path, and who may read it") from None


def _csv_rows(path: Path) -> Iterator[tuple[int, Mapping[str, object] | EventError]]:
    """Rows of a CSV file, empty cells as nulls. Bytes that are no UTF-8 become lone surrogates, which the checks refuse by field."""
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, strict=True)
        try:
            columns = next(reader, [])
            _check_columns(path, columns)
            line = reader.line_num + 1
            for cells in reader:
                if len(cells) == len(columns):
                    yield line, {name: cell or None for name, cell in zip(columns, cells, strict=True)}
                elif cells:
                    yield line, EventError("row", f"has {len(cells)} cells; the header has {len(columns)}")
                line = reader.line_num + 1
        except csv.Error as error:
            raise CurationError(
                f"{path} is no valid CSV from line {reader.line_num} on: {error}", "mend its quotation marks"
            ) from None


def _check_columns(path: Path, columns: list[str]) -> None:
    for column in columns:
        if column not in Event.model_fields:
            known = f"known are {', '.join(Event.model_fields)}"
            raise CurationError(
                f"{path}: column {column!r} is no field of an event", nearest(column, Event.model_fields) or known
            )
        if columns.count(column) > 1:
            raise CurationError(f"{path}: column {column!r} is there twice", "leave one of them out")


def _json_lines(path: Path) -> Iterator[tuple[int, Mapping[str, object] | EventError]]:
    """Objects of JSON lines; blank lines are skipped."""
    with path.open("rb") as file:
        for line, text in enumerate(file, start=1):
            record = text.removeprefix(b"\xef\xbb\xbf") if line == 1 else text
            if not record.strip():
                continue
            try:
                value = parsed_json(record, "row")
            except EventError as error:
                yield line, error
            else:
                yield line, value if isinstance(value, dict) else EventError("row", "must be an object")
