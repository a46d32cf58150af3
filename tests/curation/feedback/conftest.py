"""A log, and a home's worth of feedback, for the tests of feedback. No rule, no assertion."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.feedback.log import FeedbackLog
from tests.curation.feedback.drained_place import Place
from tests.curation.feedback.statements import KEY


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FeedbackLog]:
    """An empty log in a folder of its own."""
    with FeedbackLog(tmp_path / "feedback" / "log.sqlite", KEY) as opened:
        yield opened


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """An empty home."""
    return Place(tmp_path)
