"""How often each way of resolving votes is right, on real and simulated crowds: `uv run python -m benchmarks.resolution`.

Majority, textbook Dawid-Skene (no prior, no choice), `curation.learning.resolve`, and an oracle that knows how each simulated
annotator errs. It judges nothing; real crowds need ../shared/data or CURATION_REAL_DATA.
"""

import argparse
import csv
import os
import resource
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl
from rich.console import Console
from rich.table import Table
from scipy.sparse import csr_array

from curation.learning import resolve

REAL_CROWDS = {"product, real": "d_jn-product", "dogs, real": "s4_Dog data"}
HEADINGS = ("crowd", "majority", "Dawid-Skene", "resolve", "oracle", "no label", "above .9: share", "right", "chosen")


class Crowd(NamedTuple):
    """Votes as codes from 0, the true label of each item, and what an oracle knows (None for real crowds)."""

    item: np.ndarray
    annotator: np.ndarray
    label: np.ndarray
    truth: np.ndarray
    confusion: np.ndarray | None = None  # (annotators, true label, label given)
    class_shares: np.ndarray | None = None


@dataclass(frozen=True)
class Score:
    """Shares of items that are right; an item that is tied counts as its chance of being drawn right."""

    majority: float
    dawid_skene: float
    resolved: float
    oracle: float
    unlabelled: float
    confident: float
    confident_right: float
    chosen: str


def equally_wrong(accuracies: Sequence[float] | np.ndarray, labels: int) -> np.ndarray:
    """(annotators, labels, labels): each right with its accuracy, and wrong with all other labels alike."""
    accuracy = np.asarray(accuracies, dtype=np.float64)[:, None, None]
    return np.asarray(np.where(np.eye(labels, dtype=bool), accuracy, (1.0 - accuracy) / (labels - 1)))


def simulated(
    generator: np.random.Generator,
    confusion: np.ndarray,
    items: int,
    votes: int,
    *,
    class_shares: Sequence[float] | None = None,
    activity: np.ndarray | None = None,
    hard: float = 0.0,
) -> Crowd:
    """Each item judged by `votes` annotators drawn by `activity`; of `hard` items every voter sees the same wrong label half the time."""
    annotators, labels, _ = confusion.shape
    shares = np.asarray(class_shares or np.full(labels, 1.0 / labels))
    truth = generator.choice(labels, items, p=shares)
    keys = np.log(np.ones(annotators) if activity is None else activity) + generator.gumbel(size=(items, annotators))
    annotator = np.argsort(-keys, axis=1)[:, :votes].ravel()
    is_fooled = np.repeat(generator.random(items) < hard, votes) & (generator.random(items * votes) < 0.5)
    lookalike = np.repeat((truth + generator.integers(1, labels, items)) % labels, votes)
    seen = np.where(is_fooled, lookalike, np.repeat(truth, votes))
    steps = confusion[annotator, seen].cumsum(axis=1)
    label = (generator.random(len(seen))[:, None] > steps[:, :-1]).sum(axis=1)
    return Crowd(np.repeat(np.arange(items), votes), annotator, label, truth, None if hard else confusion, shares)


def stated(generator: np.random.Generator) -> Crowd:
    """The crowd that the project promises 0.82 for."""
    return simulated(generator, equally_wrong([0.9] * 6 + [0.65] * 8 + [0.34] * 4 + [0.1] * 2, 3), 3000, 3)


def biased(generator: np.random.Generator) -> Crowd:
    """Half of the annotators calls most of what is neutral positive."""
    confusion = equally_wrong([0.85] * 20, 3)
    confusion[:10, 1] = [0.1, 0.3, 0.6]
    return simulated(generator, confusion, 2000, 3)


def neighbours(generator: np.random.Generator) -> Crowd:
    """Five grades; who errs takes the next one."""
    grades = np.arange(5)
    blur = generator.uniform(0.3, 1.5, 30)[:, None, None]
    weights = np.exp(-np.abs(grades[:, None] - grades) / blur)
    return simulated(generator, weights / weights.sum(axis=2, keepdims=True), 1000, 3)


def long_tail(generator: np.random.Generator) -> Crowd:
    """The most active of 100 annotators gives as many votes as the last 50 together, as crowds do."""
    return simulated(generator, equally_wrong(generator.uniform(0.4, 0.95, 100), 3), 2000, 3, activity=1.0 / np.arange(1, 101))


