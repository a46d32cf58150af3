"""A small loop for tests of the drain and what it leaves: a real log, a real feedback.duckdb, real segments. No rule."""

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from curation.feedback.drain import Drained, FeedbackTable
from curation.feedback.events import Event, checked_event, prediction_id_of
from curation.feedback.log import FeedbackLog

NOW = datetime(2026, 11, 23, 8, tzinfo=UTC)
LABELS = {"reviews": ("negative", "positive"), "tickets": ("bug", "idea", "praise")}
SHOWN = (
    "seq, event_id, dataset, prediction_id, item_id, kind, label, annotator, source, reason, occurred_at, received_at, subject"
)


def said(number: int, **fields: Any) -> Event:
    """The event number `number`: annotator anna labels an item of its own, unless `fields` say otherwise."""
    record = {
        "event_id": f"00000000-0000-4000-8000-{number:012d}",
        "dataset": "reviews",
        "item_id": f"item{number}",
        "kind": "label",
        "label": "positive" if fields.get("kind", "label") == "label" else None,
        "annotator": "anna",
        "source": "test",
        "occurred_at": NOW - timedelta(days=1) + timedelta(seconds=number),
    }
    return checked_event(record | fields, LABELS, now=NOW)


def predicted(item: str, dataset: str = "reviews") -> str:
    """The id of the first model's prediction of an item."""
    return prediction_id_of(dataset, item, "model one", f"text of {item}")


class Place:
    """One home's worth of feedback below `root`."""

    def __init__(self, root: Path) -> None:
        self.file = root / "feedback" / "feedback.duckdb"
        self.segments = root / "lake" / "feedback"
        self.lock = root / "locks" / "feedback.lock"
        self.predictions = root / "lake" / "predictions"
        self.log_file = root / "feedback" / "log.sqlite"
        self.table = FeedbackTable(self.file, self.segments, self.lock, self.predictions)

    def log(self) -> FeedbackLog:
        return FeedbackLog(self.log_file, b"k" * 32)

    def say(self, *events: Event) -> None:
        """Append events to the log, as the service does."""
        with self.log() as log:
            log.append([events], now=NOW, received_as=["token"])

    def say_many(self, first: int, last: int) -> None:
        self.say(*[said(number) for number in range(first, last + 1)])

    def logged(self) -> list[str]:
        """The item of every event in the log, by seq."""
        with self.log() as log:
            return [str(item) for item in log.read(0, 1_000)["item_id"].to_pylist()]

    def drain(self, at_most: int = 50_000, now: datetime = NOW) -> Drained:
        with self.log() as log, self.table.drained(log, LABELS, now=now, at_most=at_most) as (drained, _):
            return drained

    def rows(self, what: str = SHOWN) -> list[tuple[Any, ...]]:
        """Every row of the table in order of seq, hand-made ones last."""
        return self.sql(f"select {what} from feedback order by seq nulls last, rowid")

    def sql(self, statement: str) -> list[tuple[Any, ...]]:
        """What someone with a SQL shell does to the file."""
        with duckdb.connect(str(self.file)) as connection:
            return connection.execute(statement).fetchall()

    def predict(self, items: dict[str, str], dataset: str = "reviews", part: str = "model=1/day=2026-11-22/1.parquet") -> Path:
        """A part with one prediction per item and its label."""
        path = self.predictions / dataset / part
        path.parent.mkdir(parents=True, exist_ok=True)
        columns = {
            "prediction_id": [predicted(item, dataset) for item in items],
            "dataset": [dataset] * len(items),
            "item_id": list(items),
            "text": [f"text of {item}" for item in items],
            "label": list(items.values()),
        }
        pq.write_table(pa.table(columns), path)
        return path

    def names(self) -> list[str]:
        """Every segment's name, those too that another one covers."""
        return sorted(path.name for path in self.segments.iterdir())


def aged(path: Path, to: datetime) -> None:
    """Give a file the modification time `to`."""
    os.utime(path, (to.timestamp(), to.timestamp()))
