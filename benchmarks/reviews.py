"""What the way from raw reviews to a snapshot costs, and how much it finds: floor and peer beside it, in one run.

`uv run python -m benchmarks.reviews` prints a table and writes JSON. Needs the generator and the peers of --material, and network for
the peer's own environment. Every figure is CPU seconds of the whole process tree: machines differ, ratios of one run hold.
"""

import argparse
import datetime
import json
import shutil
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.measuring import Cost, measured, printed
from resources.home import REPOSITORY

CURATION = str(Path(sys.executable).with_name("curation"))
DAY = datetime.date(2026, 1, 10)


@dataclass
class Bench:
    """Where things are, and the rows of the table so far."""

    material: Path
    workshop: Path
    rows: int
    table: list[list[object]] = field(default_factory=list)
    details: dict[str, Any] = field(default_factory=dict)

    def add(self, what: str, figure: object, reach: str) -> None:
        """One line, told at once."""
        self.table.append([what, figure, reach])
        print(f"{what}: {figure} (reach: {reach})", file=sys.stderr, flush=True)

    def raw(self, rows: int, seed: int = 7) -> tuple[Path, Path]:
        """Generated reviews and their truth; made once."""
        raw, truth = self.workshop / f"raw-{rows}-{seed}.jsonl", self.workshop / f"truth-{rows}-{seed}.parquet"
        if not truth.exists():
            measured(
                [sys.executable, str(self.material / "generate_reviews.py"), str(rows), str(raw), str(truth), str(seed)],
                cwd=self.material,
            )
        return raw, truth

    def land(self, home: Path, raw: Path, day: datetime.date) -> None:
        """Deliver a file to source `generic`."""
        folder = home / "landing" / "reviews" / "generic" / day.isoformat()
        folder.mkdir(parents=True)
        (folder / raw.name).hardlink_to(raw)

    def run(self, home: Path, until: str) -> tuple[Cost, dict[str, Any]]:
        """`curation run reviews`, measured."""
        cost = measured([CURATION, "run", "reviews", "--until", until, "--home", str(home), "--json"], cwd=REPOSITORY)
        return cost, json.loads(cost.output)

    def fresh(self, name: str) -> Path:
        """A new home."""
        home = self.workshop / name
        shutil.rmtree(home, ignore_errors=True)
        return home


def import_cost(bench: Bench) -> None:
    """Importing and resolving the definitions in a new process."""
    code = "from curation_assets.definitions import defs; defs.resolve_all_job_defs()"
    measured([sys.executable, "-c", code], cwd=REPOSITORY)
    bare = measured([sys.executable, "-c", "import dagster, dagster_dbt"], cwd=REPOSITORY).cpu_s
    bench.add(
        "importing and resolving the definitions, CPU s",
        round(measured([sys.executable, "-c", code], cwd=REPOSITORY).cpu_s, 2),
        f"6 (bare imports: {bare:.1f})",
    )


def small_runs(bench: Bench) -> dict[str, float]:
    """A 1,000-row day with an empty history."""
    costs = {}
    for until, reach in (("snapshot", 30), ("model", 42)):
        home = bench.fresh(f"small-{until}")
        bench.land(home, bench.raw(1000)[0], DAY)
        cost, report = bench.run(home, until)
        costs[until] = cost.cpu_s
        bench.details[f"steps of a 1,000-row run to the {until}"] = report["step_cpu_s"]
        bench.add(f"1,000-row day, empty history, to the {until}, CPU s", round(cost.cpu_s, 1), str(reach))
    return costs


def floor(bench: Bench, rows: int) -> float:
    """DuckDB reads the JSON and writes Parquet, nothing else."""
    out = bench.fresh(f"floor-{rows}")
    out.mkdir()
    return measured(
        [sys.executable, str(bench.material / "peers" / "floor.py"), str(bench.raw(rows)[0])],
        cwd=out,
        environment={"OUT": str(out)},
    ).cpu_s


def peer(bench: Bench, rows: int) -> Cost:
    """polars + rensa, in an environment of its own."""
    out = bench.fresh(f"peer-{rows}")
    out.mkdir()
    script = str(bench.material / "peers" / "polars_rensa.py")
    command = [
        "uv",
        "run",
        "--no-project",
        "--quiet",
        "--with",
        "polars",
        "--with",
        "rensa",
        "--with",
        "pyarrow",
        "python",
        script,
        str(bench.raw(rows)[0]),
    ]
    return measured(command, cwd=out, environment={"OUT": str(out)})


