"""Training: what comes out, that it comes out the same twice, and what is refused."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

from benchmarks.imdb_accuracy import measure, read_reviews
from curation.errors import CurationError
from curation.learning import artefact
from curation.learning.classifier import Examples, TrainingSettings, parameters_of, rows_trained_on, train

NOTHING = Examples([], [], [])


def part(examples: Examples, rows: slice) -> Examples:
    return Examples(examples.texts[rows], examples.labels[rows], examples.weights[rows])


def test_a_model_learns_the_telling_words_and_gives_probabilities(examples: Examples) -> None:
    pipeline = train(part(examples, slice(200)), part(examples, slice(200, 250)), TrainingSettings())
    probabilities = pipeline.predict_proba(["the box is lovely and great", "awful and broken, refund"])
    assert list(pipeline.classes_) == ["negative", "neutral", "positive"]
    assert probabilities.argmax(axis=1).tolist() == [2, 0]
    assert np.allclose(probabilities.sum(axis=1), 1)
    assert (probabilities > 0).all()


def test_training_twice_gives_the_same_bytes(examples: Examples, tmp_path: Path) -> None:
    digests = {
        artefact.save(train(part(examples, slice(200)), part(examples, slice(200, 250)), TrainingSettings()), tmp_path / name)
        for name in ("first.skops", "second.skops")
    }
    assert len(digests) == 1
    assert hashlib.sha256((tmp_path / "second.skops").read_bytes()).hexdigest() in digests


def test_a_row_of_weight_zero_teaches_nothing(examples: Examples) -> None:
    settings = TrainingSettings(minimum_documents=1)
    texts, labels, weights = part(examples, slice(100))
    contradicted = Examples([*texts, *texts], [*labels, *["negative"] * 100], [*weights, *[0.0] * 100])
    asserted = contradicted._replace(weights=[1.0] * 200)
    lovely = ["great lovely happy"]
    assert train(contradicted, NOTHING, settings).predict(lovely) == ["positive"]
    share_of_negative = train(asserted, NOTHING, settings).predict_proba(lovely)[0, 0]
    assert share_of_negative > 2 * train(contradicted, NOTHING, settings).predict_proba(lovely)[0, 0]


def test_the_regularisation_is_chosen_on_the_validation_rows_and_recorded(examples: Examples) -> None:
    settings = TrainingSettings(inverse_regularisations=(0.001, 10.0))
    training = part(examples, slice(200))
    chosen = parameters_of(train(training, part(examples, slice(200, 300)), settings), training, settings)
    assert chosen["inverse_regularisation"] == 10.0
    assert chosen["inverse_regularisations"] == "0.001 10.0"
    assert (chosen["rows"], chosen["rows_trained_on"]) == (200, 200)


def test_a_validation_label_that_training_never_saw_does_not_stop_it(examples: Examples) -> None:
    pipeline = train(
        part(examples, slice(200)), Examples(["lovely", "odd"], ["positive", "strange"], [1.0, 1.0]), TrainingSettings()
    )
    assert "strange" not in pipeline.classes_


def test_beyond_the_limit_a_fixed_draw_of_rows_is_trained_on(examples: Examples) -> None:
    settings = TrainingSettings(rows_at_most=50)
    rows = rows_trained_on(300, settings)
    assert len(set(rows.tolist())) == 50
    assert rows.tolist() == sorted(rows_trained_on(300, settings).tolist())
    assert rows.tolist() != rows_trained_on(300, settings.model_copy(update={"seed": 1})).tolist()
    assert parameters_of(train(examples, NOTHING, settings), examples, settings)["rows_trained_on"] == 50


def test_one_class_is_refused_by_name_and_count() -> None:
    with pytest.raises(CurationError, match="all 30 rows are 'positive'") as refusal:
        train(Examples(["fine"] * 30, ["positive"] * 30, [1.0] * 30), NOTHING, TrainingSettings())
    assert refusal.value.fix is not None and "other class" in refusal.value.fix


def test_too_few_rows_are_refused_with_the_counts_of_each_class() -> None:
    with pytest.raises(CurationError, match=r"cannot train on 3 rows \(1 negative, 2 positive\): at least 20"):
        train(Examples(["a", "b", "c"], ["positive", "negative", "positive"], [1.0] * 3), NOTHING, TrainingSettings())


def test_no_rows_at_all_are_refused_too() -> None:
    with pytest.raises(CurationError, match=r"cannot train on 0 rows \(none\)"):
        train(NOTHING, NOTHING, TrainingSettings())


def test_texts_without_a_common_word_are_refused() -> None:
    texts = [f"word{number}" for number in range(30)]
    with pytest.raises(CurationError, match="no word occurs in at least 2 of the 30 training texts"):
        train(Examples(texts, ["positive", "negative"] * 15, [1.0] * 30), NOTHING, TrainingSettings())


def test_texts_in_korean_and_empty_texts_are_texts() -> None:
    texts = ["정말 좋은 영화", "", "최악의 영화", "정말 좋은 하루", "최악의 하루"] * 6
    labels = ["positive", "negative", "negative", "positive", "negative"] * 6
    pipeline = train(Examples(texts, labels, [1.0] * 30), NOTHING, TrainingSettings())
    assert pipeline.predict(["정말 좋은", "최악의"]).tolist() == ["positive", "negative"]


@pytest.mark.slow
@pytest.mark.real_data
def test_imdb_split_by_film_reaches_its_accuracy_at_its_price(real_data: Path) -> None:
    measured = measure(read_reviews(real_data), seed=1)
    assert measured.evaluation.accuracy.value >= 0.89
    assert measured.evaluation.calibration_error.value < 0.05
    assert measured.training_s <= 30
