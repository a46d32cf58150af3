"""Trains the text classifier of any dataset: rows of (text, label, weight) in, a fitted scikit-learn pipeline out.

Deterministic: the same rows in the same order and the same settings give the same numbers, on one machine, to the last bit.
It reads no files and knows no dataset; how good a model is, `curation.learning.evaluation` says.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from curation.errors import CurationError
from curation.learning.evaluation import log_losses

if TYPE_CHECKING:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline

WORD = r"\w+|[!?]"
"""scikit-learn's default drops words of one character, which are the words of many languages, and the marks that shout and ask."""

CLASSIFIER = "classifier"
"""Name of the pipeline's last step."""


class Examples(NamedTuple):
    """One text, one label and one weight (finite, at least 0) per row, in an order that the caller keeps fixed (the snapshot's)."""

    texts: Sequence[str]
    labels: Sequence[str]
    weights: Sequence[float]


class TrainingSettings(BaseModel):
    """What may be tuned; every value is recorded beside the model, so change one and the model is another."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    longest_ngram: int = Field(default=2, ge=1, le=5)  # IMDB: .902 with pairs of words, .880 without
    feature_bits: int = Field(default=20, ge=10, le=24)  # 2**20 columns; with 2**18 IMDB loses .003 of accuracy
    minimum_documents: int = Field(default=2, ge=1)  # in how many texts a word or a pair must occur
    inverse_regularisations: tuple[float, ...] = Field(default=(1.0, 3.0, 10.0, 30.0, 100.0), min_length=1)  # tried in this order
    minimum_rows: int = Field(default=20, ge=2)
    rows_at_most: int = Field(default=100_000, ge=2)  # bounds memory: 100,000 long texts take about 1 GB as a matrix
    seed: int = 0  # draws the rows where there are more than `rows_at_most`


def train(training: Examples, validation: Examples, settings: TrainingSettings) -> "Pipeline":
    """A fitted pipeline from texts to classes; `predict_proba` gives probabilities, columns in the order of `classes_`.

    Presence of words and word pairs, hashed, TF-IDF weighted, then multinomial logistic regression (L2). Hashed because a
    vocabulary of 50,000 entries takes skops 64 CPU s and 45 MB to write, and a hashed one 0.03 s and 14 MB; presence rather than
    counts because it scores .902 on IMDB against .896. The strength of regularisation is the first in the settings' order after
    which the log loss on `validation` grows: long film reviews want 30 to 100, short Korean ones 3, and the wrong one costs up
    to .02 of accuracy and most of the calibration. Without validation rows it is the middle of the settings' list.

    Raises:
        CurationError: fewer than `minimum_rows` rows, only one class, or no word that occurs in `minimum_documents` texts.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    _require_trainable(training.labels, settings)
    chosen = rows_trained_on(len(training.texts), settings)
    labels = np.asarray([training.labels[row] for row in chosen], dtype=np.str_)
    weights = np.asarray(training.weights, dtype=np.float64)[chosen]
    # Sums of floats depend on how they are shared out between threads: with one thread, two machines cannot differ by that.
    with threadpool_limits(limits=1):
        features, matrix = fitted_features([training.texts[row] for row in chosen], settings)

        def fitted(inverse_regularisation: float) -> LogisticRegression:
            return LogisticRegression(C=inverse_regularisation, max_iter=1000).fit(matrix, labels, sample_weight=weights)

        classifier = _least_loss(fitted, features, validation, settings.inverse_regularisations)
    return Pipeline([*features.steps, (CLASSIFIER, classifier)])


def parameters_of(pipeline: "Pipeline", training: Examples, settings: TrainingSettings) -> dict[str, str | int | float]:
    """What made this model, for the registry: the settings, the regularisation chosen, the rows and columns used."""
    parameters: dict[str, str | int | float] = {
        name: value for name, value in settings.model_dump(mode="json").items() if isinstance(value, str | int | float)
    }
    return parameters | {
        "model": "hashed word presence, TF-IDF, logistic regression",
        "inverse_regularisations": " ".join(map(str, settings.inverse_regularisations)),
        "inverse_regularisation": pipeline[CLASSIFIER].C,
        "rows": len(training.texts),
        "rows_trained_on": len(rows_trained_on(len(training.texts), settings)),
        "columns": int(pipeline[CLASSIFIER].coef_.shape[1]),
    }


def rows_trained_on(row_count: int, settings: TrainingSettings) -> np.ndarray:
    """Ascending row numbers (int64) that `train` uses: all of them, or `rows_at_most` drawn with the seed."""
    if row_count <= settings.rows_at_most:
        return np.arange(row_count)
    return np.sort(np.random.default_rng(settings.seed).choice(row_count, settings.rows_at_most, replace=False))


def _require_trainable(labels: Sequence[str], settings: TrainingSettings) -> None:
    counts = Counter(labels)
    listed = ", ".join(f"{count} {label}" for label, count in sorted(counts.items())) or "none"
    if len(labels) < settings.minimum_rows:
        raise CurationError(
            f"cannot train on {len(labels)} rows ({listed}): at least {settings.minimum_rows} are needed",
            "take in more records, then run again; `curation quarantine` lists what was held back",
        )
    if len(counts) < 2:
        raise CurationError(
            f"cannot train on one class: all {len(labels)} rows are {next(iter(counts))!r}",
            "take in records of at least one other class, or correct the rule that makes the labels",
        )


def _features(row_count: int, settings: TrainingSettings) -> "Pipeline":
    """The unfitted steps from texts to a sparse float32 matrix."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.feature_selection import VarianceThreshold
    from sklearn.pipeline import Pipeline

    words = HashingVectorizer(
        n_features=2**settings.feature_bits,
        ngram_range=(1, settings.longest_ngram),
        token_pattern=WORD,
        binary=True,
        norm=None,
        alternate_sign=False,
        dtype=np.float32,
    )
    # On presence (0 or 1) a threshold on the variance p(1-p) is a minimum number of texts; a word in nearly all falls as well.
    share = (settings.minimum_documents - 0.5) / row_count
    return Pipeline([("words", words), ("seen_often", VarianceThreshold(share * (1 - share))), ("weighted", TfidfTransformer())])


def fitted_features(texts: Sequence[str], settings: TrainingSettings) -> "tuple[Pipeline, Any]":
    """The fitted steps from texts to features, and the matrix of these texts (sparse float32, one row each).

    Raises CurationError when no word occurs in `minimum_documents` of them.
    """
    features = _features(len(texts), settings)
    try:
        return features, features.fit_transform(texts)
    except ValueError as error:
        if "variance threshold" not in str(error):
            raise
        raise CurationError(
            f"cannot train: no word occurs in at least {settings.minimum_documents} of the {len(texts)} training texts",
            "take in more records, or lower minimum_documents",
        ) from error


def _least_loss(
    fitted: "Callable[[float], LogisticRegression]", features: "Pipeline", validation: Examples, candidates: Sequence[float]
) -> "LogisticRegression":
    if not validation.texts:
        return fitted(candidates[len(candidates) // 2])
    held_out = features.transform(validation.texts)
    best, smallest_loss = None, np.inf
    for candidate in candidates:
        classifier = fitted(candidate)
        classes = [str(name) for name in classifier.classes_]
        loss = float(
            np.average(log_losses(validation.labels, classifier.predict_proba(held_out), classes), weights=validation.weights)
        )
        if best is not None and loss >= smallest_loss:
            break
        best, smallest_loss = classifier, loss
    return best
