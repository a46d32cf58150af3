"""What assets do, importable without a run: publish fates, freeze a snapshot, train on it. One function a step, for any dataset.

Opens what is in CURATION_HOME and calls `curation`; no Dagster, no metadata.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import CurationError
from curation.fates import Current, FateBook
from curation.feedback.curated import CuratedFeedback
from curation.files import sha256_of_file, written_whole
from curation.ingestion.inspection import batch_id, removals
from curation.ingestion.ledger import Ledger
from curation.ingestion.sources import load_sources
from curation.learning.evaluation import Evaluation
from curation.snapshots import dvc
from curation.snapshots.manifest import Batch, Column, Manifest, SnapshotSpec
from curation.snapshots.store import Snapshot, SnapshotStore
from curation.training_rows import SPLITS, extra_columns, training_rows
from curation_assets.datasets import Declared
from resources.code import code_version
from resources.home import Home
from resources.model_registry import ModelRegistry, ModelVersion, TrainedModel
from resources.warehouse import reading

if TYPE_CHECKING:
    from curation.learning.weighting import SampleWeights

BOOTSTRAP_SEED = 7


@dataclass(frozen=True)
class Trained:
    """A recorded model with its evaluation and the snapshot it learned from."""

    version: ModelVersion
    evaluation: Evaluation
    snapshot: str
    balance: dict[str, dict[str, int]]
    sampled: "SampleWeights"


def warehouse_epoch(home: Home, dataset: str) -> str:
    """What must change for the warehouse to be built anew: the code, or rows taken back. As the dbt macro `current_epoch` tells it."""
    return f"{code_version()}/{removals(Ledger(home.lake, dataset))}"


def publish(home: Home, known: Declared) -> Current:
    """Leave the fates of all records and the counts of all batches as Parquet and JSON, for everyone who is not a run."""
    with reading(home, known.dataset.name) as connection:
        book = FateBook(home.lake, known.dataset.name)
        return book.publish(connection, known.fates, known.batches, warehouse_epoch(home, known.dataset.name))


def freeze(home: Home, known: Declared) -> Snapshot:
    """The training snapshot of the curated table and of people's labels as they are now: a new version, or the latest where
    no row changed."""
    dataset = known.dataset
    entries = Ledger(home.lake, dataset.name).latest()
    delivered = {entry.source for entry in entries.values()}
    sources = {name: source for name, source in load_sources(known.sources, dataset).items() if name in delivered}
    if not entries:
        raise CurationError(
            f"nothing has been accepted into {dataset.name} yet", f"curation ingest {dataset.name} SOURCE FILE, then run again"
        )
    feedback = CuratedFeedback(home.lake, dataset.name)
    consumed = feedback.current()
    with reading(home, dataset.name) as connection:
        relation = training_rows(
            connection, dataset, known.policy, sources, known.curated, home.subject_key(), feedback.training_labels()
        )
        written = SnapshotStore(home.snapshots).write(
            SnapshotSpec(
                dataset=dataset.name,
                key=dataset.key,
                columns=_columns(dataset.key, sources),
                labels=known.policy.labels,
                batches=tuple(
                    Batch(id=batch_id(entry), seq=entry.seq, files={file.name: file.sha256 for file in entry.files})
                    for entry in sorted(entries.values(), key=lambda entry: entry.seq)
                ),
                contracts={name: sources[name].digest for name in sorted(sources)},
                code_versions={"cleaning_and_duplicates": code_version()},
                consumed_feedback_seq=consumed.seq if consumed else 0,
                consumed_feedback_head=consumed.head if consumed else "",
                card=known.card,
                created_on=max(entry.day for entry in entries.values()),
            ),
            connection,
            relation,
        )
    if not written.is_new:
        check_as_written(written.folder, written.manifest)
    if written.is_new and dvc.is_initialised(home.root):
        dvc.add_snapshot(home.root, dataset.name, written.manifest.version)
    return written


def _columns(key: str, sources: dict[str, Any]) -> tuple[Column, ...]:
    types = {"varchar": "string", "bigint": "integer", "double": "number", "boolean": "boolean"}
    fixed = {
        key: "string",
        "source": "string",
        "item_id": "string",
        "text": "string",
        "label": "string",
        "label_origin": "string",
        "weight": "number",
        "labelled_at": "timestamp",
        "rating": "number",
    }
    extras = {name: types[kind] for name, kind in extra_columns(sources).items()}
    return tuple(Column.model_validate({"name": name, "type": kind}) for name, kind in {**fixed, **extras}.items())


def check_as_written(folder: Path, manifest: Manifest, split: str | None = None) -> None:
    """CurationError naming the first data part, of one split or all, that someone edited or removed."""
    for path, file in sorted(manifest.data_parts(split).items()):
        if not (folder / path).is_file() or sha256_of_file(folder / path) != file.sha256:
            raise CurationError(
                f"{folder / path} is not as {manifest.version} was written; nothing is trained on it",
                f"restore it from a backup or with `dvc pull`; curation verify {manifest.dataset} lists all that differs",
            )


def _split(folder: Path, manifest: Manifest, split: str) -> Any:
    """The rows of one split as a polars frame, in the snapshot's order. CurationError when they are not those that were written."""
    import polars as pl

    check_as_written(folder, manifest, split)
    parts = [folder / path for path in sorted(manifest.data_parts(split))]
    columns = ["source", "text", "label", "label_origin", "weight", "labelled_at"]
    return (
        pl.concat([pl.read_parquet(part, columns=columns) for part in parts])
        if parts
        else pl.DataFrame(schema=dict.fromkeys(columns, pl.String))
    )


