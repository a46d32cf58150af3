"""What several tests share: where real data is, and homes of their own. No dataset, no rule."""

import os
from pathlib import Path

import pytest

from resources.home import QUIET

os.environ.update(QUIET)

REAL_DATA = Path(os.environ.get("CURATION_REAL_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data")


@pytest.fixture(scope="session")
def real_data() -> Path:
    """Folder with the real datasets; the test is skipped where there is none."""
    if not REAL_DATA.is_dir():
        pytest.skip(f"no real data at {REAL_DATA}; set CURATION_REAL_DATA")
    return REAL_DATA
