"""Is it getting better? What the promotion log tells of the models' accuracy over time, in a sentence and figures.

Decisions in, `Progress` out. Opens nothing but the evaluation beside the first model's file, which no verdict has judged.
"""

import functools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from curation.errors import CurationError
from curation.learning.evaluation import Estimate, wilson
from curation.learning.gate import Part, Verdict
from curation.promotions import Decision, Kind, ModelReference

EVALUATION = "evaluation.json"
SLICE_ROWS_AT_LEAST = 50
"""Rows below which a slice is not called weak: its interval is wider than 25 points."""


@dataclass(frozen=True)
class Score:
    """One model on one set of rows: its share of right answers with Wilson's 95% interval."""

    rows: int
    accuracy: Estimate


@dataclass(frozen=True)
class Step:
    """One decision: who was judged (after a rollback, who returned), and who is champion since, each on the rows of that day.

    Scores are None where nothing tells them: of a rollback's champion no verdict on any rows, of a control arm without labels.
    `difference_points` is challenger minus champion on the same rows, None but for verdicts on a challenger.
    """

    number: int
    kind: Kind
    at: datetime
    by: str
    why: str
    judged: ModelReference
    champion: ModelReference
    former_champion: ModelReference | None
    judged_score: Score | None
    champion_score: Score | None
    control_score: Score | None  # of the champion, on the control arm
    difference_points: Estimate | None
    new_labels: int


@dataclass(frozen=True)
class Slice:
    """The champion on one slice of the frozen test rows; `is_against` when this slice spoke against the last challenger."""

    name: str
    score: Score
    difference_points: Estimate
    is_against: bool


@dataclass(frozen=True)
class Progress:
    """The panel: `sentence` answers, `notes` say what else is to be known; steps and slices as their verdicts have them.

    `gain_points`: what the champion has gained over the first model, None before a second one.
    """

    sentence: str
    notes: tuple[str, ...]
    steps: tuple[Step, ...]
    slices: tuple[Slice, ...]
    gain_points: Estimate | None

    @property
    def champion(self) -> ModelReference | None:
        """Who predicts now, None before the first."""
        return self.steps[-1].champion if self.steps else None

    def weakest(self, at_most: int) -> tuple[Slice, ...]:
        """Slices with enough rows, the champion's weakest first."""
        known = [part for part in self.slices if part.score.rows >= SLICE_ROWS_AT_LEAST]
        return tuple(sorted(known, key=lambda part: (part.score.accuracy.value, part.name))[:at_most])


def progress(dataset: str, decisions: Sequence[Decision], models: Path) -> Progress:
    """The panel from all decisions, oldest first. `models`: the folder that the references' artefacts lie below.

    CurationError where a verdict's figures are none.
    """
    if not decisions:
        sentence = f"There is no model of {dataset} yet: the first comes with curation run {dataset}."
        return Progress(sentence, (), (), (), None)
    first_score, notes = _evaluated(models, decisions[0].champion)
    steps: list[Step] = []
    for decision in decisions:
        steps.append(_step(decision, steps, first_score))
    if steps[0].champion_score is None and len(decisions) > 1 and (met := _verdict(decisions[1])):
        known = _score(met.overall, met.overall.champion_accuracy)  # the same model, a snapshot later
        steps[0] = replace(steps[0], judged_score=known, champion_score=known)
    standing = _standing(steps)
    gain = _summed([step.difference_points for step in standing if step.difference_points is not None])
    sentence = _sentence(steps, standing, gain)
    last = next((step for step in reversed(steps) if step.kind != "rolled_back"), None)
    if last is not None and last.kind == "refused":
        notes.append(f"The last challenger, version {last.judged.version}, was {_without_full_stop(last.why)}.")
    return Progress(sentence, tuple(notes), tuple(steps), _slices(decisions, steps[-1].champion), gain)


def _evaluated(models: Path, reference: ModelReference) -> tuple[Score | None, list[str]]:
    """What training found of a model on the test split of its snapshot; None where the file is not there, with why it cannot be read."""
    path = (models / reference.artefact).with_name(EVALUATION)
    try:
        told = json.loads(path.read_bytes())
        return Score(int(told["rows"]), Estimate(**told["accuracy"])), []
    except FileNotFoundError:
        return None, []
    except (ValueError, KeyError, TypeError):
        return None, [f"{path} is damaged, so the first model's accuracy is not shown; restore it from a backup."]


@functools.cache
def _verdicts() -> TypeAdapter[Verdict]:
    return TypeAdapter(Verdict)


