"""A retrain that is killed at any boundary, or between two files of one step: run again, it leaves what an undisturbed one leaves."""

import contextlib
import hashlib
import json
import logging
import shutil
import signal
import sqlite3
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from curation.learning.label_value import Values
from curation_assets.datasets import declared, labels_by_dataset
from curation_assets.status import verified
from feedback_sensors.decision import Decision, decide
from feedback_sensors.facts import read_facts
from feedback_sensors.retrain import retrain_runs
from resources.home import Home, now
from tests.curation_assets.killing import Moment, ended

pytestmark = pytest.mark.slow

KEPT = [
    "snapshots/reviews",
    "lake/feedback",
    "lake/predictions",
    "lake/label_queue",
    "lake/label_value",
    "lake/curated_feedback",
]
BY_CHANCE = {"by", "previous", "run_id", "artefact"}
"""What of a decision names the run: Dagster's and MLflow's ids are random, and `previous` is the digest of a file with such ids."""

KILLS = [
    Moment("os.rename", after="lake/feedback/0"),  # the segment is there, nothing is made of it
    Moment("curated_feedback/reviews/CURRENT.json"),  # labels are curated, but not current
    Moment("curated_review_feedback done"),
    Moment("snapshots/reviews/LATEST"),  # the snapshot is there, but not the latest
    Moment("review_training_snapshot done"),
    Moment("confusion_matrix.png"),  # the model's file is there, but not in the registry
    Moment("mlflow/reviews.json"),  # the model is registered, but not noted
    Moment("sentiment_model done"),
    Moment("promotions/reviews/HEAD"),  # the verdict is written, but not its head
    Moment("sqlite3.connect", after="promotions/reviews/HEAD"),  # the verdict stands, but the alias names the former champion
    Moment("sentiment_champion done"),
    Moment("review_predictions done"),
    Moment("review_label_queue done"),
    Moment("review_label_value done"),
]
"""After every step, and between two things that a step writes; in the order of a run, so that each kill comes later than the last."""


def files_of(home: Path) -> dict[str, str]:
    """SHA-256 by path of everything a retrain keeps; what a killed writer left half made begins with a dot and counts for nothing."""
    return {
        str(path.relative_to(home)): hashlib.sha256(path.read_bytes()).hexdigest()
        for folder in KEPT
        for path in sorted((home / folder).rglob("*"))
        if path.is_file() and not any(part.startswith(".") for part in path.relative_to(home).parts)
    }


def models_of(home: Path) -> list[str]:
    """SHA-256 of every model file; their folders have random names."""
    return sorted(hashlib.sha256(path.read_bytes()).hexdigest() for path in home.glob("mlflow/artifacts/**/model.skops"))


def registered_in(home: Path) -> dict[str, list[tuple[Any, ...]]]:
    """What MLflow knows: aliases, versions, and runs by status."""
    questions = {
        "aliases": "select name, alias, version from registered_model_aliases order by name, alias",
        "versions": "select name, version from model_versions order by name, version",
        "runs": "select name, status from runs order by name, status",
    }
    with contextlib.closing(sqlite3.connect(home / "mlflow" / "mlflow.db")) as connection:
        return {what: connection.execute(sql).fetchall() for what, sql in questions.items()}


def decisions_in(home: Path) -> Any:
    """The promotion log without what names a run."""

    def without(value: Any) -> Any:
        if isinstance(value, dict):
            return {name: without(part) for name, part in value.items() if name not in BY_CHANCE}
        return value

    return [without(json.loads(path.read_bytes())) for path in sorted((home / "promotions" / "reviews").glob("0*.json"))]


def left_by(home: Path) -> dict[str, Any]:
    return {
        "files": files_of(home),
        "models": models_of(home),
        "registry": registered_in(home),
        "decisions": decisions_in(home),
        "findings": verified(Home(home), "reviews")["findings"],
    }


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a champion and 400 events that no retrain has seen; copied as a whole, since the log's salts are random."""
    home = tmp_path_factory.mktemp("retrain") / "prepared"
    assert ended("prepare", home) == 0
    return home


@pytest.fixture(scope="module")
def undisturbed(prepared: Path) -> dict[str, Any]:
    """What a retrain leaves that nobody kills."""
    home = shutil.copytree(prepared, prepared.with_name("undisturbed"))
    assert ended("retrain", home) == 0
    left = left_by(home)
    assert [decision["kind"] for decision in left["decisions"]] == ["first", "promoted"]
    assert left["registry"]["aliases"] == [("reviews", "challenger", 2), ("reviews", "champion", 2)]
    assert left["findings"] == []
    return left


def test_shadow_models_are_compared_and_none_of_them_is_kept_registered_or_promoted(
    prepared: Path, undisturbed: dict[str, Any]
) -> None:
    value = Values(prepared.with_name("undisturbed") / "lake", "reviews").current()
    assert value is not None
    assert (value.snapshot_version, value.model_version, value.judged_on, value.missing) == ("v0002", 2, 40, 260)
    assert {point.labels for point in value.points} == {0, 8, 16, 32, 64}
    assert undisturbed["registry"]["versions"] == [("reviews", 1), ("reviews", 2)]
    assert len(undisturbed["registry"]["runs"]) == len(undisturbed["models"]) == len(undisturbed["decisions"]) == 2


def test_a_retrain_killed_after_every_step_and_between_its_writes_leaves_what_an_undisturbed_one_leaves(
    prepared: Path, undisturbed: dict[str, Any], tmp_path: Path
) -> None:
    home = shutil.copytree(prepared, tmp_path / "home")
    for moment in KILLS:
        assert ended("retrain", home, moment) == -signal.SIGKILL, moment
        has_moved = KILLS.index(moment) >= KILLS.index(Moment("sentiment_champion done"))
        assert registered_in(home)["aliases"] == [
            ("reviews", "challenger", 1 + has_moved),
            ("reviews", "champion", 1 + has_moved),
        ]
    assert ended("retrain", home) == 0
    assert left_by(home) == undisturbed


def test_the_daemon_marks_a_killed_run_failed_so_that_the_sensor_asks_for_another(prepared: Path, tmp_path: Path) -> None:
    home = Home(shutil.copytree(prepared, tmp_path / "home"))
    assert ended("retrain", home.root, Moment("curated_review_feedback done")) == -signal.SIGKILL
    with (
        dg.DagsterInstance.from_config(str(home.dagster)) as instance,
        WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as daemon,
    ):
        assert look(home, instance).message.endswith("is in flight (STARTED)")
        assert list(execute_run_monitoring_iteration(daemon, logging.getLogger(__name__))) == [None]
        assert look(home, instance) == Decision(1, "160 of 100 new labels, 40 held out for evaluation")


def look(home: Home, instance: dg.DagsterInstance) -> Decision:
    """What the sensor decides."""
    return decide(
        read_facts(
            home,
            "reviews",
            labels_by_dataset(),
            threshold=100,
            test_from=declared("reviews").policy.test_from,
            runs=lambda: retrain_runs(instance, "reviews", "reviews_retrain"),
            now=now(),
        )
    )
