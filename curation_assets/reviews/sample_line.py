"""The demo's new product line: one day's posts of an e-bike forum, whose riders speak differently and give no stars.

Offline, deterministic: the words depend on the seed alone, the dates on the day. It writes one file below a landing folder. What a
post means is returned and delivered nowhere, so that only people's answers can teach it.
"""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from random import Random

from curation_assets.reviews.sample import DATASET
from curation_assets.reviews.sample_line_words import PARTS, RIDERS
from curation_assets.reviews.sample_sources import as_json, delivered, packed_lines, review_uid
from curation_assets.reviews.sample_text import Phrases

FORUM = "forum"
LINE_RECORDS = 3_000
WORDS_AT_LEAST, WORDS_AT_MOST = 10, 40

_MEANINGS = ("negative", "neutral", "positive", "spam")
_MEANING_WEIGHTS = (36, 20, 42.5, 1.5)  # 1.5% advertise in words that no spam rule knows: only people can tell
_TONES = ("con", "mid", "pro")
_TONE_WEIGHTS = {"negative": (0.88, 0.07, 0.05), "neutral": (0.14, 0.72, 0.14), "positive": (0.05, 0.07, 0.88)}


@dataclass(frozen=True)
class Line:
    """The delivered file of the new line, and what its posts mean."""

    path: Path
    source: str
    day: date
    records: int
    is_new: bool  # written now, rather than found as it should be
    meant: dict[str, str] = field(repr=False)  # review_uid -> negative, neutral, positive or spam


@dataclass(frozen=True)
class _Post:
    meaning: str
    thread: str
    text: str


def write_line(landing: Path, day: date, seed: int = 11) -> Line:
    """Deliver LINE_RECORDS posts as `landing`/reviews/forum/<day>/forum_1.jsonl.gz; `day` is their arrival, in UTC not after today.

    Two calls write the same bytes, and another day only moves the dates. 0.3 CPU s.
    """
    random = Random(seed)
    arrival = datetime(day.year, day.month, day.day, tzinfo=UTC)
    meant, lines = {}, []
    for number in range(1, LINE_RECORDS + 1):
        post, native_id = _write_post(random), f"fo-{number:06d}"
        meant[review_uid(FORUM, native_id)] = post.meaning
        record = {
            "post": native_id,
            "member": {"handle": f"rider_{int(random.random() ** 2 * 900):03d}", "joined": random.randint(2015, 2025)},
            "bike": f"EBK-{random.randint(1, 25):03d}",
            "thread": post.thread,
            "message": post.text,
            "posted_at": (arrival - timedelta(seconds=random.randint(60, 36 * 3600))).isoformat(),
            "likes": int(random.expovariate(0.5)),
        }
        lines.append(as_json(record))
    path = landing / DATASET / FORUM / day.isoformat() / "forum_1.jsonl.gz"
    return Line(path, FORUM, day, len(lines), delivered(path, packed_lines(lines)), meant)


def _write_post(random: Random) -> _Post:
    """A post of WORDS_AT_LEAST to WORDS_AT_MOST words; its first opinion is what it means, others may waver."""
    meaning = random.choices(_MEANINGS, _MEANING_WEIGHTS)[0]
    phrases = Phrases(random, RIDERS)
    if meaning == "spam":
        names = ["spam", "fact"]
    else:
        tones = random.choices(_TONES, _TONE_WEIGHTS[meaning], k=random.choices((0, 1, 2), (2, 5, 3))[0])
        names = [_TONES[_MEANINGS.index(meaning)], *tones, *["fact"] * random.choices((1, 2), (3, 2))[0]]
    remarks: list[str] = []
    for name in names:
        phrases["part"] = random.choice(PARTS)
        remark = phrases[name]
        if sum(len(former.split()) for former in [*remarks, remark]) <= WORDS_AT_MOST:
            remarks.append(remark)
    while sum(len(remark.split()) for remark in remarks) < WORDS_AT_LEAST:
        remarks.append(phrases["fact"])
    random.shuffle(remarks)
    phrases["part"] = random.choice(PARTS)
    thread = phrases["thread"]
    return _Post(meaning, thread[0].upper() + thread[1:], ". ".join(remark[0].upper() + remark[1:] for remark in remarks) + ".")
