"""The demo's raw data: five days of made-up reviews from two sources, as their files would arrive, every fault counted.

Offline, deterministic: the words depend on the seed alone, the dates on the first day. It writes below a landing folder and
nowhere else; how texts are worded is `sample_text`, what a source may deliver stands in sources.yaml.
"""

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random
from typing import Any

from curation_assets.reviews import sample_text
from curation_assets.reviews.sample_sources import (
    LATE_DAY,
    MARKETPLACE,
    SEGMENT_CODES,
    SHOP,
    TRUNCATED_DAY,
    Piece,
    Review,
    as_json,
    breach,
    delivered,
    line_of,
    marketplace_files,
    meaning_of,
    packed_lines,
    review_uid,
)
from curation_assets.reviews.sample_words import SPAM_KINDS

DATASET = "reviews"
SAMPLE_DAYS = 5
BATCH_RECORDS = {SHOP: 2_700, MARKETPLACE: 1_600}  # a day; 21,500 in all
DRILL_DAY = 5
LATE_RECORDS = 120
DRILL_SHARE = 0.3  # of user_segment turns from strings to integers

FATES = {
    "broken_json": "malformed",
    "not_an_object": "malformed",
    "truncated_stump": "malformed",
    "rating_as_text": "contract",
    "rating_out_of_range": "contract",
    "rating_fraction": "contract",
    "rating_null": "contract",
    "rating_unknown": "contract",
    "rating_as_number": "contract",
    "text_missing": "contract",
    "text_null": "contract",
    "date_unreadable": "contract",
    **{f"spam_{kind}": "spam" for kind in SPAM_KINDS},
    "empty_text": "empty",
    "record_copy": "exact_duplicate",
    "text_copy": "exact_duplicate",
    "disguised_copy": "exact_duplicate",
    "near_copy": "near_duplicate",
    "correction": "superseded",
    "html": "kept",
    "entities": "kept",
    "mojibake": "kept",
    "zero_width": "kept",
    "late": "kept",
}
"""Every fault that is planted, and the fate that it asks for. A correction supersedes the record it corrects."""

_DIRTYING: dict[str, Callable[[Random, str], str]] = {
    "html": sample_text.with_html,
    "entities": sample_text.with_entities,
    "mojibake": sample_text.with_mojibake,
    "zero_width": sample_text.with_zero_width,
}
_COPYING: dict[str, Callable[[Random, str], str]] = {
    "text_copy": lambda _, text: text,
    "disguised_copy": sample_text.disguised,
    "near_copy": sample_text.edited,
}
_DIRTY_SHARES = {"html": 0.06, "entities": 0.04, "mojibake": 0.01, "zero_width": 0.015}  # of originals
_COPY_SHARES = {"record_copy": 0.010, "text_copy": 0.015, "disguised_copy": 0.015, "near_copy": 0.040}  # of a batch
_CORRECTION_SHARE = 0.012  # of a batch, from the second day on
_SPAM_SHARE = 0.005  # of a batch, each kind
_EMPTY_SHARE = 0.008
_EMPTY_TEXTS = ("  ", "<br/>", "&nbsp;", "\u200b", "<p></p>", "\n\t")
_BREACH_SHARES = {  # of a batch: 2.7% and 2.4% are malformed or break the contract, of the 5% that a batch may have
    SHOP: {
        "broken_json": 0.006,
        "not_an_object": 0.001,
        "rating_as_text": 0.004,
        "rating_out_of_range": 0.004,
        "rating_fraction": 0.003,
        "rating_null": 0.003,
        "text_missing": 0.003,
        "text_null": 0.003,
    },
    MARKETPLACE: {
        "broken_json": 0.002,
        "not_an_object": 0.002,
        "rating_unknown": 0.004,
        "rating_as_number": 0.004,
        "rating_null": 0.003,
        "text_missing": 0.003,
        "text_null": 0.003,
        "date_unreadable": 0.003,
    },
}
_DRILL_STARTS = 40  # lines before the first integer: the head of the file looks sound
_RATING_WEIGHTS = (13, 10, 15, 23, 39)
_LANGUAGES = {SHOP: (("en", "es", "de"), (97, 2, 1)), MARKETPLACE: (("en", "es", "de"), (94, 3, 3))}


