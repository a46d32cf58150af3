"""Small deliveries for tests: reviews in the shape of source `generic`, believable enough for a model, and where they land."""

import datetime
import json
import random
from pathlib import Path
from typing import Any

DAY_ONE = datetime.date(2026, 11, 18)
GOOD = [
    "works great and feels solid",
    "sounds wonderful for the money",
    "arrived early and looks lovely",
    "makes my mornings so much easier",
]
BAD = [
    "broke after a week of light use",
    "smells of glue and never got better",
    "stopped charging and support ignored me",
    "leaks all over the counter",
]
THINGS = ["kettle", "lamp", "headset", "blanket", "drill", "backpack", "speaker", "toaster", "charger", "mug", "chair", "scale"]
MORE = [
    "honestly",
    "to be fair",
    "for what it is",
    "after a month",
    "in our small kitchen",
    "on the daily commute",
    "with two kids around",
    "at this price",
]


def review(number: int, **changed: Any) -> dict[str, Any]:
    """The review of that number: the same number gives the same review."""
    chance = random.Random(number)
    is_good = chance.random() < 0.6
    parts = [
        chance.choice(MORE),
        f"the {chance.choice(THINGS)} number {number}",
        chance.choice(GOOD if is_good else BAD),
        chance.choice(MORE),
    ]
    parts += [
        chance.choice(GOOD if is_good else BAD),
        f"and order {number * 7919 % 10007} came with part {number * 104729 % 99991}",
    ]
    return {
        "review_id": f"R{number}",
        "user_id": f"U{number % 40}",
        "product_id": f"P{number % 25}",
        "rating": chance.choice([4, 5] if is_good else [1, 2]),
        "title": chance.choice(THINGS),
        "text": " ".join(parts),
        "timestamp": 1_763_000_000_000 + number * 60_000,
        "helpful_votes": number % 5,
    } | changed


def deliver(home: Path, day: datetime.date, records: list[Any], name: str = "reviews.jsonl", source: str = "generic") -> Path:
    """Write records (dicts, or raw lines) into landing."""
    folder = home / "landing" / "reviews" / source / day.isoformat()
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text("".join((record if isinstance(record, str) else json.dumps(record)) + "\n" for record in records))
    return path


def day(number: int) -> datetime.date:
    """Arrival day `number`, from 1."""
    return DAY_ONE + datetime.timedelta(number - 1)
