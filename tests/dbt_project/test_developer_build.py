"""A developer's `dbt build`: works by itself, runs the unit tests, writes its own file only, whatever a run is doing."""

import os
import subprocess
from pathlib import Path

import duckdb
import pytest

from curation_assets.dbt_models import dbt_executable
from curation_assets.runs import run_dataset
from resources.home import REPOSITORY, Home
from resources.writer import sole_writer
from tests.deliveries import day, deliver, review

pytestmark = pytest.mark.slow


def build(home: Path, warehouse: Path, *arguments: str) -> str:
    """`dbt build` as README says, on a home and a developer's file of the test's own; what it printed."""
    environment = {
        **os.environ,
        "CURATION_HOME": str(home),
        "CURATION_DEV_WAREHOUSE": str(warehouse),
        "DBT_TARGET_PATH": str(warehouse.parent / "t"),
    }
    command = [
        dbt_executable(),
        "--no-use-colors",
        "build",
        "--project-dir",
        "dbt_project",
        "--log-path",
        str(warehouse.parent / "logs"),
        *arguments,
    ]
    built = subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY, env=environment)
    assert built.returncode == 0, built.stdout[-3000:]
    return built.stdout


def test_without_raw_data_it_builds_empty_typed_models_and_passes_every_unit_test(tmp_path: Path) -> None:
    told = build(tmp_path / "nothing", tmp_path / "dev.duckdb")
    assert "No raw reviews below" in told
    assert "curation demo" in told
    assert told.count("PASS int_reviews_cleaned::") >= 21
    with duckdb.connect(str(tmp_path / "dev.duckdb"), read_only=True) as connection:
        types = {name: kind for name, kind, *_ in connection.execute("describe curated_reviews").fetchall()}
        assert (types["rating"], types["day"], types["reviewed_at"]) == ("DOUBLE", "DATE", "TIMESTAMP WITH TIME ZONE")
        assert connection.execute("select count(*) from curated_reviews").fetchone() == (0,)
    assert not (tmp_path / "nothing").exists()


def test_it_reads_the_same_raw_rows_as_a_run_and_disturbs_none(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").prepare()
    deliver(home.root, day(1), [review(number) for number in range(60)])
    assert run_dataset(home, "reviews", None, None, "curated", 60.0, lambda line: None).succeeded
    lake = sorted(str(path) for path in home.lake.rglob("*"))
    held = duckdb.connect(str(home.warehouse("reviews")))  # as a run holds it: nobody else could open this file
    with sole_writer(home.lock("reviews"), "a run"):
        build(home.root, tmp_path / "dev.duckdb", "--exclude-resource-type", "unit_test")
    kept = held.execute("select count(*) from int_reviews_decided where fate = 'kept'").fetchone()
    held.close()
    with duckdb.connect(str(tmp_path / "dev.duckdb"), read_only=True) as connection:
        assert connection.execute("select count(*) from curated_reviews").fetchone() == kept == (60,)
    assert sorted(str(path) for path in home.lake.rglob("*")) == lake
