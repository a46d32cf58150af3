"""What is labelled elsewhere in tests: a queue of made-up items in a home, and tasks of every shape. No rule, no assertion."""

import random
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson
import pyarrow as pa

from curation.feedback.events import Event, checked_event, prediction_id_of
from curation.feedback.log import FeedbackLog
from curation.label_queue import LabelQueue
from curation.labelling.exchange import Task
from curation.labelling.page import LabelKey, LabellingPage

LABELS = {"reviews": ("negative", "neutral", "positive"), "images": ("cat", "dog")}
NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)
ASKED_AT = datetime(2026, 11, 20, 8, 30, 0, 123456, tzinfo=UTC)
MODEL = "b" * 64
TEXTS = (
    "plain words, with a comma",
    "",
    'said "so", and\nleft\r\nthe room\r',
    "عربي مع \u202eقلب\u202c و\u200fعلامات",
    "שלום עולם",
    "👩\u200d👩\u200d👧 🇩🇪 \ud83d\ude00".encode("utf-16", "surrogatepass").decode("utf-16"),
    "<script>alert('x')</script> &amp; ]]>",
    "=1+1",
    "-2",
    "@home",
    "'quoted",
    "'=quoted",
    "'",
    "\tafter a tab",
    "a\u2028b\u0085c\u0000d\ufeffe",
    "null",
    "\\N",
    "ﷺ e\u0301 ｆｕｌｌ ß",
    " spaces around ",
)


def page(template: Path) -> LabellingPage:
    """A labelling page of the dataset `reviews`; the template is made where it is told to be."""
    template.write_text("{{ item.text }}")
    answers = (("negative", "1"), ("neutral", "2"), ("positive", "3"), ("spam", "x"))
    return LabellingPage(
        title="Reviews",
        guidelines="Judge.",
        keys=tuple(LabelKey(label=label, key=key, name=label.title()) for label, key in answers),
        fields={name: name for name in ("title", "text", "source", "rating")},
        item_template=template,
        hidden=("rating",),
    )


def item(number: int) -> str:
    """An item's id."""
    return f"item-{number:04d}"


def queue_of(folder: Path, items: int) -> LabelQueue:
    """A queue of one generation that asks for `items` made-up items, guesses and all."""
    numbers = range(items)
    texts = [TEXTS[number % len(TEXTS)].replace("\0", "") for number in numbers]
    fields = [
        {"text": text, "title": f"Title {number}" if number % 3 else None, "source": "shop", "rating": number % 5 + 1}
        for number, text in zip(numbers, texts, strict=True)
    ]
    chosen = pa.table(
        {
            "item_id": [item(number) for number in numbers],
            "prediction_id": [prediction_id_of("reviews", item(number), MODEL, texts[number]) for number in numbers],
            "reason": ["control" if number % 5 == 0 else "uncertain" for number in numbers],
            "probability": [0.1 + number / 1000 for number in numbers],
            "rank": list(numbers),
            "fields": [orjson.dumps(shown, option=orjson.OPT_SORT_KEYS).decode() for shown in fields],
            "guess": [LABELS["reviews"][number % 3] for number in numbers],
            "confidence": [0.4 + number / 100 for number in numbers],
        }
    )
    queue = LabelQueue(folder, "reviews")
    queue.write(chosen, model_version=7, snapshot_version="v0003", asked_at=ASKED_AT)
    return queue


def every_shape(count: int, seed: int = 1) -> Iterator[Task]:
    """`count` tasks of different items: with and without a queue, a guess, a text, fields and answers of every kind."""
    chance = random.Random(seed)
    for number in range(count):
        has_guess, is_asked = chance.random() < 0.8, chance.random() < 0.6
        item_id = f"{chance.choice(['a', 'ä:b', '中', '=x'])}-{number}"
        prediction_id = prediction_id_of("reviews", item_id, MODEL, str(number)) if has_guess or is_asked else None
        asked_at = ASKED_AT + timedelta(microseconds=chance.randrange(10**12))
        yield Task(
            dataset="reviews",
            item_id=item_id,
            fields={"text": _text(chance), **_fields(chance)},
            prediction_id=prediction_id,
            guess=chance.choice(LABELS["reviews"]) if has_guess else None,
            confidence=chance.random() if has_guess else None,
            model_version=chance.randrange(1, 10**6) if has_guess else None,
            snapshot_version=f"v{number:04d}" if has_guess else None,
            queue=f"{chance.randrange(1, 999):06d}" if is_asked else None,
            reason=chance.choice(["control", "uncertain"]) if is_asked else None,
            probability=chance.random() if is_asked else None,
            rank=number if is_asked else None,
            asked_at=chance.choice([asked_at, asked_at.replace(microsecond=0)]) if is_asked else None,
            said=tuple(_event(chance, item_id, prediction_id, place) for place in range(chance.choice([0, 1, 1, 3]))),
        )


def _text(chance: random.Random) -> str | None:
    """Null, one of TEXTS, or characters from all over Unicode."""
    if chance.random() < 0.1:
        return None
    if chance.random() < 0.5:
        return chance.choice(TEXTS)
    points = [chance.choice([chance.randrange(0xD800), chance.randrange(0xE000, 0x110000), 32]) for _ in range(20)]
    return "".join(map(chr, points))


def _fields(chance: random.Random) -> dict[str, Any]:
    every = {
        "title": _text(chance),
        "rating": chance.choice([None, 1, 4.5]),
        "ok": chance.random() < 0.5,
        "parts": ["x", None, {"y": 1}],
    }
    return {name: value for name, value in every.items() if chance.random() < 0.7}


def _event(chance: random.Random, item_id: str, prediction_id: str | None, place: int) -> Event:
    kinds = ["label", "label", "adjudicate", "spam", "skip", *(["agree", "disagree"] if prediction_id else [])]
    kind = chance.choice(kinds)
    at = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(microseconds=chance.randrange(10**13))
    fields = {
        "event_id": str(uuid.UUID(int=chance.getrandbits(128))),
        "dataset": "reviews",
        "item_id": item_id if prediction_id is None or chance.random() < 0.5 else None,
        "prediction_id": prediction_id,
        "kind": kind,
        "label": chance.choice([*LABELS["reviews"], *(["spam"] if kind == "adjudicate" else [])])
        if kind in {"label", "adjudicate"}
        else None,
        "annotator": chance.choice(["ann@example.com", "Änne Groß", "安", f"=p{place}", "اسم"]),
        "source": "label-page",
        "reason": chance.choice([None, "", "not sure", 'a "reason"\nof two lines', "=2"]),
        "occurred_at": at if chance.random() < 0.9 else None,
        "context": chance.choice([None, {}, {"seconds": 1.25, "shown": ["é", None, {"x": True}], "guess_seen": False}]),
    }
    return checked_event(fields, LABELS, now=NOW)


def logged(log: FeedbackLog, *columns: str) -> list[tuple[Any, ...]]:
    """These columns of every event in the log."""
    return [tuple(row.values()) for row in log.read(0, 1_000).select(list(columns)).to_pylist()]