@dataclass(frozen=True)
class Planted:
    """How often one fault stands in one batch."""

    source: str
    day: date
    fault: str  # a key of FATES
    count: int


@dataclass(frozen=True)
class SampleFile:
    """One file as delivered."""

    path: Path
    source: str
    day: date
    records: int  # whole ones, broken ones and stumps
    remark: str
    content: bytes = field(repr=False)


@dataclass(frozen=True)
class DrillFile:
    """The fifth day's file of `shop`, as it first arrives and as its owner corrects it."""

    path: Path
    source: str
    day: date
    records: int
    integers: int  # records whose user_segment is an integer
    first_integer_line: int  # 1-based
    broken: bytes = field(repr=False)
    mended: bytes = field(repr=False)

    @property
    def is_mended(self) -> bool:
        """Whether the corrected file is what stands in landing."""
        return self.path.is_file() and self.path.read_bytes() == self.mended


@dataclass(frozen=True)
class Sample:
    """What was delivered, but for the drill's file, which `write_drill` and `mend_drill` put in place."""

    first_day: date
    files: tuple[SampleFile, ...]
    planted: tuple[Planted, ...]
    drill: DrillFile
    new_files: int  # written now; the others already stood there, byte for byte
    meant: dict[str, str] = field(repr=False)  # review_uid -> negative, neutral, positive or spam, as a careful reader would say

    @property
    def days(self) -> tuple[date, ...]:
        """The arrival days, oldest first."""
        return tuple(self.first_day + timedelta(days=offset) for offset in range(SAMPLE_DAYS))

    @property
    def records(self) -> int:
        """Records in all files, the drill's included."""
        return sum(file.records for file in self.files) + self.drill.records

    def count(self, *faults: str, source: str | None = None, day: date | None = None) -> int:
        """How many records carry one of the faults, in all batches or in those of a source or day."""
        return sum(
            entry.count
            for entry in self.planted
            if entry.fault in faults and source in (None, entry.source) and day in (None, entry.day)
        )


def first_day_of_sample(landing: Path, today: date) -> date:
    """The first day of the sample that stands in `landing`, so that a later day's demo repeats it; else four days before `today`.

    `today` is the day in UTC.
    """
    written = sorted((landing / DATASET / SHOP).glob("*/shop_1.jsonl.gz"))
    return date.fromisoformat(written[0].parent.name) if written else today - timedelta(days=SAMPLE_DAYS - 1)


def write_sample(landing: Path, first_day: date, seed: int = 7) -> Sample:
    """Deliver five days from `first_day` below `landing`/reviews/<source>/<day>, but for the drill's file.

    Two calls write the same bytes: a file that stands there already is left alone, one that differs is written anew. 2 CPU s.
    """
    composer = _Composer(landing / DATASET, first_day, seed)
    for number in range(1, SAMPLE_DAYS + 1):
        for source in (SHOP, MARKETPLACE):
            composer.compose(source, number)
    counted = sorted((key, count) for key, count in composer.planted.items() if count)
    planted = tuple(Planted(source, day, fault, count) for (source, day, fault), count in counted)
    new_files = sum(delivered(file.path, file.content) for file in composer.files)
    return Sample(first_day, tuple(composer.files), planted, composer.drill(), new_files, composer.meant)


def write_drill(drill: DrillFile) -> bool:
    """Deliver the fifth day of `shop` with its integers; whether that changed landing."""
    return delivered(drill.path, drill.broken)


def mend_drill(drill: DrillFile) -> bool:
    """Replace the drill's file by the corrected one; whether that changed landing."""
    return delivered(drill.path, drill.mended)


