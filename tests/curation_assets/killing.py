"""Runs in processes of their own that die by SIGKILL at a chosen moment, for tests of what a rerun makes of it. No assertion.

Processes are forked from a server that has imported everything: an import costs 10 CPU s, a run 4. Nothing of the project is
replaced: the moment is one that Python's audit hooks or the run's own progress lines tell of, before it happens.
"""

import functools
import multiprocessing
import os
import signal
import sys
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

import dagster as dg
import pyarrow.parquet as pq
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget

from curation.feedback.events import Event, checked_event
from curation.predictions import PredictionStore
from curation_assets.datasets import labels_by_dataset
from curation_assets.loop import feedback_log
from curation_assets.runs import retrain_dataset, run_dataset
from resources.home import Home, now
from tests.deliveries import day, deliver, review

RUN_AT, LABELLED_AT, RETRAINED_AT = (f"2026-11-20T{hour:02d}:00:00+00:00" for hour in (8, 9, 10))
REVIEWS = 1500  # of which 145 are of the test split: below some 140 the gate refuses even an equal model
PATIENCE_S = 240.0
HERE = "within_this_process.yaml"
WITHIN_THIS_PROCESS = """
run_launcher: # the last one counts
  module: dagster._core.launcher.sync_in_memory_run_launcher
  class: SyncInMemoryRunLauncher
"""
IMPORTED_ONCE = [
    "curation_assets.build",
    "curation_assets.progress",
    "mlflow.store.model_registry.sqlalchemy_store",
    "mlflow.store.tracking.sqlalchemy_store",
    "mlflow.tracking.client",
    "pandera.polars",
    "matplotlib.pyplot",
    "skops.io",
    "tests.curation_assets.killing",
]


@dataclass(frozen=True)
class Moment:
    """Before what happens the process dies: `what` is part of a progress line, or of an audit event's name and path.

    Audit events are "os.rename PATH" (PATH is about to appear: every file and folder of a home does so) and
    "sqlite3.connect PATH". With `after`, only once that has been seen.
    """

    what: str
    after: str = ""


def forking() -> ForkServerContext:
    """The context whose processes start with everything imported."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(IMPORTED_ONCE)
    return context


def ended(target: str, home: Path, *arguments: object) -> int:
    """The exit code of a function below in a process of its own; -SIGKILL when it died at the moment."""
    process = forking().Process(target=globals()[target], args=(home, *arguments))
    process.start()
    process.join(PATIENCE_S)
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def begin(root: Path, reviews: int) -> Path:
    """A home with one run over so many reviews behind it, and so with a champion; the file of its label queue."""
    os.environ["CURATION_NOW"] = RUN_AT
    deliver(root, day(1), [review(number) for number in range(reviews)])
    report = run_dataset(Home(root).prepare(), "reviews", None, None, "predictions", 60.0, _quietly)
    assert report.queue is not None, report.failure
    return Path(report.queue["path"])


def prepare(root: Path) -> None:
    """A home with one run behind it, and two people who agree with the champion on all that the queue asks."""
    home, queue = Home(root), begin(root, REVIEWS)
    os.environ["CURATION_NOW"] = LABELLED_AT
    parts = PredictionStore(home.predictions, "reviews").parts()
    predicted = pq.read_table(parts, columns=["prediction_id", "label"], partitioning=None)
    said = dict(zip(*(predicted[column].to_pylist() for column in ("prediction_id", "label")), strict=True))
    events = [
        checked_event(
            {
                "event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{annotator} {asked}")),
                "dataset": "reviews",
                "prediction_id": asked,
                "kind": "label",
                "label": said[asked],
                "annotator": annotator,
                "source": "test",
            },
            labels_by_dataset(),
            now=now(),
        )
        for asked in pq.read_table(queue)["prediction_id"].to_pylist()
        for annotator in ("ann", "bob")
    ]
    say(home, events)


def retrain(root: Path, moment: Moment | None = None) -> None:
    """`curation run reviews --retrain`, which dies at the moment. Exit code 1 when a step failed."""
    os.environ["CURATION_NOW"] = RETRAINED_AT
    report = retrain_dataset(Home(root), "reviews", 60.0, _quietly if moment is None else at(moment, die))
    if not report.succeeded:
        sys.exit(f"{report.failure} {report.problems}")


def execute(root: Path, moment: Moment | None = None, said: Sequence[Event] = ()) -> None:
    """The oldest run in the queue of the home's instance, as the process that its launcher would have started executes it.

    At the moment it dies, or, where something is `said`, that enters the log. A lock is waited for hardly at all.
    """
    home = Home(root)
    os.environ.update(home.environment(), CURATION_NOW=RETRAINED_AT, CURATION_WAIT_S="0.1")
    (home.dagster / HERE).write_text((home.dagster / "dagster.yaml").read_text() + WITHIN_THIS_PROCESS)
    if moment:
        at(moment, functools.partial(say, home, said) if said else die)
    with (
        dg.DagsterInstance.from_config(str(home.dagster), HERE) as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as nowhere,
    ):
        (*_, oldest) = instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))
        instance.launch_run(oldest.run_id, nowhere.create_request_context())


def at(moment: Moment, happens: Callable[[], None]) -> Callable[[str], None]:
    """Let `happens` be called once, when the moment comes; what comes out must be told every progress line."""
    is_near, is_over = not moment.after, False

    def look(told: str) -> None:
        nonlocal is_near, is_over
        if is_near and not is_over and moment.what in told:
            is_over = True
            happens()
        is_near = is_near or moment.after in told

    def audited(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"os.rename", "sqlite3.connect"}:
            look(f"{event} {arguments[event == 'os.rename']!s}")

    sys.addaudithook(audited)
    return look


def die() -> None:
    """As `kill -9` ends a process."""
    os.kill(os.getpid(), signal.SIGKILL)


def say(home: Home, events: Sequence[Event]) -> None:
    """What the capture service does with a list of events."""
    with feedback_log(home) as log:
        log.append([list(events)], now=now(), received_as=[None])


def _quietly(line: str) -> None:
    """Progress of no interest."""
