"""The model registry on a real MLflow store: recorded once, completed after a kill, moved, and never opened unchecked.

Who is champion is the promotion log's affair; here only that MLflow repeats it.
"""

import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from curation.errors import CurationError
from curation.learning import artefact
from curation.learning.classifier import Examples, TrainingSettings, train
from resources.model_registry import ARTEFACT_TAG, IDENTITY_TAG, ModelRegistry, TrainedModel

TEXTS = ["good work", "bad work", "good day", "bad day"] * 6
SNAPSHOT_DIGEST = "5d" * 32


@pytest.fixture(scope="session")
def empty_store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with one other dataset in it, made once: MLflow's migrations take more than a second."""
    root = tmp_path_factory.mktemp("store") / "mlflow"
    ModelRegistry(root).record("tickets", trained(tmp_path_factory.mktemp("model"), feature_bits=10))
    return root


@pytest.fixture
def registry(empty_store: Path, tmp_path: Path) -> ModelRegistry:
    return ModelRegistry(Path(shutil.copytree(empty_store, tmp_path / "home" / "mlflow")))


def trained(folder: Path, feature_bits: int = 11, digest: str = SNAPSHOT_DIGEST) -> TrainedModel:
    settings = TrainingSettings(feature_bits=feature_bits)
    pipeline = train(Examples(TEXTS, ["pos", "neg", "pos", "neg"] * 6, [1.0] * 24), Examples([], [], []), settings)
    path = folder / "model.skops"
    return TrainedModel(
        artefact=path,
        artefact_sha256=artefact.save(pipeline, path),
        snapshot_version="v0001",
        snapshot_digest=digest,
        parameters={"feature_bits": feature_bits},
        metrics={"accuracy": 0.75, "f1/pos (all)": 0.5},
        attachments={"confusion_matrix.png": b"\x89PNG", "evaluation.json": b"{}"},
    )


def client_of(registry: ModelRegistry) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{registry.root / 'mlflow.db'}")


def runs_of(registry: ModelRegistry, dataset: str) -> list[str]:
    client = client_of(registry)
    experiment = client.get_experiment_by_name(dataset)
    return [run.info.run_id for run in client.search_runs([experiment.experiment_id])]


def aliases_of(registry: ModelRegistry, dataset: str) -> dict[str, int]:
    """As MLflow's own client reads them."""
    aliases = client_of(registry).get_registered_model(dataset).aliases
    return {alias: int(version) for alias, version in aliases.items()}


def test_a_recorded_model_is_nobodys_champion_until_it_is_pointed_at(registry: ModelRegistry, tmp_path: Path) -> None:
    recorded = registry.record("reviews", trained(tmp_path))
    later = registry.record("reviews", trained(tmp_path, digest="6e" * 32))
    assert [(each.version, each.is_new) for each in (recorded, later)] == [(1, True), (2, True)]
    assert aliases_of(registry, "reviews") == {}
    assert registry.load(recorded).predict(["good"]) == ["pos"]


def test_mlflow_reads_the_aliases_that_we_wrote(registry: ModelRegistry, tmp_path: Path) -> None:
    for digest in ("5d", "6e"):
        registry.record("reviews", trained(tmp_path, digest=digest * 32))
    registry.point("reviews", champion=1, challenger=2)
    assert aliases_of(registry, "reviews") == {"champion": 1, "challenger": 2}
    registry.point("reviews", champion=2, challenger=None)
    registry.point("reviews", champion=2, challenger=None)
    assert aliases_of(registry, "reviews") == {"champion": 2}
    assert int(client_of(registry).get_model_version_by_alias("reviews", "champion").version) == 2
    assert aliases_of(registry, "tickets") == {}