def train(home: Home, known: Declared, registry: ModelRegistry) -> Trained:
    """Train on the latest snapshot's train split, weighted, judge on its test split, record. The same snapshot gives the same version."""
    from curation.learning import artefact, classifier, evaluation
    from curation.learning.weighting import sample_weights

    name = known.dataset.name
    store = SnapshotStore(home.snapshots)
    manifest = store.manifest(name)
    rows, tuning, held_out = (_split(store.folder(name, manifest.version), manifest, split) for split in SPLITS)
    sampled = sample_weights(rows, known.loop.sampling)
    examples = classifier.Examples(rows["text"].to_list(), rows["label"].to_list(), sampled.weights.tolist())
    validation = classifier.Examples(*(tuning[column].to_list() for column in ("text", "label", "weight")))
    pipeline = classifier.train(examples, validation, known.training)
    judged = evaluation.evaluate(
        held_out["label"].to_list(),
        pipeline.predict_proba(held_out["text"].to_list()),
        list(pipeline.classes_),
        baseline_label=min(manifest.labels, key=lambda label: (-manifest.rows_of(split="train", label=label), label)),
        slices={"source": held_out["source"].to_list()},
        bootstrap_seed=BOOTSTRAP_SEED,
    )
    parameters = classifier.parameters_of(pipeline, examples, known.training) | {
        f"sampling_{name}": value for name, value in known.loop.sampling.model_dump(mode="json").items()
    }
    workshop = home.root / "mlflow" / ".workshop"
    workshop.mkdir(parents=True, exist_ok=True)
    path = workshop / "model.skops"
    version = registry.record(name, _as_trained(path, artefact.save(pipeline, path), manifest, parameters, judged))
    path.unlink()
    told = {
        "version": version.version,
        "reference": registry.reference(version).model_dump(mode="json"),
        "sampling": {"rows": rows.height, "effective_sample_size": sampled.effective_sample_size},
        "snapshot_version": manifest.version,
        "snapshot_digest": manifest.digest,
        "metrics": judged.as_metrics(),
    }
    with written_whole(_model_note(home, name)) as temporary:
        temporary.write_text(json.dumps(told | {"evaluation": judged.as_json()}))
    balance = {
        split: {label: manifest.rows_of(split=split, label=label) for label in manifest.labels} for split in manifest.counts
    }
    return Trained(version, judged, manifest.version, balance, sampled)


def _as_trained(path: Any, sha256: str, manifest: Any, parameters: Any, judged: Evaluation) -> TrainedModel:
    from curation.learning import plots

    return TrainedModel(
        artefact=path,
        artefact_sha256=sha256,
        snapshot_version=manifest.version,
        snapshot_digest=manifest.digest,
        parameters=parameters,
        metrics=judged.as_metrics(),
        attachments={
            "confusion_matrix.png": plots.confusion_matrix(judged),
            "reliability.png": plots.reliability_diagram(judged),
            "evaluation.json": json.dumps(asdict(judged), indent=1).encode(),
        },
    )


def model_told(home: Home, dataset: str) -> dict[str, Any] | None:
    """The last recorded model's figures, None before the first; they stand in a file, so that `status` need not import MLflow."""
    path = _model_note(home, dataset)
    if not path.exists():
        return None
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
    except ValueError as error:
        raise CurationError(f"{path} is damaged", "remove it; the next run writes it again") from error
    return told


def _model_note(home: Home, dataset: str) -> Path:
    return home.mlflow / f"{dataset}.json"
