"""Runs in processes of their own that die by SIGKILL at a chosen moment, for tests of what a rerun makes of it. No assertion.

Processes are forked from a server that has imported everything: an import costs 10 CPU s, a run 4. Nothing of the project is
replaced: the moment is one that Python's audit hooks or the run's own progress lines tell of, before it happens.
"""

import multiprocessing
import os
import signal
import sys
import uuid
from dataclasses import dataclass
from multiprocessing.context import ForkServerContext
from pathlib import Path

import pyarrow.parquet as pq

from curation.feedback.events import checked_event
from curation.predictions import PredictionStore
from curation_assets.datasets import labels_by_dataset
from curation_assets.loop import feedback_log
from curation_assets.runs import retrain_dataset, run_dataset
from resources.home import Home, now
from tests.deliveries import day, deliver, review

RUN_AT, LABELLED_AT, RETRAINED_AT = (f"2026-11-20T{hour:02d}:00:00+00:00" for hour in (8, 9, 10))
REVIEWS = 1500  # of which 145 are of the test split: below some 140 the gate refuses even an equal model
PATIENCE_S = 240.0
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


def ended(target: str, home: Path, moment: Moment | None = None) -> int:
    """The exit code of `prepare` or `retrain` in a process of its own; -SIGKILL when it died at the moment."""
    process = forking().Process(target=globals()[target], args=(home, moment) if moment else (home,))
    process.start()
    process.join(PATIENCE_S)
    if process.exitcode is None:
        process.kill()
        process.join()
    assert process.exitcode is not None
    return process.exitcode


def prepare(root: Path) -> None:
    """A home with one run behind it, and two people who agree with the champion on all that the queue asks."""
    os.environ["CURATION_NOW"] = RUN_AT
    home = Home(root).prepare()
    deliver(root, day(1), [review(number) for number in range(REVIEWS)])
    report = run_dataset(home, "reviews", None, None, "predictions", 60.0, _quietly)
    assert report.queue is not None, report.failure
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
        for asked in pq.read_table(report.queue["path"])["prediction_id"].to_pylist()
        for annotator in ("ann", "bob")
    ]
    with feedback_log(home) as log:
        log.append([events], now=now(), received_as=[None])


def retrain(root: Path, moment: Moment | None = None) -> None:
    """`curation run reviews --retrain`, which dies at the moment. Exit code 1 when a step failed."""
    os.environ["CURATION_NOW"] = RETRAINED_AT
    seen = not (moment and moment.after)

    def look(told: str) -> None:
        nonlocal seen
        if moment and seen and moment.what in told:
            os.kill(os.getpid(), signal.SIGKILL)
        seen = seen or (moment is not None and moment.after in told)

    def audited(event: str, arguments: tuple[object, ...]) -> None:
        if event in {"os.rename", "sqlite3.connect"}:
            look(f"{event} {arguments[event == 'os.rename']!s}")

    sys.addaudithook(audited)
    report = retrain_dataset(Home(root), "reviews", 60.0, look)
    if not report.succeeded:
        sys.exit(f"{report.failure} {report.problems}")


def _quietly(line: str) -> None:
    """Progress of no interest."""
