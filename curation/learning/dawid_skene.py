"""Who is right when annotators differ: three models of a crowd, fitted by EM, and how well each predicts votes held out.

From the simplest to the richest: everyone is equally good (its answer is the majority's), one accuracy per annotator, one
confusion matrix per annotator. Arrays in, arrays out; which of the three is believed, curation.learning.resolution decides.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from curation.learning.agreement import Votes

Form = Literal["majority", "one_coin", "confusion"]

CROWD_ACCURACY, CROWD_VOTES = 0.8, 10.0
"""What a crowd is taken for before it votes, and how many votes that is worth: alone, a single vote has confidence 0.8."""
PRIOR_VOTES = 4.0
"""An annotator is taken for the crowd's average to the extent of this many votes, and so is each row of a confusion matrix.

Without it parts of 100 items of a real crowd (dogs, three votes an item) fall from the majority's 76.1% to 68.0%.
"""
CLASS_VOTES = 1.0
"""Items that each class is taken to have before any is seen."""
ROUNDS_AT_MOST, CHANGE_AT_LEAST = 60, 1e-3
"""EM ends when the posteriors' mean change per item falls below this.

Going on to 1e-7 takes three times as long and gained no crowd of benchmarks.resolution more than 0.2 points; some lost 0.5.
"""
FOLDS = 3
TEMPERATURES = (1.0, 0.85, 0.7, 0.6, 0.5, 0.4, 0.3, 0.2)
"""Exponents tried on the posteriors. EM takes votes for independent given the truth; hard items break that, and it is too sure."""


@dataclass(frozen=True)
class Crowd:
    """A fitted model: `posterior` (items, labels), rows sum to 1, and the chance of each vote under each true label."""

    posterior: np.ndarray
    chances: Callable[[Votes], np.ndarray]  # ballots -> (b, labels): the ballot's chance if the true label were that column's


@dataclass(frozen=True)
class HeldOut:
    """How well a form predicts votes it has not seen: log likelihood, natural, summed per item, at its best temperature."""

    of_item: np.ndarray  # (items,)
    temperature: float


def fit(votes: Votes, form: Form) -> Crowd:
    """EM, begun with everyone as good as `CROWD_ACCURACY`, until it stands still.

    Dawid & Skene, "Maximum Likelihood Estimation of Observer Error-Rates Using the EM Algorithm", Applied Statistics 28 (1979),
    equations 2.3 to 2.5, with Dirichlet priors: the maximum a posteriori in place of the maximum likelihood, which rates an
    annotator with two votes 0 or 1. "majority" and "one_coin" tie the matrix's cells together; "majority" also takes all
    classes for equally frequent, so that its most probable label is the one with most votes.
    """
    step = _confusion_step(votes) if form == "confusion" else _accuracy_step(votes, is_common=form == "majority")
    posterior = _normalised(votes.tally * np.log(CROWD_ACCURACY * (votes.label_count - 1) / (1.0 - CROWD_ACCURACY)))
    for _ in range(ROUNDS_AT_MOST):
        log_likelihood, chances = step(posterior)
        if form != "majority":
            of_class = posterior.sum(axis=0) + CLASS_VOTES
            log_likelihood += np.log(of_class / of_class.sum())
        former, posterior = posterior, _normalised(log_likelihood)
        if float(np.abs(posterior - former).sum()) < CHANGE_AT_LEAST * len(posterior):
            break
    return Crowd(posterior, chances)


def held_out(votes: Votes, form: Form) -> HeldOut:
    """Cross-validate over votes: each vote on a shared item is predicted from the item's other two thirds (or one, of two).

    The model is fitted without the votes of the fold; folds follow the sorted order, not chance.
    """
    fold = (votes.place_in_item + votes.item) % FOLDS
    of_item = np.zeros((len(TEMPERATURES), votes.item_count))
    for number in range(FOLDS):
        is_hidden = votes.is_shared & (fold == number)
        crowd, hidden = fit(votes.only(~is_hidden), form), votes.only(is_hidden)
        chances = crowd.chances(hidden)
        for place, temperature in enumerate(TEMPERATURES):
            chance = np.einsum("ij,ij->i", tempered(crowd.posterior, temperature)[hidden.item], chances)
            of_item[place] += np.bincount(hidden.item, hidden.share * np.log(chance), votes.item_count)
    best = int(of_item.sum(axis=1).argmax())
    return HeldOut(of_item[best], TEMPERATURES[best])


def tempered(posterior: np.ndarray, temperature: float) -> np.ndarray:
    """Posteriors to the power of `temperature`, rows summing to 1 again: below 1 they are less sure of the same labels."""
    return posterior if temperature == 1.0 else _normalised(temperature * np.log(np.maximum(posterior, 1e-300)))


def reliability(votes: Votes, posterior: np.ndarray) -> np.ndarray:
    """(annotators,) in (0, 1): expected share of right votes, pulled to the crowd's mean with the weight of `PRIOR_VOTES`."""
    right = np.bincount(votes.annotator, votes.share * posterior[votes.item, votes.label], votes.annotator_count)
    return (right + PRIOR_VOTES * _crowd_accuracy(right, votes)) / (votes.of_annotator + PRIOR_VOTES)


