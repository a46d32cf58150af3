"""How the two sources of the demo shape a review, break their contract, and pack a day's records into files.

One record or one day at a time: what is written when, and how often, is `sample`.
"""

import gzip
import hashlib
import json
from dataclasses import dataclass, field
from datetime import datetime, timedelta, timezone
from pathlib import Path
from random import Random
from typing import Any

import zstandard

from curation.files import written_whole

SHOP, MARKETPLACE = "shop", "marketplace"
SEGMENT_CODES = {"new": 1, "returning": 2, "loyal": 3, "business": 4}
LATE_DAY, TRUNCATED_DAY = 3, 4  # of marketplace
_SEGMENTS = tuple(SEGMENT_CODES)
_SEGMENT_OF_USER = (0, 0, 0, 1, 1, 1, 1, 2, 2, 3)  # by the last digit of the user
_VERDICTS = ("terrible", "poor", "average", "good", "excellent")  # one to five stars
_CENTRAL_EUROPE = timezone(timedelta(hours=1))


@dataclass(frozen=True)
class Review:
    """One review before its source gives it a shape."""

    native_id: str
    user: int
    item: str
    rating: int
    felt: int  # the stars that the words mean; no source delivers them
    title: str
    text: str
    written_at: datetime
    votes: int
    language: str


@dataclass(frozen=True)
class Piece:
    """One file of a day: its name, how many records it holds, stumps included, and its bytes."""

    name: str
    records: int
    remark: str
    content: bytes = field(repr=False)


def review_uid(source: str, native_id: str) -> str:
    """The key that the contract gives a record: hex SHA-256 of source and native id."""
    return hashlib.sha256(f"{source}:{native_id}".encode()).hexdigest()


def meaning_of(stars: int) -> str:
    """The sentiment that one to five stars' worth of words carry."""
    return "negative" if stars <= 2 else "neutral" if stars == 3 else "positive"


def delivered(path: Path, content: bytes) -> bool:
    """Put a file into landing; False when it stands there already, byte for byte."""
    if path.is_file() and path.read_bytes() == content:
        return False
    with written_whole(path) as temporary:
        temporary.write_bytes(content)
    return True


def packed_lines(lines: list[str]) -> bytes:
    """Records as JSON lines, gzip."""
    return gzip.compress(("\n".join(lines) + "\n").encode(), 6, mtime=0)


def _array(lines: list[str]) -> bytes:
    return ("[\n" + ",\n".join(lines) + "\n]\n").encode()


def marketplace_files(number: int, lines: list[str], late_lines: list[str], cut_line: str) -> list[Piece]:
    """The `number`-th day of `marketplace`: JSON arrays, each day in another way. `late_lines` go on LATE_DAY, the stump of
    `cut_line` on TRUNCATED_DAY."""
    whole, count = _array(lines), len(lines)
    if number == 1:
        return [Piece("export_1.json", count, "JSON array with a BOM", b"\xef\xbb\xbf" + whole)]
    if number == 2:
        half = count // 2
        afternoon = gzip.compress(_array(lines[half:]), 6, mtime=0)
        return [
            Piece("export_2_am.json", half, "JSON array, first of two files", _array(lines[:half])),
            Piece("export_2_pm.json.gz", count - half, "JSON array, gzip, second of two files", afternoon),
        ]
    if number == LATE_DAY:
        late = ("[" + ", ".join(late_lines) + "]").encode()
        return [
            Piece("export_3.json.zst", count, "JSON array, zstd", zstandard.ZstdCompressor(level=3).compress(whole)),
            Piece("export_3_late.json", len(late_lines), "JSON array on one line, written one to three weeks before", late),
        ]
    if number == TRUNCATED_DAY:
        stump = ",\n" + cut_line[: len(cut_line) * 2 // 3]
        cut = whole.removesuffix(b"\n]\n") + stump.encode()
        return [Piece("export_4.json", count + 1, "JSON array, cut off in its last record", cut)]
    return [Piece(f"export_{number}.json", count, "JSON array", whole)]


def as_json(record: dict[str, Any]) -> str:
    """One record on one line, letters as they are."""
    return json.dumps(record, ensure_ascii=False)


def _shaped(source: str, review: Review) -> dict[str, Any]:
    """The record as its source delivers it."""
    if source == SHOP:
        return {
            "id": review.native_id,
            "author": {"id": f"u{review.user:05d}", "since": 2012 + review.user % 13},
            "sku": review.item,
            "stars": review.rating,
            "headline": review.title,
            "body": review.text,
            "written_ms": int(review.written_at.timestamp()) * 1000,
            "helpful": review.votes,
            "user_segment": _SEGMENTS[_SEGMENT_OF_USER[review.user % 10]],
        }
    written_at = (review.written_at.astimezone(_CENTRAL_EUROPE) if review.user % 3 == 0 else review.written_at).isoformat()
    return {
        "reviewRef": review.native_id,
        "customer": f"c-{review.user:06d}",
        "listing": f"MP/{review.item}",
        "verdict": _VERDICTS[review.rating - 1],
        "summary": review.title,
        "comment": review.text,
        "postedAt": written_at.replace("+00:00", "Z"),
        "votes": {"up": review.votes, "down": review.user % 3},
        "language": review.language,
        "verified": review.user % 4 != 0,
    }


def line_of(source: str, review: Review) -> str:
    """The review as one line of its source."""
    return as_json(_shaped(source, review))


def breach(random: Random, source: str, review: Review, fault: str, place: int) -> str:
    """One line with the fault; `place` counts the fault's lines in the batch, so that each of its forms comes up."""
    line = line_of(source, review)
    if fault == "broken_json":
        without_colon = line.replace(": ", " ", 1)
        cut = line[: int(len(line) * random.uniform(0.3, 0.95))]
        return without_colon if source == MARKETPLACE else (cut, without_colon, line[:-1] + ",")[place % 3]
    if fault == "not_an_object":
        return ('"export resumed"', "null", "[]")[place % 3]
    record = _shaped(source, review)
    rating, text = ("stars", "body") if source == SHOP else ("verdict", "comment")
    if fault == "text_missing":
        del record[text]
        return as_json(record)
    forms: dict[str, tuple[str, tuple[Any, ...]]] = {
        "rating_as_text": (rating, ("4", "five", "5 stars")),
        "rating_out_of_range": (rating, (0, 6, -1, 11)),
        "rating_fraction": (rating, (3.7, 4.5)),
        "rating_null": (rating, (None,)),
        "rating_unknown": (rating, ("meh", "Good", "n/a")),
        "rating_as_number": (rating, (4, 5, 1)),
        "text_null": (text, (None,)),
        "date_unreadable": ("postedAt", ("2026-13-41T09:00:00Z", "yesterday", "")),
    }
    key, values = forms[fault]
    return as_json(record | {key: values[place % len(values)]})
