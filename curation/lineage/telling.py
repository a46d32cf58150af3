"""Lineage in sentences: what a model, a training row and somebody's word were to a prediction. For terminals and pages alike.

No figure is computed here. Names and labels stand in the sentences as they are: whoever shows them makes them harmless.
"""

from curation.lineage.explaining import Learned
from curation.lineage.models import Standing, TracedModel, Turn
from curation.lineage.words import HumanLabel

STANDINGS: dict[Standing, str] = {
    "champion": "it is the champion now",
    "replaced": "a better one has taken its place",
    "rolled_back": "it was champion and has been rolled back",
    "refused": "the gate refused it",
    "undecided": "the promotion log knows nothing of it",
}


def model_sentence(model: TracedModel, champion: int | None) -> str:
    """One sentence about a model: its figure, and where it stands."""
    score = f"{model.score.accuracy.value:.1%} of {model.score.rows:,} test rows right" if model.score else "no accuracy on file"
    standing = STANDINGS[model.standing]
    if model.standing != "champion" and champion is not None:
        standing += f"; version {champion} is champion"
    return f"Version {model.version}: {score}; {standing}."


def turn_sentence(turn: Turn) -> str:
    """One decision with its reason, which begins with the verdict where there is one."""
    kind = turn.kind.replace("_", " ")
    return turn.why if turn.why.startswith(f"{kind}:") else f"{kind}: {turn.why}"


def row_sentence(row: Learned) -> str:
    """One sentence about a training row: which it is, how it was labelled and what it weighs."""
    which = "The item itself" if row.is_item else f"Row {row.key[:16]} of its cluster"
    use = {"train": "trained it", "validation": "tuned it", "test": "judged it (test rows train nothing)"}[row.split]
    if row.label is None:
        return f"{which} {use}; its label is not known any more."
    origin = {"human": "given by people", "derived": "derived from its record"}.get(row.label_origin or "", "of unknown origin")
    weight = f", weight {row.weight:.4g}" if row.weight is not None else ""
    return f"{which} {use} as {row.label}, {origin}{weight}."


def label_sentence(word: HumanLabel) -> str:
    """One sentence about somebody's word: what, when, which event, and whether the snapshot learned from it."""
    said = word.label or f"{word.kind} (no label)"
    learned = "" if word.is_consumed else "; this model has not learned from it"
    return f"{word.annotator} said {said} at {word.occurred_at:%Y-%m-%d %H:%M} UTC (event {word.seq}, {word.event_id}){learned}."
