"""The drift check as Dagster runs it: it warns with the right words and never fails a run."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import dagster as dg
import pytest

from curation_assets import keys
from curation_assets.datasets import declared
from curation_assets.drift import drift_check
from resources.home import Home
from tests.curation.drift.drift_world import DriftWorld

pytestmark = pytest.mark.slow


@pytest.fixture
def world(tmp_path: Path) -> DriftWorld:
    Home(tmp_path).prepare()
    return DriftWorld(tmp_path)


def check(world: DriftWorld) -> dg.AssetCheckEvaluation:
    """The check run by itself, in this process."""
    selected = dg.AssetSelection.checks_for_assets(keys.REVIEW_PREDICTIONS)
    definitions = dg.Definitions(
        asset_checks=[drift_check(keys.REVIEW_PREDICTIONS, declared("reviews"))],
        jobs=[dg.define_asset_job("judge", selection=selected)],
        resources={"home": Home(world.root)},
    )
    ran = definitions.resolve_job_def("judge").execute_in_process()
    (evaluation,) = ran.get_asset_check_evaluations()
    assert evaluation.severity == dg.AssetCheckSeverity.WARN
    assert not evaluation.blocking
    return evaluation


def plain(metadata: Mapping[str, dg.MetadataValue[Any]]) -> dict[str, Any]:
    return {name: value.value for name, value in metadata.items()}


def test_a_champion_without_later_rows_passes_and_says_why(world: DriftWorld) -> None:
    evaluation = check(world)
    assert evaluation.passed
    assert evaluation.description == "no row came after v0001, the snapshot of model 1: nothing to judge yet"


def test_drift_is_a_warning_with_the_column_a_table_and_a_picture(world: DriftWorld) -> None:
    world.arrive(3, 600, source="forum")
    evaluation = check(world)
    shown = plain(evaluation.metadata)
    assert not evaluation.passed
    assert "source drifted" in str(evaluation.description)
    assert (shown["day"], shown["rows"], shown["drifted"], shown["days_judged"]) == ("2026-11-20", 600, 1, 1)
    assert shown["columns"].splitlines()[2].startswith("| source |")
    assert shown["over_days"].startswith("![shift of every column")
    again = check(world)
    assert not again.passed  # the last day stands until another is judged
    assert plain(again.metadata)["days_judged"] == 0


def test_a_day_like_the_snapshot_passes(world: DriftWorld) -> None:
    world.arrive(3, 600)
    evaluation = check(world)
    assert evaluation.passed
    assert str(evaluation.description).endswith("no drift in 9 columns")


def test_a_snapshot_deleted_by_hand_is_a_warning_with_the_fix(world: DriftWorld) -> None:
    world.arrive(3, 600)
    shutil.rmtree(world.root / "snapshots" / "reviews" / "v0001")
    evaluation = check(world)
    assert not evaluation.passed
    assert "reviews has no snapshot 'v0001'" in str(evaluation.description)
