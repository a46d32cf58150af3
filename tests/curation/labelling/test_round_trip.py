"""What goes out to be labelled elsewhere reads back as it was, in every format: 10,000 tasks of all shapes, and the events in them."""

import csv
import dataclasses
import tracemalloc
import uuid
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from curation.errors import CurationError
from curation.feedback.curated import CuratedFeedback, Sources
from curation.feedback.events import Event, checked_event, prediction_id_of
from curation.feedback.log import FeedbackLog
from curation.labelling import label_studio, tabular
from curation.labelling.exchange import Answer, TakenIn, Task, labelled_tasks, taken_in
from curation.labelling.label_studio import Reading
from curation.predictions import SCHEMA, PredictionStore
from tests.curation.labelling.elsewhere import LABELS, MODEL, NOW, every_shape, item, logged

READING = Reading("reviews", LABELS, NOW)
Writer = Callable[[Iterable[Task], BinaryIO], int]


def as_label_studio(tasks: Iterable[Task], file: BinaryIO) -> int:
    return label_studio.write(tasks, file, ("title", "source"))


WRITERS: dict[str, Writer] = {"json": as_label_studio, "csv": tabular.write_csv, "jsonl": tabular.write_json_lines}


def written(write: Writer, tasks: Iterable[Task], path: Path) -> Path:
    with path.open("wb") as file:
        write(tasks, file)
    return path


def tasks_back(path: Path) -> list[Task]:
    """The tasks of a file. Tables hold a row per answer: what they read is one task per answer."""
    if path.suffix == ".json":
        return [label_studio.task_of(record, READING) for _, record in label_studio.records(path) if isinstance(record, dict)]
    return [tabular.task_of(row, "reviews", LABELS, now=NOW) for _, row in tabular.rows(path) if isinstance(row, dict)]


def answers_back(path: Path) -> list[Answer]:
    if path.suffix == ".json":
        return list(label_studio.answers(path, READING))
    return list(tabular.answers(path, "reviews", LABELS, now=NOW))


def by_answer(tasks: Iterable[Task]) -> list[Task]:
    """One task per answer, and one where there is none."""
    return [dataclasses.replace(task, said=said) for task in tasks for said in ([(event,) for event in task.said] or [()])]


@pytest.fixture(scope="module")
def ten_thousand() -> list[Task]:
    return list(every_shape(10_000))


@pytest.mark.slow
@pytest.mark.parametrize("form", WRITERS)
def test_what_was_written_reads_back_as_it_was_for_ten_thousand_tasks(
    tmp_path: Path, ten_thousand: list[Task], form: str
) -> None:
    path = written(WRITERS[form], ten_thousand, tmp_path / f"tasks.{form}")
    assert tasks_back(path) == (ten_thousand if form == "json" else by_answer(ten_thousand))


@pytest.mark.parametrize("form", WRITERS)
def test_the_events_that_went_out_come_back_as_they_were(tmp_path: Path, form: str) -> None:
    tasks = list(every_shape(2_000, seed=2))
    path = written(WRITERS[form], tasks, tmp_path / f"tasks.{form}")
    said = [event for task in tasks for event in task.said]
    if form == "json":  # no choice says "not this one of three", nor "this one" where there is no guess
        said = [
            event for task in tasks for event in task.said if event.kind != "disagree" and (event.kind != "agree" or task.guess)
        ]
    assert [answer.said for answer in answers_back(path) if answer.said is not None] == said
    assert {event.kind for event in said} >= {"label", "agree", "spam", "skip"}


@pytest.mark.parametrize("form", WRITERS)
def test_the_same_tasks_are_the_same_bytes(tmp_path: Path, form: str) -> None:
    first, second = (written(WRITERS[form], every_shape(300), tmp_path / f"{name}.{form}") for name in "ab")
    assert first.read_bytes() == second.read_bytes()


def test_nothing_to_write_is_still_a_file_that_reads(tmp_path: Path) -> None:
    for form, write in WRITERS.items():
        assert answers_back(written(write, [], tmp_path / f"none.{form}")) == []


