"""The models of a dataset as lineage sees them: what each learned from, how it fared, whether it is live, what it predicted.

From the promotion log and the parts of predictions alone; opens no model and no MLflow. A model that was trained but neither judged
nor used leaves no trace here: nothing depends on it.
"""

import datetime
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pyarrow.parquet as pq

from curation.health.progress import Progress, Score, Step, progress
from curation.learning.evaluation import Estimate
from curation.lineage.places import Traced
from curation.predictions import PredictionStore
from curation.promotions import VERDICTS, Decision, Kind, ModelReference, PromotionLog

Standing = Literal["champion", "replaced", "rolled_back", "refused", "undecided"]


@dataclass(frozen=True)
class Turn:
    """One decision that concerned a model: it was judged, it took or lost its place, or it came back."""

    number: int
    kind: Kind
    at: datetime.datetime
    by: str
    why: str


@dataclass(frozen=True)
class Verdict:
    """What the gate made of a model. `difference_points` is against the champion of that day, None for the first model.

    `consumed_feedback_seq`: the last event of the feedback log whose labels it may have learned from.
    """

    kind: Kind
    why: str
    difference_points: Estimate | None
    new_labels: int
    consumed_feedback_seq: int


@dataclass(frozen=True)
class TracedModel:
    """One model version. `aliases` are live now; `score` is on its frozen test rows, None where no file tells.

    `standing`: champion; replaced by a better one; rolled_back; refused by the gate; undecided where the promotion log does not
    know it. `predictions`: rows it has left in the lake.
    """

    version: int
    snapshot_version: str
    snapshot_digest: str | None
    artefact: str | None
    artefact_sha256: str | None
    standing: Standing
    aliases: tuple[str, ...]
    score: Score | None
    verdict: Verdict | None
    turns: tuple[Turn, ...]
    predictions: int


def traced_models(traced: Traced) -> list[TracedModel]:
    """One entry per model version that was judged or has predicted, oldest first. CurationError where the promotion log is damaged."""
    log = PromotionLog(traced.places.promotions, traced.dataset)
    decisions = log.decisions()
    told = progress(traced.dataset, decisions, traced.places.models)
    store = PredictionStore(traced.places.predictions, traced.dataset)
    known: dict[int, ModelReference] = {}
    for decision in decisions:
        for reference in (decision.challenger, decision.champion):
            if reference is not None:
                known[reference.version] = reference
    models = [_judged(reference, decisions, told, _count(store, reference.version)) for reference in known.values()]
    predicting = {int(part.parent.parent.name.removeprefix("model=")) for part in store.parts()}
    models += [_undecided(store, version) for version in predicting - known.keys()]
    return sorted(models, key=lambda model: model.version)


def former_champion(traced: Traced) -> int | None:
    """The version that a rollback would restore; None where there is none."""
    former = PromotionLog(traced.places.promotions, traced.dataset).former_champion()
    return former.version if former else None


def _count(store: PredictionStore, version: int) -> int:
    """Predictions of a model, from the footers of its parts."""
    return sum(_rows(part) for part in store.parts(version))


def _rows(part: Path) -> int:
    rows: int = pq.read_metadata(part).num_rows
    return rows


def _judged(reference: ModelReference, decisions: Sequence[Decision], told: Progress, predictions: int) -> TracedModel:
    version = reference.version
    turns = tuple(
        Turn(decision.number, decision.kind, decision.at, decision.by, decision.why)
        for decision in decisions
        if _concerns(decision, version)
    )
    judged = next((step for step in told.steps if step.kind in VERDICTS and step.judged.version == version), None)
    champion = decisions[-1].champion.version
    challenger = decisions[-1].challenger
    aliases = ["champion"] if version == champion else []
    if challenger is not None and challenger.version == version:
        aliases.append("challenger")  # as MLflow has it: the model of the last verdict
    return TracedModel(
        version=version,
        snapshot_version=reference.snapshot_version,
        snapshot_digest=reference.snapshot_digest,
        artefact=reference.artefact,
        artefact_sha256=reference.artefact_sha256,
        standing=_standing(version, decisions),
        aliases=tuple(aliases),
        score=judged.judged_score if judged else None,
        verdict=_verdict(judged, decisions) if judged else None,
        turns=turns,
        predictions=predictions,
    )


def _concerns(decision: Decision, version: int) -> bool:
    if decision.challenger is not None and decision.challenger.version == version:
        return True
    former = decision.former_champion.version if decision.former_champion else None
    return decision.champion.version != former and version in {decision.champion.version, former}


def _standing(version: int, decisions: Sequence[Decision]) -> Standing:
    if decisions[-1].champion.version == version:
        return "champion"
    for decision in reversed(decisions):
        if decision.former_champion is not None and decision.former_champion.version == version:
            if decision.kind == "rolled_back":
                return "rolled_back"
            if decision.kind == "promoted":
                return "replaced"
    return "refused"


def _verdict(step: Step, decisions: Sequence[Decision]) -> Verdict:
    consumed = decisions[step.number - 1].consumed_feedback_seq
    return Verdict(step.kind, step.why, step.difference_points, step.new_labels, consumed)


def _undecided(store: PredictionStore, version: int) -> TracedModel:
    """A model that has predicted and that no decision names: its predictions tell what it learned from."""
    first = pq.read_table(store.parts(version)[0], columns=["snapshot_version", "model_sha256"]).slice(0, 1).to_pylist()
    told = first[0] if first else {"snapshot_version": "", "model_sha256": None}
    return TracedModel(
        version=version,
        snapshot_version=told["snapshot_version"] or "",
        snapshot_digest=None,
        artefact=None,
        artefact_sha256=told["model_sha256"],
        standing="undecided",
        aliases=(),
        score=None,
        verdict=None,
        turns=(),
        predictions=_count(store, version),
    )
