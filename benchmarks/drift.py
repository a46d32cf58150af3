"""How often drift alarms for nothing, how often it names what drifted, and what a day costs: `uv run python -m benchmarks.drift`.

Days are simulated as counts in the reference's bins, which is the same as drawing their rows and counting them; vocabulary and speed
go through DuckDB. `--evidently PYTHON` runs Evidently beside it, in an environment of its own. Simulates; it holds no rule.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt
from pathlib import Path
from statistics import NormalDist

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa

from benchmarks.measuring import printed
from curation.drift.columns import Column
from curation.drift.effects import compared
from curation.drift.judging import judged_columns
from curation.drift.policy import DriftPolicy
from curation.drift.reference import reference_of

COLUMNS = 10
SIZES = (1_000, 12_000, 100_000, 1_000_000)
REFERENCES = 20
SMALL_SHIFT, LARGE_SHIFT = 0.01, 0.1
POLICY = DriftPolicy()
Floats = npt.NDArray[np.float64]

EVIDENTLY = """
import json, sys, time
import numpy as np, pandas as pd
from evidently import DataDefinition, Dataset, Report
from evidently.presets import DataDriftPreset
rows, days, shift = int(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3])
names = [f"number_{place}" for place in range(10)]
shape = DataDefinition(numerical_columns=names)
alarms = named = 0
took_s = []
for day in range(days):
    generator = np.random.default_rng([day, rows])
    frames = [pd.DataFrame({name: generator.normal(size=rows) for name in names}) for _ in range(2)]
    frames[1]["number_3"] += shift
    before, after = (Dataset.from_pandas(frame, data_definition=shape) for frame in frames)
    start = time.perf_counter()
    told = Report([DataDriftPreset()]).run(after, before).dict()
    took_s.append(time.perf_counter() - start)
    drifted = set()
    for metric in told["metrics"]:
        config = metric["config"]
        if "column" in config:
            is_p = "p_value" in metric["metric_name"]
            is_far = metric["value"] < config["threshold"] if is_p else metric["value"] >= config["threshold"]
            drifted |= {config["column"]} if is_far else set()
    alarms += bool(drifted)
    named += "number_3" in drifted