def test_an_alias_that_mlflow_wrote_is_taken_over(registry: ModelRegistry, tmp_path: Path) -> None:
    registry.record("reviews", trained(tmp_path))
    registry.record("reviews", trained(tmp_path, digest="6e" * 32))
    client_of(registry).set_registered_model_alias("reviews", "champion", "1")
    registry.point("reviews", champion=2, challenger=None)
    assert aliases_of(registry, "reviews") == {"champion": 2}


def test_pointing_at_a_version_that_is_not_there_moves_neither_alias(registry: ModelRegistry, tmp_path: Path) -> None:
    registry.record("reviews", trained(tmp_path))
    registry.point("reviews", champion=1, challenger=1)
    with pytest.raises(CurationError, match="no version 7 of reviews, so it cannot be its challenger"):
        registry.point("reviews", champion=1, challenger=7)
    assert aliases_of(registry, "reviews") == {"champion": 1, "challenger": 1}


def test_pointing_without_a_store_names_the_fix_and_makes_none(tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="holds no models\n  fix: curation run reviews"):
        ModelRegistry(tmp_path / "mlflow").point("reviews", champion=1, challenger=None)
    assert not (tmp_path / "mlflow").exists()


@pytest.mark.slow
def test_a_rollback_opens_and_points_without_importing_mlflow(registry: ModelRegistry, tmp_path: Path) -> None:
    reference = registry.reference(registry.record("reviews", trained(tmp_path)))
    program = (
        "import pathlib, sys; from resources.model_registry import ModelRegistry;"
        "from curation.promotions import ModelReference;"
        "registry = ModelRegistry(pathlib.Path(sys.argv[1])); registry.point('reviews', champion=1, challenger=None);"
        "print(*registry.load_reference(ModelReference.model_validate_json(sys.argv[2])).predict(['bad']), 'mlflow' in sys.modules)"
    )
    command = [sys.executable, "-c", program, str(registry.root), reference.model_dump_json()]
    repository = Path(artefact.__file__).resolve().parents[2]
    finished = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert (finished.stdout.strip(), finished.stderr) == ("neg False", "")


def test_recording_the_same_model_again_changes_nothing(registry: ModelRegistry, tmp_path: Path) -> None:
    first = registry.record("reviews", trained(tmp_path))
    again = registry.record("reviews", trained(tmp_path))
    assert again == dataclasses.replace(first, is_new=False)
    assert len(runs_of(registry, "reviews")) == 1


def test_what_is_tracked_is_all_that_a_reader_needs(registry: ModelRegistry, tmp_path: Path) -> None:
    recorded = registry.record("reviews", trained(tmp_path))
    run = client_of(registry).get_run(recorded.run_id)
    (used,) = run.inputs.dataset_inputs
    assert run.info.status == "FINISHED"
    assert run.data.params == {"feature_bits": "11"}
    assert run.data.metrics == recorded.metrics == {"accuracy": 0.75, "f1/pos _all_": 0.5}
    assert used.dataset.digest == SNAPSHOT_DIGEST[:36] and SNAPSHOT_DIGEST in used.dataset.profile
    assert client_of(registry).get_model_version("reviews", "1").tags[ARTEFACT_TAG] == recorded.artefact_sha256
    assert sorted(path.name for path in recorded.artefact.parent.iterdir()) == [
        "confusion_matrix.png",
        "evaluation.json",
        "model.skops",
    ]


def test_a_run_that_broke_off_while_tracking_is_taken_up_again(registry: ModelRegistry, tmp_path: Path) -> None:
    model = trained(tmp_path)
    with pytest.raises(ValueError, match="not a number"):
        registry.record("reviews", dataclasses.replace(model, metrics={"accuracy": "not a number"}))  # type: ignore[dict-item]
    (unfinished,) = runs_of(registry, "reviews")
    recorded = registry.record("reviews", model)
    assert recorded.is_new and recorded.run_id == unfinished
    assert runs_of(registry, "reviews") == [unfinished]


