"""What do labels buy? Accuracy against labels used, of the champions and of shadow models, and the labels that choosing saves.

Puts together what the newest comparison of shadow models and the verdicts found; it trains and compares nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from curation.feedback.curated import State
from curation.health.progress import Score, Step
from curation.learning.label_value import CHOSEN_MINIMUM, CONTROL_MINIMUM, LabelValue, Point


@dataclass(frozen=True)
class Learned:
    """One champion: labels from people that it and those before it have learned from, and its score on the frozen test."""

    version: int
    labels: int
    score: Score


@dataclass(frozen=True)
class Bought:
    """The panel. `learned` by champion, oldest first; `comparison` is None before the first one of shadow models."""

    sentence: str
    notes: tuple[str, ...]
    learned: tuple[Learned, ...]
    comparison: LabelValue | None
    control_labels: int

    def points(self, arm: str) -> tuple[Point, ...]:
        """The shadow models of one arm ("chosen", "random"), by labels used; none before a comparison."""
        found = [point for point in self.comparison.points if point.arm == arm] if self.comparison else []
        return tuple(sorted(found, key=lambda point: point.labels))


def bought(comparison: LabelValue | None, steps: Sequence[Step], state: State | None) -> Bought:
    """The panel from the newest comparison, the decisions so far and what is curated."""
    learned, labels = [], 0
    for step in steps:
        labels += step.new_labels if step.kind == "promoted" else 0
        if step.kind in {"first", "promoted"} and step.champion_score is not None:
            learned.append(Learned(step.champion.version, labels, step.champion_score))
    control = state.control if state else 0
    if comparison is None:
        missing = max(0, CONTROL_MINIMUM - control)
        wanted = (
            f"{missing} more labels of the random control arm ({control} of {CONTROL_MINIMUM}), and {CHOSEN_MINIMUM} that the queue chose"
            if missing
            else "the next retrain compares them by shadow models"
        )
        return Bought(f"Not enough yet to tell what labels buy: {wanted}.", (), tuple(learned), None, control)
    notes = []
    if comparison.saved is None and comparison.points:
        notes.append("The curves are drawn as far as they go; with so few labels their order says nothing yet.")
    if control > comparison.judged_on:
        more = control - comparison.judged_on
        notes.append(f"{more:,} labels of the control arm have come since; the next retrain's comparison has them.")
    sentence = f"{comparison.why[:1].upper()}{comparison.why[1:]}."
    return Bought(sentence, tuple(notes), tuple(learned), comparison, control)
