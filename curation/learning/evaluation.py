"""How good a classifier is on rows it has not seen: every figure with its 95% interval, beside the majority class.

Numbers in (labels, probabilities), numbers out; it fits nothing, draws nothing and knows no dataset.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from curation.errors import CurationError

Z_95 = 1.959963984540054
"""Two-sided 95% quantile of the normal distribution."""
BOOTSTRAP_ROUNDS = 1000
CONFIDENCE_BINS = 10


@dataclass(frozen=True)
class Estimate:
    """A figure and its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class ClassReport:
    """One class: `precision` of what was predicted as it, `recall` of what is it (`support` rows)."""

    label: str
    support: int
    predicted: int
    precision: Estimate
    recall: Estimate
    f1: Estimate


@dataclass(frozen=True)
class SliceReport:
    """The rows of the test that share one value of one column."""

    column: str
    value: str
    rows: int
    accuracy: Estimate
    macro_f1: Estimate


@dataclass(frozen=True)
class ReliabilityBin:
    """Rows whose confidence (the probability of the class predicted) lies in [low, high)."""

    low: float
    high: float
    rows: int
    mean_confidence: float
    accuracy: float


@dataclass(frozen=True)
class Evaluation:
    """Everything said about one model on one test split; `confusion[i][j]` counts rows of class i predicted as class j."""

    rows: int
    labels: tuple[str, ...]
    accuracy: Estimate
    macro_f1: Estimate
    log_loss: Estimate
    calibration_error: Estimate
    baseline_label: str
    baseline_accuracy: Estimate
    baseline_macro_f1: Estimate
    classes: tuple[ClassReport, ...]
    slices: tuple[SliceReport, ...]
    confusion: tuple[tuple[int, ...], ...]
    reliability: tuple[ReliabilityBin, ...]
    bootstrap_seed: int

    def as_json(self) -> dict[str, Any]:
        """Plain numbers, strings, lists and dicts, as `json.dumps` takes them."""
        return asdict(self)

    def as_metrics(self) -> dict[str, float]:
        """The figures to track over versions, flat: "accuracy", "accuracy_low", ..., "f1/<class>", "accuracy/<column>/<value>"."""
        estimates = {
            "accuracy": self.accuracy,
            "macro_f1": self.macro_f1,
            "log_loss": self.log_loss,
            "calibration_error": self.calibration_error,
            "baseline_accuracy": self.baseline_accuracy,
            "baseline_macro_f1": self.baseline_macro_f1,
        }
        metrics = {"rows": float(self.rows)}
        for name, estimate in estimates.items():
            metrics |= {name: estimate.value, f"{name}_low": estimate.low, f"{name}_high": estimate.high}
        for report in self.classes:
            metrics |= {f"{name}/{report.label}": getattr(report, name).value for name in ("precision", "recall", "f1")}
        return metrics | {f"accuracy/{part.column}/{part.value}": part.accuracy.value for part in self.slices}


