"""`curation run` from landing to the model, through Dagster and dbt: what comes out, whatever way it took."""

import datetime
import hashlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from curation.errors import CurationError
from curation.fates import COUNTS
from curation.ingestion.ledger import Ledger
from curation_assets.runs import RunReport, run_dataset
from curation_assets.status import status_of, verified
from curation_assets.way_in import way_in
from resources.home import REPOSITORY, Home
from tests.deliveries import day, deliver, review

pytestmark = pytest.mark.slow

LONG = review(3)["text"]
DAY_ONE = [
    *[review(number) for number in range(300)],
    review(3),  # the whole record again
    review(900, text=f"<p>{LONG.upper()}</p>"),  # the same once cleaned
    review(901, text=f"{LONG} as well"),  # nearly the same
    review(902, text="click here to claim your free gift at http://promo-77.example.xyz/win"),
    review(903, text=" <br /> "),
    review(904, rating="4"),
    '{"review_id": "R905", "rating": 5, "te',
]
DAY_TWO = [
    *[review(number) for number in range(300, 400)],
    review(5, text="changed my mind: this one hums all night and nobody answers the phone"),
]


def home_with_key(folder: Path) -> Home:
    """A home whose subject ids equal those of every other home made so."""
    home = Home(folder).prepare()
    (home.secrets / "subject.key").write_text("ab" * 32)
    return home


def run(home: Home, until: str = "model", **days: datetime.date | None) -> RunReport:
    return run_dataset(home, "reviews", days.get("first"), days.get("last"), until, 60.0, lambda line: None)


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def at_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Home, RunReport]:
    """Two days taken in by one run, to the model."""
    home = home_with_key(tmp_path_factory.mktemp("at_once"))
    deliver(home.root, day(1), DAY_ONE)
    deliver(home.root, day(2), DAY_TWO)
    return home, run(home)


def test_every_record_has_one_fate_and_the_counts_say_which(at_once: tuple[Home, RunReport]) -> None:
    _, report = at_once
    assert report.succeeded, report.failure
    first, second = ({name: batch[name] for name in COUNTS} for batch in report.batches)
    assert first == {
        "in": 307, "malformed": 1, "contract": 1, "spam": 1, "empty": 1,
        "exact_duplicate": 2, "near_duplicate": 1, "superseded": 1, "kept": 299,
    }  # fmt: skip
    assert second == dict.fromkeys(COUNTS, 0) | {"in": 101, "kept": 101}
    assert report.total["in"] == sum(report.total[name] for name in COUNTS[1:]) == 408


def test_the_model_beats_the_largest_class(at_once: tuple[Home, RunReport]) -> None:
    _, report = at_once
    assert report.model is not None
    assert report.model["metrics"]["accuracy"] > report.model["metrics"]["baseline_accuracy"] + 0.1


def test_a_corrected_review_takes_the_place_of_the_former_one(at_once: tuple[Home, RunReport]) -> None:
    home, report = at_once
    deliveries = way_in(home, "reviews", "R5")
    assert [record["fate"] for record in deliveries] == ["superseded", "kept"]
    assert deliveries[0]["duplicate_of"] == deliveries[1]["record_id"] == f"generic/{day(2)}/reviews.jsonl:101"
    assert report.snapshot is not None
    rows = pl.read_parquet(Path(report.snapshot["path"]) / "data" / "*" / "*.parquet")
    assert rows.filter(pl.col("text").str.contains("hums all night")).height == 1


def test_why_names_rule_file_and_line_also_of_what_never_met_the_contract(at_once: tuple[Home, RunReport]) -> None:
    home, _ = at_once
    assert [(record["fate"], record["line"]) for record in way_in(home, "reviews", "R904")] == [("contract", 306)]
    assert [(record["fate"], record["rule"]) for record in way_in(home, "reviews", "R902")] == [("spam", "offer_with_link")]
    with pytest.raises(CurationError, match="nobody is in no batch"):
        way_in(home, "reviews", "nobody")


def test_a_second_run_changes_nothing_and_says_so(at_once: tuple[Home, RunReport]) -> None:
    home, report = at_once
    before = bytes_of(home.snapshots)
    again = run(home)
    assert again.run_id is None
    assert {batch["state"] for batch in again.batches} == {"unchanged"}
    assert again.snapshot is not None and again.snapshot["state"] == "unchanged"
    assert again.model is not None and again.model["state"] == "unchanged"
    assert bytes_of(home.snapshots) == before
    assert verified(home, "reviews")["intact"]
    assert report.snapshot is not None and report.snapshot["version"] == "v0001"


