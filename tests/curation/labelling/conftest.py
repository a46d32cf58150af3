"""A log for the tests of labelling elsewhere. No rule, no assertion."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from curation.feedback.log import FeedbackLog


@pytest.fixture
def log(tmp_path: Path) -> Iterator[FeedbackLog]:
    with FeedbackLog(tmp_path / "log.sqlite", b"k" * 32) as opened:
        yield opened
