"""`build_defs`: assets, checks, jobs, schedules, sensors and resources for one CURATION_HOME."""

import warnings

import dagster as dg

from curation_assets import keys
from curation_assets.datasets import DATASETS, labels_by_dataset
from curation_assets.dbt_models import dbt_resource
from curation_assets.loop_assets import FEEDBACK
from curation_assets.reviews import assets, checks, schedules
from curation_assets.run_lock import writer_of
from curation_assets.selections import retrain_job_name
from feedback_sensors.alert_facts import Alerted
from feedback_sensors.alerts import alerts_sensor
from feedback_sensors.retrain import retrain_sensor, weekly_schedule
from resources.home import Home
from resources.model_registry import ModelRegistry

# A range of days in one run needs `backfill_policy`, which Dagster 1.13 calls beta at every start.
warnings.filterwarnings("ignore", message=".*backfill_policy.*", category=dg.BetaWarning)


def build_defs(home: Home) -> dg.Definitions:
    """Definitions over `home`; the first partition of raw is the earliest day that landing holds."""
    reviews = assets.build_assets(home)
    sensors, weekly = retrain_clocks()
    return dg.Definitions(
        assets=[*reviews, FEEDBACK],
        asset_checks=checks.build_checks(home),
        jobs=[schedules.DAILY_JOB, schedules.RETRAIN_JOB],
        schedules=[schedules.reviews_daily_schedule, *weekly],
        sensors=[*sensors, alerts_sensor(alerted_datasets(), keys.OWNERS)],
        resources={
            "home": home,
            "dbt": dbt_resource("run"),
            "registry": ModelRegistry(home.mlflow),
            "reviews_writer": writer_of("reviews", home),
        },
        executor=dg.in_process_executor,
    )


def retrain_clocks() -> tuple[list[dg.SensorDefinition], list[dg.ScheduleDefinition]]:
    """A sensor and a weekly schedule for every dataset: what starts its retrain job."""
    labels = labels_by_dataset()
    sensors, weekly = [], []
    for name, known in DATASETS.items():
        job, test_from = retrain_job_name(name), known.policy.test_from
        after = known.loop.retrain_after
        sensors.append(retrain_sensor(name, labels, threshold=after, test_from=test_from, job_name=job, feedback=keys.FEEDBACK))
        weekly.append(weekly_schedule(name, labels, test_from=test_from, job_name=job, feedback=keys.FEEDBACK))
    return sensors, weekly


def alerted_datasets() -> list[Alerted]:
    """What alerts must know of every dataset: its sources, and the assets that causes point at."""
    return [
        Alerted(
            dataset=known.dataset,
            sources=known.sources,
            raw=f"raw_{name}",
            champion=known.champion,
            feedback=keys.FEEDBACK.to_user_string(),
            predictions=known.predictions,
        )
        for name, known in DATASETS.items()
    ]