def test_day_by_day_gives_the_bytes_of_all_days_at_once(at_once: tuple[Home, RunReport], tmp_path: Path) -> None:
    home = home_with_key(tmp_path)
    deliver(home.root, day(1), DAY_ONE)
    run(home, "curated")
    deliver(home.root, day(2), DAY_TWO)
    report = run(home, "snapshot", first=day(2), last=day(2))
    assert report.succeeded
    assert bytes_of(home.snapshots / "reviews" / "v0001") == bytes_of(at_once[0].snapshots / "reviews" / "v0001")


def test_raw_and_warehouse_are_rebuilt_from_landing_by_the_ledger(at_once: tuple[Home, RunReport], tmp_path: Path) -> None:
    home = home_with_key(tmp_path)
    deliver(home.root, day(2), DAY_TWO)
    run(home, "curated")  # day two is accepted first: the ledger's order is not that of the days
    deliver(home.root, day(1), DAY_ONE)
    run(home, "snapshot")
    before = bytes_of(home.snapshots / "reviews" / "v0001")
    for entry in Ledger(home.lake, "reviews").entries():
        (Ledger(home.lake, "reviews").folder(entry.seq) / "raw.parquet").unlink()
    home.warehouse("reviews").unlink()
    (home.snapshots / "reviews" / "LATEST").unlink()
    (home.snapshots / "reviews" / "v0001").rename(tmp_path / "former")
    run(home, "snapshot")
    assert bytes_of(home.snapshots / "reviews" / "v0001") == before


def test_a_refused_day_stops_no_other_and_ends_the_run_with_its_reason(tmp_path: Path) -> None:
    home = home_with_key(tmp_path)
    deliver(home.root, day(1), DAY_ONE)
    broken = [review(number, rating=str(number % 5 + 1)) if number % 3 else review(number) for number in range(500, 600)]
    deliver(home.root, day(2), broken)
    report = run(home)
    assert not report.succeeded
    assert [(entry["source"], entry["day"]) for entry in report.refused] == [("generic", day(2).isoformat())]
    message = report.refused[0]["message"]
    assert all(part in message for part in ("generic", day(2).isoformat(), "rating", "67.0%", "reviews.jsonl line 1"))
    assert report.snapshot is not None and report.model is not None
    assert report.total["in"] == 307
    again = run(home)
    assert not again.succeeded, "a refusal stands until it is mended"
    assert again.run_id is None, "and nothing else is to be done"

    Ledger(home.lake, "reviews").accept("generic", day(2), "checked by hand", datetime.datetime.now(datetime.UTC))
    accepted = run(home, "curated")
    assert accepted.succeeded
    assert {name: accepted.batches[1][name] for name in ("in", "contract", "kept")} == {"in": 100, "contract": 67, "kept": 33}
    assert status_of(home, "reviews")["refused"] == []


def test_a_run_killed_at_three_steps_in_turn_ends_with_the_same_bytes_when_run_again(
    at_once: tuple[Home, RunReport], tmp_path: Path
) -> None:
    home = home_with_key(tmp_path)
    deliver(home.root, day(1), DAY_ONE)
    deliver(home.root, day(2), DAY_TWO)
    command = [sys.executable, "-m", "curation_assets.cli", "run", "reviews", "--until", "snapshot", "--home", str(home.root)]
    for seen in ("raw_reviews done", "reviews_models ...", "review_training_snapshot ..."):
        killed = subprocess.Popen(
            command, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=REPOSITORY, start_new_session=True
        )
        assert killed.stderr is not None
        assert any(seen in line for line in killed.stderr)
        os.killpg(killed.pid, signal.SIGKILL)
        killed.wait()
    assert run(home, "snapshot").succeeded
    assert bytes_of(home.snapshots / "reviews" / "v0001") == bytes_of(at_once[0].snapshots / "reviews" / "v0001")


def test_two_runs_at_once_wait_for_each_other_and_say_so(tmp_path: Path) -> None:
    home = home_with_key(tmp_path)
    deliver(home.root, day(1), DAY_ONE)
    command = [
        sys.executable,
        "-m",
        "curation_assets.cli",
        "run",
        "reviews",
        "--until",
        "curated",
        "--json",
        "--home",
        str(home.root),
    ]
    both = [
        subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY) for _ in range(2)
    ]
    outputs = [process.communicate(timeout=300) for process in both]
    assert [process.returncode for process in both] == [0, 0], [error for _, error in outputs]
    answers: list[dict[str, Any]] = [json.loads(output) for output, _ in outputs]
    assert [answer["total"]["kept"] for answer in answers] == [300, 300]
    assert len(Ledger(home.lake, "reviews").entries()) == 1
