"""Seconds and memory to choose a label queue out of 1,000,000 predictions: `uv run python -m benchmarks.selection`.

The pool is made first, as Parquet; the choosing runs in a process of its own. With --learning it also simulates, on the labelled
sentences of ../shared/data/sst, which accuracy a number of answers buys: our mix, random items, and plain uncertainty.
"""

import argparse
import hashlib
import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa

from benchmarks.measuring import measured, printed
from curation.learning.classifier import Examples, TrainingSettings, train
from curation.learning.selection import QueuePolicy, select
from resources.home import REPOSITORY

REACH_S, REACH_MB = 5, 1000
ROUNDS, ROUND_SIZE, FIRST_LABELS, SEEDS = 8, 100, 200, 5
REAL_DATA = Path(os.environ.get("CURATION_REAL_DATA", REPOSITORY.parent / "shared" / "data"))


def make_relations(folder: Path, items: int) -> None:
    """pool, asked (2,000 control items) and votes (100,000 items, half of them disputed) as Parquet files.

    The pool: predictions of `items` items with ids of 64 hex digits and texts of 20 words, some frequent and most rare.
    """
    pool = folder / "pool.parquet"
    with duckdb.connect() as connection:
        connection.execute(
            f"""copy (
                select sha256(i::varchar) as item_id, 'reviews:' || item_id || ':' || substr(sha256('model' || i), 1, 16) as prediction_id,
                    ('0x' || substr(sha256('margin' || i), 1, 8))::ubigint / 4294967296.0 as margin,
                    (select string_agg('word' || (((i * 7919 + j * 104729) % 5003) * ((i * 31 + j * 17) % 101) // 101), ' ')
                     from range(20) as words(j)) as text
                from range({items}) as items(i)
            ) to '{pool}' (format parquet)"""
        )
        connection.execute(
            f"""copy (select item_id, 'control' as reason, .01::double as probability from '{pool}' order by item_id limit 2000)
            to '{folder}/asked.parquet' (format parquet)"""
        )
        connection.execute(
            f"""copy (select item_id, 2 as votes, (row_number() over () % 2 / 2)::double as disagreement
            from (from '{pool}' order by item_id desc limit 100000)) to '{folder}/votes.parquet' (format parquet)"""
        )


def choose(folder: Path) -> None:
    """Choose one queue and print its seconds and the peak of this process in MB; texts are read and clustered as for real."""
    from sklearn.feature_extraction.text import HashingVectorizer, TfidfTransformer
    from sklearn.pipeline import make_pipeline

    features = make_pipeline(HashingVectorizer(n_features=2**20, ngram_range=(1, 2), norm=None), TfidfTransformer())
    started_s = time.perf_counter()
    with duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}) as connection:
        for relation in ("pool", "asked", "votes"):
            connection.execute(f"create view {relation} as select * from read_parquet('{folder / relation}.parquet')")
        chosen = select(
            connection,
            "pool",
            "asked",
            "votes",
            QueuePolicy(),
            test_from=0.9,
            train_until=0.8,
            seed="benchmark",
            embed=features.fit_transform,
        )
    took_s = time.perf_counter() - started_s
    print(chosen.num_rows, took_s, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024)


@dataclass(frozen=True)
class Sentences:
    """Texts with labels: a pool to learn from and a test."""

    texts: list[str]
    labels: list[str]
    test_texts: list[str]
    test_labels: list[str]


def read_sst(real_data: Path) -> Sentences:
    """Stanford sentiment, two classes: 6,920 sentences to learn from, 872 to judge by."""
    parts = []
    for name in ("stsa.binary.train", "stsa.binary.dev"):
        lines = (real_data / "sst" / name).read_text(encoding="utf-8").splitlines()
        parts += [[line[2:] for line in lines], [line[0] for line in lines]]
    return Sentences(*parts)


Choice = Callable[[Sentences, np.ndarray, np.ndarray, str], list[int]]
"""From sentences, the rows not labelled yet, their margins and a seed to the rows to label next."""


def random_rows(sentences: Sentences, rows: np.ndarray, margins: np.ndarray, seed: str) -> list[int]:
    """Any."""
    return sorted(rows, key=lambda row: hashlib.sha256(f"{seed}:{row}".encode()).digest())[:ROUND_SIZE]