SIMULATIONS: dict[str, Callable[[np.random.Generator], Crowd]] = {
    "6 x .9, 8 x .65, 4 x .34, 2 x .1": stated,
    "20 x .9": lambda generator: simulated(generator, equally_wrong([0.9] * 20, 3), 1000, 3),
    "300 annotators, 5 votes each": lambda generator: simulated(
        generator, equally_wrong(generator.uniform(0.55, 0.95, 300), 3), 500, 3
    ),
    "30 items, 3 annotators": lambda generator: simulated(generator, equally_wrong([0.9, 0.8, 0.7], 3), 30, 3),
    "95% of one class": lambda generator: simulated(
        generator, equally_wrong(generator.uniform(0.7, 0.95, 20), 2), 2000, 3, class_shares=[0.95, 0.05]
    ),
    "90% of one class, hard items": lambda generator: simulated(
        generator, equally_wrong(generator.uniform(0.7, 0.95, 20), 2), 2000, 3, class_shares=[0.9, 0.1], hard=0.2
    ),
    "half of them biased": biased,
    "two good, one hostile": lambda generator: simulated(generator, equally_wrong([0.85, 0.85, 0.1], 3), 600, 3),
    "12 of 20 guess": lambda generator: simulated(generator, equally_wrong([0.85] * 8 + [1 / 3] * 12, 3), 2000, 5),
    "hard items": lambda generator: simulated(generator, equally_wrong([0.9] * 20, 3), 2000, 5, hard=0.4),
    "five grades": neighbours,
    "ten labels": lambda generator: simulated(generator, equally_wrong(generator.uniform(0.4, 0.95, 40), 10), 1000, 3),
    "long tail of annotators": long_tail,
    "two annotators": lambda generator: simulated(generator, equally_wrong([0.9, 0.7], 2), 500, 2),
}


