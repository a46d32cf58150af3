"""Segments: the feedback log as immutable Parquet files, `<first seq>-<last seq>.parquet`, for everyone who is not the drain.

Only the drain writes here; readers ask `segment_files`. A segment is a function of the log's rows alone, so a lost one comes
again with the same bytes. Nothing here knows of DuckDB, predictions or votes.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import pyarrow.parquet as pq

from curation.errors import CurationError
from curation.feedback.events import LOGGED
from curation.feedback.log import FeedbackLog
from curation.files import written_whole

NAME = re.compile(r"([0-9]{12})-([0-9]{12})\.parquet")
ROW_GROUP_ROWS = 50_000  # also the rows read from the log at once: 25 MB at 500 bytes a row
SMALL_ROWS = 5_000  # below it a segment is merged: 64 of them make at most 320,000 rows, written in some 2 s
SMALL_AT_MOST = 64
READERS_AT_MOST = timedelta(hours=1)  # who listed the files before a merge has read them by then


@dataclass(frozen=True, order=True)
class Segment:
    """One file: the log's rows from seq `first` to seq `last`, both in it."""

    first: int
    last: int
    path: Path

    @property
    def rows(self) -> int:
        """Rows in the file: seq is dense."""
        return self.last - self.first + 1


def segment_files(folder: Path, up_to: int | None = None) -> list[Path]:
    """The files that hold each row from seq 1 on exactly once, in order; the last may reach beyond `up_to`, so filter by seq.

    Without `up_to` all there are. CurationError where one is missing, or where they do not reach `up_to` yet.
    """
    covering = covering_segments(folder)
    if up_to is not None:
        covering = [segment for segment in covering if segment.first <= up_to]
    reached = covering[-1].last if covering else 0
    missing = next(gaps(covering), (reached + 1, up_to) if up_to is not None and reached < up_to else None)
    if missing:
        raise CurationError(f"{folder} has no segment for feedback {missing[0]} to {missing[1]}", "the next drain writes it")
    return [segment.path for segment in covering]


def covering_segments(folder: Path) -> list[Segment]:
    """One `Segment` per file that counts, in order and without overlap: what lies within or across another is left out."""
    covering: list[Segment] = []
    for segment in sorted(_segments(folder), key=lambda segment: (segment.first, -segment.last)):
        if not covering or segment.first > covering[-1].last:
            covering.append(segment)
    return covering


def gaps(covering: list[Segment]) -> Iterator[tuple[int, int]]:
    """(first, last) of each range of seq that is missing before or between the segments given."""
    expected = 1
    for segment in covering:
        if segment.first > expected:
            yield expected, segment.first - 1
        expected = segment.last + 1


def write_segment(folder: Path, log: FeedbackLog, first: int, last: int) -> Segment:
    """The log's rows from seq `first` to `last` as a file, whole or absent. Same rows, same bytes (with one version of pyarrow)."""
    path = folder / f"{first:012d}-{last:012d}.parquet"
    with written_whole(path) as temporary, pq.ParquetWriter(temporary, LOGGED, compression="zstd", version="2.6") as writer:
        for after in range(first - 1, last, ROW_GROUP_ROWS):
            until = min(after + ROW_GROUP_ROWS, last)
            rows = log.read(after, until - after)
            if rows.num_rows != until - after:
                raise CurationError(
                    f"the feedback log has {rows.num_rows} rows where seq {after + 1} to {until} should be",
                    "it has lost rows: see `curation verify`, and bring log.sqlite back from a backup",
                )
            writer.write_table(rows, row_group_size=ROW_GROUP_ROWS)
    return Segment(first, last, path)


def restore_segments(folder: Path, log: FeedbackLog, up_to: int) -> None:
    """Write again every segment that is missing from seq 1 to `up_to`, which the table or a later segment has reached before."""
    covering = covering_segments(folder)
    reached = covering[-1].last if covering else 0
    missing = list(gaps(covering))
    missing += [(first, min(first + ROW_GROUP_ROWS - 1, up_to)) for first in range(reached + 1, up_to + 1, ROW_GROUP_ROWS)]
    for first, last in missing:
        write_segment(folder, log, first, last)


def compact_segments(folder: Path, log: FeedbackLog, now: datetime) -> None:
    """Merge the small segments at the tail when more than 64 stand there, and delete what a merge of an hour ago made superfluous."""
    covering = covering_segments(folder)
    kept = {segment.path for segment in covering}
    for segment in _segments(folder):
        if segment.path not in kept:
            around = next((other for other in covering if other.first <= segment.first and segment.last <= other.last), None)
            if around and now.timestamp() - around.path.stat().st_mtime > READERS_AT_MOST.total_seconds():
                segment.path.unlink()
    tail: list[Segment] = []
    for segment in reversed(covering):
        if segment.rows >= SMALL_ROWS:
            break
        tail.append(segment)
    if len(tail) > SMALL_AT_MOST:
        write_segment(folder, log, tail[-1].first, tail[0].last)


def _segments(folder: Path) -> list[Segment]:
    if not folder.is_dir():
        return []
    found = ((NAME.fullmatch(path.name), path) for path in folder.iterdir())
    return [Segment(int(match[1]), int(match[2]), path) for match, path in found if match]
