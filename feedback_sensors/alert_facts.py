"""What one look of the alerter sees: the causes of each dataset, and what could not be read.

Reads the ledger, the promotion log, the retrain sensor's look, drift verdicts and Dagster's runs. Decides nothing; what is a cause is
`curation.alerts.causes`.
"""

import datetime
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curation.alerts import causes
from curation.alerts.causes import Cause, FailedRun, Kind, scope_of
from curation.alerts.telling import Seen
from curation.dataset import Dataset
from curation.errors import CurationError
from curation.freshness import freshness
from curation.ingestion.ledger import Ledger
from curation.ingestion.sources import load_sources
from curation.looks import read_look
from curation.promotions import PromotionLog
from feedback_sensors.decision import RETRAIN_TAG
from resources.home import Home

if TYPE_CHECKING:
    from dagster import DagsterInstance, DagsterRun

ENDED_RUNS = 100
"""Newest ended runs of which failures are told: a month or more, as one night brings one or two."""
FAILED_EVENTS = 5


@dataclass(frozen=True)
class Alerted:
    """A dataset that alerts are about: its sources, and the names of the assets that its causes point at."""

    dataset: Dataset
    sources: Path
    raw: str
    champion: str
    feedback: str
    predictions: str


def look_at(
    home: Home,
    datasets: Sequence[Alerted],
    runs: Callable[[], Collection[FailedRun]],
    *,
    with_texts: bool,
    now: datetime.datetime,
) -> Seen:
    """All causes there are now. What raises a CurationError is unread, and hides nothing else."""
    found: list[Cause] = []
    unread: dict[str, str] = {}

    def read(dataset: str, kind: Kind, look: Callable[[], list[Cause]]) -> None:
        try:
            found.extend(look())
        except CurationError as error:
            unread[scope_of(dataset, kind)] = error.message

    refused: set[str] = set()
    for alerted in datasets:
        _look_at_one(home, alerted, read, with_texts=with_texts, now=now)
        if any(cause.scope == scope_of(alerted.dataset.name, "batch_refused") for cause in found):
            refused.add(alerted.dataset.name)
    failed = runs()
    for name in sorted({run.dataset for run in failed}):
        asset = next((one.raw for one in datasets if one.dataset.name == name), "")
        of_dataset = [run for run in failed if run.dataset == name]
        found += causes.of_runs(of_dataset, refused, asset, with_texts=with_texts)
    return Seen(tuple(found), unread)


def _look_at_one(
    home: Home,
    alerted: Alerted,
    read: Callable[[str, Kind, Callable[[], list[Cause]]], None],
    *,
    with_texts: bool,
    now: datetime.datetime,
) -> None:
    from curation.drift.kept import DriftBook

    name = alerted.dataset.name
    ledger = Ledger(home.lake, name)
    read(
        name,
        "batch_refused",
        lambda: causes.of_refusals(name, ledger.refused().values(), alerted.raw, with_texts=with_texts),
    )
    read(
        name,
        "freshness_missed",
        lambda: causes.of_freshness(name, freshness(ledger, load_sources(alerted.sources, alerted.dataset), now), alerted.raw),
    )
    read(
        name,
        "gate_refused",
        lambda: causes.of_verdicts(name, PromotionLog(home.promotions, name).decisions(), alerted.champion),
    )
    read(name, "sensor_gave_up", lambda: causes.of_look(read_look(home.feedback_looks, name), alerted.feedback))
    read(
        name,
        "drift",
        lambda: causes.of_drift(
            DriftBook(home.lake, name).newest(),
            PromotionLog(home.promotions, name).champion(),
            alerted.predictions,
            with_texts=with_texts,
        ),
    )


def failed_runs(instance: "DagsterInstance") -> tuple[FailedRun, ...]:
    """One per family of runs whose newest failure has not been made good since: its step has not gone well in a later run, nor,
    where no step failed, has a later run of the family. A run that Dagster will start again has not failed yet."""
    import dagster as dg

    ended = [dg.DagsterRunStatus.SUCCESS, dg.DagsterRunStatus.FAILURE]
    records = instance.get_run_records(dg.RunsFilter(statuses=ended), limit=ENDED_RUNS)
    later: list[DagsterRun] = []
    seen: set[str] = set()
    found = []
    for run in (record.dagster_run for record in records):
        family = _family(run)
        is_failure = run.status == dg.DagsterRunStatus.FAILURE and run.tags.get("dagster/will_retry") != "true"
        if is_failure and family not in seen:
            seen.add(family)
            failed = _failed(instance, run, family)
            if not _is_made_good(instance, failed, later):
                found.append(failed)
        later.append(run)
    return tuple(found)


def _family(run: "DagsterRun") -> str:
    """The runs that do the same work under several names: `reviews rows`, `reviews retrain`; any other job by its own name."""
    dataset = run.tags.get("dataset")
    if not dataset:
        return run.job_name
    return f"{dataset} {'retrain' if RETRAIN_TAG in run.tags else 'rows'}"


def _failed(instance: "DagsterInstance", run: "DagsterRun", family: str) -> FailedRun:
    import dagster as dg

    records = instance.get_records_for_run(run.run_id, of_type=dg.DagsterEventType.STEP_FAILURE, limit=FAILED_EVENTS).records
    events = [record.event_log_entry.dagster_event for record in records]
    steps = tuple(event.step_key for event in events if event is not None and event.step_key)
    error = next((event.step_failure_data.error for event in events if event is not None), None)
    while error is not None and error.cause is not None:
        error = error.cause  # Dagster wraps what was raised in an error of its own
    return FailedRun(
        run_id=run.run_id,
        job=run.job_name,
        dataset=run.tags.get("dataset", ""),
        family=family,
        steps=steps,
        error=error.cls_name if error else None,
        message=error.message if error else "",
    )


def _is_made_good(instance: "DagsterInstance", failed: FailedRun, later: Collection["DagsterRun"]) -> bool:
    if not failed.steps:
        return any(run.is_success and _family(run) == failed.family for run in later)
    return any(_went_well(instance, run, failed.steps[0]) for run in later)


def _went_well(instance: "DagsterInstance", run: "DagsterRun", step: str) -> bool:
    from dagster._core.execution.stats import StepEventStatus  # nothing public names it

    (stats, *_) = [*instance.get_run_step_stats(run.run_id, step_keys=[step]), None]
    return stats is not None and stats.status == StepEventStatus.SUCCESS
