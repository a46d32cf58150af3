"""What labels buy: accuracy against the number of labels, for those that the queue chose and for random ones, by shadow models.

A shadow model lives as long as the comparison: it is never written, never registered and never promoted, which is why it alone
may learn from the control arm. Rows in, a `LabelValue` out; reads and writes nothing but that value's own files (`Values`).
"""

import datetime
import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

import numpy as np
import numpy.typing as npt
from pydantic import BaseModel, ConfigDict

from curation.errors import CurationError
from curation.files import valid_name, written_whole
from curation.learning.classifier import TrainingSettings, fitted_features
from curation.learning.curves import crossings, rising
from curation.learning.evaluation import Estimate, wilson
from curation.learning.weighting import SamplingPolicy, sample_weights

if TYPE_CHECKING:
    import polars as pl
    from sklearn.linear_model import LogisticRegression

COLUMNS = ("item_id", "text", "label", "weight", "labelled_at")
FOLDS, SEEDS = 5, 2  # with 3 seeds the interval is as wide, and takes half as much time again
BASE_ROWS_AT_MOST, TEST_ROWS_AT_MOST = 5_000, 2_000  # whatever the snapshot holds: 39 to 53 models of .1 to .2 CPU s each
CONTROL_MINIMUM, CHOSEN_MINIMUM = 300, 100
"""Labels before `saved` is told.

Of two models that differ on 10% of the rows, one that is 5 points better is told from the other with 80% power by
(1.96 + .84)^2 * .1 / .05^2 = 314 rows (McNemar's test, normal approximation); the control arm votes at the gate from 300 on, too.
Of the chosen ones 100, a retrain's worth.
"""
MATCHED_AT_MOST = 240
"""Random labels that `saved` is about: four fifths of the fewest that are compared. The more labels, the flatter both curves; with 800
instead, 1,000 labels of the control arm tell a saving of a third of them never, and it would be another question each time.
"""
SHOWN_FROM = 20  # fewer rows judge a point to within 20 points of accuracy at best: nothing to draw
BOOTSTRAP_ROUNDS, BOOTSTRAP_SEED = 2_000, 11
WIDENING = 1.4
"""What every resampled deviation is multiplied with. Judged rows are not all that chance decides: which labels were given is another
part, and resampling it would mean to train everything again for each draw. In the worlds of `benchmarks.label_value` accuracies
differ over repeated labels 1.1 to 1.6 times (median 1.3) as much as judged rows alone explain, and unwidened an interval said to
be of 95% holds the truth in 88% of the cases.
"""
TOLERANCE = 1e-4  # scikit-learn's default
CURRENT, VERSION = "CURRENT.json", re.compile(r"v\d{4,}")

Floats = npt.NDArray[np.float64]
Rows = npt.NDArray[np.int64]
Arm = Literal["chosen", "random"]


class Point(BaseModel):
    """Accuracy after so many labels of one arm, on the control arm's labels from people and on the frozen test, with 95% intervals.

    A mean over seeds (and folds); the intervals are Wilson's for so many rows.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    arm: Arm
    labels: int
    accuracy: Estimate
    test_accuracy: Estimate


class LabelValue(BaseModel):
    """The comparison as it is kept; the same rows give the same bytes.

    `saved`: of `matched` random labels, how many would not have been needed had they been chosen, from `-matched` to `matched`
    (an end stands for "or more"), with a 95% interval; None while there are too few. `missing`: labels of the control arm that
    it still takes, `missing_chosen`: labels that the queue chose. `why`: the sentence for people. Rows: `judged_on` labels of the
    control arm, `test_rows` and `base_rows` of the snapshot. `points` is empty below `SHOWN_FROM` labels in an arm.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    snapshot_version: str
    model_version: int
    points: tuple[Point, ...]
    matched: int
    saved: Estimate | None
    missing: int
    missing_chosen: int
    why: str
    judged_on: int
    chosen_labels: int
    base_rows: int
    test_rows: int


@dataclass(frozen=True)
class Recipe:
    """How the champion was trained: its settings, its weights, and the strength of regularisation that it chose."""

    settings: TrainingSettings
    sampling: SamplingPolicy
    inverse_regularisation: float


