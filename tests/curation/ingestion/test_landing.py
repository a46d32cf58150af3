"""Landing: what `ingest` copies in, what it refuses, and which days are there."""

import os
from datetime import date
from pathlib import Path

import pytest

from curation.errors import CurationError
from curation.ingestion.landing import batch_days, copy_in, earliest_day

TODAY = date(2026, 3, 5)
DAY = date(2026, 3, 4)


@pytest.fixture
def landing(tmp_path: Path) -> Path:
    return tmp_path / "home" / "landing"


@pytest.fixture
def review(tmp_path: Path) -> Path:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"text": "fine"}\n')
    return path


def everything_below(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_files_land_as_they_are_under_source_and_day(landing: Path, review: Path, tmp_path: Path) -> None:
    other = tmp_path / "reviews[1] ü.json"
    other.write_bytes(b"\xff\x00 whatever")
    landed = copy_in("reviews", "shop", [review, other], DAY, landing, today=TODAY)
    assert landed == [landing / "reviews/shop/2026-03-04/a.jsonl", landing / "reviews/shop/2026-03-04/reviews[1] ü.json"]
    assert [path.read_bytes() for path in landed] == [review.read_bytes(), b"\xff\x00 whatever"]
    assert len(everything_below(landing)) == 2


def test_the_same_bytes_again_change_nothing(landing: Path, review: Path) -> None:
    (landed,) = copy_in("reviews", "shop", [review], DAY, landing, today=TODAY)
    before = landed.stat()
    assert copy_in("reviews", "shop", [review, review, landed], DAY, landing, today=TODAY) == [landed] * 3
    assert (landed.stat().st_ino, landed.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)


def test_a_link_is_followed_and_keeps_its_own_name(landing: Path, review: Path, tmp_path: Path) -> None:
    link = tmp_path / "latest.jsonl"
    link.symlink_to(review)
    (landed,) = copy_in("reviews", "shop", [link], TODAY, landing, today=TODAY)
    assert landed.name == "latest.jsonl"
    assert not landed.is_symlink()
    assert landed.read_bytes() == review.read_bytes()


def test_other_bytes_under_a_name_that_is_taken_are_refused_and_both_named(landing: Path, review: Path) -> None:
    (landed,) = copy_in("reviews", "shop", [review], DAY, landing, today=TODAY)
    review.write_bytes(b"{}\n")
    with pytest.raises(CurationError) as told:
        copy_in("reviews", "shop", [review], DAY, landing, today=TODAY)
    assert str(review) in told.value.message
    assert str(landed) in told.value.message
    assert "rename it" in (told.value.fix or "")
    assert landed.read_bytes() == b'{"text": "fine"}\n'
    assert copy_in("reviews", "shop", [review], TODAY, landing, today=TODAY)[0].read_bytes() == b"{}\n"


def test_two_files_of_one_name_in_one_call_are_refused_before_either_is_copied(
    landing: Path, review: Path, tmp_path: Path
) -> None:
    twin = tmp_path / "other" / review.name
    twin.parent.mkdir()
    twin.write_bytes(b"{}\n")
    with pytest.raises(CurationError, match="same name and different bytes"):
        copy_in("reviews", "shop", [review, twin], DAY, landing, today=TODAY)
    assert not landing.exists()


def test_one_bad_file_keeps_its_good_neighbours_out_too(landing: Path, review: Path, tmp_path: Path) -> None:
    with pytest.raises(CurationError, match=r"cannot read .*gone\.json: No such file"):
        copy_in("reviews", "shop", [review, tmp_path / "gone.json"], DAY, landing, today=TODAY)
    assert not landing.exists()


def test_what_is_no_regular_file_with_content_is_refused(landing: Path, tmp_path: Path) -> None:
    (tmp_path / "empty.json").touch()
    os.mkfifo(tmp_path / "pipe.json")
    (tmp_path / ".hidden.json").write_text("{}")
    (tmp_path / "two\nlines.json").write_text("{}")
    for name, told in {
        "empty.json": r"empty\.json is empty",
        "pipe.json": r"pipe\.json is not a regular file",
        ".": "is a folder",
        ".hidden.json": "name that landing cannot keep",
        "two\nlines.json": "name that landing cannot keep",
    }.items():
        with pytest.raises(CurationError, match=told):
            copy_in("reviews", "shop", [tmp_path / name], DAY, landing, today=TODAY)
    assert not landing.exists()


@pytest.mark.parametrize(("dataset", "source"), [("reviews", "../x"), ("reviews", "Shop"), ("..", "shop"), ("reviews", "")])
def test_a_name_that_would_be_a_path_is_refused(landing: Path, review: Path, dataset: str, source: str) -> None:
    with pytest.raises(CurationError, match="cannot name a"):
        copy_in(dataset, source, [review], DAY, landing, today=TODAY)


def test_a_day_in_the_future_is_refused(landing: Path, review: Path) -> None:
    with pytest.raises(CurationError, match="2026-03-06 is in the future"):
        copy_in("reviews", "shop", [review], date(2026, 3, 6), landing, today=TODAY)
    assert copy_in("reviews", "shop", [review], TODAY, landing, today=TODAY)


def test_a_link_that_leads_out_of_landing_is_not_written_through(landing: Path, review: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (landing / "reviews").mkdir(parents=True)
    (landing / "reviews" / "shop").symlink_to(outside)
    with pytest.raises(CurationError, match="leads out of landing"):
        copy_in("reviews", "shop", [review], DAY, landing, today=TODAY)
    (landing / "reviews" / "mart" / "2026-03-04").mkdir(parents=True)
    (landing / "reviews" / "mart" / "2026-03-04" / "a.jsonl").symlink_to(review)
    with pytest.raises(CurationError, match="not a regular file"):
        copy_in("reviews", "mart", [review], DAY, landing, today=TODAY)
    assert list(outside.iterdir()) == []


def test_a_landing_that_takes_no_files_is_named(landing: Path, review: Path) -> None:
    landing.parent.mkdir()
    landing.write_text("a file where the folder should be")
    with pytest.raises(CurationError, match=r"cannot write to .*2026-03-04: Not a directory"):
        copy_in("reviews", "shop", [review], DAY, landing, today=TODAY)


def test_days_are_listed_by_source_in_order_and_other_names_passed_over(landing: Path) -> None:
    assert batch_days(landing, "reviews") == {}
    assert earliest_day(landing, "reviews") is None
    for name in (
        "shop/2026-03-04",
        "shop/2025-12-31",
        "shop/2026-3-4",
        "shop/20260101",
        "mart",
        "Bad/2001-01-01",
        "toys/2026-01-01",
    ):
        (landing / "reviews" / name).mkdir(parents=True)
    (landing / "reviews" / "shop" / "2020-01-01").write_text("a file, no day")
    assert batch_days(landing, "reviews") == {"mart": [], "shop": [date(2025, 12, 31), DAY], "toys": [date(2026, 1, 1)]}
    assert earliest_day(landing, "reviews") == date(2025, 12, 31)
    assert earliest_day(landing, "images") is None
