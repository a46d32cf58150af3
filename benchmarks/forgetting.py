"""Ten weekly rounds in which a product line arrives that speaks differently: `uv run python -m benchmarks.forgetting`.

Does the model learn the new cohort without forgetting the old one? Our weights beside full retraining, naive appending and
last-write-wins labels, all with the project's own training; data is generated and the same in every run. Exit 1 if a reach is missed.
"""

import argparse
import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from benchmarks.measuring import printed
from curation.learning.classifier import Examples, TrainingSettings, train
from curation.learning.weighting import SamplingPolicy, sample_weights

OLD_ROWS, WEEKLY_ROWS, TEST_ROWS, WEEKS = 20_000, 300, 10_000, 10
WORDS_PER_TEXT, VOTES_PER_ITEM = 12, 3
LARGEST_FALL, LEAST_GAIN = 0.005, 0.9
FIRST_WEEK = datetime.datetime(2026, 1, 5, tzinfo=datetime.UTC)
LABELS = np.array(["negative", "positive"])
ACCURACIES = (0.9, 0.9, 0.9, 0.65, 0.65, 0.65, 0.65, 0.34, 0.1)  # of annotators: good, careless, guessing, hostile


@dataclass(frozen=True)
class Cohort:
    """How one line of products speaks: its words, what each says (-1, 0 or 1), and how many of its reviews are positive."""

    words: np.ndarray
    meanings: np.ndarray
    positive_share: float


@dataclass(frozen=True)
class Reviews:
    """Texts and whether each is positive, in truth."""

    texts: list[str]
    is_positive: np.ndarray


def cohorts(random: np.random.Generator) -> tuple[Cohort, Cohort]:
    """The old and the new one: 3,000 words each, 1,500 in common, of whose telling words a sixth mean the opposite."""
    words = np.array([f"word{number}" for number in range(4500)])
    meanings = random.choice([-1, 0, 1], p=[0.1, 0.8, 0.1], size=4500)
    turned = np.where(random.random(1500) < 1 / 6, -meanings[1500:3000], meanings[1500:3000])
    return Cohort(words[:3000], meanings[:3000], 0.7), Cohort(words[1500:], np.concatenate([turned, meanings[3000:]]), 0.35)


def write_reviews(cohort: Cohort, rows: int, random: np.random.Generator) -> Reviews:
    """Texts of 12 words; a word that says what the review says is three times as likely as one that says the opposite."""
    is_positive = random.random(rows) < cohort.positive_share
    frequency = 1 / np.arange(10, 10 + len(cohort.words))
    texts: list[str] = [""] * rows
    for sign in (False, True):
        fitting = np.where(cohort.meanings == 0, 1.0, np.where((cohort.meanings > 0) == sign, 3.0, 1.0)) * frequency
        own = np.flatnonzero(is_positive == sign)
        drawn = random.choice(cohort.words, p=fitting / fitting.sum(), size=(own.size, WORDS_PER_TEXT))
        for row, words in zip(own, drawn, strict=True):
            texts[row] = " ".join(words)
    return Reviews(texts, is_positive)


def derived_rows(reviews: Reviews, random: np.random.Generator) -> pl.DataFrame:
    """Labels from ratings of the two years before, one in twelve of them wrong."""
    wrong = random.random(len(reviews.texts)) < 1 / 12
    return pl.DataFrame(
        {
            "text": reviews.texts,
            "label": LABELS[(reviews.is_positive ^ wrong).astype(int)],
            "label_origin": ["derived"] * len(reviews.texts),
            "weight": [1.0] * len(reviews.texts),
            "labelled_at": [FIRST_WEEK - datetime.timedelta(days=float(age)) for age in random.random(len(reviews.texts)) * 730],
        }
    )


def voted_rows(reviews: Reviews, week: int, random: np.random.Generator) -> pl.DataFrame:
    """Human labels of one week: that of the majority of three votes with its share of them as reliability, and the last vote."""
    accuracies = random.choice(ACCURACIES, size=(len(reviews.texts), VOTES_PER_ITEM))
    votes = reviews.is_positive[:, None] ^ (random.random(accuracies.shape) >= accuracies)
    positive_votes = votes.sum(axis=1)
    return pl.DataFrame(
        {
            "text": reviews.texts,
            "label": LABELS[(2 * positive_votes > VOTES_PER_ITEM).astype(int)],
            "last_vote": LABELS[votes[:, -1].astype(int)],
            "label_origin": ["human"] * len(reviews.texts),
            "weight": np.maximum(positive_votes, VOTES_PER_ITEM - positive_votes) / VOTES_PER_ITEM,
            "labelled_at": [FIRST_WEEK + datetime.timedelta(weeks=week)] * len(reviews.texts),
        }
    )


Way = Callable[[pl.DataFrame, pl.DataFrame, SamplingPolicy], tuple[pl.DataFrame, np.ndarray]]
"""From derived rows, human rows so far and the policy to the rows trained on and their weights."""


def ours(derived: pl.DataFrame, human: pl.DataFrame, policy: SamplingPolicy) -> tuple[pl.DataFrame, np.ndarray]:
    """Everything, weighted by the policy."""
    rows = pl.concat([derived, human.drop("last_vote")])
    return rows, sample_weights(rows, policy).weights


