"""The loop as assets, for any dataset: curated feedback, the decision on a challenger, predictions, the label queue, and their checks.

Each reads like a recipe; what it does is `curation_assets.loop` and `promotion`, what it shows is `loop_shown`. A dataset hands in
its declaration, its keys and what its assets have in common.
"""

from dataclasses import dataclass
from typing import Any, cast

import dagster as dg

from curation.label_queue import LabelQueue
from curation_assets import keys, loop_shown
from curation_assets.datasets import Declared
from curation_assets.loop import ask, curate, curated_state, predict, predictions_told, queue_by_reason
from curation_assets.promotion import decide
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


FEEDBACK = dg.AssetSpec(
    keys.FEEDBACK,
    description="One row per event of the feedback log, in feedback.duckdb. People and products write it over HTTP, by file or by SQL; "
    "the sensor and every run drain the log into it. What they judge are predictions: the loop is closed by them, not by an edge.",
    group_name="feedback",
    owners=list(keys.OWNERS),
    kinds={"duckdb", "sqlite"},
)


def loop_assets(known: Declared, loop: LoopKeys, common: dict[str, Any]) -> list[dg.AssetsDefinition]:
    """The four assets of a dataset's loop. `common`: group, owners, pool and required resources."""
    return [
        _curated_feedback(known, loop, common),
        _champion(known, loop, common),
        _predictions(known, loop, common),
        _queue(known, loop, common),
    ]


def _curated_feedback(known: Declared, loop: LoopKeys, common: dict[str, Any]) -> dg.AssetsDefinition:
    @dg.asset(
        key=loop.curated_feedback,
        deps=[keys.FEEDBACK],
        kinds={"duckdb", "parquet"},
        description="One row per item and annotator's last word, with the prediction it was about, and one label per item that follows.",
        **common,
    )
    def curated_feedback(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
        home: Home = context.resources.home
        curated = curate(home, known, now=now())
        context.log_event(dg.AssetObservation(keys.FEEDBACK, metadata=loop_shown.of_drain(curated.drained)))
        metadata = loop_shown.of_curated(home, known, curated)
        return dg.MaterializeResult(metadata=metadata, data_version=dg.DataVersion(curated.state.digest))

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
            metadata=loop_shown.of_champion(decision),
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


def keys_of_curated(known: Declared) -> dg.AssetKey:
    """The curated table's key: dbt names its assets after their models."""
    return dg.AssetKey(known.curated)


def loop_checks(known: Declared, loop: LoopKeys) -> list[dg.AssetChecksDefinition]:
    """What blocks training and labelling, with numbers; the arm's share is a fact to know."""
    return [
        _labels_are_known(known, loop),
        _feedback_is_matched(known, loop),
        _predictions_are_complete(known, loop),
        _probabilities_sum_to_one(known, loop),
        _control_arm_has_its_share(known, loop),
    ]


def _labels_are_known(known: Declared, loop: LoopKeys) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=loop.curated_feedback, name="labels_are_known", blocking=True, description="Every label is one of the dataset's."
    )
    def check(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
        state = curated_state(home, known)
        return dg.AssetCheckResult(
            passed=state.unknown_labels == 0, metadata={"last_words": state.words, "unknown_labels": state.unknown_labels}
        )

    return check


def _feedback_is_matched(known: Declared, loop: LoopKeys) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=loop.curated_feedback,
        name="feedback_is_matched",
        blocking=True,
        description="Enough of the feedback is about predictions of ours; the rest is kept and waits.",
    )
    def check(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
        state = curated_state(home, known)
        share = 1.0 if state.words == 0 else 1 - state.unmatched / state.words
        return dg.AssetCheckResult(
            passed=share >= known.loop.minimum_matched_share,
            metadata={
                "share_matched": round(share, 4),
                "minimum_share": known.loop.minimum_matched_share,
                "unmatched": state.unmatched,
                "last_words": state.words,
            },
        )

    return check


def _predictions_are_complete(known: Declared, loop: LoopKeys) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=loop.predictions,
        name="predictions_are_complete",
        blocking=True,
        description="Every curated item has one prediction of the champion.",
    )
    def check(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
        told = predictions_told(home, known)
        return dg.AssetCheckResult(
            passed=told["missing"] == 0 and told["repeated"] == 0,
            metadata={name: told[name] for name in ("curated", "missing", "repeated")},
        )

    return check


def _probabilities_sum_to_one(known: Declared, loop: LoopKeys) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=loop.predictions,
        name="probabilities_sum_to_one",
        blocking=True,
        description="Of every prediction, within a billionth; none is negative.",
    )
    def check(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
        told = predictions_told(home, known)
        return dg.AssetCheckResult(
            passed=told["largest_gap"] <= SUM_TOLERANCE and told["smallest"] >= 0,
            metadata={"rows": told["rows"], "largest_gap": told["largest_gap"], "smallest_probability": told["smallest"]},
        )

    return check


def _control_arm_has_its_share(known: Declared, loop: LoopKeys) -> dg.AssetChecksDefinition:
    @dg.asset_check(
        asset=loop.queue, name="control_arm_has_its_share", description="The random control arm is as large as the policy says."
    )
    def check(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
        path = LabelQueue(home.lake / "label_queue", known.dataset.name).current()
        asked = queue_by_reason(path) if path else {}
        total, control = sum(asked.values()), asked.get("control", 0)
        wanted = round(total * known.loop.queue.control_share)
        return dg.AssetCheckResult(
            passed=abs(control - wanted) <= 1,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={"entries": total, "control": control, "share": round(control / total, 4) if total else 0.0},
        )

    return check