def real_crowd(folder: Path) -> Crowd:
    """answer.csv (question, worker, answer) and truth.csv (question, truth)."""
    with (folder / "truth.csv").open(encoding="utf-8", newline="") as file:
        truth = {row["question"]: int(row["truth"]) for row in csv.DictReader(file)}
    with (folder / "answer.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    place = {question: index for index, question in enumerate(truth)}
    worker = {name: index for index, name in enumerate(sorted({row["worker"] for row in rows}))}
    return Crowd(
        np.asarray([place[row["question"]] for row in rows]),
        np.asarray([worker[row["worker"]] for row in rows]),
        np.asarray([int(row["answer"]) for row in rows]),
        np.asarray(list(truth.values())),
    )


def part_of(crowd: Crowd, generator: np.random.Generator, *, items: int, votes: int) -> Crowd:
    """At most so many items of a crowd, and at most so many votes of each, drawn at random."""
    chosen = np.sort(generator.permutation(len(crowd.truth))[:items])
    order = np.lexsort((generator.random(len(crowd.item)), crowd.item))
    of_item = np.bincount(crowd.item, minlength=len(crowd.truth))
    place = np.arange(len(order)) - np.repeat(np.cumsum(of_item) - of_item, of_item)
    kept = order[(place < votes) & np.isin(crowd.item[order], chosen)]
    item = np.searchsorted(chosen, crowd.item[kept])
    _, annotator = np.unique(crowd.annotator[kept], return_inverse=True)
    return Crowd(item, annotator, crowd.label[kept], crowd.truth[chosen])


def as_frame(crowd: Crowd) -> pl.DataFrame:
    """One row per vote, as `resolve` takes it."""
    return pl.DataFrame({"item": crowd.item, "annotator": crowd.annotator, "label": crowd.label})


def textbook_dawid_skene(crowd: Crowd, rounds: int = 100) -> np.ndarray:
    """(items,) labels by Dawid & Skene (1979) as printed, from the majority; 1e-9 in place of 0 keeps logarithms finite."""
    labels, annotators = int(crowd.truth.max()) + 1, int(crowd.annotator.max()) + 1
    cells = (crowd.item, crowd.annotator * labels + crowd.label)
    given = csr_array((np.ones(len(crowd.item)), cells), shape=(len(crowd.truth), annotators * labels))
    posterior = _tally(crowd) / _tally(crowd).sum(axis=1, keepdims=True)
    for _ in range(rounds):
        counts = (given.T @ posterior).reshape(annotators, labels, labels) + 1e-9
        logarithms = np.log(counts / counts.sum(axis=1, keepdims=True)).reshape(annotators * labels, labels)
        weights = given @ logarithms + np.log(posterior.mean(axis=0) + 1e-9)
        weights = np.exp(weights - weights.max(axis=1, keepdims=True))
        posterior = weights / weights.sum(axis=1, keepdims=True)
    return np.asarray(posterior.argmax(axis=1))


def oracle(crowd: Crowd) -> float:
    """Share right of the most probable label given how each annotator errs and how frequent each class is; NaN where unknown."""
    if crowd.confusion is None or crowd.class_shares is None:
        return float("nan")
    log_weights = np.tile(np.log(crowd.class_shares), (len(crowd.truth), 1))
    np.add.at(log_weights, crowd.item, np.log(crowd.confusion[crowd.annotator, :, crowd.label]))
    is_best = log_weights >= log_weights.max(axis=1, keepdims=True) - 1e-9
    return float((is_best[np.arange(len(is_best)), crowd.truth] / is_best.sum(axis=1)).mean())


def judge(crowd: Crowd) -> Score:
    """Every way on one crowd."""
    tally, rows = _tally(crowd), np.arange(len(crowd.truth))
    is_most_voted = tally == tally.max(axis=1, keepdims=True)
    drawn_right = is_most_voted[rows, crowd.truth] / is_most_voted.sum(axis=1)
    resolution = resolve(as_frame(crowd))
    label = resolution.items["label"].fill_null(-1).to_numpy()
    confidence = resolution.items["confidence"].to_numpy()
    is_right, is_confident = label == crowd.truth, confidence > 0.9
    return Score(
        majority=float(drawn_right.mean()),
        dawid_skene=float((textbook_dawid_skene(crowd) == crowd.truth).mean()),
        resolved=float(np.where(label < 0, drawn_right, is_right).mean()),
        oracle=oracle(crowd),
        unlabelled=float((label < 0).mean()),
        confident=float(is_confident.mean()),
        confident_right=float(is_right[is_confident].mean()) if is_confident.any() else float("nan"),
        chosen=resolution.form,
    )


def crowds(real_data: Path, seeds: int) -> Iterator[tuple[str, list[Crowd]]]:
    """Names and the crowds that a row averages over: real ones whole, then parts of them, then simulations."""
    generators = [np.random.default_rng(seed) for seed in range(seeds)]
    for name, folder in REAL_CROWDS.items():
        if (real_data / "crowd_labels" / folder).is_dir():
            crowd = real_crowd(real_data / "crowd_labels" / folder)
            yield name, [crowd]
            for items, votes in ((10_000, 2), (500, 3), (100, 3)):
                title = f"{name}: {min(items, len(crowd.truth)):,} items, {votes} votes"
                yield title, [part_of(crowd, generator, items=items, votes=votes) for generator in generators]
    for name, simulation in SIMULATIONS.items():
        yield name, [simulation(np.random.default_rng(seed)) for seed in range(seeds)]


def mean_row(name: str, scores: Sequence[Score]) -> list[str]:
    """One row of the table: means over the seeds, and how often each form was chosen."""
    fields = ("majority", "dawid_skene", "resolved", "oracle", "unlabelled", "confident", "confident_right")
    known = [[value for score in scores if not np.isnan(value := getattr(score, field))] for field in fields]
    chosen = Counter(score.chosen for score in scores)
    forms = ", ".join(form if len(chosen) == 1 else f"{form} {times}" for form, times in chosen.most_common())
    return [name, *(f"{np.mean(values):.3f}" if values else "" for values in known), forms]


def cost(labels: int) -> str:
    """Seconds and megabytes of resolving 500,000 votes of 1,000 annotators on 100,000 items with names of 64 characters."""
    generator = np.random.default_rng(0)
    items, votes, annotators = 100_000, 5, 1_000
    truth = generator.integers(0, labels, items)
    annotator = ((generator.integers(0, annotators, items)[:, None] + np.arange(votes) * 150) % annotators).ravel()
    is_right = generator.random(items * votes) < generator.uniform(0.4, 0.95, annotators)[annotator]
    label = np.where(is_right, 0, generator.integers(1, labels, items * votes)) + np.repeat(truth, votes)
    names = pl.Series([f"{number:064x}" for number in range(items)])
    frame = pl.DataFrame(
        {"item": names[np.repeat(np.arange(items), votes)], "annotator": annotator, "label": label % labels}
    ).sample(fraction=1.0, shuffle=True, seed=0)
    before_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    started_s, started_cpu_s = time.perf_counter(), time.process_time()
    resolve(frame)
    elapsed_s, cpu_s = time.perf_counter() - started_s, time.process_time() - started_cpu_s
    more_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 - before_mb
    return (
        f"500,000 votes on 100,000 items, {labels} labels: {elapsed_s:.1f} s, {cpu_s:.1f} CPU s, {more_mb} MB more (reach 10 s)"
    )


def _tally(crowd: Crowd) -> np.ndarray:
    labels = int(crowd.truth.max()) + 1
    cells = crowd.item * labels + crowd.label
    return np.bincount(cells, minlength=len(crowd.truth) * labels).reshape(-1, labels)


def main() -> None:
    """Print the cost, then the table."""
    beside_the_project = Path(__file__).resolve().parents[1].parent / "shared" / "data"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--real-data", type=Path, default=Path(os.environ.get("CURATION_REAL_DATA", beside_the_project)))
    parser.add_argument("--seeds", type=int, default=20, help="crowds per simulation and per part of a real crowd")
    chosen = parser.parse_args()
    print("\n".join(cost(labels) for labels in (3, 10)))
    table = Table(title="Share of items resolved rightly")
    for heading in HEADINGS:
        table.add_column(heading, no_wrap=True)
    for name, drawn in crowds(chosen.real_data, chosen.seeds):
        table.add_row(*mean_row(name, [judge(crowd) for crowd in drawn]))
    Console(width=180).print(table)


if __name__ == "__main__":
    main()
