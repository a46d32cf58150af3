"""The decision on a challenger, and a person's way back: what the champion's asset and `curation rollback` do, for any dataset.

The newest trained model meets the champion on the frozen test split and on the control arm; `curation.learning.gate` judges,
`curation.promotions` remembers. MLflow's aliases follow that log, never the other way round.
"""

import datetime
import json
from collections.abc import Sequence
from typing import Any

import duckdb
import pyarrow.parquet as pq

from curation.errors import CurationError
from curation.feedback.curated import FEEDBACK, LABELS, CuratedFeedback
from curation.learning.gate import Compared, judge, length_bands
from curation.promotions import Decision, ModelReference, PromotionLog
from curation.snapshots.manifest import Manifest
from curation.snapshots.store import SnapshotStore
from curation.training_rows import SPAM
from curation_assets.datasets import Declared
from curation_assets.loop import NO_HEAD, predictor_of
from curation_assets.steps import check_as_written, model_told
from resources.home import Home
from resources.model_registry import ModelRegistry

NOT_SLICES = {"item_id", "text", "label", "label_origin", "weight", "labelled_at"}
SLICE_VALUES_AT_MOST = 200  # a column with more values than this names things, and is no slice


def decide(home: Home, known: Declared, registry: ModelRegistry, *, by: str, now: datetime.datetime) -> Decision:
    """The newest decision once the newest trained model has its verdict, which is given only once: after it, a rollback stands.

    Raises CurationError before any training.
    """
    name = known.dataset.name
    told = model_told(home, name)
    if told is None:
        raise CurationError(f"{name} has no trained model to decide on", f"curation run {name}")
    log = PromotionLog(home.promotions, name)
    challenger, snapshot = ModelReference.model_validate(told["reference"]), told["snapshot_version"]
    manifest = SnapshotStore(home.snapshots).manifest(name, snapshot)
    champion = log.champion()
    decided: dict[str, Any] = {"kind": "first", "why": "the first model: there is no champion to compare it with", "figures": {}}
    is_open = not any((past.challenger, past.snapshot_version) == (challenger, snapshot) for past in log.decisions())
    if champion is not None and is_open:
        decided = _judged(home, known, log, manifest, challenger, champion)
    log.append(
        kind=decided["kind"],
        challenger=challenger,
        champion=champion if champion is not None and decided["kind"] == "refused" else challenger,
        former_champion=champion,
        snapshot_version=snapshot,
        consumed_feedback_seq=manifest.consumed_feedback_seq,
        feedback_head=manifest.consumed_feedback_head or NO_HEAD.chain,
        at=now,
        by=by,
        why=decided["why"],
        figures=decided["figures"],
    )
    newest = log.decisions()[-1]
    registry.point(name, newest.champion.version, newest.challenger.version if newest.challenger else None)
    return newest


def roll_back(home: Home, known: Declared, registry: ModelRegistry, *, by: str, why: str, now: datetime.datetime) -> Decision:
    """Make the former champion champion again; its predictions stand as they were. CurationError where there is none, or no reason."""
    if not why.strip():
        raise CurationError("a rollback needs a reason", 'say why: --reason "..."')
    decision = PromotionLog(home.promotions, known.dataset.name).roll_back(at=now, by=by, why=why.strip())
    registry.point(known.dataset.name, decision.champion.version, None)
    return decision


def _judged(
    home: Home, known: Declared, log: PromotionLog, manifest: Manifest, challenger: ModelReference, champion: ModelReference
) -> dict[str, Any]:
    """Kind, reason and figures of a comparison with the champion."""
    models = (predictor_of(home, champion), predictor_of(home, challenger))
    verdict = judge(
        _compared_on_test(home, manifest, models),
        known.loop.gate,
        new_labels=_new_labels(home, manifest, champion),
        verdicts_given=sum(past.kind in {"promoted", "refused"} for past in log.decisions()),
        control=_compared_on_control(home, known, models),
    )
    return {"kind": verdict.kind, "why": verdict.why, "figures": json.loads(json.dumps(verdict.as_json()))}


