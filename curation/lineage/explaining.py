"""Where a prediction came from: its model, the snapshot that taught it, the rows and labels of the same item and cluster, the raw record.

`explain` answers about one prediction, from the public files of a home. What is gone is named in `missing`, with the fix, and the
rest is told all the same. How the answer looks is for `telling` and for pages.
"""

import datetime
from dataclasses import dataclass
from typing import Any

import duckdb

from curation.binding import execute_bound
from curation.errors import CurationError
from curation.feedback.events import parts_of
from curation.lineage.frozen import COLUMNS, RESTORE, FrozenSnapshots, Lost, Version, data_of, places
from curation.lineage.models import TracedModel, traced_models
from curation.lineage.places import Traced, asking, clean, parquet, rows_of, shown
from curation.lineage.records import RawRecord, raw_record
from curation.lineage.words import HumanLabel, words_on
from curation.predictions import PredictionStore


class NotPredicted(CurationError):
    """No model has made the prediction that was asked for."""


SHOWN = (
    "prediction_id, record_no, source, day, text, label, probabilities, model_version, model_sha256, snapshot_version, language, length,"
    " predicted_at"
)


@dataclass(frozen=True)
class Predicted:
    """What one model said of one item; `probabilities` the likeliest label first, `confidence` the first of them."""

    prediction_id: str
    item_id: str
    record_no: int
    source: str
    day: datetime.date
    text: str
    label: str
    confidence: float
    probabilities: tuple[tuple[str, float], ...]
    model_version: int
    model_sha256: str
    snapshot_version: str
    language: str
    length: int
    predicted_at: datetime.datetime


@dataclass(frozen=True)
class Learned:
    """One row of the model's snapshot: the item itself (`is_item`) or another of its cluster.

    `weight` is its label's reliability: 1 where derived, else the confidence that people's votes came to. Fields are None where
    the snapshot's columns or its data parts do not tell. `trains`: it is in the train split.
    """

    key: str
    is_item: bool
    split: str
    label: str | None
    label_origin: str | None
    weight: float | None
    labelled_at: datetime.datetime | None
    text: str | None
    batch: str
    file: str
    line: int

    @property
    def trains(self) -> bool:
        """Whether a model learns from the row; validation and test rows tune and judge it."""
        return self.split == "train"


@dataclass(frozen=True)
class TracedSnapshot:
    """The frozen rows a model learned from. Where it `is_intact` no more, the promotion log still tells digest and labels consumed."""

    version: str
    digest: str | None
    rows: int | None
    train_rows: int | None
    created_at: str | None
    consumed_feedback_seq: int | None
    batches: int | None
    is_intact: bool


@dataclass(frozen=True)
class Explanation:
    """The story of one prediction. `rows`: the item's and its cluster's in the snapshot; `why_no_rows` where there is none.

    `others`: what other models have said of the item, newest model first. `missing`: a sentence for each thing no longer known.
    """

    dataset: str
    prediction: Predicted
    model: TracedModel
    champion_version: int | None
    snapshot: TracedSnapshot
    rows: tuple[Learned, ...]
    why_no_rows: str | None
    labels: tuple[HumanLabel, ...]
    record: RawRecord | None
    others: tuple[Predicted, ...]
    missing: tuple[str, ...]


def explain(traced: Traced, prediction_id: str) -> Explanation:
    """The story of that prediction.

    Raises:
        NotPredicted: no model has made that prediction; a near id is given where there is one.
        CurationError: the id is none; or the promotion log is damaged.
    """
    prediction_id = clean(prediction_id)
    dataset, item, _ = parts_of(prediction_id)
    if dataset != traced.dataset:
        raise CurationError(
            f"{shown(prediction_id)} is a prediction of {dataset}, not of {traced.dataset}", "give one of its own"
        )
    with asking() as connection:
        prediction, others = _found(connection, traced, prediction_id, item)
        models = traced_models(traced)
        missing: list[str] = []
        model = _model_of(prediction, models, missing)
        snapshots = FrozenSnapshots(traced.places.snapshots, dataset)
        version = snapshots.version(prediction.snapshot_version)
        record = raw_record(connection, traced, prediction.record_no)
        if record is None:
            missing.append(
                "The raw record is in no ledger entry and has no published fate any more: restore lake/ledger from a backup."
            )
        if isinstance(version, Lost):
            missing.append(_lost(version))
            rows: tuple[Learned, ...] = ()
            consumed = model.verdict.consumed_feedback_seq if model.verdict else 0
            labels, why = words_on(connection, traced, [item], consumed), None
        else:
            rows = _learned(connection, version, item)
            why = None if rows else _why_not(version, record)
            consumed = version.manifest.consumed_feedback_seq
            labels = words_on(connection, traced, [row.key for row in rows] or [item], consumed)
    champion = next((known.version for known in models if known.standing == "champion"), None)
    return Explanation(
        dataset=dataset,
        prediction=prediction,
        model=model,
        champion_version=champion,
        snapshot=_snapshot(version, model),
        rows=rows,
        why_no_rows=why,
        labels=labels,
        record=record,
        others=others,
        missing=tuple(missing),
    )


