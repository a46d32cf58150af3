"""One label per item from the votes of several annotators, with its confidence, and how reliable each annotator is.

Knows no dataset and no event: whose last word counts is settled before (curation.feedback). It chooses between the majority and
Dawid-Skene by votes held out and says why; the models themselves are curation.learning.dawid_skene.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

import numpy as np

from curation.errors import CurationError
from curation.learning.agreement import Votes, agreement_with_others, disagreement, krippendorff_alpha
from curation.learning.dawid_skene import Form, HeldOut, fit, held_out, reliability, tempered

if TYPE_CHECKING:
    import polars as pl

Method = Literal["majority", "dawid_skene"]
Wish = Literal["auto", "majority", "dawid_skene"]

COLUMNS = ("item", "annotator", "label")
ANNOTATORS_AT_LEAST = 3
"""Two who differ look alike from outside: who of them is right more often cannot be told."""
SHARED_VOTES_AT_LEAST = 5.0
"""Votes on shared items, per annotator, below which nobody's reliability is worth believing."""
CELLS_PER_VOTE_AT_MOST = 20
"""Confusion matrices with more cells than this per vote are not tried: nothing would fill them, and memory stays bounded."""
EQUAL = 1e-9
"""Two labels whose votes or probabilities differ by less are tied; sums of thirds differ by 1e-16."""


@dataclass(frozen=True)
class Resolution:
    """What was decided, how sure, by whom, and why in this way.

    `items`: one row per item, sorted: item, label (null where the method finds two equally good), confidence (probability that
    the label is right; 0 where there is none), votes (annotators who voted), disagreement (chance that two of them differ; 0
    with one), method. `annotators`: one row per annotator, sorted: annotator, reliability (expected share of right votes,
    smoothed), votes (items), agreement (share of the others who said the same; null where no item is shared).
    """

    items: "pl.DataFrame"
    annotators: "pl.DataFrame"
    method: Method
    form: Form  # of Dawid-Skene: an accuracy ("one_coin") or a matrix ("confusion") per annotator
    alpha: float | None  # Krippendorff's, nominal; None where undefined
    held_out: Mapping[str, float]  # form to mean log likelihood of a held-out vote; empty where nothing was held out
    temperature: float  # exponent that calibrated the confidences; 1 leaves them as the model gives them
    why: str


@dataclass(frozen=True)
class _Choice:
    form: Form
    why: str
    held_out: Mapping[str, float]
    temperature: float = 1.0


def resolve(votes: "pl.DataFrame", *, labels: Sequence[str] | None = None, method: Wish = "auto") -> Resolution:
    """One row per item with its label, and one row per annotator with a reliability.

    Args:
        votes: one row per vote, columns item, annotator, label, no nulls; other columns and the order of rows do not matter.
            Normally one row per item and annotator: of several, each counts as a part of one vote.
        labels: all labels there are, for crowds that have not used each of them; by default those in `votes`.
        method: "auto" takes the simplest model of the crowd that predicts held-out votes as well as the best one does, to
            within one standard error (Breiman et al., CART, 1984, section 3.4.3). "dawid_skene" chooses among its two forms
            only. Where reliabilities cannot be learned (under 3 annotators or 5 shared votes each, one label) the majority
            decides in any case, and `why` says so.

    A tie of the majority stays without a label: no vote speaks for either. Dawid-Skene breaks ties by reliability, with a
    confidence to match; it may also choose against most voters, or, for a rare class and an unreliable voter, against all.

    Raises:
        CurationError: a column is missing, a value is null, a label is not among `labels`, or the method is unknown.
    """
    if method not in get_args(Wish):
        raise CurationError(f"unknown method of resolution: {method!r}", f"use one of {', '.join(get_args(Wish))}")
    _check(votes, labels)
    items, item = _coded(votes["item"])
    annotators, annotator = _coded(votes["annotator"])
    names, label = _coded_labels(votes["label"], labels)
    ballots = Votes.of(item, annotator, label, (len(items), len(annotators), max(2, len(names))))
    choice = _chosen(ballots, method)
    posterior = fit(ballots, choice.form).posterior
    scores = ballots.tally if choice.form == "majority" else posterior
    used: Method = "majority" if choice.form == "majority" else "dawid_skene"
    return Resolution(
        items=_item_rows(items, names, ballots, scores, tempered(posterior, choice.temperature), used),
        annotators=_annotator_rows(annotators, ballots, posterior),
        method=used,
        form=choice.form,
        alpha=krippendorff_alpha(ballots),
        held_out=choice.held_out,
        temperature=choice.temperature,
        why=choice.why,
    )


