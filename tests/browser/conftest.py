"""One `curation up` and one browser for a module of tests of the UI, on a small home of their own.

No longer than a module: a browser that is open runs an event loop, and tests after it in the same process want one of their own.
"""

import datetime
from collections.abc import Iterator
from pathlib import Path

import pytest

from resources.home import Home, today
from tests.browser.chromium import CHROMIUM, Ui, looking_at
from tests.deliveries import deliver, review
from tests.serving import serving


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """60 reviews that arrived two days ago and 300 of today; none on the day between."""
    root: Path = tmp_path_factory.mktemp("ui")
    deliver(root, today() - datetime.timedelta(days=2), [review(number) for number in range(60)])
    deliver(root, today(), [review(number) for number in range(60, 360)])
    return Home(root)


@pytest.fixture(scope="module")
def ui(home: Home) -> Iterator[Ui]:
    """The UI on that home, as a browser sees it; skipped where there is no Chromium."""
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium")
    with serving(home.root) as served, looking_at(served.address) as seen:
        yield seen