def _crowd_accuracy(right: np.ndarray, votes: Votes) -> float:
    return float((right.sum() + CROWD_VOTES * CROWD_ACCURACY) / (votes.share.sum() + CROWD_VOTES))


def _normalised(log_weights: np.ndarray) -> np.ndarray:
    """Rows that sum to 1. Turned around meanwhile: along rows of three, numpy's own maxima and sums take three times as long."""
    weights = np.ascontiguousarray(log_weights.T)
    weights = np.exp(weights - weights.max(axis=0))
    return np.ascontiguousarray((weights / weights.sum(axis=0)).T)


Step = Callable[[np.ndarray], tuple[np.ndarray, Callable[[Votes], np.ndarray]]]


def _accuracy_step(votes: Votes, *, is_common: bool) -> Step:
    """One accuracy for all, or one each; wrong votes fall on the other labels alike."""
    cells = votes.item * votes.label_count + votes.label

    def step(posterior: np.ndarray) -> tuple[np.ndarray, Callable[[Votes], np.ndarray]]:
        accuracy = reliability(votes, posterior)
        if is_common:
            right = np.bincount(votes.annotator, votes.share * posterior[votes.item, votes.label], votes.annotator_count)
            accuracy = np.full(votes.annotator_count, _crowd_accuracy(right, votes))
        wrong = (1.0 - accuracy) / (votes.label_count - 1)
        weights = votes.share * np.log(accuracy / wrong)[votes.annotator]

        def chances(ballots: Votes) -> np.ndarray:
            chance = np.repeat(wrong[ballots.annotator][:, None], votes.label_count, axis=1)
            chance[np.arange(len(chance)), ballots.label] = accuracy[ballots.annotator]
            return chance

        return np.bincount(cells, weights, posterior.size).reshape(posterior.shape), chances

    return step


def _confusion_step(votes: Votes) -> Step:
    """A matrix of (true label, label given) each, its prior halfway between the annotator's accuracy and the crowd's matrix."""
    from scipy.sparse import csr_array

    annotators, labels = votes.annotator_count, votes.label_count
    columns = votes.annotator * labels + votes.label
    given: Any = csr_array((votes.share, (votes.item, columns)), shape=(votes.item_count, annotators * labels))
    given_by_column = given.T.tocsr()

    def step(posterior: np.ndarray) -> tuple[np.ndarray, Callable[[Votes], np.ndarray]]:
        counts = np.asarray(given_by_column @ posterior).reshape(annotators, labels, labels)  # label given, true label
        counts += PRIOR_VOTES * _expected_matrices(counts, reliability(votes, posterior))
        confusion = counts / counts.sum(axis=1, keepdims=True)
        logarithms = np.log(confusion).reshape(annotators * labels, labels)
        return np.asarray(given @ logarithms), lambda ballots: confusion[ballots.annotator, ballots.label]

    return step


def _expected_matrices(counts: np.ndarray, accuracy: np.ndarray) -> np.ndarray:
    """(annotators, label given, true label), columns sum to 1: what a matrix is taken for before the annotator's own votes."""
    labels = counts.shape[1]
    diagonal = np.eye(labels, dtype=bool)
    own = np.where(diagonal, accuracy[:, None, None], ((1.0 - accuracy) / (labels - 1))[:, None, None])
    usual = np.where(diagonal, CROWD_ACCURACY, (1.0 - CROWD_ACCURACY) / (labels - 1))
    crowd = counts.sum(axis=0) + CROWD_VOTES * usual
    return np.asarray((own + crowd / crowd.sum(axis=0, keepdims=True)) / 2.0)
