"""Does the interval of "labels saved" hold the truth? `uv run python -m benchmarks.label_value` prints one row per world.

Generated worlds in which it is known what labels buy: chosen as if at random, chosen better, chosen worse, and labels that teach
nothing. The truth is the mean of many shadow models on a large test; the shares are over repeated control arms and labels.
"""

import argparse
import time
from dataclasses import dataclass

import numpy as np
import polars as pl

from benchmarks.forgetting import FIRST_WEEK, LABELS, Cohort, cohorts, derived_rows, write_reviews
from benchmarks.measuring import printed
from curation.learning import label_value
from curation.learning.classifier import Examples, TrainingSettings, train
from curation.learning.curves import crossings, rising
from curation.learning.label_value import Arms, Recipe, compare
from curation.learning.weighting import SamplingPolicy, sample_weights

BASE_ROWS, TEST_ROWS, TRUTH_DRAWS, TRUTH_SIZES = 1_500, 10_000, 20, 9
RECIPE = Recipe(TrainingSettings(longest_ngram=1, inverse_regularisations=(1.0,)), SamplingPolicy(), 1.0)
LEAST_COVERAGE = 0.9


@dataclass(frozen=True)
class World:
    """Arriving items are of the new cohort in this share, chosen ones in that; labels are wrong in this share."""

    name: str
    new_share: float
    chosen_new_share: float
    wrong_share: float = 0.0


WORLDS = (
    World("as if at random", 0.5, 0.5),
    World("well", 0.3, 1.0),
    World("badly", 0.7, 0.2),
    World("as if at random; half of the labels wrong", 0.5, 0.5, wrong_share=0.5),
)


def labelled(
    lines: tuple[Cohort, Cohort], rows: int, new_share: float, wrong_share: float, random: np.random.Generator, name: str
) -> pl.DataFrame:
    """Rows as people labelled them, one in `new_share` of them of the new cohort."""
    new = int(random.binomial(rows, new_share))
    parts = [write_reviews(lines[0], rows - new, random), write_reviews(lines[1], new, random)]
    truth = np.concatenate([part.is_positive for part in parts]) ^ (random.random(rows) < wrong_share)
    return pl.DataFrame(
        {
            "item_id": [f"{name}{row}" for row in range(rows)],
            "text": [text for part in parts for text in part.texts],
            "label": LABELS[truth.astype(int)],
            "weight": np.ones(rows),
            "labelled_at": [FIRST_WEEK] * rows,
        }
    )


def base_of(lines: tuple[Cohort, Cohort], random: np.random.Generator) -> pl.DataFrame:
    """Rows of the old cohort with derived labels."""
    rows = derived_rows(write_reviews(lines[0], BASE_ROWS, random), random)
    return rows.select(pl.int_range(pl.len()).cast(pl.String).alias("item_id"), "text", "label", "weight", "labelled_at")


def accuracy(base: pl.DataFrame, labels: pl.DataFrame, test: pl.DataFrame) -> float:
    """Of one model, trained by the project's own training."""
    rows = pl.concat([base.with_columns(label_origin=pl.lit("derived")), labels.with_columns(label_origin=pl.lit("human"))])
    weights = sample_weights(rows, RECIPE.sampling).weights.tolist()
    model = train(Examples(rows["text"].to_list(), rows["label"].to_list(), weights), Examples([], [], []), RECIPE.settings)
    return float(np.mean(model.predict(test["text"].to_list()) == test["label"].to_numpy()))


def truth_of(world: World, lines: tuple[Cohort, Cohort], base: pl.DataFrame, matched: int) -> float:
    """How many of `matched` random labels choosing saves, by mean accuracies; 0 where both arms are drawn alike."""
    if world.new_share == world.chosen_new_share:
        return 0.0
    random = np.random.default_rng(99)
    test = labelled(lines, TEST_ROWS, world.new_share, 0.0, random, "test")
    sizes = np.linspace(0, 2 * matched, TRUTH_SIZES).round().astype(int)

    def mean_accuracy(size: int, new_share: float) -> float:
        return float(
            np.mean(
                [
                    accuracy(base, labelled(lines, size, new_share, world.wrong_share, random, "label"), test)
                    for _ in range(TRUTH_DRAWS)
                ]
            )
        )

    curve = np.array([[mean_accuracy(int(size), world.chosen_new_share) for size in sizes]])
    first, last = crossings(sizes.astype(float), rising(curve), np.array([mean_accuracy(matched, world.new_share)]))
    return matched - float(first[0] + last[0]) / 2


@dataclass(frozen=True)
class Found:
    """One world: random labels matched, how many of them choosing saves in truth, and one estimate with its interval per repeat."""

    matched: int
    truth: float
    values: np.ndarray
    lows: np.ndarray
    highs: np.ndarray
    cpu_s: float

    @property
    def coverage(self) -> float:
        """In which share of the repeats the interval holds the truth."""
        return float(np.mean((self.lows <= self.truth) & (self.truth <= self.highs)))


def found_in(world: World, control: int, repeats: int) -> Found:
    """Repeated comparisons on one base, each with labels of its own."""
    random = np.random.default_rng(1)
    lines = cohorts(random)
    base = base_of(lines, random)
    started_s, found = time.process_time(), []
    for _ in range(repeats):
        arms = Arms(
            base=base,
            chosen=labelled(lines, 2 * control, world.chosen_new_share, world.wrong_share, random, "chosen"),
            control=labelled(lines, control, world.new_share, world.wrong_share, random, "control"),
            test=base.clear(),
        )
        value = compare(arms, RECIPE, dataset="simulated", snapshot_version="v0001", model_version=1)
        assert value.saved is not None, value.why
        found.append((value.saved.value, value.saved.low, value.saved.high))
    took_s = (time.process_time() - started_s) / repeats
    values, lows, highs = np.array(found).T
    return Found(value.matched, truth_of(world, lines, base, value.matched), values, lows, highs, took_s)


def main() -> int:
    """Print the table; exit 1 where an interval holds the truth too seldom."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--control", type=int, default=label_value.CONTROL_MINIMUM, help="labels of the control arm")
    parser.add_argument("--repeats", type=int, default=40)
    arguments = parser.parse_args()
    worlds = {world.name: found_in(world, arguments.control, arguments.repeats) for world in WORLDS}
    rows = [
        [
            name,
            found.matched,
            f"{found.truth:.0f}",
            f"{np.median(found.values):.0f}",
            f"{np.median(found.lows):.0f} to {np.median(found.highs):.0f}",
            f"{found.coverage:.0%}",
            f"{np.mean((found.lows > 0) | (found.highs < 0)):.0%}",
            found.cpu_s,
        ]
        for name, found in worlds.items()
    ]
    header = [
        "chosen",
        "random labels",
        "saved in truth",
        "median estimate",
        "median interval",
        "holds it",
        "told apart",
        "CPU s",
    ]
    print(printed(header, rows))
    return 0 if min(found.coverage for found in worlds.values()) >= LEAST_COVERAGE else 1


if __name__ == "__main__":
    raise SystemExit(main())
