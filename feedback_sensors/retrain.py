"""The two clocks of retraining as Dagster objects: a sensor that fires at a threshold of new labels, and a weekly schedule.

Turns Dagster's runs into facts and a decision into a RunRequest or a SkipReason; the rule itself stands in `decision`. Keeps no
state: what a cursor would hold is read from the promotion log, the snapshot's manifest and the runs.
"""

from collections.abc import Mapping

import dagster as dg
from dagster import DagsterInstance

from curation.feedback.events import LabelsOf
from curation.looks import Look, write_look
from feedback_sensors.decision import (
    ATTEMPT_TAG,
    HIGH_SEQ_TAG,
    RETRAIN_TAG,
    WATERMARK_TAG,
    Decision,
    decide,
    run_key,
)
from feedback_sensors.facts import Facts, RetrainRun, read_facts
from resources.home import Home, now

RUNS_AT_MOST = 100
"""Newest runs a look reads. What matters, runs in flight and attempts on the present labels, are always among the newest."""

SUNDAY_NIGHT = "45 2 * * 0"
SENSOR_NAME_TAG = "dagster/sensor_name"
NEVER_RETRIED = {"dagster/max_retries": "0"}
"""Attempts are counted here, so Dagster must not add its own for a run whose process was killed."""


def retrain_sensor(
    dataset: str,
    labels: LabelsOf,
    *,
    threshold: int,
    test_from: float,
    job_name: str,
    feedback: dg.AssetKey,
    minimum_interval_seconds: int = 30,
) -> dg.SensorDefinition:
    """A running sensor `<dataset>_retrain_sensor` that asks for one run of `job_name` per crossed threshold of new labels.

    `labels` are those of all datasets, since one drain serves all; `test_from` is the place in [0, 1) from which on items are
    held out; `feedback` is the key of the external asset that observations of the drain go to. Needs the resource `home`.
    """

    @dg.sensor(
        name=_sensor_name(dataset),
        job_name=job_name,
        minimum_interval_seconds=minimum_interval_seconds,
        default_status=dg.DefaultSensorStatus.RUNNING,
        description=f"Drains feedback, and retrains {dataset} once {threshold} labels are new since the last verdict.",
    )
    def sensor(context: dg.SensorEvaluationContext, home: dg.ResourceParam[Home]) -> dg.SensorResult:
        facts = _look(context.instance, home, dataset, labels, threshold, test_from, job_name)
        decision = decide(facts)
        write_look(home.feedback_looks, _left(facts, decision))
        if decision.alarm:
            context.log.error(decision.message)
        asked = _asked(facts, decision, job_name)
        observed = _observed(facts, feedback)
        if isinstance(asked, dg.SkipReason):
            return dg.SensorResult(skip_reason=asked, asset_events=observed)
        return dg.SensorResult(run_requests=[asked], asset_events=observed)

    return sensor


def weekly_schedule(
    dataset: str,
    labels: LabelsOf,
    *,
    test_from: float,
    job_name: str,
    feedback: dg.AssetKey,
) -> dg.ScheduleDefinition:
    """A running schedule `<dataset>_weekly_retrain`: on Sunday at 02:45 UTC it asks for a retrain when one label is new.

    It is the sensor's rule at a threshold of one, with the same keys; the arguments are the sensor's.
    """

    @dg.schedule(
        name=f"{dataset}_weekly_retrain",
        job_name=job_name,
        cron_schedule=SUNDAY_NIGHT,
        execution_timezone="UTC",
        default_status=dg.DefaultScheduleStatus.RUNNING,
        description=f"Every Sunday at 02:45 UTC: retrains {dataset} when there is any new label at all.",
    )
    def schedule(context: dg.ScheduleEvaluationContext, home: dg.ResourceParam[Home]) -> dg.RunRequest | dg.SkipReason:
        facts = _look(context.instance, home, dataset, labels, 1, test_from, job_name)
        decision = decide(facts)
        if decision.alarm:
            context.log.error(decision.message)
        for observation in _observed(facts, feedback):
            context.instance.report_runless_asset_event(observation)
        # Dagster compares run keys within one sensor only. Under the sensor's name this run is found to exist when the daemon, up
        # to 24 hours after it died, starts the same run that the sensor had reserved, without asking the sensor again.
        return _asked(facts, decision, job_name, {SENSOR_NAME_TAG: _sensor_name(dataset)})

    return schedule


