"""Where models are: MLflow tracking and registry on one SQLite file, with the artefacts in a folder beside it.

It records and hands out; it neither trains nor judges. Who is champion is written in `curation.promotions`; the aliases here only
mirror it for MLflow's own pages. Neither the SQLite file nor a recorded version holds an absolute path: the folder may move.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import sqlite3
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curation.errors import CurationError
from curation.files import sha256_of_file, sync, valid_name, written_whole
from curation.learning import artefact
from curation.promotions import ModelReference

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import DatasetInput
    from mlflow.entities.model_registry import ModelVersion as RegisteredVersion
    from sklearn.pipeline import Pipeline

CHAMPION = "champion"
CHALLENGER = "challenger"
LOCK_WAIT_S = 30.0  # MLflow's pages may be writing; its own writes take milliseconds
ARTEFACT_NAME = "model.skops"
ARTEFACT_SCHEME = "mlflow-artifacts:/"
"""MLflow's scheme for artefacts below a root that is named when its server starts; a local path would be stored absolute."""

IDENTITY_TAG = "curation.identity"
ARTEFACT_TAG = "curation.artefact_sha256"
SNAPSHOT_VERSION_TAG = "curation.snapshot_version"
SNAPSHOT_DIGEST_TAG = "curation.snapshot_digest"
MLFLOW_DIGEST_LENGTH = 36
NOT_IN_A_METRIC_NAME = re.compile(r"[^\w\-. :/]")


@dataclass(frozen=True)
class TrainedModel:
    """What one training made: the skops file, its SHA-256, and all that is to be known of it.

    `attachments` maps a file name to its bytes (plots, the evaluation as JSON).
    """

    artefact: Path
    artefact_sha256: str
    snapshot_version: str
    snapshot_digest: str
    parameters: Mapping[str, str | int | float]
    metrics: Mapping[str, float]
    attachments: Mapping[str, bytes]


@dataclass(frozen=True)
class ModelVersion:
    """One registered version; `is_new` says whether `record` has just made it."""

    dataset: str
    version: int
    run_id: str
    artefact: Path
    artefact_sha256: str
    snapshot_version: str
    snapshot_digest: str
    metrics: dict[str, float]
    is_new: bool


