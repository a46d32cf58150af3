"""Drift as a check on a dataset's predictions: judged after every run that predicts, shown as a table and over days. Warns, never blocks.

What drift is stands in `curation.drift`; this opens what is in CURATION_HOME and shows what came out.
"""

from typing import Any

import dagster as dg

from curation.drift.kept import DayDrift, DriftBook
from curation.drift.watching import Watched, judge_new_days
from curation.errors import CurationError
from curation.predictions import PredictionStore
from curation.snapshots.store import SnapshotStore
from curation_assets.datasets import Declared
from curation_assets.display import picture, short_table
from curation_assets.loop import champion_of
from resources.home import Home

DAYS_SHOWN = 14


def drift_now(home: Home, known: Declared) -> list[DayDrift]:
    """One verdict per day that was not judged against the champion's snapshot yet; CurationError where that cannot be read."""
    name = known.dataset.name
    return judge_new_days(
        Watched(
            predictions=PredictionStore(home.predictions, name),
            snapshots=SnapshotStore(home.snapshots),
            champion=champion_of(home, name),
            book=DriftBook(home.lake, name),
            policy=known.loop.drift,
        )
    )


def drift_check(asset: dg.AssetKey, known: Declared) -> dg.AssetChecksDefinition:
    """The check `looks_like_the_snapshot` on a dataset's predictions."""

    @dg.asset_check(
        asset=asset,
        name="looks_like_the_snapshot",
        description="What arrives, and what the champion says of it, looks like the batches of the champion's snapshot.",
    )
    def check(context: dg.AssetCheckExecutionContext, home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
        try:
            judged = drift_now(home, known)
            days = DriftBook(home.lake, known.dataset.name).days(DAYS_SHOWN)
            champion = champion_of(home, known.dataset.name)
        except CurationError as error:  # drift that cannot be told must not fail a run that has predicted well
            return _warning(False, f"{error.message}; {error.fix}", {})
        standing = [
            day for day in days[-1:] if (day.model_version, day.snapshot_version) == (champion.version, champion.snapshot_version)
        ]
        told = judged or standing
        if not told:
            why = f"no row came after {champion.snapshot_version}, the snapshot of model {champion.version}: nothing to judge yet"
            return _warning(True, why, {"days_judged": 0})
        drifted = [day for day in told if day.alarm]
        shown = (drifted or told)[-1]
        return _warning(not drifted, shown.sentence, {"days_judged": len(judged), **_shown(context.instance, shown, days)})

    return check


def _warning(passed: bool, why: str, metadata: dict[str, Any]) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        passed=passed,
        severity=dg.AssetCheckSeverity.WARN,
        description=why,
        metadata={"why": dg.MetadataValue.text(why), **metadata},
    )


def _shown(instance: dg.DagsterInstance, day: DayDrift, days: list[DayDrift]) -> dict[str, Any]:
    """The day's columns as a table, alarms first, and the last days as a picture."""
    from curation.drift.plots import drift_over_days

    rest = sorted((column for column in day.columns if not column.alarm), key=lambda column: -(column.effect or 0.0))
    columns = [*day.alarms, *rest]
    rows = [[column.name, column.effect, column.limit, "ALARM" if column.alarm else "", column.sentence] for column in columns]
    return {
        "day": day.day.isoformat(),
        "rows": day.pooled_rows,
        "drifted": len(day.alarms),
        "columns": dg.MetadataValue.md(short_table(["column", "PSI", "limit", "", "in words"], rows)),
        "over_days": picture(instance, drift_over_days(days), "shift of every column over days, in standard deviations"),
    }
