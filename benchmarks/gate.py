"""What the gate lets through: 500 simulated challengers with a known true difference, `uv run python -m benchmarks.gate`.

Judges them with `curation.learning.gate` and, beside it, with fixed thresholds on the accuracy. Simulates; it holds no rule.
"""

import argparse
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np

from benchmarks.measuring import printed
from curation.learning.gate import Compared, GatePolicy, judge
from curation.learning.paired import POINTS, bound, difference_points

DISAGREEMENT = 0.10
AGREED_ACCURACY = 0.85
"""Of the rows on which the two agree."""
LARGEST_DIFFERENCE = 0.03
CLEARLY = 0.01
SLICE_ROWS = 600
SLICE_DIFFERENCE = -0.06
SLICE_SHARE = 0.1
"""One challenger in ten is worse on the slice."""
LIMITS = {"worse": 2.0, "worse on the slice": 10.0, "better": 90.0}
"""Percent promoted: at most, at most, at least."""

Gate = Callable[["Simulated"], bool]


@dataclass(frozen=True)
class Simulated:
    """One challenger: its true difference (a share), whether it is worse on the slice, both models' answers and accuracies on the
    test, and the accuracy that the champion had on a test of its own."""

    difference: float
    is_worse_on_slice: bool
    compared: Compared
    champion_accuracy: float
    challenger_accuracy: float
    champion_accuracy_then: float


def slice_columns(rows: int, generator: np.random.Generator) -> dict[str, list[str]]:
    """Slice columns of a test: `source` with one value of exactly 600 rows, and what else a dataset of reviews is cut by."""

    def column(sizes: Mapping[str, float], total: int) -> list[str]:
        values = [value for value, share in sizes.items() for _ in range(round(share * total))]
        return [*values, *[next(iter(sizes))] * total][:total]

    others = column({"shop": 0.55, "app": 0.3, "partner": 0.15}, rows - SLICE_ROWS)
    columns = {
        "source": ["kiosk"] * SLICE_ROWS + others,
        "language": column({"en": 0.8, "de": 0.15, "fr": 0.05}, rows),
        "length": column({"0-4 words": 0.13, "5-19 words": 0.32, "20-79 words": 0.35, "80 words and more": 0.2}, rows),
        "rating": column({"5": 0.5, "4": 0.22, "1": 0.13, "3": 0.09, "2": 0.06}, rows),
        "line": column({f"line {number}": 0.04 for number in range(25)}, rows),
    }
    return {name: values if name == "source" else list(generator.permutation(values)) for name, values in columns.items()}


def simulate(generator: np.random.Generator, slices: Mapping[str, list[str]], *, is_worse_on_slice: bool) -> Simulated:
    """A challenger with a true difference uniform in -3..+3 points that disagrees with the champion on 10% of the rows."""
    rows = len(slices["source"])
    difference = generator.uniform(-LARGEST_DIFFERENCE, LARGEST_DIFFERENCE)
    of_row = np.full(rows, difference)
    if is_worse_on_slice:  # the rest makes up for it, so that the difference over all rows stays what it is
        in_slice = np.asarray(slices["source"]) == "kiosk"
        of_row = np.where(in_slice, SLICE_DIFFERENCE, (difference * rows - SLICE_DIFFERENCE * SLICE_ROWS) / (rows - SLICE_ROWS))
    drawn = generator.random(rows)
    is_gained = drawn < (DISAGREEMENT + of_row) / 2
    is_lost = ~is_gained & (drawn < DISAGREEMENT)
    are_both_right = generator.random(rows) < AGREED_ACCURACY
    champion, challenger = is_lost | (are_both_right & ~is_gained), is_gained | (are_both_right & ~is_lost)
    old, new = (np.where(is_right, "yes", "no").tolist() for is_right in (champion, challenger))
    compared = Compared([f"{row:05d}" for row in range(rows)], ["yes"] * rows, old, new, slices)
    expected = (DISAGREEMENT - difference) / 2 + (1 - DISAGREEMENT) * AGREED_ACCURACY
    then = generator.binomial(rows, expected) / rows
    return Simulated(difference, is_worse_on_slice, compared, float(champion.mean()), float(challenger.mean()), then)


def by_gate(simulated: Simulated) -> bool:
    """The project's own verdict, under the default policy."""
    return judge(simulated.compared, GatePolicy(), new_labels=100, verdicts_given=0).kind == "promoted"


def by_threshold(slack_points: float, *, is_paired: bool) -> Gate:
    """A fixed threshold on the accuracies: on the same rows, or against what the champion had on rows of its own."""

    def gate(simulated: Simulated) -> bool:
        champion = simulated.champion_accuracy if is_paired else simulated.champion_accuracy_then
        return POINTS * (simulated.challenger_accuracy - champion) >= -slack_points - 1e-9  # a difference of -0.5 passes

    return gate