class ModelRegistry:
    """The models below `root` (CURATION_HOME/mlflow). Only a run writes, and runs are one at a time."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def record(self, dataset: str, model: TrainedModel) -> ModelVersion:
        """Track and register a model: one MLflow run, one version, no alias.

        The same snapshot, parameters and artefact are the same version: recorded again it is returned as it is. What a killed
        process left is completed, not repeated.

        Raises:
            CurationError: the artefact is not the file whose SHA-256 is given.
        """
        valid_name(dataset, "dataset")
        if (found := sha256_of_file(model.artefact)) != model.artefact_sha256:
            raise CurationError(
                f"the model file {model.artefact} changed while it was recorded: expected SHA-256 {model.artefact_sha256}, found {found}",
                "run again",
            )
        client = self._client()
        identity = _identity(dataset, model)
        registered = self._find(client, dataset, identity)
        is_new = registered is None
        if registered is None:
            run_id = self._track(client, dataset, model, identity)
            registered = _register(client, dataset, model, identity, run_id)
        return self._as_version(client, dataset, registered, is_new)

    def point(self, dataset: str, champion: int, challenger: int | None) -> None:
        """Let MLflow's aliases say what the promotion log says; without a challenger that alias goes. Both or neither.

        Straight into MLflow's table: its client takes 2.6 CPU s to import and connect before it writes this same row, and a
        rollback must not wait for that. A test reads the aliases back through MLflow's client.

        Raises:
            CurationError: there is no such version.
        """
        valid_name(dataset, "dataset")
        wanted = {CHAMPION: champion, CHALLENGER: challenger}
        if not self._database.exists():
            raise CurationError(f"{self.root} holds no models", f"curation run {dataset}")
        with contextlib.closing(sqlite3.connect(self._database, timeout=LOCK_WAIT_S)) as connection, connection:
            connection.execute("begin immediate")
            for alias, version in wanted.items():
                connection.execute("delete from registered_model_aliases where name = ? and alias = ?", (dataset, alias))
                if version is None:
                    continue
                found = connection.execute(
                    "insert into registered_model_aliases (workspace, name, alias, version)"
                    " select workspace, name, ?, version from model_versions where name = ? and version = ?",
                    (alias, dataset, version),
                )
                if found.rowcount != 1:
                    raise CurationError(
                        f"MLflow knows no version {version} of {dataset}, so it cannot be its {alias}",
                        f"restore {self._database} from a backup, or train again with: curation run {dataset}",
                    )

    def load(self, version: ModelVersion) -> "Pipeline":
        """The fitted pipeline of a version; CurationError when its file is not the one that was recorded."""
        return artefact.load(version.artefact, version.artefact_sha256)

    def reference(self, version: ModelVersion) -> ModelReference:
        """What the promotion log keeps of a version: enough to open it again in any home, without MLflow."""
        return ModelReference(
            version=version.version,
            run_id=version.run_id,
            artefact=version.artefact.relative_to(self.root).as_posix(),
            artefact_sha256=version.artefact_sha256,
            snapshot_version=version.snapshot_version,
            snapshot_digest=version.snapshot_digest,
        )

    def load_reference(self, reference: ModelReference) -> "Pipeline":
        """The fitted pipeline that a promotion names, opened without MLflow; CurationError when its file is not the one recorded."""
        return artefact.load(self.root / reference.artefact, reference.artefact_sha256)

    @property
    def _database(self) -> Path:
        return self.root / "mlflow.db"

    def _run_folder(self, dataset: str, run_id: str) -> Path:
        """Where `mlflow server --artifacts-destination ROOT/artifacts` looks for the artefacts of a run."""
        return self.root / "artifacts" / dataset / run_id / "artifacts"

    def _client(self) -> "MlflowClient":
        # MLflow reads both when it is imported: telemetry is on unless told otherwise, and every migration is logged to stderr.
        os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
        os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
        from mlflow import MlflowClient

        self._create_database()
        return MlflowClient(tracking_uri=f"sqlite:///{self._database}")

    def _create_database(self) -> None:
        """A new SQLite file under a temporary name, then renamed: MLflow cannot go on from migrations that were cut short."""
        if self._database.exists():
            return
        from mlflow.store.tracking.sqlalchemy_store import SqlAlchemyStore

        for left_by_a_killed_process in self.root.glob(".new-database.*"):
            shutil.rmtree(left_by_a_killed_process)
        workshop = self.root / f".new-database.{uuid.uuid4().hex[:8]}"  # a new name: MLflow keeps a connection per path
        workshop.mkdir(parents=True)
        try:
            store = SqlAlchemyStore(f"sqlite:///{workshop / 'mlflow.db'}", ARTEFACT_SCHEME)  # type: ignore[no-untyped-call]
            store.engine.dispose()
            sync(workshop / "mlflow.db")
            (workshop / "mlflow.db").rename(self._database)
            sync(self.root)
        finally:
            shutil.rmtree(workshop, ignore_errors=True)

    def _track(self, client: "MlflowClient", dataset: str, model: TrainedModel, identity: str) -> str:
        """The id of the finished MLflow run for this identity; a run that a killed process left open is taken up again."""
        from mlflow.entities import Metric, Param, RunStatus

        experiment = client.get_experiment_by_name(dataset)
        experiment_id = (
            experiment.experiment_id if experiment else client.create_experiment(dataset, f"{ARTEFACT_SCHEME}{dataset}")
        )
        earlier = client.search_runs([experiment_id], f"tags.`{IDENTITY_TAG}` = '{identity}'", max_results=1)
        run_name = f"{dataset} {model.snapshot_version}"
        run = earlier[0] if earlier else client.create_run(experiment_id, tags=_tags(model, identity), run_name=run_name)
        run_id: str = run.info.run_id
        started_at = run.info.start_time
        self._keep_files(self._run_folder(dataset, run_id), model)
        client.log_inputs(run_id, [_dataset_input(dataset, model)])
        # The run's own start as the time of every metric: taken up again, they are the same rows and not a second history.
        client.log_batch(
            run_id,
            metrics=[
                Metric(NOT_IN_A_METRIC_NAME.sub("_", name), float(value), started_at, 0)
                for name, value in sorted(model.metrics.items())
            ],
            params=[Param(name, str(value)) for name, value in sorted(model.parameters.items())],
        )
        client.set_terminated(run_id, RunStatus.to_string(RunStatus.FINISHED))
        return run_id

    def _keep_files(self, folder: Path, model: TrainedModel) -> None:
        with written_whole(folder / ARTEFACT_NAME) as temporary:
            shutil.copyfile(model.artefact, temporary)
        for name, content in model.attachments.items():
            with written_whole(folder / name) as temporary:
                temporary.write_bytes(content)

    @staticmethod
    def _find(client: "MlflowClient", dataset: str, identity: str) -> "RegisteredVersion | None":
        found = client.search_model_versions(f"name = '{dataset}' and tags.`{IDENTITY_TAG}` = '{identity}'", max_results=1)
        return found[0] if found else None

    def _as_version(self, client: "MlflowClient", dataset: str, registered: "RegisteredVersion", is_new: bool) -> ModelVersion:
        assert registered.run_id is not None  # `_register` never leaves it out
        return ModelVersion(
            dataset=dataset,
            version=int(registered.version),
            run_id=registered.run_id,
            artefact=self._run_folder(dataset, registered.run_id) / ARTEFACT_NAME,
            artefact_sha256=registered.tags[ARTEFACT_TAG],
            snapshot_version=registered.tags[SNAPSHOT_VERSION_TAG],
            snapshot_digest=registered.tags[SNAPSHOT_DIGEST_TAG],
            metrics=dict(client.get_run(registered.run_id).data.metrics),
            is_new=is_new,
        )


def _identity(dataset: str, model: TrainedModel) -> str:
    """Hex SHA-256 of what makes two models the same one."""
    parts = [dataset, model.snapshot_digest, dict(model.parameters), model.artefact_sha256]
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _dataset_input(dataset: str, model: TrainedModel) -> "DatasetInput":
    """The snapshot under our digest, its first 36 characters (all that MLflow takes), whole in the profile.

    MLflow's own digest reads 10,000 rows of some columns: 40,000 flipped labels left it unchanged.
    """
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": f"snapshots/{dataset}/{model.snapshot_version}"})
    snapshot = Dataset(
        name=f"{dataset} {model.snapshot_version}",
        digest=model.snapshot_digest[:MLFLOW_DIGEST_LENGTH],
        source_type="local",
        source=source,
        profile=json.dumps({"digest": model.snapshot_digest}),
    )
    return DatasetInput(snapshot, [InputTag("mlflow.data.context", "training")])


def _register(client: "MlflowClient", dataset: str, model: TrainedModel, identity: str, run_id: str) -> "RegisteredVersion":
    """A new version, its tags with it in one transaction: a version without its SHA-256 never exists."""
    if not client.search_registered_models(f"name = '{dataset}'", max_results=1):
        client.create_registered_model(dataset)
    source = f"{ARTEFACT_SCHEME}{dataset}/{run_id}/artifacts/{ARTEFACT_NAME}"
    return client.create_model_version(dataset, source, run_id, tags=_tags(model, identity))


def _tags(model: TrainedModel, identity: str) -> dict[str, str]:
    return {
        IDENTITY_TAG: identity,
        ARTEFACT_TAG: model.artefact_sha256,
        SNAPSHOT_VERSION_TAG: model.snapshot_version,
        SNAPSHOT_DIGEST_TAG: model.snapshot_digest,
    }
