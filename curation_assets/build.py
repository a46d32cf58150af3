"""`build_defs`: assets, checks, jobs, schedules and resources for one CURATION_HOME."""

import warnings

import dagster as dg

from curation_assets.dbt_models import dbt_resource
from curation_assets.reviews import assets, checks, schedules
from curation_assets.run_lock import writer_of
from resources.home import Home
from resources.model_registry import ModelRegistry

# A range of days in one run needs `backfill_policy`, which Dagster 1.13 calls beta at every start.
warnings.filterwarnings("ignore", message=".*backfill_policy.*", category=dg.BetaWarning)


def build_defs(home: Home) -> dg.Definitions:
    """Definitions over `home`; the first partition of raw is the earliest day that landing holds."""
    reviews = assets.build_assets(home)
    return dg.Definitions(
        assets=reviews,
        asset_checks=checks.build_checks(home),
        jobs=[schedules.DAILY_JOB],
        schedules=[schedules.reviews_daily_schedule],
        resources={
            "home": home,
            "dbt": dbt_resource(),
            "registry": ModelRegistry(home.mlflow),
            "reviews_writer": writer_of("reviews", home),
        },
        executor=dg.in_process_executor,
    )
