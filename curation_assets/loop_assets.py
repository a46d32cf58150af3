"""The loop as assets, for any dataset: curated feedback, the decision on a challenger, predictions, the label queue,
what labels buy, and their checks.

Each reads like a recipe; what it does is `curation_assets.loop` and `promotion`, what it shows is `loop_shown`. A dataset hands in
its declaration, its keys and what its assets have in common.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, cast

import dagster as dg

from curation.label_queue import LabelQueue
from curation.learning.selection import CONTROL
from curation_assets import keys, loop_shown
from curation_assets.datasets import Declared
from curation_assets.display import rounded
from curation_assets.drift import drift_check
from curation_assets.label_value import label_value_now
from curation_assets.loop import ask, curate, curated_state, predict, predictions_told, queue_by_reason
from curation_assets.promotion import decide
from feedback_sensors.decision import why_obsolete
from feedback_sensors.facts import watermark_of
from resources.home import Home, now

SUM_TOLERANCE = 1e-9


@dataclass(frozen=True)
class LoopKeys:
    """The keys of one dataset's loop."""

    curated_feedback: dg.AssetKey
    model: dg.AssetKey
    champion: dg.AssetKey
    predictions: dg.AssetKey
    queue: dg.AssetKey
    label_value: dg.AssetKey


FEEDBACK = dg.AssetSpec(
    keys.FEEDBACK,
    description="One row per event of the feedback log, in feedback.duckdb. People and products write it over HTTP, by file or by SQL; "
    "the sensor and every run drain the log into it. What they judge are predictions: the loop is closed by them, not by an edge.",
    group_name="feedback",
    owners=list(keys.OWNERS),
    kinds={"duckdb", "sqlite"},
)


def loop_assets(known: Declared, loop: LoopKeys, common: dict[str, Any]) -> list[dg.AssetsDefinition]:
    """The five assets of a dataset's loop. `common`: group, owners, pool and required resources."""
    return [
        _curated_feedback(known, loop, common),
        _champion(known, loop, common),
        _predictions(known, loop, common),
        _queue(known, loop, common),
        _label_value(known, loop, common),
    ]


def _curated_feedback(known: Declared, loop: LoopKeys, common: dict[str, Any]) -> dg.AssetsDefinition:
    @dg.asset(
        key=loop.curated_feedback,
        deps=[keys.FEEDBACK],
        kinds={"duckdb", "parquet"},
        description="One row per item and annotator's last word, with the prediction it was about, and one label per item that follows.",
        output_required=False,
        **common,
    )
    def curated_feedback(context: dg.AssetExecutionContext) -> Iterator[dg.MaterializeResult[None]]:
        home: Home = context.resources.home
        if obsolete := why_obsolete(context.run.tags, watermark_of(home, known.dataset.name).seq):
            context.log.warning(obsolete)  # a run that Dagster started late: it ends here, well and without a verdict
            return
        curated = curate(home, known, now=now())
        context.log_event(dg.AssetObservation(keys.FEEDBACK, metadata=loop_shown.of_drain(curated.drained)))
        metadata = loop_shown.of_curated(home, known, curated)
        yield dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(curated.state.digest))

    return cast(dg.AssetsDefinition, curated_feedback)


def _champion(known: Declared, loop: LoopKeys, common: dict[str, Any]) -> dg.AssetsDefinition:
    @dg.asset(
        key=loop.champion,
        deps=[loop.model],
        kinds={"mlflow"},
        description="The model that predicts. A challenger takes its place when the gate finds it no worse, and it has learned from new labels.",
        check_specs=[
            dg.AssetCheckSpec(
                "challenger_takes_over", asset=loop.champion, description="The gate's verdict on the newest challenger."
            )
        ],
        **common,
    )
    def champion(context: dg.AssetExecutionContext) -> dg.MaterializeResult:  # type: ignore[type-arg]  # Dagster reads the bare class only
        decision = decide(context.resources.home, known, context.resources.registry, by=f"run {context.run_id}", now=now())
        return dg.MaterializeResult(
            metadata=loop_shown.of_champion(context.instance, decision),
            data_version=dg.DataVersion(decision.champion.artefact_sha256),
            check_results=[
                dg.AssetCheckResult(
                    check_name="challenger_takes_over",
                    passed=decision.kind != "refused",
                    severity=dg.AssetCheckSeverity.WARN,  # a refusal is the gate at work: the run goes on with the champion
                    description=decision.why,
                    metadata=loop_shown.of_verdict(context.instance, decision),
                )
            ],
        )

    return cast(dg.AssetsDefinition, champion)