@dataclass(frozen=True)
class Arms:
    """The rows of a comparison, frames with `COLUMNS` (`labelled_at` in UTC, `weight` the label's reliability).

    `base`: rows of the train split with derived labels. `chosen`: labels of the train split that the queue asked for. `control`:
    labels of the control arm. `test`: rows of the frozen test split with derived labels. No item is in two of them (ValueError).
    Time grows with the rows: hand in at most `BASE_ROWS_AT_MOST` and `TEST_ROWS_AT_MOST` of the snapshot's (`sampled`).
    """

    base: "pl.DataFrame"
    chosen: "pl.DataFrame"
    control: "pl.DataFrame"
    test: "pl.DataFrame"

    def __post_init__(self) -> None:
        items = [set(rows["item_id"]) for rows in (self.base, self.chosen, self.control, self.test)]
        for (name, mine), (other, theirs) in combinations(zip(("base", "chosen", "control", "test"), items, strict=True), 2):
            if shared := mine & theirs:
                raise ValueError(f"{len(shared)} items are both in {name} and in {other}, such as {min(shared)}")


def sampled(item_ids: Sequence[str], at_most: int) -> list[str]:
    """Those of smallest hash, ascending: the same in every snapshot that has them, so that one curve can follow another."""
    return sorted(sorted(item_ids, key=lambda item: (_chance(item, "sample"), item))[:at_most])


def compare(arms: Arms, recipe: Recipe, *, dataset: str, snapshot_version: str, model_version: int) -> LabelValue:
    """One comparison of chosen with random labels; the same whatever the order of the rows.

    Cross-fitting: the control arm is dealt into `FOLDS` folds. For a number of labels, the random arm trains on the base and so many
    labels of the other folds, the chosen arm on the same base and so many chosen labels; both are judged on the held fold. All of
    it `SEEDS` times, with other folds and other labels. Let n be the labels in the other folds, or half of the chosen ones, or
    `MATCHED_AT_MOST`: the numbers are 0, 1/4, 1/2 and all of n, the most there are, and for the chosen arm alone twice as many.

    `saved` is n minus the number of chosen labels at which the chosen curve, made to rise (isotonic) and read in straight lines
    between its points, reaches the accuracy of n random labels; it is below 0 where that takes more than n. Its interval resamples
    the control arm, each item with what all shadow models made of it, widened for the chance in the labels themselves (`WIDENING`).
    Resampling a crossing rather than dividing two gains is what keeps it honest where labels buy nothing: it then spans
    everything from -n to n.
    """
    sizes = _sizes(arms.control.height, arms.chosen.height)
    matched = min(sizes[-1], MATCHED_AT_MOST)
    why_not = _why_not(arms)
    missing = max(0, CONTROL_MINIMUM - arms.control.height)
    missing_chosen = max(0, CHOSEN_MINIMUM - arms.chosen.height)
    judged = (
        None if why_not or min(arms.control.height, arms.chosen.height) < SHOWN_FROM else _judged(arms, recipe, sizes, matched)
    )
    is_enough = judged is not None and not missing and not missing_chosen
    saved = _saved(judged, matched) if judged is not None and is_enough else None
    return LabelValue(
        dataset=dataset,
        snapshot_version=snapshot_version,
        model_version=model_version,
        points=() if judged is None else judged.points(),
        matched=matched,
        saved=saved,
        missing=missing,
        missing_chosen=missing_chosen,
        why=why_not or (_told(saved, matched) if saved else _not_yet(arms, missing, missing_chosen)),
        judged_on=arms.control.height,
        chosen_labels=arms.chosen.height,
        base_rows=arms.base.height,
        test_rows=arms.test.height,
    )


