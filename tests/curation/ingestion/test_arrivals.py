"""Batches as they lie in landing, for a process that may not read all of them."""

import datetime
import os
from pathlib import Path

import pytest

from curation.ingestion.arrivals import arrivals

TODAY = datetime.date(2026, 3, 5)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_may_not_be_read_is_named_and_stops_no_batch(tmp_path: Path) -> None:
    shut = [tmp_path / "tickets" / name for name in ("desk/2026-03-01", "desk/2026-03-02/a.jsonl", "kiosk")]
    for path in (*shut, tmp_path / "tickets" / "desk" / "2026-03-03" / "a.jsonl"):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch() if path.suffix else path.mkdir()
    for path in shut:
        path.chmod(0)
    found, problems = arrivals(tmp_path, "tickets", ["desk", "kiosk"], TODAY)
    for path in shut:
        path.chmod(0o700)
    assert [arrival.day for arrival in found] == [datetime.date(2026, 3, 3)]
    assert [problem.message for problem in problems] == [f"{path} cannot be read: Permission denied" for path in shut]