def evaluate(
    labels: Sequence[str],
    probabilities: np.ndarray,
    classes: Sequence[str],
    *,
    baseline_label: str,
    slices: Mapping[str, Sequence[str]],
    bootstrap_seed: int,
) -> Evaluation:
    """Judge predictions against the true labels of a test split.

    Args:
        labels: the true label of each of n rows; may hold classes that the model does not know.
        probabilities: (n, k), rows sum to 1; the class predicted is the most probable, the first of equals.
        classes: names of the k columns.
        baseline_label: the majority class of the training split, which the baseline predicts for every row.
        slices: column name to its n values ("source" to the source of each row).
        bootstrap_seed: the intervals of F1 and calibration error are bootstrapped; proportions get Wilson's interval, the log
            loss the normal one.

    Raises:
        CurationError: there is no row to judge by.
    """
    if len(labels) == 0:
        raise CurationError("cannot evaluate: the test split is empty", "take in more records, then run again")
    generator = np.random.default_rng(bootstrap_seed)
    names = tuple(sorted({*classes, *labels, baseline_label}))
    position = {name: index for index, name in enumerate(names)}
    truth = np.fromiter((position[label] for label in labels), dtype=np.int64, count=len(labels))
    column_class = np.asarray([position[name] for name in classes])
    predicted = column_class[probabilities.argmax(axis=1)]
    confusion = _confusion(truth, predicted, len(names))
    baseline = _confusion(truth, np.full_like(truth, position[baseline_label]), len(names))
    draws = _resampled(confusion, generator)
    cells = _confidence_cells(probabilities.max(axis=1).astype(np.float64), truth == predicted)
    losses = log_losses(labels, probabilities, classes)
    return Evaluation(
        rows=len(truth),
        labels=names,
        accuracy=wilson(int(np.trace(confusion)), len(truth)),
        macro_f1=_macro_f1(confusion, draws),
        log_loss=_mean_with_normal_interval(losses),
        calibration_error=_calibration_error(cells, generator),
        baseline_label=baseline_label,
        baseline_accuracy=wilson(int(np.trace(baseline)), len(truth)),
        baseline_macro_f1=_macro_f1(baseline, _resampled(baseline, generator)),
        classes=_class_reports(names, confusion, draws),
        slices=_slice_reports(slices, truth, predicted, len(names), generator),
        confusion=tuple(tuple(int(count) for count in row) for row in confusion),
        reliability=_reliability(cells),
        bootstrap_seed=bootstrap_seed,
    )


def log_losses(labels: Sequence[str], probabilities: np.ndarray, classes: Sequence[str]) -> np.ndarray:
    """Minus the natural logarithm of the probability given to each row's true label, (n,) float64.

    A probability counts as at least 2.2e-16, as in scikit-learn, also that of a class which the model does not know.
    """
    column = {name: index for index, name in enumerate(classes)}
    columns = np.fromiter((column.get(label, -1) for label in labels), dtype=np.int64, count=len(labels))
    given = np.where(columns < 0, 0.0, probabilities[np.arange(len(columns)), columns].astype(np.float64))
    return -np.log(np.maximum(given, np.finfo(np.float64).eps))


def wilson(successes: int, trials: int) -> Estimate:
    """A proportion with Wilson's score interval (1927), which stays within [0, 1]; no trials: 0 with the interval [0, 1]."""
    if trials == 0:
        return Estimate(0.0, 0.0, 1.0)
    share = successes / trials
    widening = Z_95**2 / trials
    centre = (share + widening / 2) / (1 + widening)
    half_width = Z_95 * np.sqrt(share * (1 - share) / trials + widening / (4 * trials)) / (1 + widening)
    return Estimate(share, float(max(0.0, min(share, centre - half_width))), float(min(1.0, max(share, centre + half_width))))


def _confusion(truth: np.ndarray, predicted: np.ndarray, class_count: int) -> np.ndarray:
    return np.bincount(truth * class_count + predicted, minlength=class_count**2).reshape(class_count, class_count)