def _sizes(control: int, chosen: int) -> tuple[int, ...]:
    """Numbers of labels, ascending from 0, that both arms train on: up to those that are matched, and all there are."""
    most = min(control - -(-control // FOLDS), chosen // 2)
    matched = min(most, MATCHED_AT_MOST)
    return tuple(sorted({0, matched // 4, matched // 2, matched, most}))


def _why_not(arms: Arms) -> str:
    """Why no number of labels would do; empty where nothing stands against the comparison."""
    for name, rows in (("the base rows", arms.base), ("the labels of the control arm", arms.control)):
        told = sorted(set(rows["label"]))
        if len(told) == 1 and rows.height >= SHOWN_FROM:
            return f"nothing to compare yet: {name} are all {told[0]!r}"
    return (
        ""
        if arms.base.height >= SHOWN_FROM
        else f"nothing to compare yet: {arms.base.height} rows with derived labels to start from"
    )


def _not_yet(arms: Arms, missing: int, missing_chosen: int) -> str:
    wanted = []
    if missing:
        wanted.append(f"{missing} more label{'s'[: missing - 1]} of the control arm ({arms.control.height} of {CONTROL_MINIMUM})")
    if missing_chosen:
        wanted.append(f"{missing_chosen} more that the queue chose ({arms.chosen.height} of {CHOSEN_MINIMUM})")
    return f"not enough yet: {' and '.join(wanted)}"


def _told(saved: Estimate, matched: int) -> str:
    needed = matched - saved.value
    reach = f"{matched} random labels buy what {needed:.0f} chosen ones do"
    interval = f"95%: {_end(saved.low, matched)} to {_end(saved.high, matched)}"
    if saved.low > 0:
        return f"{reach}: {saved.value:.0f} labels saved against random ({interval})"
    if saved.high < 0:
        return f"{reach}: choosing costs {-saved.value:.0f} labels against random ({interval} saved)"
    return f"chosen and random labels cannot be told apart yet: {saved.value:.0f} of {matched} saved ({interval})"


def _end(labels: float, matched: int) -> str:
    """One end of an interval; at the end of the scale it stands for more than that."""
    beyond = " or less" if labels <= -matched else " or more" if labels >= matched else ""
    return f"{labels:.0f}{beyond}"


@dataclass(frozen=True)
class _Judged:
    """Per arm and size: how often each control item was decided rightly (one float64 an item, a mean over seeds), and the share
    of test rows."""

    right: Mapping[tuple[Arm, int], Floats]
    test_right: Mapping[tuple[Arm, int], float]
    test_rows: int

    def points(self) -> tuple[Point, ...]:
        return tuple(
            Point(
                arm=arm,
                labels=labels,
                accuracy=_share(float(right.mean()), len(right)),
                test_accuracy=_share(self.test_right[arm, labels], self.test_rows),
            )
            for (arm, labels), right in self.right.items()
        )


def _share(value: float, rows: int) -> Estimate:
    """A mean share of `rows` with Wilson's interval of the nearest count."""
    around = wilson(round(value * rows), rows)
    return Estimate(value, min(around.low, value), max(around.high, value))


def _judged(arms: Arms, recipe: Recipe, sizes: Sequence[int], matched: int) -> _Judged:
    """Every shadow model of the comparison, trained, judged and forgotten."""
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    right: dict[tuple[Arm, int], Floats] = {}
    test_right: dict[tuple[Arm, int], list[float]] = {}
    with threadpool_limits(limits=1):  # as in training: sums shared out between threads would differ from machine to machine
        shadows = _Shadows.of(arms, recipe)
        # Far below the others' tolerance: they start from here, and what this one is off by would be taken for what labels do.
        start = shadows.trained(shadows.base, TOLERANCE / 100, None)

        def judge(arm: Arm, labelled: Rows, held: Rows) -> None:
            if np.intersect1d(labelled, held).size:
                raise ValueError("a shadow model may not be judged on rows that it learned from")
            rows = np.concatenate([shadows.base, labelled])
            model = shadows.trained(rows, TOLERANCE, start) if labelled.size else start
            key, items = (arm, len(labelled)), held - shadows.control[0]
            right.setdefault(key, np.zeros(len(shadows.control)))[items] += shadows.has_right(model, held) / SEEDS
            test_right.setdefault(key, []).append(float(shadows.has_right(model, shadows.test).sum()))

        for seed in range(SEEDS):
            chosen, control = shadows.shuffled(shadows.chosen, seed), shadows.shuffled(shadows.control, seed)
            fold = np.arange(len(control)) % FOLDS
            for size in sorted({*sizes, 2 * matched, 2 * sizes[-1]}):
                judge("chosen", chosen[:size], control)
            for size in sizes:
                for held in range(FOLDS):
                    judge("random", control[fold != held][:size], control[fold == held])
    test_rows = len(shadows.test)
    return _Judged(right, {key: float(np.mean(counts)) / max(1, test_rows) for key, counts in test_right.items()}, test_rows)


@dataclass(frozen=True)
class _Shadows:
    """What all shadow models share: the rows (base, chosen, control, test; in this order) and their features.

    Features are fitted once, on the texts of both arms alike, and for each model the linear head alone: with 5,000 base rows that
    takes .1 to .2 CPU s a model rather than .7, and decides 1 to 3 of 1,844 test rows otherwise.
    """

    frame: "pl.DataFrame"
    matrix: Any
    labels: npt.NDArray[np.str_]
    base: Rows
    chosen: Rows
    control: Rows
    test: Rows
    recipe: Recipe

    @classmethod
    def of(cls, arms: Arms, recipe: Recipe) -> "_Shadows":
        """The arms, each ordered by item."""
        import polars as pl
        from scipy.sparse import vstack

        origins = {"base": "derived", "chosen": "human", "control": "human", "test": "derived"}
        parts = [
            getattr(arms, name).select(COLUMNS).sort("item_id").with_columns(label_origin=pl.lit(origin))
            for name, origin in origins.items()
        ]
        ends = np.cumsum([part.height for part in parts])
        base, chosen, control, test = np.split(np.arange(ends[-1]), ends[:-1])
        frame = pl.concat(parts)
        features, matrix = fitted_features(frame["text"].head(int(ends[2])).to_list(), recipe.settings)
        if test.size:
            matrix = vstack([matrix, features.transform(parts[-1]["text"].to_list())], format="csr")
        return cls(frame, matrix, frame["label"].to_numpy().astype(np.str_), base, chosen, control, test, recipe)

    def shuffled(self, rows: Rows, seed: int) -> Rows:
        """The rows in an order that the seed and their items decide: a label more leaves the others in their order."""
        return rows[np.argsort([_chance(item, seed) for item in self.frame["item_id"][rows]], kind="stable")]

    def trained(self, rows: Rows, tolerance: float, start: "LogisticRegression | None") -> "LogisticRegression":
        """The champion's linear model on some rows, weighted as in training; `start` is where its search begins.

        From the weights of the base model it takes half of the steps, and decides 4 of 5,155 rows otherwise than its exact optimum
        does, where 92 differ between a model with 155 labels and one without; from nothing it is off by 10.
        """
        from sklearn.linear_model import LogisticRegression

        model = LogisticRegression(C=self.recipe.inverse_regularisation, max_iter=1000, tol=tolerance, warm_start=True)
        if start is not None and set(self.labels[rows]) == set(start.classes_):
            model.classes_, model.coef_, model.intercept_ = start.classes_, start.coef_.copy(), start.intercept_.copy()
        newest = cast(datetime.datetime, self.frame["labelled_at"].max())  # of all rows: a base row weighs alike in every model
        weights = sample_weights(self.frame[rows], self.recipe.sampling, as_of=newest).weights
        return model.fit(self.matrix[rows], self.labels[rows], sample_weight=weights)

    def has_right(self, model: "LogisticRegression", rows: Rows) -> npt.NDArray[np.bool_]:
        """For each row whether the model says its label."""
        return np.asarray(model.predict(self.matrix[rows]) == self.labels[rows]) if rows.size else np.zeros(0, dtype=np.bool_)


def _chance(item: str, seed: object) -> bytes:
    """The item's place in a random order that only the seed decides."""
    return hashlib.sha256(f"{seed}:{item}".encode()).digest()


def _saved(judged: _Judged, matched: int) -> Estimate:
    """`matched` minus where the chosen curve reaches the random one's end, with a paired bootstrap interval over control items."""
    sizes = np.array(
        sorted({labels for arm, labels in judged.right if arm == "chosen" and labels <= 2 * matched}), dtype=np.float64
    )
    decided = np.stack([*(judged.right["chosen", int(size)] for size in sizes), judged.right["random", matched]], axis=1)
    rows = len(decided)
    draws = np.random.default_rng(BOOTSTRAP_SEED).multinomial(rows, np.full(rows, 1 / rows), size=BOOTSTRAP_ROUNDS)
    mean = decided.mean(axis=0)
    curves = np.vstack([mean, mean + WIDENING * (draws @ decided / rows - mean)])
    first, last = crossings(sizes, rising(curves[:, :-1]), curves[:, -1])
    value = matched - (first[0] + last[0]) / 2
    low, high = matched - np.quantile(last[1:], 0.975), matched - np.quantile(first[1:], 0.025)
    return Estimate(float(value), float(min(low, value)), float(max(high, value)))


class Values:
    """The comparisons of one dataset on disk: one file per snapshot version, and the newest as `CURRENT.json`."""

    def __init__(self, lake: Path, dataset: str) -> None:
        self.root = lake / "label_value" / valid_name(dataset, "dataset")

    def current(self) -> LabelValue | None:
        """The newest comparison, None before the first."""
        path = self.root / CURRENT
        return _read(path) if path.exists() else None

    def history(self) -> list[LabelValue]:
        """One comparison per snapshot version, oldest first."""
        paths = [path for path in self.root.glob("v*.json") if VERSION.fullmatch(path.stem)]
        return [_read(path) for path in sorted(paths, key=lambda path: int(path.stem[1:]))]

    def write(self, value: LabelValue) -> Path:
        """Keep a comparison, in place of the one on the same snapshot; the path of its file. Nothing half written is ever seen."""
        path = self.root / f"{value.snapshot_version}.json"
        for target in (path, self.root / CURRENT):
            with written_whole(target) as temporary:
                temporary.write_text(f"{value.model_dump_json(indent=1)}\n")
        return path


def _read(path: Path) -> LabelValue:
    try:
        return LabelValue.model_validate_json(path.read_bytes())
    except ValueError as error:
        raise CurationError(f"{path} is damaged", "remove it; the next retrain writes it again") from error
