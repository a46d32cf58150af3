"""`curation labels`: labelling elsewhere. Tasks and labels out as files, answers back from files or from a Label Studio server. Thin."""

import contextlib
import dataclasses
import os
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, BinaryIO

import typer

from curation.errors import CurationError
from curation_assets.commands import DatasetArgument, HomeOption, JsonOption, answer, home_flag, say
from curation_assets.preferences_cli import export_preferences, labels_answers
from resources.home import Home, now

if TYPE_CHECKING:
    from curation.labelling.exchange import TakenIn, Task
    from curation_assets.datasets import Declared
    from resources.label_studio_server import LabelStudioProject

labels_app = typer.Typer(no_args_is_help=True, help="Label elsewhere: files, spreadsheets, Label Studio.")
FORMATS = ("label-studio", "csv", "jsonl", "dpo", "kto")
WHATS = ("queue", "labels")
labels_app.command("answers")(labels_answers)
TOKEN = "LABEL_STUDIO_TOKEN"  # noqa: S105  the variable's name


@labels_app.command("export")
def labels_export(
    dataset: DatasetArgument,
    form: Annotated[str, typer.Option("--format", help=" | ".join(FORMATS))],
    what: Annotated[str, typer.Option(help="queue: what waits for labels. labels: what people have said.")] = "queue",
    output: Annotated[Path | None, typer.Option(help="The file to write. Default: standard output.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """The label queue or everyone's labels: for Label Studio, a spreadsheet, a program. dpo, kto: what people prefer, for TRL."""
    from curation.labelling import label_studio, tabular
    from curation_assets.datasets import declared

    _check_choice("--format", form, FORMATS)
    if form in ("dpo", "kto"):
        result, text = export_preferences(Home.find(home).prepare(), dataset, form, output)
        answer(result, as_json, text)
        return
    known, where = declared(dataset), Home.find(home).checked()
    _check_choice("--what", what, WHATS)
    if as_json and output is None:
        raise CurationError("--json and the file would both go to standard output", "name the file with --output")
    tasks = _queue(where, known) if what == "queue" else _labels(where, known)
    with _written(output) as file:
        match form:
            case "label-studio":
                count = label_studio.write(tasks, file, _shown(known))
            case "csv":
                count = tabular.write_csv(tasks, file)
            case _:
                count = tabular.write_json_lines(tasks, file)
    if output is not None:
        told = f"{count:,} tasks written to {output}"
        answer(
            {"tasks": count, "file": str(output)},
            as_json,
            f"{told}\nnext: uv run curation labels import {dataset} FILE{home_flag(home)}",
        )


@labels_app.command("import")
def labels_import(
    dataset: DatasetArgument,
    file: Annotated[Path, typer.Argument(help="Label Studio's JSON export (.json), or .csv, .jsonl as exported, filled in.")],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in what came back: whole or not at all, and the same answers again change nothing."""
    from curation.labelling import label_studio, tabular
    from curation.labelling.exchange import taken_in
    from curation_assets.datasets import declared, labels_by_dataset
    from curation_assets.loop import feedback_log

    declared(dataset)
    where, moment, labels = Home.find(home).prepare(), now(), labels_by_dataset()
    match file.suffix.lower():
        case ".json":
            said = label_studio.answers(file, label_studio.Reading(dataset, labels, moment))
        case ".csv" | ".jsonl" | ".ndjson":
            said = tabular.answers(file, dataset, labels, now=moment)
        case _:
            raise CurationError(f"{file} is no known kind of file by its name", "name it .json (Label Studio), .csv or .jsonl")
    with feedback_log(where) as log:
        done = taken_in(log, str(file), said, now=moment)
    answer(dataclasses.asdict(done), as_json, f"{_told(done)}\nnext: uv run curation status {dataset}{home_flag(home)}")


@labels_app.command("config")
def labels_config(dataset: DatasetArgument, as_json: JsonOption = False) -> None:
    """The labelling interface (XML) for a Label Studio project of this dataset: paste it into Settings, Labeling Interface."""
    from curation.labelling.label_studio import label_config
    from curation_assets.datasets import declared

    config = label_config(declared(dataset).labelling)
    answer({"label_config": config}, as_json, config.rstrip())


@labels_app.command("poll")
def labels_poll(
    dataset: DatasetArgument,
    url: Annotated[str, typer.Option(help="Address of the Label Studio server; http or https.")],
    project: Annotated[int, typer.Option(help="The number in the project's address.", min=1)],
    push: Annotated[bool, typer.Option("--push", help="Add the label queue's items that the project does not have yet.")] = False,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Take in what people said in a Label Studio project; its token stands in the environment as LABEL_STUDIO_TOKEN."""
    from curation.labelling.exchange import taken_in
    from curation.labelling.label_studio import Reading, answers, item_ids
    from curation_assets.datasets import declared, labels_by_dataset
    from curation_assets.loop import feedback_log
    from resources.label_studio_server import LabelStudioProject

    known, moment = declared(dataset), now()
    where = Home.find(home).prepare()
    token = os.environ.get(TOKEN, "").strip()
    if not token:
        raise CurationError(f"there is no token in {TOKEN}", f"export {TOKEN}=... with one from Label Studio: Account & Settings")
    with (
        LabelStudioProject(url, project, token) as server,
        _alone(where, dataset),
        tempfile.TemporaryDirectory(prefix="curation-labels-") as folder,
    ):
        if push:
            _check_interface(server, known)
        export = Path(folder) / f"project-{project}.json"
        server.export_to(export)
        people = server.people()
        with feedback_log(where) as log:
            reading = Reading(dataset, labels_by_dataset(), moment, people, lambda event_id: log.find(str(event_id)) is not None)
            done = taken_in(log, f"project {project}", answers(export, reading), now=moment)
        pushed = _push(server, where, known, item_ids(export)) if push else 0
    text = _told(done) + (f"\n{pushed:,} tasks of the queue were added" if push else "")
    answer(
        dataclasses.asdict(done) | {"pushed": pushed}, as_json, f"{text}\nnext: uv run curation status {dataset}{home_flag(home)}"
    )


def _push(server: "LabelStudioProject", where: Home, known: "Declared", there: set[str]) -> int:
    """Add the queue's items that are not `there`; how many. What a failed call has added is there when the next one looks."""
    from curation.labelling.label_studio import encoded
    from resources.label_studio_server import TASKS_AT_ONCE

    waiting = [task for task in _queue(where, known) if task.item_id not in there]
    for start in range(0, len(waiting), TASKS_AT_ONCE):
        server.add([encoded(task, _shown(known)) for task in waiting[start : start + TASKS_AT_ONCE]])
    return len(waiting)


def _check_interface(server: "LabelStudioProject", known: "Declared") -> None:
    """CurationError unless the project's interface takes our guesses, and gives every label back under the name we know."""
    from curation.labelling.label_studio import CONTROL, OBJECT

    about, labels = server.choices().get(CONTROL, ("", ()))
    missing = [key.label for key in known.labelling.keys if key.label not in labels]
    if about != OBJECT or missing:
        raise CurationError(
            f"the labelling interface of project {server.project} has no choices {CONTROL!r} of {OBJECT!r} with {', '.join(missing)}",
            f"paste what this prints into Settings, Labeling Interface: curation labels config {known.dataset.name}",
        )


def _queue(where: Home, known: "Declared") -> "Iterator[Task]":
    from curation.label_queue import LabelQueue
    from curation.labelling.exchange import queue_tasks
    from curation.predictions import PredictionStore

    name = known.dataset.name
    return queue_tasks(LabelQueue(where.lake / "label_queue", name), PredictionStore(where.predictions, name))


def _labels(where: Home, known: "Declared") -> "Iterator[Task]":
    from curation.feedback.curated import CuratedFeedback
    from curation.labelling.exchange import labelled_tasks
    from curation_assets.datasets import labels_by_dataset
    from curation_assets.loop import feedback_waiting

    name = known.dataset.name
    if feedback_waiting(where, name):
        say(f"note: newer feedback is not in it yet; it will be after: uv run curation run {name}")
    return labelled_tasks(CuratedFeedback(where.lake, name), labels_by_dataset(), now=now())


def _shown(known: "Declared") -> tuple[str, ...]:
    """The fields that people see beside the text before they answer."""
    return tuple(name for name in known.labelling.fields if name not in known.labelling.hidden)


def _told(done: "TakenIn") -> str:
    waiting = f"; {done.unanswered:,} tasks wait for one" if done.unanswered else ""
    return f"{done.accepted:,} of {done.answers:,} answers are new, {done.duplicates:,} were there already{waiting}"


def _check_choice(option: str, value: str, known: tuple[str, ...]) -> None:
    if value not in known:
        raise CurationError(f"{option} {value!r} is unknown", f"one of {', '.join(known)}")


@contextlib.contextmanager
def _written(output: Path | None) -> Iterator[BinaryIO]:
    """The file to write, whole or not at all; without one, standard output."""
    from curation.files import written_whole

    if output is None:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
        return
    if output.is_dir():
        raise CurationError(f"{output} is a folder", "name a file")
    if output.is_symlink() or (output.exists() and not output.is_file()):  # the whole file takes its place, /dev/null's too
        raise CurationError(f"{output} is a link or a device, not a file", "name the file itself, or leave --output out")
    with written_whole(output) as temporary, temporary.open("wb") as file:
        yield file


@contextlib.contextmanager
def _alone(where: Home, dataset: str) -> Iterator[None]:
    """No second poll of the dataset at once: both would find the same tasks missing, and add them."""
    import filelock

    lock: Any = filelock.FileLock(where.lock(f"{dataset}_label_studio"))
    try:
        lock.acquire(timeout=0)
    except filelock.Timeout:
        raise CurationError(f"another poll of {dataset} is at work", "wait until it ends") from None
    try:
        yield
    finally:
        lock.release()
