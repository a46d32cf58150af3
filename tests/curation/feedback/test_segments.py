"""Segments: what readers list, what comes again with the same bytes, what is merged and when the merged ones go."""

from datetime import timedelta
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from curation.errors import CurationError
from curation.feedback.events import LOGGED
from curation.feedback.segments import (
    compact_segments,
    covering_segments,
    gaps,
    restore_segments,
    segment_files,
    write_segment,
)
from tests.curation.feedback.drained_place import NOW, Place, aged


@pytest.fixture
def place(tmp_path: Path) -> Place:
    """A log of 140 events and no segment yet."""
    place = Place(tmp_path)
    place.say_many(1, 140)
    return place


def seqs(paths: list[Path]) -> list[int]:
    return [seq for path in paths for seq in pq.ParquetFile(path).read(["seq"])["seq"].to_pylist()]


def test_a_segment_is_named_by_its_rows_and_holds_the_logs_own(place: Place) -> None:
    with place.log() as log:
        write_segment(place.segments, log, 1, 40)
        write_segment(place.segments, log, 41, 140)
        expected = log.read(40, 100)
    assert place.names() == ["000000000001-000000000040.parquet", "000000000041-000000000140.parquet"]
    found = pq.ParquetFile(place.segments / place.names()[1]).read()
    assert found.schema.equals(LOGGED)
    assert found.equals(expected)


def test_the_same_rows_are_the_same_bytes(place: Place) -> None:
    with place.log() as log:
        path = write_segment(place.segments, log, 11, 97).path
        before = path.read_bytes()
        path.unlink()
        assert write_segment(place.segments, log, 11, 97).path.read_bytes() == before


def test_readers_get_no_more_files_than_they_asked_for(place: Place) -> None:
    with place.log() as log:
        for first in (1, 51, 101):
            write_segment(place.segments, log, first, min(first + 49, 140))
    assert [path.name[:12] for path in segment_files(place.segments)] == ["000000000001", "000000000051", "000000000101"]
    assert [path.name[:12] for path in segment_files(place.segments, 51)] == ["000000000001", "000000000051"]
    assert segment_files(place.segments, 0) == []


def test_a_folder_that_is_not_there_covers_nothing_and_only_that(tmp_path: Path) -> None:
    assert segment_files(tmp_path / "none") == []
    with pytest.raises(CurationError, match="no segment for feedback 1 to 5"):
        segment_files(tmp_path / "none", 5)


def test_readers_are_told_what_is_missing_instead_of_reading_less(place: Place) -> None:
    with place.log() as log:
        for first in (1, 51, 101):
            write_segment(place.segments, log, first, min(first + 49, 140))
    (place.segments / "000000000051-000000000100.parquet").unlink()
    with pytest.raises(CurationError, match="no segment for feedback 51 to 100"):
        segment_files(place.segments)
    assert seqs(segment_files(place.segments, 50)) == list(range(1, 51))
    with pytest.raises(CurationError, match="no segment for feedback 51 to 80"):
        segment_files(place.segments, 80)


def test_a_file_within_another_is_ignored_and_so_is_what_is_no_segment(place: Place) -> None:
    with place.log() as log:
        for first, last in ((1, 10), (11, 20), (1, 60), (21, 30), (61, 140), (50, 70)):
            write_segment(place.segments, log, first, last)
    (place.segments / ".000000000141-000000000150.parquet.1a2b3c4d.tmp").write_bytes(b"half")
    (place.segments / "notes.txt").write_text("mine")
    assert seqs(segment_files(place.segments)) == list(range(1, 141))


def test_what_is_missing_in_the_middle_and_at_the_end_comes_again(place: Place) -> None:
    with place.log() as log:
        for first in (1, 51, 101):
            write_segment(place.segments, log, first, min(first + 49, 140))
        kept = {path.name: path.read_bytes() for path in segment_files(place.segments)}
        for name in list(kept)[1:]:
            (place.segments / name).unlink()
        restore_segments(place.segments, log, 100)
        assert seqs(segment_files(place.segments)) == list(range(1, 101))
        restore_segments(place.segments, log, 140)
    assert {path.name: path.read_bytes() for path in segment_files(place.segments)} == kept


def test_rows_the_log_has_lost_are_no_segment(place: Place) -> None:
    with place.log() as log, pytest.raises(CurationError, match="has 10 rows where seq 131 to 150 should be"):
        write_segment(place.segments, log, 131, 150)
    assert place.names() == []


def test_sixty_five_small_segments_become_one_and_go_an_hour_later(place: Place) -> None:
    with place.log() as log:
        for seq in range(1, 65):
            write_segment(place.segments, log, seq, seq)
        compact_segments(place.segments, log, NOW)
        assert len(place.names()) == 64
        write_segment(place.segments, log, 65, 65)
        compact_segments(place.segments, log, NOW)
        assert [(segment.first, segment.last) for segment in covering_segments(place.segments)] == [(1, 65)]
        merged = place.segments / "000000000001-000000000065.parquet"
        aged(merged, NOW)
        compact_segments(place.segments, log, NOW + timedelta(minutes=59))
        assert len(place.names()) == 66
        compact_segments(place.segments, log, NOW + timedelta(minutes=61))
        assert place.names() == [merged.name]
    assert seqs(segment_files(place.segments)) == list(range(1, 66))


def test_gaps_before_and_between_are_named(place: Place) -> None:
    with place.log() as log:
        for first, last in ((3, 10), (21, 30)):
            write_segment(place.segments, log, first, last)
    assert list(gaps(covering_segments(place.segments))) == [(1, 2), (11, 20)]
