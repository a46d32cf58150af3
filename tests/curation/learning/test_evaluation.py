"""Evaluation: its figures against scikit-learn's, its intervals against theory, and what is refused."""

import dataclasses
import json
import math

import numpy as np
import pytest
from sklearn import metrics

from curation.errors import CurationError
from curation.learning.evaluation import Evaluation, evaluate, log_losses, wilson

CLASSES = ("negative", "neutral", "positive")


def simulated(rows: int = 2000) -> tuple[list[str], np.ndarray]:
    """Labels drawn from the very probabilities that are given: perfectly calibrated."""
    generator = np.random.default_rng(3)
    probabilities = generator.dirichlet((0.6, 0.3, 0.9), size=rows)
    return [str(generator.choice(CLASSES, p=row)) for row in probabilities], probabilities


def judged(labels: list[str], probabilities: np.ndarray, **changes: object) -> Evaluation:
    arguments = {"baseline_label": "positive", "slices": {}, "bootstrap_seed": 0} | changes
    return evaluate(labels, probabilities, CLASSES, **arguments)  # type: ignore[arg-type]


def test_the_figures_are_those_of_scikit_learn() -> None:
    labels, probabilities = simulated()
    evaluation = judged(labels, probabilities)
    predicted = np.asarray(CLASSES)[probabilities.argmax(axis=1)]
    precision, recall, f1, support = metrics.precision_recall_fscore_support(labels, predicted)
    assert evaluation.accuracy.value == pytest.approx(metrics.accuracy_score(labels, predicted))
    assert evaluation.macro_f1.value == pytest.approx(metrics.f1_score(labels, predicted, average="macro"))
    assert evaluation.log_loss.value == pytest.approx(metrics.log_loss(labels, probabilities))
    assert evaluation.confusion == tuple(map(tuple, metrics.confusion_matrix(labels, predicted).tolist()))
    for index, report in enumerate(evaluation.classes):
        assert (report.precision.value, report.recall.value) == pytest.approx((precision[index], recall[index]))
        assert (report.f1.value, report.support) == (pytest.approx(f1[index]), support[index])


def test_every_interval_holds_its_value_and_narrows_with_more_rows() -> None:
    labels, probabilities = simulated()
    all_rows, some_rows = judged(labels, probabilities), judged(labels[:200], probabilities[:200])
    for name in ("accuracy", "macro_f1", "log_loss", "calibration_error", "baseline_accuracy", "baseline_macro_f1"):
        wide, narrow = getattr(some_rows, name), getattr(all_rows, name)
        assert narrow.low <= narrow.value <= narrow.high
        assert narrow.high - narrow.low < wide.high - wide.low


def test_the_bootstrapped_interval_of_macro_f1_is_that_of_drawing_rows() -> None:
    labels, probabilities = simulated(400)
    predicted = np.asarray(CLASSES)[probabilities.argmax(axis=1)]
    generator = np.random.default_rng(11)
    drawn = []
    for _ in range(300):
        rows = generator.integers(0, 400, 400)
        drawn.append(metrics.f1_score(np.asarray(labels)[rows], predicted[rows], average="macro"))
    interval = judged(labels, probabilities).macro_f1
    assert (interval.low, interval.high) == pytest.approx(np.quantile(drawn, (0.025, 0.975)), abs=0.015)


def test_wilson_gives_the_published_interval_and_stays_within_0_and_1() -> None:
    ten_percent = wilson(10, 100)
    assert (ten_percent.low, ten_percent.high) == pytest.approx((0.0552, 0.1744), abs=1e-4)
    assert wilson(0, 20).low == 0 and wilson(20, 20).high == 1
    assert dataclasses.astuple(wilson(0, 0)) == (0, 0, 1)


def test_honest_probabilities_are_calibrated_and_boastful_ones_are_not() -> None:
    labels, probabilities = simulated()
    boastful = probabilities**4 / (probabilities**4).sum(axis=1, keepdims=True)
    assert judged(labels, probabilities).calibration_error.value < 0.04
    assert judged(labels, boastful).calibration_error.value > 0.15


def test_the_bins_of_the_reliability_diagram_hold_every_row() -> None:
    evaluation = judged(*simulated())
    assert sum(part.rows for part in evaluation.reliability) == 2000
    assert all(part.low <= part.mean_confidence <= part.high for part in evaluation.reliability)


def test_the_baseline_says_the_majority_class_of_training_for_every_row() -> None:
    labels, probabilities = simulated()
    evaluation = judged(labels, probabilities, baseline_label="neutral")
    assert evaluation.baseline_accuracy.value == labels.count("neutral") / 2000


def test_each_source_is_judged_by_its_own_rows() -> None:
    labels, probabilities = simulated()
    sources = ["shop" if label == "positive" else "forum" for label in labels]
    parts = {report.value: report for report in judged(labels, probabilities, slices={"source": sources}).slices}
    hits = np.asarray(CLASSES)[probabilities.argmax(axis=1)] == np.asarray(labels)
    of_shop = np.asarray(sources) == "shop"
    assert parts["shop"].rows == of_shop.sum() and parts["forum"].rows == (~of_shop).sum()
    assert parts["shop"].accuracy.value == pytest.approx(hits[of_shop].mean())


def test_a_class_that_the_model_does_not_know_counts_as_missed() -> None:
    labels, probabilities = simulated(100)
    evaluation = judged(["unheard of", *labels[1:]], probabilities)
    report = next(part for part in evaluation.classes if part.label == "unheard of")
    assert (report.support, report.predicted, report.recall.value) == (1, 0, 0)
    assert math.isfinite(evaluation.log_loss.value)
    assert log_losses(["unheard of"], probabilities[:1], CLASSES)[0] == pytest.approx(36.04, abs=0.01)


def test_the_same_rows_and_seed_give_the_same_json_and_it_is_plain() -> None:
    labels, probabilities = simulated(300)
    slices = {"source": ["shop", "forum", "mail"] * 100}
    first, second = (json.dumps(judged(labels, probabilities, slices=slices).as_json()) for _ in range(2))
    assert first == second
    assert json.loads(first)["rows"] == 300


def test_the_metrics_to_track_are_flat_and_finite() -> None:
    labels, probabilities = simulated(300)
    tracked = judged(labels, probabilities, slices={"source": ["shop", "forum", "mail"] * 100}).as_metrics()
    assert {"accuracy", "accuracy_low", "macro_f1_high", "f1/neutral", "accuracy/source/shop"} <= set(tracked)
    assert all(math.isfinite(value) for value in tracked.values())


def test_an_empty_test_split_is_refused() -> None:
    with pytest.raises(CurationError, match="the test split is empty"):
        judged([], np.empty((0, 3)))