def most_uncertain(sentences: Sentences, rows: np.ndarray, margins: np.ndarray, seed: str) -> list[int]:
    """Those of smallest margin."""
    return [int(row) for row in rows[np.argsort(margins, kind="stable")[:ROUND_SIZE]]]


def our_mix(sentences: Sentences, rows: np.ndarray, margins: np.ndarray, seed: str) -> list[int]:
    """The active part of our queue; its control arm buys evaluation and is left out of the count."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    pool = pa.table(
        {
            "item_id": [str(row) for row in rows],
            "prediction_id": [str(row) for row in rows],
            "margin": pa.array(margins, pa.float64()),
            "text": [sentences.texts[row] for row in rows],
        }
    )
    with duckdb.connect() as connection:
        connection.register("pool", pool)
        connection.execute("create view asked as select '' as item_id, '' as reason, 1.0::double as probability where false")
        connection.execute("create view votes as select '' as item_id, 1 as votes, 0.0::double as disagreement where false")
        policy = QueuePolicy(size=ROUND_SIZE * 5 // 4)
        embed = TfidfVectorizer(sublinear_tf=True).fit_transform
        chosen = select(
            connection, "pool", "asked", "votes", policy, test_from=0.8, train_until=0.8, seed=seed, embed=embed
        ).to_pylist()
    return [int(row["item_id"]) for row in chosen if row["reason"] != "control"]


def learning_curve(sentences: Sentences, choice: Choice, seed: int) -> list[float]:
    """Accuracy on the test after the first labels and after each round."""
    settings = TrainingSettings(longest_ngram=1, minimum_documents=1)
    everything = np.arange(len(sentences.texts))
    labelled = random_rows(sentences, everything, np.zeros(everything.size), f"first {seed}")
    labelled += random_rows(sentences, np.setdiff1d(everything, labelled), np.zeros(0), f"more {seed}")
    accuracies = []
    for round_number in range(ROUNDS + 1):
        texts, labels = [sentences.texts[row] for row in labelled], [sentences.labels[row] for row in labelled]
        model = train(Examples(texts, labels, [1.0] * len(texts)), Examples([], [], []), settings)
        accuracies.append(float(np.mean(model.predict(sentences.test_texts) == np.array(sentences.test_labels))))
        rows = np.setdiff1d(everything, labelled)
        probabilities = model.predict_proba([sentences.texts[row] for row in rows])
        labelled += choice(sentences, rows, np.abs(probabilities[:, 0] - probabilities[:, 1]), f"{seed} {round_number}")
    return accuracies


def compare_learning(sentences: Sentences) -> str:
    """One row per number of labels: mean accuracy over the seeds for each way of choosing."""
    ways: dict[str, Choice] = {"our mix": our_mix, "random": random_rows, "plain uncertainty": most_uncertain}
    curves = {
        name: np.mean([learning_curve(sentences, choice, seed) for seed in range(SEEDS)], axis=0) for name, choice in ways.items()
    }
    rows: list[Sequence[object]] = [
        [FIRST_LABELS + position * ROUND_SIZE, *(f"{curve[position]:.3f}" for curve in curves.values())]
        for position in range(ROUNDS + 1)
    ]
    return printed(["labels", *curves], rows)


def main() -> int:
    """Print the table; exit 1 where the reach is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--learning", action="store_true", help="simulate learning on real sentences as well")
    parser.add_argument("--make", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--choose", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.make:
        make_relations(arguments.make, arguments.items)
        return 0
    if arguments.choose:
        choose(arguments.choose)
        return 0
    with tempfile.TemporaryDirectory() as workshop:
        # Each in a process of its own: a child's peak memory starts from that of the process that started it.
        itself = [sys.executable, "-m", "benchmarks.selection", "--items", str(arguments.items)]
        measured([*itself, "--make", workshop], cwd=REPOSITORY)
        cost = measured([*itself, "--choose", workshop], cwd=REPOSITORY)
    rows, took_s, peak_mb = cost.output.split()
    figures = [[f"{arguments.items:,}", rows, float(took_s), REACH_S, cost.cpu_s, int(peak_mb), REACH_MB]]
    print(printed(["items", "chosen", "s", "reach", "CPU s, with imports", "peak MB", "reach"], figures))
    if arguments.learning:
        print(compare_learning(read_sst(REAL_DATA)))
    return 0 if float(took_s) <= REACH_S and int(peak_mb) <= REACH_MB else 1


if __name__ == "__main__":
    raise SystemExit(main())