def large_run(bench: Bench, small_cpu_s: float) -> None:
    """One day of many rows to the snapshot, against the floor and the peer."""
    home = bench.fresh("large")
    bench.land(home, bench.raw(bench.rows)[0], DAY)
    cost, report = bench.run(home, "snapshot")
    bench.details["steps of the large run"] = report["step_cpu_s"]
    ours, limit = cost.cpu_s - small_cpu_s, floor(bench, bench.rows) - floor(bench, 1000)
    bench.add(f"run to the snapshot over {bench.rows:,} rows less 1,000, CPU s", round(ours, 1), f"floor: {limit:.1f}")
    bench.add("  against the floor, times", round(ours / limit, 2), "10 (going: 6)")
    peer(bench, 1000)
    theirs = peer(bench, bench.rows).cpu_s - peer(bench, 1000).cpu_s
    bench.add("  polars + rensa against it, times", round(theirs / ours, 2), f"1.2 (going: 2); theirs: {theirs:.1f} CPU s")
    bench.add(f"largest process at {bench.rows:,} rows, MB", cost.largest_process_mb, "1,500 at 1M")
    snapshot = report["step_cpu_s"]["review_training_snapshot"]
    bench.add(f"writing and digesting the snapshot of {report['snapshot']['rows']:,} rows, CPU s", round(snapshot, 1), "14 at 1M")
    found(bench, home)


def found(bench: Bench, home: Path) -> None:
    """Recall and precision against the planted truth."""
    import duckdb

    truth, out = bench.raw(bench.rows)[1], bench.fresh("found")
    out.mkdir()
    with duckdb.connect(str(home / "warehouse" / "reviews.duckdb"), read_only=True) as connection:
        connection.execute(f"copy (select native_id as review_id from curated_reviews) to '{out}/kept.parquet'")
    told = json.loads(measured([sys.executable, str(bench.material / "evaluate.py"), str(out), str(truth)], cwd=out).output)
    bench.details["evaluation"] = told
    bench.add("near-duplicate recall", told["near_recall"], "0.995")
    bench.add("near-duplicate precision", told["near_prec"], "0.985")
    bench.add("spam removed", told["spam_rem"], "0.95")
    with duckdb.connect() as connection:
        borderline = connection.execute(
            "with k as (select distinct review_id from read_parquet(?)), "
            "t as (select t.*, k.review_id is not null as kept from read_parquet(?) t left join k using (review_id)) "
            "select avg((not (c.kept and s.kept))::int), count(*) from t c join t s on s.row = c.src_row "
            "where s.kind = 'orig' and c.kind = 'near' and c.j3 between 0.8 and 0.85",
            [f"{out}/kept.parquet", str(truth)],
        ).fetchone()
    assert borderline is not None
    bench.add(f"recall for the {borderline[1]:,} pairs planted at .80 to .85", round(borderline[0], 4), "0.99")


def day_on_history(bench: Bench, history: int) -> float:
    """CPU seconds of a 10,000-row day less those of an empty day, to the curated table, on `history` rows."""
    home = bench.fresh(f"history-{history}")
    bench.land(home, bench.raw(history)[0], DAY)
    bench.run(home, "curated")
    empty = home / "landing" / "reviews" / "generic" / (DAY + datetime.timedelta(1)).isoformat()
    empty.mkdir()
    (empty / "one.jsonl").write_text(bench.raw(1000, seed=11)[0].read_text().split("\n", 1)[0] + "\n")
    nothing = bench.run(home, "curated")[0].cpu_s
    bench.land(home, bench.raw(10_000, seed=13)[0], DAY + datetime.timedelta(2))
    return bench.run(home, "curated")[0].cpu_s - nothing


def days_on_history(bench: Bench) -> None:
    """The same day on a long and on a short history."""
    long, short = day_on_history(bench, bench.rows), day_on_history(bench, bench.rows // 10)
    bench.add(
        f"10,000-row day less a 1-row day on {bench.rows:,} rows of history, CPU s",
        round(long, 2),
        f"1.5 times that on {bench.rows // 10:,} ({short:.2f}), or 2 more",
    )


def largest_memory(bench: Bench) -> None:
    """The largest process over five times the rows."""
    home = bench.fresh("largest")
    bench.land(home, bench.raw(bench.rows * 5)[0], DAY)
    cost, _ = bench.run(home, "snapshot")
    bench.add(f"largest process at {bench.rows * 5:,} rows, MB", cost.largest_process_mb, "2,000 at 5M")
    shutil.rmtree(home)


def main() -> None:
    """Measure what was asked for; print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--material", type=Path, default=REPOSITORY.parent / "shared" / "bench", help="generator, evaluation and peers"
    )
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument(
        "--only",
        nargs="*",
        choices=["import", "small", "large", "history", "memory"],
        default=["import", "small", "large", "history", "memory"],
    )
    parser.add_argument("--workshop", type=Path, default=None, help="keep generated files here between runs")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "bench-results" / "reviews.json")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        bench = Bench(chosen.material, (chosen.workshop or Path(temporary)).resolve(), chosen.rows)
        bench.workshop.mkdir(parents=True, exist_ok=True)
        parts: dict[str, Callable[[Bench], object]] = {
            "import": import_cost,
            "history": days_on_history,
            "memory": largest_memory,
        }
        small: dict[str, float] = {}
        for name in chosen.only:
            if name == "small" or (name == "large" and not small):
                small = small_runs(bench)
            if name == "large":
                large_run(bench, small["snapshot"])
            if name in parts:
                parts[name](bench)
    print(printed(["what", "measured", "reach"], bench.table))
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps({"table": bench.table, "details": bench.details}, indent=1))


if __name__ == "__main__":
    main()