def _found(
    connection: duckdb.DuckDBPyConnection, traced: Traced, prediction_id: str, item: str
) -> tuple[Predicted, tuple[Predicted, ...]]:
    """The prediction, and the others of its item: one look at the ids of the items, 0.1 s for 1,000,000 predictions."""
    name = traced.dataset
    parts = PredictionStore(traced.places.predictions, name).parts()
    if not parts:
        raise NotPredicted(f"no model of {name} has predicted anything yet", f"curation run {name}")
    rows = rows_of(execute_bound(connection, f"select {SHOWN} from {parquet(parts)} where item_id = $item", {"item": item}))
    told = sorted((_predicted(row, item) for row in rows), key=lambda one: (-one.model_version, one.prediction_id))
    for prediction in told:
        if prediction.prediction_id == prediction_id:
            return prediction, tuple(other for other in told if other != prediction)
    if told:
        raise NotPredicted(
            f"no model has made the prediction {shown(prediction_id)}", f"of that item there is {told[0].prediction_id}"
        )
    raise NotPredicted(
        f"no model has made the prediction {shown(prediction_id)}, nor any other of that item",
        f"copy an id from the page /predictions/{name}; curation why ITEM tells what became of a record",
    )


def _predicted(row: dict[str, Any], item: str) -> Predicted:
    ranked = sorted(dict(row["probabilities"]).items(), key=lambda named: (-named[1], named[0]))
    return Predicted(**row | {"probabilities": tuple(ranked)}, item_id=item, confidence=ranked[0][1] if ranked else 0.0)


def _model_of(prediction: Predicted, models: list[TracedModel], missing: list[str]) -> TracedModel:
    """The model that made it; what the promotion log knows under that number may by now be another one."""
    model = next(known for known in models if known.version == prediction.model_version)  # the prediction itself is in the lake
    if model.artefact_sha256 != prediction.model_sha256:
        missing.append(
            f"The promotion log knows another model as version {model.version} than the one that made this prediction: "
            "its figures below are not that one's. Restore promotions from a backup."
        )
    return model


def _learned(connection: duckdb.DuckDBPyConnection, version: Version, item: str) -> tuple[Learned, ...]:
    """The item's row first, then the others of its cluster by key."""
    found = places(connection, version, item)
    held = data_of(connection, version, found)
    nothing = dict.fromkeys(COLUMNS)
    rows = [
        Learned(
            key=place.key,
            is_item=place.key == item,
            split=place.split,
            batch=place.batch,
            file=place.file,
            line=place.line,
            **held.get(place.key, nothing),
        )
        for place in found
    ]
    return tuple(sorted(rows, key=lambda row: (not row.is_item, row.key)))


def _why_not(version: Version, record: RawRecord | None) -> str:
    """Why the item has no row in the snapshot, as far as batch and fate tell."""
    manifest = version.manifest
    if record is None:
        return "The item has no row in the snapshot."
    if record.batch not in {batch.id for batch in manifest.batches}:
        return f"The model has not seen this item: its batch {record.batch} came after the snapshot was frozen."
    if record.fate not in {"kept", "undecided"}:
        told = f" of {record.duplicate_of}" if record.duplicate_of else ""
        return f"The model has not learned from this item: by now its record is {record.fate.replace('_', ' ')}{told}."
    return "The model has not learned from this item: it had no label when the snapshot was frozen, or people had called it spam."


def _lost(lost: Lost) -> str:
    return (
        f"Snapshot {lost.version} cannot be read: {lost.why}. So its rows and their weights are not known any more; "
        f"what the promotion log, the feedback and the ledger remember is below. To have it back, {RESTORE}."
    )


def _snapshot(version: Version | Lost, model: TracedModel) -> TracedSnapshot:
    if isinstance(version, Lost):
        consumed = model.verdict.consumed_feedback_seq if model.verdict else None
        return TracedSnapshot(version.version, model.snapshot_digest, None, None, None, consumed, None, is_intact=False)
    manifest = version.manifest
    return TracedSnapshot(
        version=manifest.version,
        digest=manifest.digest,
        rows=manifest.rows,
        train_rows=manifest.rows_of(split="train"),
        created_at=manifest.created_at,
        consumed_feedback_seq=manifest.consumed_feedback_seq,
        batches=len(manifest.batches),
        is_intact=True,
    )