def _resampled(confusion: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """(rounds, k, k): drawing n rows with replacement and counting them is one multinomial draw of the cells."""
    total = int(confusion.sum())
    return generator.multinomial(total, (confusion / total).ravel(), size=BOOTSTRAP_ROUNDS).reshape(-1, *confusion.shape)


def _f1(confusion: np.ndarray) -> np.ndarray:
    """F1 of each class, (..., k) from (..., k, k); 0 for a class that neither occurs nor is predicted."""
    hits = np.diagonal(confusion, axis1=-2, axis2=-1)
    total = confusion.sum(axis=-1) + confusion.sum(axis=-2)
    return np.asarray(2 * hits / np.maximum(total, 1))


def _interval(value: float, drawn: np.ndarray) -> Estimate:
    low, high = np.quantile(drawn, (0.025, 0.975))
    return Estimate(float(value), float(min(low, value)), float(max(high, value)))


def _macro_f1(confusion: np.ndarray, draws: np.ndarray) -> Estimate:
    """The mean F1 of the classes that occur or are predicted, as scikit-learn counts them."""
    present = (confusion.sum(axis=0) + confusion.sum(axis=1)) > 0
    return _interval(_f1(confusion)[present].mean(), _f1(draws)[:, present].mean(axis=1))


def _class_reports(names: tuple[str, ...], confusion: np.ndarray, draws: np.ndarray) -> tuple[ClassReport, ...]:
    f1, drawn_f1 = _f1(confusion), _f1(draws)
    reports = []
    for index, name in enumerate(names):
        hits, support, predicted = int(confusion[index, index]), int(confusion[index].sum()), int(confusion[:, index].sum())
        estimate = _interval(f1[index], drawn_f1[:, index])
        reports.append(ClassReport(name, support, predicted, wilson(hits, predicted), wilson(hits, support), estimate))
    return tuple(reports)


def _slice_reports(
    slices: Mapping[str, Sequence[str]],
    truth: np.ndarray,
    predicted: np.ndarray,
    class_count: int,
    generator: np.random.Generator,
) -> tuple[SliceReport, ...]:
    reports = []
    for column, values in slices.items():
        groups, group_of_row = np.unique(np.asarray(values, dtype=np.str_), return_inverse=True)
        for index, value in enumerate(groups):
            rows = group_of_row == index
            confusion = _confusion(truth[rows], predicted[rows], class_count)
            accuracy = wilson(int(np.trace(confusion)), int(confusion.sum()))
            macro_f1 = _macro_f1(confusion, _resampled(confusion, generator))
            reports.append(SliceReport(column, str(value), int(confusion.sum()), accuracy, macro_f1))
    return tuple(reports)


def _mean_with_normal_interval(values: np.ndarray) -> Estimate:
    mean = float(values.mean())
    half_width = float(Z_95 * values.std() / np.sqrt(len(values)))
    return Estimate(mean, max(0.0, mean - half_width), mean + half_width)


def _confidence_cells(confidence: np.ndarray, is_correct: np.ndarray) -> np.ndarray:
    """(bins, 2, 2): of the rows of each bin, wrong and right apart, their number and the sum of their confidences."""
    bins = np.minimum((confidence * CONFIDENCE_BINS).astype(np.int64), CONFIDENCE_BINS - 1)
    cell = bins * 2 + is_correct
    counts = np.bincount(cell, minlength=2 * CONFIDENCE_BINS)
    sums = np.bincount(cell, weights=confidence, minlength=2 * CONFIDENCE_BINS)
    return np.stack([counts, sums], axis=1).reshape(CONFIDENCE_BINS, 2, 2)


def _calibration_error(cells: np.ndarray, generator: np.random.Generator) -> Estimate:
    """Expected calibration error (Naeini 2015): |right - confidence| of each bin, weighted by its rows.

    Bootstrapped over the cells of `_confidence_cells`: a drawn row of a cell counts with the cell's mean confidence.
    """
    counts = cells[..., 0]
    total = counts.sum()
    means = cells[..., 1] / np.maximum(counts, 1)
    error = abs(counts[:, 1] - cells[..., 1].sum(axis=1)).sum() / total
    drawn = generator.multinomial(int(total), (counts / total).ravel(), size=BOOTSTRAP_ROUNDS).reshape(-1, *counts.shape)
    return _interval(error, abs(drawn[..., 1] - (drawn * means).sum(axis=-1)).sum(axis=-1) / total)


def _reliability(cells: np.ndarray) -> tuple[ReliabilityBin, ...]:
    bins = []
    for index, cell in enumerate(cells):
        rows = cell[:, 0].sum()
        if rows:
            low, high = index / CONFIDENCE_BINS, (index + 1) / CONFIDENCE_BINS
            bins.append(ReliabilityBin(low, high, int(rows), float(cell[:, 1].sum() / rows), float(cell[1, 0] / rows)))
    return tuple(bins)