def _check(votes: "pl.DataFrame", labels: Sequence[str] | None) -> None:
    missing = [name for name in COLUMNS if name not in votes.columns]
    if missing:
        raise CurationError(f"votes lack {', '.join(missing)}", f"give the columns {', '.join(COLUMNS)}")
    for name in COLUMNS:
        if nulls := votes[name].null_count():
            raise CurationError(f"{nulls} of {votes.height} votes have no {name}", f"leave out rows whose {name} is null")
    if labels is not None and (strange := sorted(set(votes["label"].unique()) - set(labels))):
        known = ", ".join(map(str, sorted(set(labels))))
        raise CurationError(f"votes for unknown labels: {', '.join(map(str, strange[:5]))}", f"the labels are {known}")


def _coded(values: "pl.Series") -> tuple["pl.Series", np.ndarray]:
    """The distinct values in their order, and the place of each value among them."""
    import polars as pl

    names = values.unique().sort()
    if values.dtype == pl.Null:  # a frame without rows and without types
        names = names.cast(pl.String)
    return names, (values.rank("dense").to_numpy().astype(np.int64) - 1) if len(values) else np.empty(0, np.int64)


def _coded_labels(values: "pl.Series", labels: Sequence[str] | None) -> tuple["pl.Series", np.ndarray]:
    import polars as pl

    names, code = _coded(values)
    if labels is None:
        return names, code
    every = pl.Series(sorted(set(labels)), dtype=names.dtype)
    place = {name: index for index, name in enumerate(every)}
    return every, np.asarray([place[name] for name in names], dtype=np.int64)[code]


def _chosen(votes: Votes, method: Wish) -> _Choice:
    """The form to resolve by; the majority where it is asked for or where nothing else can be learned."""
    if obstacle := _why_nothing_is_learned(votes):
        return _Choice("majority", f"majority: {obstacle}", {})
    forms: list[Form] = [] if method == "dawid_skene" else ["majority"]
    if method != "majority":
        forms.append("one_coin")
        if votes.annotator_count * votes.label_count**2 <= CELLS_PER_VOTE_AT_MOST * len(votes.item):
            forms.append("confusion")
    measured = {form: held_out(votes, form) for form in forms}
    shared_votes = float(votes.share[votes.is_shared].sum())
    means: dict[str, float] = {form: float(result.of_item.sum()) / shared_votes for form, result in measured.items()}
    best = max(forms, key=lambda form: means[form])
    chosen = next(form for form in forms if _is_as_good(measured[form], measured[best], votes))
    figures = ", ".join(f"{form} {mean:.4f}" for form, mean in means.items())
    why = f"{chosen}: log likelihood of a held-out vote {figures}"
    if chosen != best:
        why += f"; {best} is better by less than one standard error"
    return _Choice(chosen, f"{why} (asked for)" if method == "majority" else why, means, measured[chosen].temperature)


def _why_nothing_is_learned(votes: Votes) -> str | None:
    shared = votes.share[votes.is_shared].sum()
    per_annotator = float(shared / max(votes.annotator_count, 1))
    if shared == 0:
        return "no item has votes of two annotators"
    if votes.annotator_count < ANNOTATORS_AT_LEAST:
        return f"{votes.annotator_count} annotators do not tell who is right more often"
    if per_annotator < SHARED_VOTES_AT_LEAST:
        return f"{per_annotator:.1f} votes on shared items per annotator are too few to rate anyone"
    if len(np.unique(votes.label)) < 2:
        return "all votes are for one label"
    return None


def _is_as_good(form: HeldOut, best: HeldOut, votes: Votes) -> bool:
    """Whether `form` falls short of `best` by at most one standard error of their paired difference over shared items."""
    shortfall = (best.of_item - form.of_item)[votes.of_item >= 2]
    return bool(shortfall.sum() <= shortfall.std() * np.sqrt(len(shortfall)))


def _item_rows(
    items: "pl.Series", names: "pl.Series", votes: Votes, scores: np.ndarray, posterior: np.ndarray, method: Method
) -> "pl.DataFrame":
    import polars as pl

    best = scores.argmax(axis=1)
    is_tied = (scores >= scores.max(axis=1, keepdims=True) - EQUAL).sum(axis=1) > 1
    confidence = np.where(is_tied, 0.0, posterior[np.arange(len(best)), best])
    chosen = pl.Series(np.where(is_tied, len(names), best)).cast(pl.UInt32)
    return pl.DataFrame(
        {
            "item": items,
            "label": names.extend_constant(None, 1).gather(chosen),
            "confidence": confidence,
            "votes": votes.of_item,
            "disagreement": disagreement(votes),
            "method": pl.Series([method], dtype=pl.String).new_from_index(0, len(items)),
        }
    )


def _annotator_rows(annotators: "pl.Series", votes: Votes, posterior: np.ndarray) -> "pl.DataFrame":
    import polars as pl

    return pl.DataFrame(
        {
            "annotator": annotators,
            "reliability": reliability(votes, posterior),
            "votes": votes.of_annotator,
            "agreement": pl.Series(agreement_with_others(votes), nan_to_null=True, dtype=pl.Float64),
        }
    )