def _verdict(decision: Decision) -> Verdict | None:
    """The gate's figures; None for the first champion, who met nobody, and for rollbacks."""
    if not decision.figures:
        return None
    try:
        return _verdicts().validate_python(decision.figures)
    except ValidationError as error:
        told = error.errors(include_url=False)[0]
        raise CurationError(
            f"decision {decision.number} of {decision.dataset} has figures of another kind: {'.'.join(map(str, told['loc']))} {told['msg']}",
            f"curation verify {decision.dataset} tells whether it was changed",
        ) from error


def _score(part: Part, accuracy: float) -> Score:
    return Score(part.rows, wilson(round(accuracy * part.rows), part.rows))


def _step(decision: Decision, before: Sequence[Step], first_score: Score | None) -> Step:
    verdict = _verdict(decision)
    judged = decision.challenger or decision.champion
    told: Mapping[str, Any] = {"judged_score": None, "champion_score": None, "control_score": None}
    if verdict is not None:
        is_promoted = decision.kind == "promoted"
        overall, control = verdict.overall, verdict.control
        challenger = _score(overall, overall.challenger_accuracy)
        told = {
            "judged_score": challenger,
            "champion_score": challenger if is_promoted else _score(overall, overall.champion_accuracy),
            "control_score": _score(control, control.challenger_accuracy if is_promoted else control.champion_accuracy)
            if control is not None
            else None,
        }
    elif decision.kind == "first":
        told = {"judged_score": first_score, "champion_score": first_score, "control_score": None}
    elif known := next((step for step in reversed(before) if step.champion == decision.champion), None):
        told = {
            "judged_score": known.champion_score,
            "champion_score": known.champion_score,
            "control_score": known.control_score,
        }
    return Step(
        number=decision.number,
        kind=decision.kind,
        at=decision.at,
        by=decision.by,
        why=decision.why,
        judged=judged,
        champion=decision.champion,
        former_champion=decision.former_champion,
        difference_points=verdict.overall.difference_points if verdict is not None else None,
        new_labels=verdict.new_labels if verdict is not None else 0,
        **told,
    )


def _standing(steps: Sequence[Step]) -> list[Step]:
    """The steps that led to the present champion: the first, and the promotions that no rollback has taken back."""
    pile: list[Step] = []
    for step in steps:
        if step.kind in {"first", "promoted"}:
            pile.append(step)
        elif step.kind == "rolled_back":
            pile.pop()
    return pile


def _summed(differences: Sequence[Estimate]) -> Estimate | None:
    """The sum of differences, each measured on its own day's rows, with a 95% interval; None for no difference.

    G. Zou and A. Donner, "Construction of confidence limits about effect measures" (Statistics in Medicine 27, 2008): the limits'
    distances add up in squares. It takes the differences for independent, which successive gains on one test set nearly are.
    """
    if not differences:
        return None
    total = sum(one.value for one in differences)
    below = math.sqrt(sum((one.value - one.low) ** 2 for one in differences))
    above = math.sqrt(sum((one.high - one.value) ** 2 for one in differences))
    return Estimate(total, total - below, total + above)


def _sentence(steps: Sequence[Step], standing: Sequence[Step], gain: Estimate | None) -> str:
    last, champion = steps[-1], steps[-1].champion.version
    score = last.champion_score
    has_right = (
        f"{score.accuracy.value:.1%} of {score.rows:,} frozen test rows right"
        if score is not None
        else "an accuracy that no file tells"
    )
    if gain is None:
        sentence = f"Too early to tell: version {champion} is the first champion, with {has_right}"
        if last.kind == "rolled_back":
            sentence = f"No: version {champion}, the first champion, predicts again, with {has_right}"
    else:
        first = standing[0].champion.version
        points = f"{gain.value:+.1f} points since version {first} (95%: {gain.low:+.1f} to {gain.high:+.1f})"
        answer = "Yes" if gain.low > 0 else "No, it is getting worse" if gain.high < 0 else "Not certainly"
        doubt = "" if gain.low > 0 or gain.high < 0 else ", which may be chance"
        sentence = f"{answer}: {points}{doubt}; version {champion} has {has_right}"
    if last.kind == "rolled_back" and last.former_champion is not None:
        sentence += f". Version {last.former_champion.version} was taken back: {_without_full_stop(last.why)}"
    return f"{sentence}."


def _without_full_stop(words: str) -> str:
    return words.strip().rstrip(".")


def _slices(decisions: Sequence[Decision], champion: ModelReference) -> tuple[Slice, ...]:
    """The champion by slice, from the newest verdict in which it was judged; none before one."""
    for decision in reversed(decisions):
        if champion not in {decision.challenger, decision.former_champion}:
            continue
        verdict = _verdict(decision)
        if verdict is not None:
            is_challenger = champion == decision.challenger
            return tuple(
                Slice(
                    part.name,
                    _score(part, part.challenger_accuracy if is_challenger else part.champion_accuracy),
                    part.difference_points,
                    part.is_against,
                )
                for part in verdict.slices
            )
    return ()
