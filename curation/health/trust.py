"""Can we trust the labels? How well annotators agree, who is reliable and who is not, and what is still disputed.

Reads the newest generation of curated feedback; computes no agreement of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import pyarrow.parquet as pq

from curation.errors import CurationError
from curation.feedback.curated import ANNOTATORS, CuratedFeedback, State
from curation.feedback.word_tables import Summary

RELIABLE_ALPHA, TENTATIVE_ALPHA = 0.8, 0.667
"""Krippendorff, "Content Analysis" (2004), section 11.4: rely on labels from 0.800, draw tentative conclusions down to 0.667."""
VOTES_AT_LEAST = 20
"""Votes below which nobody is called hostile: by chance alone one in a hundred of as many would look so."""


@dataclass(frozen=True)
class Annotator:
    """Who voted, and the expected share of right votes. `is_hostile`: right less often than one who picks labels blindly."""

    name: str
    reliability: float
    votes: int
    agreement: float | None  # share of the others who said the same; None where nothing was shared
    is_hostile: bool


@dataclass(frozen=True)
class Trust:
    """The panel. `annotators` from the least reliable up; `chance` is the reliability of one who picks labels blindly."""

    sentence: str
    notes: tuple[str, ...]
    alpha: float | None
    annotators: tuple[Annotator, ...]
    chance: float
    heard: Summary  # what people say now: open conflicts among it
    curated: State | None  # what the newest generation holds


def trust(book: CuratedFeedback, labels: Sequence[str], heard: Summary) -> Trust:
    """The panel from the newest curated feedback, and from what people say now. CurationError where files are damaged."""
    chance = 1.0 / len(labels)
    state = book.current()
    if state is None or not state.items:
        sentence = f"There is nothing to trust yet: nobody's label of {book.dataset} has been curated."
        return Trust(sentence, (), None, (), chance, heard, state)
    annotators = _annotators(book, chance)
    hostile = [one for one in annotators if one.is_hostile]
    sentence = _agreement(state)
    if hostile:
        told = ", ".join(f"{one.name} ({one.reliability:.0%} of {one.votes:,} right)" for one in hostile[:3])
        more = f" and {len(hostile) - 3} more" if len(hostile) > 3 else ""
        sentence += f" Worse than blind guessing: {told}{more}."
    notes = []
    if state.method == "dawid_skene":
        notes.append("Labels are resolved by Dawid-Skene: each vote counts as much as its annotator has proved reliable.")
    elif hostile:
        notes.append("Labels are resolved by majority, so each of these votes counts in full.")
    if annotators:
        notes.append("Annotators are rated on votes that may train; held-out items judge models, and rate nobody.")
    if state.unknown_labels:
        notes.append(f"{state.unknown_labels:,} last words name a label that {book.dataset} does not have.")
    if state.unmatched:
        notes.append(
            f"{state.unmatched:,} of {state.words:,} last words match no prediction of ours; they count for nothing so far."
        )
    return Trust(sentence, tuple(notes), state.alpha, annotators, chance, heard, state)


def meaning_of(alpha: float | None) -> str:
    """What Krippendorff's alpha means, in a few words."""
    if alpha is None:
        return "undefined: no item has answers of two people that could differ"
    if alpha >= RELIABLE_ALPHA:
        return "reliable"
    if alpha >= TENTATIVE_ALPHA:
        return "good enough for tentative conclusions"
    return "too little to rely on" if alpha > 0 else "no better than chance"


def _agreement(state: State) -> str:
    if state.alpha is None:
        return f"Not to be told yet: {state.items:,} items have labels, but none of two people who could differ."
    answer = (
        "Yes" if state.alpha >= RELIABLE_ALPHA else "With care" if state.alpha >= TENTATIVE_ALPHA else "Not on single answers"
    )
    told = f"{answer}: the agreement of {state.annotators:,} annotators is {meaning_of(state.alpha)}"
    return f"{told} (Krippendorff's alpha {state.alpha:.2f}; {RELIABLE_ALPHA:.1f} is reliable)."


def _annotators(book: CuratedFeedback, chance: float) -> tuple[Annotator, ...]:
    path = book.file(ANNOTATORS)
    assert path is not None  # the caller has seen a generation
    try:
        rows = pq.read_table(path, columns=["annotator", "reliability", "votes", "agreement"]).to_pylist()
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        told = str(error).splitlines()[0]
        raise CurationError(
            f"{path} cannot be read: {told}", "remove the folder it is in; the next run makes it again"
        ) from error
    found = [
        Annotator(
            row["annotator"],
            row["reliability"],
            row["votes"],
            row["agreement"],
            is_hostile=row["votes"] >= VOTES_AT_LEAST and row["reliability"] < chance,
        )
        for row in rows
    ]
    return tuple(sorted(found, key=lambda one: (one.reliability, one.name)))
