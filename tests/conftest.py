"""What several tests share: where real data is, quiet tools, and in which order files of tests run. No dataset, no rule."""

import os
import sys
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from resources.home import QUIET

os.environ.update(QUIET)
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # each of the many processes would compile the project anew
sys.dont_write_bytecode = False
settings.register_profile("repeatable", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("repeatable")  # the same examples in every run, and a busy machine is no failure

REAL_DATA = Path(os.environ.get("CURATION_REAL_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")
LONGEST = [
    "test_run.py",
    "test_everything_at_once.py",
    "test_random_schedules_one.py",
    "test_random_schedules_two.py",
    "test_killed_retrain.py",
    "test_ui.py",
    "test_real_schedules.py",
    "test_up.py",
]
"""Files that take a minute or more, the longest first: one that began last would keep the other workers waiting."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files come first, and files without a slow test last, so that all workers end at about the same time."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    places = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: (places.get(item.path.name, len(LONGEST)), item.path not in slow))


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real datasets; the test is skipped where there is none."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; set CURATION_REAL_DATA")
    return REAL_DATA