def full_retraining(derived: pl.DataFrame, human: pl.DataFrame, policy: SamplingPolicy) -> tuple[pl.DataFrame, np.ndarray]:
    """Everything, each row as much as any other."""
    rows = pl.concat([derived, human.drop("last_vote")])
    return rows, np.ones(rows.height)


def naive_appending(derived: pl.DataFrame, human: pl.DataFrame, policy: SamplingPolicy) -> tuple[pl.DataFrame, np.ndarray]:
    """The labels of the last two weeks, and nothing else."""
    rows = human.drop("last_vote").tail(2 * WEEKLY_ROWS)
    return rows, np.ones(rows.height)


def last_write_wins(derived: pl.DataFrame, human: pl.DataFrame, policy: SamplingPolicy) -> tuple[pl.DataFrame, np.ndarray]:
    """Everything, a human label being whatever the last annotator said."""
    rows = pl.concat([derived, human.with_columns(label="last_vote").drop("last_vote")])
    return rows, np.ones(rows.height)


WAYS: dict[str, Way] = {
    "ours": ours,
    "full retraining": full_retraining,
    "naive appending": naive_appending,
    "last write wins": last_write_wins,
}


@dataclass(frozen=True)
class World:
    """All rows there will be, and a validation and a test part of each cohort."""

    derived: pl.DataFrame
    weeks: list[pl.DataFrame]
    validation: tuple[Reviews, Reviews]
    tests: tuple[Reviews, Reviews]


def make_world(seed: int) -> World:
    """The same for the same seed."""
    random = np.random.default_rng(seed)
    old, new = cohorts(random)
    return World(
        derived_rows(write_reviews(old, OLD_ROWS, random), random),
        [voted_rows(write_reviews(new, WEEKLY_ROWS, random), week, random) for week in range(1, WEEKS + 1)],
        (write_reviews(old, TEST_ROWS // 4, random), write_reviews(new, TEST_ROWS // 40, random)),
        (write_reviews(old, TEST_ROWS, random), write_reviews(new, TEST_ROWS, random)),
    )


def accuracies(world: World, rows: pl.DataFrame, weights: np.ndarray) -> tuple[float, float]:
    """Train on the rows; accuracy on the old and on the new cohort's test."""
    texts = [text for part in world.validation for text in part.texts]
    truth = [str(label) for part in world.validation for label in LABELS[part.is_positive.astype(int)]]
    # One strength for all: where it is chosen, it jumps between 1 and 3, which moves the new cohort by more than the ways differ.
    settings = TrainingSettings(longest_ngram=1, inverse_regularisations=(1.0,))
    training = Examples(rows["text"].to_list(), rows["label"].to_list(), weights.tolist())
    model = train(training, Examples(texts, truth, [1.0] * len(texts)), settings)
    old, new = (float(np.mean(model.predict(part.texts) == LABELS[part.is_positive.astype(int)])) for part in world.tests)
    return old, new


@dataclass(frozen=True)
class Outcome:
    """One way over all rounds: the old cohort's largest fall and the new one's last gain, against the model before the first."""

    way: str
    old: float
    new: float
    worst_fall: float
    gain: float
    effective_share: float


def run(world: World, policy: SamplingPolicy, ways: Sequence[str]) -> list[Outcome]:
    """Every way through the ten rounds."""
    old_before, new_before = accuracies(world, world.derived, np.ones(OLD_ROWS))
    outcomes = [Outcome("before", old_before, new_before, 0.0, 0.0, 1.0)]
    for way in ways:
        falls = []
        for week in range(1, WEEKS + 1):
            rows, weights = WAYS[way](world.derived, pl.concat(world.weeks[:week]), policy)
            old, new = accuracies(world, rows, weights)
            falls.append(old_before - old)
        effective = float(weights.sum() ** 2 / np.square(weights).sum() / len(weights))
        outcomes.append(Outcome(way, old, new, max(falls), new - new_before, effective))
    return outcomes


def main() -> int:
    """Print one row per way; exit 1 when ours forgets or does not learn."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    outcomes = run(make_world(parser.parse_args().seed), SamplingPolicy(), list(WAYS))
    full = next(outcome for outcome in outcomes if outcome.way == "full retraining")
    table = [
        [
            outcome.way,
            f"{outcome.old:.4f}",
            f"{outcome.new:.4f}",
            f"{outcome.worst_fall * 100:+.2f}",
            f"{outcome.gain / full.gain:.0%}",
            f"{outcome.effective_share:.0%}",
        ]
        for outcome in outcomes
    ]
    heading = [
        "",
        "old cohort",
        "new cohort",
        "worst fall of the old, points",
        "gain of the new / full retraining",
        "effective rows",
    ]
    print(printed(heading, table))
    mine = next(outcome for outcome in outcomes if outcome.way == "ours")
    print(f"reach: falls at most {LARGEST_FALL * 100} points in any round, gains at least {LEAST_GAIN:.0%} of full retraining")
    return 0 if mine.worst_fall <= LARGEST_FALL and mine.gain >= LEAST_GAIN * full.gain else 1


if __name__ == "__main__":
    raise SystemExit(main())
