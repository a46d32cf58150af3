"""When reviews are made: the daily job over everything pending, the retrain job, and what starts either.

Two clocks: days bring rows and predictions, labels bring models.
"""

import dagster as dg

from curation.ingestion.intake import pending
from curation.ingestion.ledger import Ledger
from curation.ingestion.sources import load_sources
from curation_assets.datasets import declared
from curation_assets.reviews.dataset import REVIEWS, SOURCES
from curation_assets.selections import RANGE_END, RANGE_START, daily_selection, has_champion, retrain_job_name, retrain_selection
from feedback_sensors.decision import RETRAIN_TAG
from feedback_sensors.retrain import NEVER_RETRIED
from resources.home import Home, today

DAILY_JOB = dg.define_asset_job(
    "reviews_daily",
    selection=dg.AssetSelection.groups(REVIEWS.name),
    description="Takes in what is pending, cleans it, freezes a snapshot, lets the champion predict and asks for labels. "
    "The schedule leaves training out once there is a champion; launched by hand it does everything.",
    tags={"dataset": REVIEWS.name},
)

RETRAIN_JOB = dg.define_asset_job(
    retrain_job_name(REVIEWS.name),
    selection=retrain_selection(declared(REVIEWS.name)),
    description="Resolves labels, freezes a snapshot, trains a challenger and ends in a verdict; whoever is champion then predicts.",
    tags={"dataset": REVIEWS.name, RETRAIN_TAG: REVIEWS.name, **NEVER_RETRIED},
)


@dg.schedule(
    job=DAILY_JOB,
    cron_schedule="15 1 * * *",
    execution_timezone="UTC",
    default_status=dg.DefaultScheduleStatus.RUNNING,
    description="Every night at 01:15 UTC: one run over all pending days up to today.",
)
def reviews_daily_schedule(context: dg.ScheduleEvaluationContext, home: dg.ResourceParam[Home]) -> dg.RunRequest:
    """One run a night; a night with nothing new costs a run that changes nothing, and still judges freshness."""
    known, definition = declared(REVIEWS.name), context.repository_def
    assert definition is not None  # Dagster evaluates schedules within their repository
    chosen = daily_selection(known, has_champion(home, known)).resolve(definition.asset_graph)
    waiting = pending(REVIEWS, load_sources(SOURCES, REVIEWS), home.landing, Ledger(home.lake, REVIEWS.name), today=today())
    first = min((batch.day for batch in waiting.batches), default=today())
    return dg.RunRequest(asset_selection=sorted(chosen), tags={RANGE_START: first.isoformat(), RANGE_END: today().isoformat()})
