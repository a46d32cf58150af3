"""Reviews as assets, left to right: raw, dbt's models, the training snapshot, the sentiment model, and the loop that they feed.

Each asset reads like a recipe; what it does is in `curation`, what it shows is in `display` and `curation_assets.reviews.shown`.
"""

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import dagster as dg
from dagster_dbt import dbt_assets

from curation_assets import dbt_models, keys
from curation_assets.datasets import declared
from curation_assets.lineage_events import tell_others
from curation_assets.loop_assets import LoopKeys, loop_assets
from curation_assets.raw import raw_asset
from curation_assets.reviews import shown
from curation_assets.reviews.dataset import REVIEWS, SOURCES
from curation_assets.steps import freeze, publish, train
from resources.home import Home, now

KNOWN = declared(REVIEWS.name)
OF_REVIEWS: dict[str, Any] = {
    "group_name": REVIEWS.name,
    "owners": list(keys.OWNERS),
    "pool": f"warehouse_{REVIEWS.name}",
    "required_resource_keys": {"home", "registry", f"{REVIEWS.name}_writer"},
}
LOOP = LoopKeys(
    curated_feedback=keys.CURATED_REVIEW_FEEDBACK,
    model=keys.SENTIMENT_MODEL,
    champion=keys.SENTIMENT_CHAMPION,
    predictions=keys.REVIEW_PREDICTIONS,
    queue=keys.REVIEW_LABEL_QUEUE,
    label_value=keys.REVIEW_LABEL_VALUE,
)

FRESH = dg.FreshnessPolicy.time_window(fail_window=timedelta(hours=50), warn_window=timedelta(hours=26))  # two nights, one night


@dbt_assets(
    manifest=dbt_models.prepared_manifest(),
    select=f"tag:{REVIEWS.name}",
    dagster_dbt_translator=dbt_models.Translator(),
    pool=OF_REVIEWS["pool"],
    required_resource_keys={"home", "dbt", f"{REVIEWS.name}_writer"},
)
def reviews_models(context: dg.AssetExecutionContext) -> Iterator[Any]:
    """One dbt build of what the run selected; then the fates it decided are published."""
    home: Home = context.resources.home
    yield from dbt_models.build_then(context, context.resources.dbt, home, lambda: shown.of_warehouse(home, publish(home, KNOWN)))


@dg.asset(
    key=keys.REVIEW_SNAPSHOT,
    deps=[keys.CURATED_REVIEWS, keys.REVIEW_FATES, keys.REVIEW_BATCHES, keys.CURATED_REVIEW_FEEDBACK],
    kinds={"parquet", "csv"},
    freshness_policy=FRESH,
    **OF_REVIEWS,
)
def review_training_snapshot(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """One row per kept review with a label, from its stars or from people, frozen for training: CSV, Parquet, manifest and card."""
    written = freeze(context.resources.home, KNOWN)
    if unsent := tell_others(written, os.environ, now=now()):
        context.log.warning(unsent)
    return dg.MaterializeResult(
        metadata=shown.of_snapshot(context.instance, written), data_version=dg.DataVersion(written.manifest.digest)
    )


@dg.asset(key=keys.SENTIMENT_MODEL, deps=[keys.REVIEW_SNAPSHOT], kinds={"scikitlearn", "mlflow"}, **OF_REVIEWS)
def sentiment_model(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    """One model per snapshot, the challenger of the champion: what a review's text says, evaluated on the snapshot's test split."""
    trained = train(context.resources.home, KNOWN, context.resources.registry)
    return dg.MaterializeResult(
        metadata=shown.of_model(context.instance, trained), data_version=dg.DataVersion(trained.version.artefact_sha256)
    )


def build_assets(home: Home) -> list[dg.AssetsDefinition]:
    """All assets of reviews; raw's partitions depend on what `home` holds."""
    return [
        raw_asset(REVIEWS, keys.RAW_REVIEWS, SOURCES, home),
        reviews_models,
        review_training_snapshot,
        sentiment_model,
        *loop_assets(KNOWN, LOOP, OF_REVIEWS),
    ]