def _said(models: Sequence[Any], texts: list[str]) -> list[list[str]]:
    """What each of the two models says of each text."""
    return [[str(label) for label in model.pipeline.predict(texts)] for model in models]


def _compared_on_test(home: Home, manifest: Manifest, models: Sequence[Any]) -> Compared:
    """The frozen test split of the challenger's snapshot, sliced by every column with few values."""
    import polars as pl

    from curation.learning.language import script_of

    folder = SnapshotStore(home.snapshots).folder(manifest.dataset, manifest.version)
    check_as_written(folder, manifest, "test")
    parts = [folder / path for path in manifest.data_parts("test")]
    if not parts:
        raise CurationError(
            f"{manifest.dataset} {manifest.version} has no test rows to compare models on", "take in more records"
        )
    rows = pl.concat([pl.read_parquet(part) for part in parts])
    texts = rows["text"].to_list()
    champion, challenger = _said(models, texts)
    slices: dict[str, Sequence[object]] = {
        "language": script_of(rows["text"]).to_list(),
        "length": length_bands(rows["text"].str.count_matches(r"\S+").to_list()),
    }
    for column in manifest.columns[1:]:
        if column.name not in NOT_SLICES and rows[column.name].n_unique() <= SLICE_VALUES_AT_MOST:
            slices[column.name] = rows[column.name].to_list()
    return Compared(rows[manifest.key].to_list(), rows["label"].to_list(), champion, challenger, slices)


def _compared_on_control(home: Home, known: Declared, models: Sequence[Any]) -> Compared | None:
    """The newest labels of the control arm; None while there are none."""
    book = CuratedFeedback(home.lake, known.dataset.name)
    labels, feedback = book.control_labels(known.loop.control_labels), book.file(FEEDBACK)
    if labels is None or not labels.num_rows or feedback is None:
        return None
    with duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}) as connection:
        connection.register("labels", labels)
        rows = connection.execute(
            "select item_id, labels.label, any_value(words.text order by words.seq) from labels "
            "join read_parquet(?) as words using (item_id) where words.text is not null group by all order by item_id",
            [str(feedback)],
        ).fetchall()
    keys, told, texts = ([row[place] for row in rows] for place in range(3))
    if not keys:
        return None
    champion, challenger = _said(models, texts)
    return Compared(keys, told, champion, challenger, {})


def _new_labels(home: Home, manifest: Manifest, champion: ModelReference) -> int:
    """Items of which the challenger has learned something from people that the champion has not: a label, another one, or none any more."""
    store = SnapshotStore(home.snapshots)
    folders = (
        store.folder(manifest.dataset, manifest.version),
        store.folder(manifest.dataset, champion.snapshot_version),
    )
    now, before = ({path for path in folder.glob("data/*/*.parquet") if path.parent.name != "test"} for folder in folders)
    with duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}) as connection:
        for name, parts in (("now", now), ("before", before)):
            connection.read_parquet([str(part) for part in sorted(parts)]).create_view(name)
        key = manifest.key
        row = connection.execute(
            f"with human_now as (select {key} as item, label from now where label_origin = 'human'), "
            f"human_before as (select {key} as item, label from before where label_origin = 'human') "
            "select count(*) from human_now full join human_before using (item) "
            "where human_now.label is distinct from human_before.label"
        ).fetchone()
        spam = _called_spam(connection, home, manifest, key)
    return (row[0] if row else 0) + spam


def _called_spam(connection: duckdb.DuckDBPyConnection, home: Home, manifest: Manifest, key: str) -> int:
    """Rows with a derived label that the champion trained on and that people have called spam since."""
    labels = CuratedFeedback(home.lake, manifest.dataset).file(LABELS)
    if labels is None:
        return 0
    connection.register("labels", pq.read_table(labels, columns=["item_id", "label", "is_held_out"]))
    row = connection.execute(
        f"select count(*) from labels join before on before.{key} = labels.item_id "
        "where labels.label = ? and not is_held_out and before.label_origin = 'derived'",
        [SPAM],
    ).fetchone()
    return row[0] if row else 0