def test_a_run_killed_before_it_was_registered_gets_its_one_version(registry: ModelRegistry, tmp_path: Path) -> None:
    model = trained(tmp_path)
    tracked = registry.record("reviews", model)
    client_of(registry).delete_registered_model("reviews")
    recorded = registry.record("reviews", model)
    history = client_of(registry).get_metric_history(recorded.run_id, "accuracy")
    assert (recorded.version, recorded.run_id) == (1, tracked.run_id)
    assert len(history) == 1


def test_two_datasets_never_share_versions(registry: ModelRegistry, tmp_path: Path) -> None:
    assert registry.record("reviews", trained(tmp_path)).version == 1
    assert len(client_of(registry).search_model_versions(f"tags.`{IDENTITY_TAG}` like '%'")) == 2


def test_a_home_that_moved_still_opens_what_a_promotion_names(registry: ModelRegistry, tmp_path: Path) -> None:
    reference = registry.reference(registry.record("reviews", trained(tmp_path)))
    registry.point("reviews", champion=1, challenger=None)
    moved = Path(shutil.copytree(registry.root, tmp_path / "elsewhere"))
    shutil.rmtree(registry.root)
    assert ModelRegistry(moved).load_reference(reference).predict(["bad"]) == ["neg"]
    assert aliases_of(ModelRegistry(moved), "reviews") == {"champion": 1}
    assert str(tmp_path).encode() not in (moved / "mlflow.db").read_bytes()
    assert str(tmp_path) not in reference.model_dump_json()


def test_an_edited_artefact_is_refused_by_name(registry: ModelRegistry, tmp_path: Path) -> None:
    recorded = registry.record("reviews", trained(tmp_path))
    recorded.artefact.write_bytes(recorded.artefact.read_bytes() + b"\0")
    for opened in (lambda: registry.load(recorded), lambda: registry.load_reference(registry.reference(recorded))):
        with pytest.raises(CurationError, match=str(recorded.artefact)):
            opened()


def test_an_artefact_that_is_not_what_was_trained_is_not_recorded(registry: ModelRegistry, tmp_path: Path) -> None:
    model = trained(tmp_path)
    model.artefact.write_bytes(b"something else")
    with pytest.raises(CurationError, match="changed while it was recorded"):
        registry.record("reviews", model)
    assert client_of(registry).search_model_versions("name = 'reviews'") == []


def test_a_dataset_named_like_a_path_is_refused(registry: ModelRegistry, tmp_path: Path) -> None:
    with pytest.raises(CurationError, match="cannot name a dataset"):
        registry.record("../reviews", trained(tmp_path))


@pytest.mark.slow
def test_a_new_store_is_made_without_a_word_and_without_leftovers(tmp_path: Path) -> None:
    program = (
        "import pathlib, sys; from tests.resources.test_model_registry import *;"
        "print(ModelRegistry(pathlib.Path(sys.argv[1])).record('reviews', trained(pathlib.Path(sys.argv[2]))).version)"
    )
    (tmp_path / "work").mkdir()
    command = [sys.executable, "-c", program, str(tmp_path / "mlflow"), str(tmp_path / "work")]
    repository = Path(artefact.__file__).resolve().parents[2]
    finished = subprocess.run(command, cwd=repository, capture_output=True, text=True, check=True)
    assert (finished.stdout.strip(), finished.stderr) == ("1", "")
    assert sorted(path.name for path in (tmp_path / "mlflow").iterdir()) == ["artifacts", "mlflow.db"]


@pytest.mark.slow
def test_what_a_kill_left_of_a_new_store_is_swept_up(tmp_path: Path) -> None:
    half_made = tmp_path / "mlflow" / ".new-database.0badcafe"
    half_made.mkdir(parents=True)
    (half_made / "mlflow.db").write_bytes(b"half")
    (tmp_path / "work").mkdir()
    assert ModelRegistry(tmp_path / "mlflow").record("reviews", trained(tmp_path / "work")).is_new
    assert not half_made.exists()