print(json.dumps([alarms / days, named / days, sorted(took_s)[len(took_s) // 2]]))
"""


@dataclass(frozen=True)
class Simulated:
    """One column: the reference's counts, and the shares from which days are drawn, unmoved and moved."""

    counts: list[int]
    shares: Floats
    moved: dict[float, Floats]


def number(generator: np.random.Generator, rows: int) -> Simulated:
    """A normal number in the exact deciles of `rows` draws; of any continuous number the same holds, for deciles are ranks."""
    drawn = np.sort(generator.normal(size=rows))
    cuts = drawn[[int(np.ceil(rows * step / 10)) - 1 for step in range(1, 10)]]
    counts = np.diff([0, *np.searchsorted(drawn, cuts, side="right"), rows]).tolist()

    def shares(shift: float) -> Floats:
        below = [NormalDist(shift).cdf(cut) for cut in cuts.tolist()]
        return np.diff([0.0, *below, 1.0])

    return Simulated(counts, shares(0.0), {shift: shares(shift) for shift in (SMALL_SHIFT, LARGE_SHIFT)})


def category(generator: np.random.Generator, rows: int, values: int) -> Simulated:
    """Values with shares as 1, 1/2, 1/3, ...; moved, the first one's share moves by so many of its standard deviations."""
    shares = 1 / np.arange(1, values + 1)
    shares /= shares.sum()

    def moved(shift: float) -> Floats:
        first = shares[0] + shift * sqrt(shares[0] * (1 - shares[0]))
        return np.concatenate([[first], shares[1:] * (1 - first) / (1 - shares[0])])

    counts = generator.multinomial(rows, shares).tolist()
    return Simulated(counts, shares, {shift: moved(shift) for shift in (SMALL_SHIFT, LARGE_SHIFT)})


def columns(generator: np.random.Generator, rows: int) -> list[Simulated]:
    """Ten columns as a dataset has them: six numbers, and categories of 2, 5, 8 and 50 values."""
    return [*(number(generator, rows) for _ in range(6)), *(category(generator, rows, values) for values in (2, 5, 8, 50))]


def alarms(generator: np.random.Generator, known: Sequence[Simulated], rows: int, shifts: Sequence[float]) -> list[bool]:
    """Which columns alarm on one day of `rows` rows, column by column moved by `shifts`."""
    rate, found = POLICY.false_alarm_rate / len(known), []
    for column, shift in zip(known, shifts, strict=True):
        day = generator.multinomial(rows, column.moved[shift] if shift else column.shares).tolist()
        effect = compared(column.counts, day, rate)
        found.append(effect.null_p < rate and effect.psi >= POLICY.least_effect)
    return found


def false_alarms(seed: int, days: int) -> list[list[object]]:
    """Percent of days with any alarm, by rows of the day and of the reference: unmoved, one column moved by 0.01, all ten moved."""
    rows: list[list[object]] = []
    for reference_rows in (1_000, 20_000, 1_000_000):
        for size in SIZES:
            generator = np.random.default_rng([seed, reference_rows, size])
            counted = [0, 0, 0]
            for _ in range(REFERENCES):
                known = columns(generator, reference_rows)
                for day in range(days // REFERENCES):
                    one = [SMALL_SHIFT if place == day % COLUMNS else 0.0 for place in range(COLUMNS)]
                    for kind, shifts in enumerate(([0.0] * COLUMNS, one, [SMALL_SHIFT] * COLUMNS)):
                        counted[kind] += any(alarms(generator, known, size, shifts))
            rows.append([reference_rows, size, *(100 * count / days for count in counted)])
    return rows


def power(seed: int, days: int) -> list[list[object]]:
    """Percent of days on which the one column that moved by 0.1 is named, and on which another one is."""
    rows: list[list[object]] = []
    for reference_rows in (1_000, 20_000, 100_000, 1_000_000):
        for size in SIZES:
            generator = np.random.default_rng([seed, reference_rows, size, 1])
            named = wrong = 0
            for _ in range(REFERENCES):
                known = columns(generator, reference_rows)
                for day in range(days // REFERENCES):
                    place = day % COLUMNS
                    found = alarms(generator, known, size, [LARGE_SHIFT if at == place else 0.0 for at in range(COLUMNS)])
                    named += found.pop(place)
                    wrong += any(found)
            rows.append([reference_rows, size, 100 * named / days, 100 * wrong / days])
    return rows


def texts(generator: np.random.Generator, rows: int, share_of_new_word: float) -> pa.Table:
    """Texts of some twenty words, frequent as 1, 1/2, 1/3, ... of 3,000; a share of them also holds a word that is new."""
    shares = 1 / np.arange(1, 3001)
    words = generator.choice(3000, size=(rows, 20), p=shares / shares.sum())
    has_new = generator.random(rows) < share_of_new_word
    told = [" ".join(f"w{word}" for word in line) + (" neu" if new else "") for line, new in zip(words, has_new, strict=True)]
    return pa.table({"text": told, "place": np.arange(rows)})


def vocabulary(seed: int, days: int) -> list[list[object]]:
    """Percent of days on which the vocabulary alarms, for a word that stands in so many percent of the texts and was new."""
    generator = np.random.default_rng([seed, 2])
    column = Column("text", "text")
    rows: list[list[object]] = []
    with duckdb.connect() as connection:
        connection.register("before", texts(generator, 20_000, 0.0))
        reference = reference_of(connection, "before", [column], "place")
        for size in (1_000, 20_000):
            for share in (0.0, 0.03):
                found = 0
                for _ in range(days):
                    connection.register("day", texts(generator, size, share))
                    found += judged_columns(connection, "day", [column], reference, POLICY, "place")[0].alarm
                rows.append([size, 100 * share, 100 * found / days])
    return rows


def speed(seed: int, size: int) -> list[list[object]]:
    """Seconds of wall clock and of CPU: the reference, made once a champion, and one day against it."""
    generator = np.random.default_rng([seed, 3])
    watched = [
        *(Column(f"number_{place}", "number") for place in range(7)),
        Column("length", "number"),
        Column("source", "category"),
        Column("rating", "number"),
    ]

    def drawn() -> pa.Table:
        numbers = {f"number_{place}": generator.normal(size=size) for place in range(7)}
        length, rating = generator.lognormal(3.5, 1, size).astype(int), generator.integers(1, 6, size).astype(float)
        return pa.table({**numbers, "length": length, "source": generator.choice(["a", "b", "c"], size), "rating": rating})

    with duckdb.connect() as connection:
        connection.register("before", drawn())
        connection.register("day", drawn())
        started = time.perf_counter(), time.process_time()
        reference = reference_of(connection, "before", watched, "length")
        made = time.perf_counter(), time.process_time()
        judged_columns(connection, "day", watched, reference, POLICY, "length")
        judged = time.perf_counter(), time.process_time()
    return [
        ["reference, once a champion", made[0] - started[0], made[1] - started[1]],
        ["a day", judged[0] - made[0], judged[1] - made[1]],
    ]


def evidently(python: str) -> list[list[object]]:
    """Percent of days with any alarm, with the moved one named, and seconds a day, by Evidently's own defaults on ten numbers."""
    rows: list[list[object]] = []
    for size, days, shift in (
        (1_000, 100, 0.0),
        (100_000, 20, SMALL_SHIFT),
        (100_000, 20, LARGE_SHIFT),
        (1_000_000, 1, LARGE_SHIFT),
    ):
        run = subprocess.run(
            [python, "-W", "ignore", "-c", EVIDENTLY, str(size), str(days), str(shift)], capture_output=True, check=True
        )
        any_alarm, named, took_s = json.loads(run.stdout.splitlines()[-1])
        rows.append([size, days, shift, 100 * any_alarm, 100 * named, took_s])
    return rows


def main() -> None:
    """Print the tables and keep them in bench-results/drift.json."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--days", type=int, default=1000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--evidently", metavar="PYTHON", help="a Python with evidently and pandas<3")
    given = parser.parse_args()
    tables: dict[str, tuple[list[str], list[list[object]]]] = {
        "false alarms": (
            ["rows of the reference", "rows of the day", "no shift, %", "one column 0.01, %", "all ten 0.01, %"],
            false_alarms(given.seed, given.days),
        ),
        "power": (
            ["rows of the reference", "rows of the day", "0.1 named, %", "another one too, %"],
            power(given.seed, given.days),
        ),
        "vocabulary": (
            ["texts of the day", "texts with a new word, %", "alarms, %"],
            vocabulary(given.seed, max(20, given.days // 10)),
        ),
        "speed": (["what", "wall clock, s", "CPU, s"], speed(given.seed, given.rows)),
    }
    if given.evidently:
        header = ["rows", "days", "one column moved by", "any alarm, %", "it is named, %", "s a day"]
        tables["evidently"] = (header, evidently(given.evidently))
    for name, (header, rows) in tables.items():
        print(f"\n{name}\n\n{printed(header, rows)}")
    kept = {name: {"header": header, "table": rows} for name, (header, rows) in tables.items()}
    Path("bench-results").mkdir(exist_ok=True)
    Path("bench-results/drift.json").write_text(json.dumps(kept, indent=1) + "\n")


if __name__ == "__main__":
    main()