GATES: dict[str, Gate] = {
    "gate": by_gate,
    "accuracy at least the champion's, same rows": by_threshold(0.0, is_paired=True),
    "accuracy at least the champion's - 0.5, same rows": by_threshold(0.5, is_paired=True),
    "accuracy at least the champion's, rows of its own": by_threshold(0.0, is_paired=False),
    "accuracy at least the champion's - 0.5, rows of its own": by_threshold(0.5, is_paired=False),
}


def population(seed: int, rows: int, challengers: int) -> dict[str, dict[str, float]]:
    """Percent promoted by each gate of the challengers of each kind; every tenth is worse on the slice."""
    generator = np.random.default_rng([seed, rows])
    slices = slice_columns(rows, generator)
    promoted: dict[str, dict[str, list[bool]]] = {name: {} for name in GATES}
    for number in range(challengers):
        simulated = simulate(generator, slices, is_worse_on_slice=number % round(1 / SLICE_SHARE) == 0)
        kinds = {
            "worse": simulated.difference <= -CLEARLY,
            "worse on the slice": simulated.is_worse_on_slice,
            "worse on the slice, better overall": simulated.is_worse_on_slice and simulated.difference >= CLEARLY,
            "better": simulated.difference >= CLEARLY and not simulated.is_worse_on_slice,
            "between": abs(simulated.difference) < CLEARLY and not simulated.is_worse_on_slice,
        }
        for name, gate in GATES.items():
            is_promoted = gate(simulated)
            for kind, belongs in kinds.items():
                if belongs:
                    promoted[name].setdefault(kind, []).append(is_promoted)
    return {name: {kind: 100 * float(np.mean(found)) for kind, found in kinds.items()} for name, kinds in promoted.items()}


def control_votes(generator: np.random.Generator, draws: int = 4000) -> list[list[object]]:
    """How often a control arm of so many labels would refuse, for each true difference in points; percent.

    Beside "significantly worse than the margin" (ours) what asking it for the proof that the test gives would refuse.
    """
    rows: list[list[object]] = []
    margin, quantile = GatePolicy().margin_points, NormalDist().inv_cdf(GatePolicy().confidence)
    for labels in (100, 300, 1000):
        told: list[object] = [labels]
        for true_difference in (0.01, 0.0, -0.01, -0.03, -0.06):
            shares = [(DISAGREEMENT + true_difference) / 2, (DISAGREEMENT - true_difference) / 2, 1 - DISAGREEMENT]
            counts = generator.multinomial(labels, shares, size=draws)[:, :2]
            ours = np.mean([difference_points(int(gained), int(lost), labels).high < -margin for gained, lost in counts])
            proof = np.mean([POINTS * bound(int(gained), int(lost), labels, quantile) < -margin for gained, lost in counts])
            told.append(f"{100 * ours:.1f} ({100 * proof:.0f})")
        rows.append(told)
    return rows


def report(results: list[dict[str, dict[str, float]]]) -> str:
    """One row per gate: the first seed's shares, and over all seeds mean, spread and extremes."""
    kinds = ["worse", "worse on the slice", "worse on the slice, better overall", "better", "between"]

    def told(name: str, kind: str) -> str:
        shares = [result[name][kind] for result in results]
        spread = f"{np.mean(shares):.1f} ± {np.std(shares):.1f}, {min(shares):.1f} to {max(shares):.1f}"
        return f"{shares[0]:.1f} ({spread})"

    header = [
        "promoted, %",
        "1-3 points worse",
        "6 worse on the slice",
        "of those, 1-3 better overall",
        "1-3 better, worse nowhere",
        "between",
    ]
    limits = [
        "limit",
        f"at most {LIMITS['worse']:g}",
        f"at most {LIMITS['worse on the slice']:g}",
        "",
        f"at least {LIMITS['better']:g}",
        "",
    ]
    return printed(header, [limits, *([name, *(told(name, kind) for kind in kinds)] for name in GATES)])


def main() -> None:
    """Simulate, print the tables, write JSON if asked."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--challengers", type=int, default=500)
    parser.add_argument("--seeds", type=int, default=20, help="the first is told by itself, all of them as mean and spread")
    parser.add_argument("--rows", type=int, nargs="+", default=[5000, 2000], help="sizes of the frozen test")
    parser.add_argument("--json", type=Path, help="write the figures here as well")
    arguments = parser.parse_args()
    started_s = time.process_time()
    results: dict[str, Any] = {}
    for rows in arguments.rows:
        results[str(rows)] = [population(seed, rows, arguments.challengers) for seed in range(arguments.seeds)]
        print(
            f"\n{arguments.challengers} challengers, {rows:,} test rows; seed 0 (mean ± spread, extremes of {arguments.seeds} seeds)\n"
        )
        print(report(results[str(rows)]))
    print("\ncontrol arm refuses, %: our vote (the test's own proof), by the true difference in points\n")
    print(printed(["labels", "+1", "0", "-1", "-3", "-6"], control_votes(np.random.default_rng(0))))
    print(f"\n{time.process_time() - started_s:.0f} CPU s")
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
