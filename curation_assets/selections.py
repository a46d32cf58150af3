"""Which assets a run of either clock takes: the daily one, up to where it is told to stop, and the retrain. Decides nothing else."""

import dagster as dg

from curation.promotions import PromotionLog
from curation_assets.datasets import Declared
from resources.home import Home

RANGE_START, RANGE_END = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


def retrain_job_name(dataset: str) -> str:
    """The name by which the sensor asks for a retrain."""
    return f"{dataset}_retrain"


def has_champion(home: Home, known: Declared) -> bool:
    """Whether the daily run has a model to predict with, and so trains none."""
    return PromotionLog(home.promotions, known.dataset.name).champion() is not None


def daily_selection(known: Declared, has_champion: bool, until: str = "predictions") -> dg.AssetSelection:
    """Everything of the dataset that leads to `until` (curated, snapshot, model or predictions); no training beside a champion."""
    ends = {
        "curated": known.marts,
        "snapshot": (*known.marts, known.snapshot),
        "model": (*known.marts, known.champion),
        "predictions": (*known.marts, known.queue),
    }[until]
    chosen = dg.AssetSelection.groups(known.dataset.name) & dg.AssetSelection.assets(*ends).upstream()
    return chosen - dg.AssetSelection.assets(known.model, known.champion) if has_champion else chosen


def retrain_selection(known: Declared) -> dg.AssetSelection:
    """From people's labels to the verdict, and what the champion does after it."""
    return dg.AssetSelection.assets(known.feedback, known.snapshot, known.model) | after_the_model(known)


def after_the_model(known: Declared) -> dg.AssetSelection:
    """The verdict, what the champion does after it, and what labels buy; where the verdict stands already, only the rest."""
    return dg.AssetSelection.assets(known.champion, known.predictions, known.queue, known.label_value)
