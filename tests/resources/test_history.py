"""Dagster's history: several first starts at once make it once."""

import multiprocessing
import multiprocessing.synchronize
from pathlib import Path

import pytest

from resources.history import make_history, opened_history
from resources.home import Home

STARTS = 4


def _start(root: Path, together: multiprocessing.synchronize.Barrier) -> None:
    import dagster  # noqa: F401  before the barrier: what follows happens at the same moment

    together.wait(60)
    with opened_history(Home(root)) as instance:
        instance.get_runs(limit=1)


def test_first_starts_at_the_same_moment_all_find_a_whole_history(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home").prepare()
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    processes = multiprocessing.get_context("spawn")
    together = processes.Barrier(STARTS)
    starts = [processes.Process(target=_start, args=(home.root, together)) for _ in range(STARTS)]
    for start in starts:
        start.start()
    for start in starts:
        start.join(120)
    assert [start.exitcode for start in starts] == [0] * STARTS


def test_a_history_that_is_there_is_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    home = Home(tmp_path / "home").prepare()
    monkeypatch.setenv("DAGSTER_HOME", str(home.dagster))
    make_history(home)
    made = {path: path.stat().st_mtime_ns for path in home.dagster.rglob("*.db")}
    make_history(home)
    assert made
    assert {path: path.stat().st_mtime_ns for path in home.dagster.rglob("*.db")} == made