def _sensor_name(dataset: str) -> str:
    return f"{dataset}_retrain_sensor"


def _look(
    instance: DagsterInstance, home: Home, dataset: str, labels: LabelsOf, threshold: int, test_from: float, job_name: str
) -> Facts:
    return read_facts(
        home.prepare(),
        dataset,
        labels,
        threshold=threshold,
        test_from=test_from,
        runs=lambda: retrain_runs(instance, dataset, job_name),
        now=now(),
    )


def retrain_runs(instance: DagsterInstance, dataset: str, job_name: str) -> tuple[RetrainRun, ...]:
    """The newest retrain runs of a dataset, newest first: those of the job, and those that carry its tag under another name."""
    by_tag = instance.get_run_records(dg.RunsFilter(tags={RETRAIN_TAG: dataset}), limit=RUNS_AT_MOST)
    by_name = instance.get_run_records(dg.RunsFilter(job_name=job_name), limit=RUNS_AT_MOST)
    found = {record.storage_id: record.dagster_run for record in (*by_tag, *by_name)}
    return tuple(_seen(found[storage_id]) for storage_id in sorted(found, reverse=True))


def _seen(run: dg.DagsterRun) -> RetrainRun:
    return RetrainRun(
        run_id=run.run_id,
        status=run.status.value,
        watermark=_number(run, WATERMARK_TAG),
        attempt=_number(run, ATTEMPT_TAG),
        high_seq=_number(run, HIGH_SEQ_TAG),
        will_retry=run.tags.get("dagster/will_retry") == "true" and "dagster/auto_retry_run_id" not in run.tags,
    )


def _number(run: dg.DagsterRun, tag: str) -> int | None:
    written = run.tags.get(tag, "")
    return int(written) if written.isdecimal() else None


def _left(facts: Facts, decision: Decision) -> Look:
    return Look(
        dataset=facts.dataset,
        message=decision.message,
        effective=facts.count.effective if facts.count else None,
        threshold=facts.threshold,
        tied=facts.count.tied if facts.count else None,
        asked_attempt=decision.attempt,
        alarm=decision.alarm,
        at=now(),
    )


def _asked(
    facts: Facts, decision: Decision, job_name: str, more_tags: Mapping[str, str] | None = None
) -> dg.RunRequest | dg.SkipReason:
    if decision.attempt is None or facts.count is None:
        return dg.SkipReason(decision.message)
    return dg.RunRequest(
        run_key=run_key(facts.dataset, facts.watermark.seq, decision.attempt),
        job_name=job_name,
        tags={
            "dataset": facts.dataset,
            RETRAIN_TAG: facts.dataset,
            WATERMARK_TAG: str(facts.watermark.seq),
            ATTEMPT_TAG: str(decision.attempt),
            HIGH_SEQ_TAG: str(facts.count.high_seq),
            **NEVER_RETRIED,
            **(more_tags or {}),
        },
    )


def _observed(facts: Facts, feedback: dg.AssetKey) -> list[dg.AssetObservation]:
    drained = facts.drained
    if drained is None or not (drained.rows or drained.refused):
        return []
    told: dict[str, int | float | str] = {
        "rows": drained.rows,
        "lag_s": facts.lag_s or 0.0,
        "last_seq": drained.last_seq,
        "waiting": drained.waiting,
        "adopted": drained.adopted,
        "refused": "\n".join(drained.refused),
    }
    return [dg.AssetObservation(feedback, metadata=told)]
