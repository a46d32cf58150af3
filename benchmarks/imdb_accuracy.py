"""Accuracy and cost of the sentiment model on IMDB, split 80/20 by film: `uv run python -m benchmarks.imdb_accuracy`.

Measures `curation.learning` alone, with three seeds of the split; needs ../shared/data or CURATION_REAL_DATA. It judges nothing.
"""

import argparse
import gzip
import hashlib
import html
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from curation.learning.classifier import CLASSIFIER, Examples, TrainingSettings, train
from curation.learning.evaluation import Evaluation, evaluate

SEEDS = (1, 2, 3)
TEST_PERCENT, VALIDATION_PERCENT = 20, 8  # validation is 10% of the films that are not in the test
TAG = re.compile(r"<[^>]*>")
COLUMNS = ("seed", "train", "test", "accuracy", "95%", "macro F1", "log loss", "calibration", "C", "train CPU s", "predict CPU s")


@dataclass(frozen=True)
class Review:
    """One film review, cleaned, with its class."""

    film: str
    text: str
    label: str


@dataclass(frozen=True)
class Measurement:
    """One seed: how good the model was and what it cost, in CPU seconds of this process."""

    seed: int
    training_rows: int
    evaluation: Evaluation
    inverse_regularisation: float
    training_s: float
    prediction_s: float


def read_reviews(real_data: Path) -> list[Review]:
    """The 25,000 reviews of imdb_aclimdb: tags out, entities decoded, lower case; a rating of up to 4 is neg, from 7 pos."""
    with gzip.open(real_data / "imdb_aclimdb" / "imdb_train.jsonl.gz", "rt", encoding="utf-8") as lines:
        records = [json.loads(line) for line in lines]
    return [
        Review(record["movie_id"], html.unescape(TAG.sub(" ", record["text"])).lower(), "pos" if record["rating"] > 5 else "neg")
        for record in records
    ]


def measure(reviews: list[Review], seed: int) -> Measurement:
    """Train on one split by film and judge on its test part."""
    parts: dict[str, list[Review]] = {"train": [], "validation": [], "test": []}
    for review in reviews:
        percent = int(hashlib.sha256(f"{seed}/{review.film}".encode()).hexdigest()[:8], 16) % 100
        part = "test" if percent < TEST_PERCENT else "validation" if percent < TEST_PERCENT + VALIDATION_PERCENT else "train"
        parts[part].append(review)
    training, validation, test = (_examples(part) for part in parts.values())
    started_s = time.process_time()
    pipeline = train(training, validation, TrainingSettings())
    trained_s = time.process_time()
    probabilities = pipeline.predict_proba(test.texts)
    predicted_s = time.process_time()
    classes = [str(name) for name in pipeline.classes_]
    evaluation = evaluate(test.labels, probabilities, classes, baseline_label=classes[0], slices={}, bootstrap_seed=seed)
    return Measurement(
        seed, len(training.texts), evaluation, pipeline[CLASSIFIER].C, trained_s - started_s, predicted_s - trained_s
    )


def _examples(reviews: list[Review]) -> Examples:
    return Examples([review.text for review in reviews], [review.label for review in reviews], [1.0] * len(reviews))


def _table(measurements: list[Measurement]) -> Iterator[str]:
    yield " | ".join(f"{column:>13}" for column in COLUMNS)
    for measured in measurements:
        judged = measured.evaluation
        cells = (
            str(measured.seed),
            f"{measured.training_rows:,}",
            f"{judged.rows:,}",
            f"{judged.accuracy.value:.4f}",
            f"{judged.accuracy.low:.4f}-{judged.accuracy.high:.4f}",
            f"{judged.macro_f1.value:.4f}",
            f"{judged.log_loss.value:.4f}",
            f"{judged.calibration_error.value:.4f}",
            f"{measured.inverse_regularisation:g}",
            f"{measured.training_s:.1f}",
            f"{measured.prediction_s:.1f}",
        )
        yield " | ".join(f"{cell:>13}" for cell in cells)
    accuracy = sum(measured.evaluation.accuracy.value for measured in measurements) / len(measurements)
    slowest_s = max(measured.training_s for measured in measurements)
    yield f"mean accuracy {accuracy:.4f} (reach 0.89); slowest training {slowest_s:.1f} CPU s (reach 30)"


def main() -> int:
    """Print the table, a row per seed and the mean."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    beside_the_project = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    real_data = Path(os.environ.get("CURATION_REAL_DATA", beside_the_project))
    if not (real_data / "imdb_aclimdb").is_dir():
        print(f"no imdb_aclimdb in {real_data}; set CURATION_REAL_DATA to the folder that holds it", file=sys.stderr)
        return 1
    reviews = read_reviews(real_data)
    print("\n".join(_table([measure(reviews, seed) for seed in SEEDS])))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