class _Composer:
    """Composes batch after batch; remembers what may still be copied, so that no record is copied or corrected twice."""

    def __init__(self, folder: Path, first_day: date, seed: int) -> None:
        self.files: list[SampleFile] = []
        self.planted: Counter[tuple[str, date, str]] = Counter()
        self.meant: dict[str, str] = {}
        self._folder = folder
        self._first_day = first_day
        self._random = Random(seed)
        self._next_id = {SHOP: 100_001, MARKETPLACE: 1}
        self._uncopied: dict[str, list[Review]] = {SHOP: [], MARKETPLACE: []}
        self._drill_lines: list[str] = []

    def compose(self, source: str, number: int) -> None:
        """Make the batch of a source on the `number`-th day, first day 1."""
        day = self._first_day + timedelta(days=number - 1)
        batch = BATCH_RECORDS[source]
        is_drill = (source, number) == (SHOP, DRILL_DAY)
        corrections = self._corrections(source, day, round(batch * _CORRECTION_SHARE) if number > 1 else 0)
        spam = self._spam(source, day, round(batch * _SPAM_SHARE))
        empty = self._empty(source, day, round(batch * _EMPTY_SHARE))
        breaches = [] if is_drill else self._breaches(source, day, batch)
        copies = sum(round(batch * share) for share in _COPY_SHARES.values())
        late_records = LATE_RECORDS if (source, number) == (MARKETPLACE, LATE_DAY) else 0
        planted = copies + len(corrections) + len(spam) + len(empty) + len(breaches)
        originals = self._originals(source, day, batch - planted, late_records)
        reviews = corrections + spam + empty + originals[late_records:] + self._copies(source, day, batch)
        lines = breaches + [line_of(source, review) for review in reviews]
        felt = {review_uid(source, review.native_id): meaning_of(review.felt) for review in originals + reviews}
        self.meant |= felt | {review_uid(source, review.native_id): "spam" for review in spam}
        self._random.shuffle(lines)
        if is_drill:
            self._drill_lines = lines
        elif source == SHOP:
            self._deliver(source, day, [Piece(f"shop_{number}.jsonl.gz", len(lines), "JSON lines, gzip", packed_lines(lines))])
        else:
            late_lines = [line_of(source, review) for review in originals[:late_records]]
            self._deliver(source, day, marketplace_files(number, lines, late_lines, line_of(source, self._review(source, day))))
            self.planted[source, day, "truncated_stump"] += number == TRUNCATED_DAY

    def drill(self) -> DrillFile:
        """The drill's file: the last day of `shop` with and without its integers."""
        lines = self._drill_lines
        turned = sorted(self._random.sample(range(_DRILL_STARTS, len(lines)), round(len(lines) * DRILL_SHARE)))
        broken = list(lines)
        for place in turned:
            record = json.loads(lines[place])
            broken[place] = as_json(record | {"user_segment": SEGMENT_CODES[record["user_segment"]]})
        day = self._first_day + timedelta(days=DRILL_DAY - 1)
        path = self._folder / SHOP / day.isoformat() / f"shop_{DRILL_DAY}.jsonl.gz"
        return DrillFile(path, SHOP, day, len(lines), len(turned), turned[0] + 1, packed_lines(broken), packed_lines(lines))

    def _review(self, source: str, day: date, days_late: int = 0) -> Review:
        """A new review with an id of its own, written in the day and a half before its arrival day began."""
        random = self._random
        rating = random.choices((1, 2, 3, 4, 5), _RATING_WEIGHTS)[0]
        languages, weights = _LANGUAGES[source]
        wording = sample_text.write_wording(random, rating, random.choices(languages, weights)[0])
        arrival = datetime(day.year, day.month, day.day, tzinfo=UTC)
        return Review(
            native_id=self._native_id(source),
            user=int(random.random() ** 2 * 6_000),
            item=f"{wording.family.code}-{random.randint(1, 40):03d}",
            rating=rating,
            felt=wording.felt,
            title=wording.title,
            text=wording.text,
            written_at=arrival - timedelta(days=days_late, seconds=random.randint(60, 36 * 3600)),
            votes=int(random.expovariate(0.7)),
            language=wording.language,
        )

    def _native_id(self, source: str) -> str:
        self._next_id[source] += 1
        return f"R{self._next_id[source]}" if source == SHOP else f"mp-{self._next_id[source]:07d}"

    def _originals(self, source: str, day: date, count: int, late_records: int) -> list[Review]:
        """New reviews, the late ones first; some dirty, the others free to be copied or corrected later."""
        originals = []
        for place in range(count):
            is_late = place < late_records
            review = self._review(source, day, days_late=self._random.randint(8, 20) if is_late else 0)
            draw = self._random.random()
            for fault, share in _DIRTY_SHARES.items():
                if 0 <= draw < share:
                    review = replace(review, text=_DIRTYING[fault](self._random, review.text))
                    self.planted[source, day, fault] += 1
                draw -= share
            if draw >= 0 and len(review.text.split()) >= 10 and not is_late:
                self._uncopied[source].append(review)
            originals.append(review)
        self.planted[source, day, "late"] += late_records
        return originals

    def _taken(self, source: str) -> Review:
        """A random record that nothing was made of yet; it will not be given again."""
        pool = self._uncopied[source]
        place = self._random.randrange(len(pool))
        pool[place], pool[-1] = pool[-1], pool[place]
        return pool.pop()

    def _corrections(self, source: str, day: date, count: int) -> list[Review]:
        """Later deliveries of earlier days' records: same id, another rating, another text, or both."""
        random, corrected = self._random, []
        for place in range(count):
            former = self._taken(source)
            now = self._review(source, day)
            rating = min(5, former.rating + 1) if former.rating < 3 else max(1, former.rating - 1)
            text = f"{former.text} Update: {now.text}"
            changes: dict[str, Any] = ({"rating": rating}, {"text": text}, {"rating": rating, "text": text})[place % 3]
            corrected.append(replace(former, written_at=now.written_at, votes=former.votes + random.randint(0, 3), **changes))
        self.planted[source, day, "correction"] += count
        return corrected

    def _copies(self, source: str, day: date, batch: int) -> list[Review]:
        """Whole records again, and other people's reviews with the same or nearly the same text, of either source."""
        random, copies = self._random, []
        for fault, share in _COPY_SHARES.items():
            count = round(batch * share)
            for _ in range(count):
                if fault == "record_copy":
                    copies.append(self._taken(source))
                    continue
                origin = self._taken(random.choice([name for name, pool in self._uncopied.items() if pool]))
                other = self._review(source, day)
                item = f"{origin.item[:3]}-{random.randint(1, 40):03d}"
                text = _COPYING[fault](random, origin.text)
                copies.append(
                    replace(
                        origin,
                        native_id=other.native_id,
                        user=other.user,
                        item=item,
                        text=text,
                        written_at=other.written_at,
                        votes=other.votes,
                    )
                )
            self.planted[source, day, fault] += count
        return copies

    def _spam(self, source: str, day: date, count: int) -> list[Review]:
        advertising = []
        for kind in SPAM_KINDS:
            for _ in range(count):
                text = sample_text.write_advertising(self._random, kind)
                advertising.append(replace(self._review(source, day), rating=5, text=text, language="en"))
            self.planted[source, day, f"spam_{kind}"] += count
        return advertising

    def _empty(self, source: str, day: date, count: int) -> list[Review]:
        self.planted[source, day, "empty_text"] += count
        return [replace(self._review(source, day), text=self._random.choice(_EMPTY_TEXTS)) for _ in range(count)]

    def _breaches(self, source: str, day: date, batch: int) -> list[str]:
        """Lines that do not parse or that break the source's contract, each in one way."""
        lines = []
        for fault, share in _BREACH_SHARES[source].items():
            count = round(batch * share)
            for place in range(count):
                lines.append(breach(self._random, source, self._review(source, day), fault, place))
            self.planted[source, day, fault] += count
        return lines

    def _deliver(self, source: str, day: date, pieces: list[Piece]) -> None:
        for piece in pieces:
            path = self._folder / source / day.isoformat() / piece.name
            self.files.append(SampleFile(path, source, day, piece.records, piece.remark, piece.content))