def _predictions(known: Declared, loop: LoopKeys, common: dict[str, Any]) -> dg.AssetsDefinition:
    @dg.asset(
        key=loop.predictions,
        deps=[loop.champion, keys_of_curated(known)],
        kinds={"scikitlearn", "parquet"},
        description="One row per curated item and model: label, probabilities, margin, and what is needed to judge them later. By arrival day.",
        **common,
    )
    def predictions(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        predicted = predict(context.resources.home, known, now=now())
        return dg.MaterializeResult(metadata=loop_shown.of_predictions(context.resources.home, known, predicted))

    return cast(dg.AssetsDefinition, predictions)


def _queue(known: Declared, loop: LoopKeys, common: dict[str, Any]) -> dg.AssetsDefinition:
    @dg.asset(
        key=loop.queue,
        deps=[loop.predictions],
        kinds={"parquet"},
        description="One row per item that people should label next, with the reason and the probability with which it was chosen.",
        **common,
    )
    def queue(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        asked = ask(context.resources.home, known, now=now())
        return dg.MaterializeResult(metadata=loop_shown.of_queue(known, asked))

    return cast(dg.AssetsDefinition, queue)


def _label_value(known: Declared, loop: LoopKeys, common: dict[str, Any]) -> dg.AssetsDefinition:
    @dg.asset(
        key=loop.label_value,
        deps=[loop.champion],
        kinds={"scikitlearn"},
        description="What labels buy: accuracy by number of labels, chosen and random ones, by shadow models that are never kept. "
        "Made by a retrain.",
        **common,
    )
    def label_value(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        value = label_value_now(context.resources.home, known)
        return dg.MaterializeResult(metadata=loop_shown.of_label_value(context.instance, value))

    return cast(dg.AssetsDefinition, label_value)


def keys_of_curated(known: Declared) -> dg.AssetKey:
    """The curated table's key: dbt names its assets after their models."""
    return dg.AssetKey(known.curated)


def loop_checks(known: Declared, loop: LoopKeys) -> list[dg.AssetChecksDefinition]:
    """What blocks training and labelling, with numbers; drift and the arm's share are facts to know."""
    return [
        _check(loop.curated_feedback, labels_are_known, known),
        _check(loop.curated_feedback, feedback_is_matched, known),
        _check(loop.predictions, predictions_are_complete, known),
        _check(loop.predictions, probabilities_sum_to_one, known),
        drift_check(loop.predictions, known),
        _check(loop.queue, control_arm_has_its_share, known, blocking=False),
    ]


Judged = tuple[bool, dict[str, Any]]
"""Whether a check passes, and the figures that it rests on."""


def _check(
    asset: dg.AssetKey, judge: Callable[[Home, Declared], Judged], known: Declared, *, blocking: bool = True
) -> dg.AssetChecksDefinition:
    @dg.asset_check(asset=asset, name=judge.__name__, description=judge.__doc__, blocking=blocking)
    def check(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
        passed, metadata = judge(home, known)
        severity = dg.AssetCheckSeverity.ERROR if blocking else dg.AssetCheckSeverity.WARN
        return dg.AssetCheckResult(passed=passed, severity=severity, metadata=metadata)

    return check


def labels_are_known(home: Home, known: Declared) -> Judged:
    """Every label is one of the dataset's."""
    state = curated_state(home, known)
    return state.unknown_labels == 0, {"last_words": state.words, "unknown_labels": state.unknown_labels}


def feedback_is_matched(home: Home, known: Declared) -> Judged:
    """Enough of the feedback is about predictions of ours; the rest is kept and waits."""
    state = curated_state(home, known)
    share, minimum = 1.0 if state.words == 0 else 1 - state.unmatched / state.words, known.loop.minimum_matched_share
    figures = {"share_matched": rounded(share), "unmatched": state.unmatched, "last_words": state.words}
    return share >= minimum, {**figures, "minimum_share": minimum}


def predictions_are_complete(home: Home, known: Declared) -> Judged:
    """Every curated item has one prediction of the champion."""
    told = predictions_told(home, known)
    return told["missing"] == told["repeated"] == 0, {name: told[name] for name in ("curated", "missing", "repeated")}


def probabilities_sum_to_one(home: Home, known: Declared) -> Judged:
    """Those of every prediction do, within a billionth, and none is negative."""
    told = predictions_told(home, known)
    passed = told["largest_gap"] <= SUM_TOLERANCE and told["smallest"] >= 0
    return passed, {name: told[name] for name in ("rows", "largest_gap", "smallest")}


def control_arm_has_its_share(home: Home, known: Declared) -> Judged:
    """The random control arm is as large as the policy says."""
    path = LabelQueue(home.lake / "label_queue", known.dataset.name).current()
    asked = queue_by_reason(path) if path else {}
    total, control = sum(asked.values()), asked.get(CONTROL, 0)
    figures = {"entries": total, "control": control, "share": rounded(control / total) if total else 0.0}
    return abs(control - round(total * known.loop.queue.control_share)) <= 1, figures
