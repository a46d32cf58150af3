"""A home with predictions and a label queue as the pages read them, made without a run: any texts, any number. It asserts nothing."""

import datetime
import hashlib
from collections.abc import Sequence
from typing import Any

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from curation.feedback.events import prediction_id_of
from curation.feedback.log import FeedbackLog
from curation.label_queue import SHOWN, LabelQueue
from curation.learning.selection import CHOSEN
from curation.predictions import SCHEMA, PredictionStore
from curation.promotions import ModelReference, PromotionLog
from resources.home import Home

ASKED_AT = datetime.datetime(2026, 11, 20, 8, 0, tzinfo=datetime.UTC)
MODEL = "5" * 64


def item_id(number: int) -> str:
    """The id of the item with that number."""
    return hashlib.sha256(f"item {number}".encode()).hexdigest()


def predicted(
    home: Home, texts: Sequence[str], *, version: int = 1, day: datetime.date = datetime.date(2026, 11, 19)
) -> pa.Table:
    """The predictions of a model on items 0, 1, ... with these texts, written as one part; every third label is another."""
    rows = [
        {
            "prediction_id": prediction_id_of("reviews", item_id(number), MODEL, text),
            "dataset": "reviews",
            "item_id": item_id(number),
            "record_no": number,
            "source": ("shop", "forum")[number % 2],
            "day": day,
            "text": text,
            "label": ("negative", "neutral", "positive")[number % 3],
            "probabilities": [
                (name, 0.8 if place == number % 3 else 0.1) for place, name in enumerate(("negative", "neutral", "positive"))
            ],
            "margin": 0.7,
            "model_version": version,
            "model_sha256": MODEL,
            "snapshot_version": "v0001",
            "language": "latin",
            "length": len(text.split()),
            "rating": 4.0,
            "extra": None,
            "predicted_at": ASKED_AT,
        }
        for number, text in enumerate(texts)
    ]
    table = pa.Table.from_pylist(rows, SCHEMA)
    folder = PredictionStore(home.predictions, "reviews").root / f"model={version:04d}" / f"day={day.isoformat()}"
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, folder / f"{len(list(folder.iterdir())) + 1:04d}.parquet")
    return table


def crowned(home: Home) -> None:
    """Make version 1 of the predictions' model the champion, as the first, on a snapshot that nobody has kept."""
    champion = ModelReference(
        version=1, run_id="run", artefact="reviews/run", artefact_sha256=MODEL, snapshot_version="v0001", snapshot_digest="a" * 64
    )
    PromotionLog(home.promotions, "reviews").append(
        kind="first",
        challenger=champion,
        champion=champion,
        former_champion=None,
        snapshot_version="v0001",
        consumed_feedback_seq=0,
        feedback_head="0" * 64,
        at=ASKED_AT,
        by="test",
        why="the first",
        figures={},
    )


def asked(home: Home, texts: Sequence[str], *, reasons: Sequence[str] = ("uncertain",)) -> list[str]:
    """A generation of the queue of `reviews` that asks for items 0, 1, ... with these texts, in this order; their ids.

    `reasons` are taken in turn. The items are predicted as well.
    """
    predictions = predicted(home, texts).to_pylist()
    rows: list[dict[str, Any]] = [
        {
            "item_id": row["item_id"],
            "prediction_id": row["prediction_id"],
            "reason": reasons[place % len(reasons)],
            "probability": 0.5,
            "rank": place + 1,
            "fields": orjson.dumps(
                {"title": f"Number {place}", "text": row["text"], "source": row["source"], "rating": 4.0}
            ).decode(),
            "guess": row["label"],
            "confidence": 0.8,
        }
        for place, row in enumerate(predictions)
    ]
    chosen = pa.Table.from_pylist(rows, pa.schema([*CHOSEN, *SHOWN]))
    LabelQueue(home.lake / "label_queue", "reviews").write(chosen, model_version=1, snapshot_version="v0001", asked_at=ASKED_AT)
    return [row["item_id"] for row in rows]


def said_by(home: Home, annotator: str) -> list[dict[str, Any]]:
    """What the log holds of somebody, in order."""
    with FeedbackLog(home.feedback_log, home.subject_key()) as log:
        return [row for row in log.read(0, 10_000).to_pylist() if row["annotator"] == annotator]
