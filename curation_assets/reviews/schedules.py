"""When reviews are made: the daily job over everything pending, and its schedule."""

import dagster as dg

from curation.ingestion.intake import pending
from curation.ingestion.ledger import Ledger
from curation.ingestion.sources import load_sources
from curation_assets.reviews.dataset import REVIEWS, SOURCES
from resources.home import Home, today

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"

DAILY_JOB = dg.define_asset_job(
    "reviews_daily",
    selection=dg.AssetSelection.groups("reviews"),
    description="Takes in what is pending, cleans it, freezes a snapshot and trains on it.",
    tags={"dataset": REVIEWS.name},
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
    waiting = pending(REVIEWS, load_sources(SOURCES, REVIEWS), home.landing, Ledger(home.lake, REVIEWS.name), today=today())
    first = min((batch.day for batch in waiting.batches), default=today())
    return dg.RunRequest(tags={RANGE_START: first.isoformat(), RANGE_END: today().isoformat()})