@pytest.mark.parametrize(("form", "megabytes"), [("json", 60), ("csv", 10), ("jsonl", 10)])
def test_a_file_of_60_mb_is_written_and_read_in_less_memory(tmp_path: Path, form: str, megabytes: int) -> None:
    """Of JSON arrays 8 MB are held at once, a few times over; of tables a row."""
    tasks = (Task("reviews", item(number), {"text": "x" * 500_000}) for number in range(120))
    tracemalloc.start()
    path = written(WRITERS[form], tasks, tmp_path / f"tasks.{form}")
    count = sum(1 for _ in (label_studio.records(path) if form == "json" else tabular.rows(path)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (count, path.stat().st_size > 60_000_000) == (120, True)
    assert peak < megabytes * 1_000_000


def test_a_cell_that_a_spreadsheet_would_run_is_guarded_and_comes_back_unguarded(tmp_path: Path) -> None:
    tasks = [Task("reviews", "i", {"text": text}) for text in ("=1+1", "+1", "-1", "@x", "\tx", "'=1", "", "'", "fine")]
    path = written(tabular.write_csv, tasks, tmp_path / "a.csv")
    with path.open(encoding="utf-8", newline="") as file:
        cells = [row["text"] for row in csv.DictReader(file)]
    assert cells == ["'=1+1", "'+1", "'-1", "'@x", "'\tx", "''=1", "'", "''", "fine"]
    assert [task.fields["text"] for task in tasks_back(path)] == [task.fields["text"] for task in tasks]


def curated(folder: Path, log: FeedbackLog) -> CuratedFeedback:
    """The curated feedback of a log whose events are about items 0 to 3, of which item 3 has no prediction."""
    segment, part = folder / "segment.parquet", folder / "predictions/reviews/model=0007/day=2026-11-20/0001.parquet"
    pq.write_table(log.read(0, 100), segment)
    part.parent.mkdir(parents=True)
    predicted = [
        dict.fromkeys(SCHEMA.names)
        | {
            "prediction_id": prediction_id_of("reviews", item(number), MODEL, "t"),
            "dataset": "reviews",
            "item_id": item(number),
            "text": f"text {number} \u202e😀",
            "label": "neutral",
            "probabilities": [("negative", 0.25), ("neutral", 0.75)],
            "model_version": 7,
            "snapshot_version": "v0003",
            "predicted_at": NOW,
        }
        for number in range(3)
    ]
    pq.write_table(pa.Table.from_pylist(predicted, SCHEMA), part)
    store = PredictionStore(folder / "predictions", "reviews")
    book = CuratedFeedback(folder / "lake", "reviews")
    control = pa.table({"item_id": pa.array([], pa.string())})
    book.write(Sources([segment], store, control, log.head()), LABELS["reviews"], 0.9)
    return book


def about(number: int, annotator: str, kind: str, label: str | None = None, prediction: int | None = None) -> Event:
    """What somebody says about an item, or about a prediction of it."""
    fields = {
        "event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{number} {annotator} {kind}")),
        "dataset": "reviews",
        "item_id": item(number) if prediction is None else None,
        "prediction_id": None if prediction is None else prediction_id_of("reviews", item(number), MODEL, "t"),
        "kind": kind,
        "label": label,
        "annotator": annotator,
        "source": "label-page",
        "occurred_at": datetime(2026, 11, 21, 10, 0, 0, 123456, tzinfo=UTC) if annotator == "ann" else None,
    }
    return checked_event(fields, LABELS, now=NOW)


@pytest.mark.parametrize("form", WRITERS)
def test_labels_go_out_with_annotator_time_and_model_and_come_back_as_nothing_new(
    log: FeedbackLog, tmp_path: Path, form: str
) -> None:
    said = [
        about(0, "ann", "label", "positive"),
        about(0, "bob", "agree", prediction=0),
        about(1, "ann", "spam"),
        about(1, "bob", "skip"),
        about(2, "ann", "label", "negative"),
        about(2, "ann", "withdraw"),
        about(3, "ann", "label", "neutral"),
        about(3, "bob", "agree", prediction=3),  # about a prediction that is not known
    ]
    log.append([said], now=NOW, received_as=[None])
    tasks = list(labelled_tasks(curated(tmp_path, log), LABELS, now=NOW))
    assert [(task.item_id, [(event.annotator, event.kind) for event in task.said]) for task in tasks] == [
        (item(0), [("ann", "label"), ("bob", "agree")]),
        (item(1), [("ann", "spam"), ("bob", "skip")]),
        (item(3), [("ann", "label")]),
    ]
    assert tasks[0].said[0].occurred_at == said[0].occurred_at
    assert (tasks[0].guess, tasks[0].confidence, tasks[0].model_version, tasks[0].snapshot_version) == (
        "neutral",
        0.75,
        7,
        "v0003",
    )
    assert [task.fields["text"] for task in tasks] == ["text 0 \u202e😀", "text 1 \u202e😀", None]
    path = written(WRITERS[form], tasks, tmp_path / f"labels.{form}")
    assert taken_in(log, "again", answers_back(path), now=NOW) == TakenIn(5, 0, 0, 5, 8)
    with FeedbackLog(tmp_path / "other.sqlite", b"k" * 32) as other:
        assert taken_in(other, "new", answers_back(path), now=NOW) == TakenIn(5, 0, 5, 0, 5)
        told = ["event_id", "item_id", "kind", "label", "annotator", "source", "occurred_at"]
        before = {row[0]: row for row in logged(log, *told)}
        assert all(before[row[0]] == row for row in logged(other, *told))


def test_labels_that_were_never_curated_cannot_go_out(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="the feedback of reviews has never been curated"):
        next(labelled_tasks(CuratedFeedback(tmp_path, "reviews"), LABELS, now=NOW))
