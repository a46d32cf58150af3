"""A queue, a log and a board over them in one folder, for the tests of labelling. No rule, no assertion."""

import json
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.feedback.events import Kind, checked_event
from curation.feedback.log import FeedbackLog
from curation.feedback.segments import write_segment
from curation.label_queue import SHOWN, LabelQueue
from curation.labelling.board import Board, Task
from curation.labelling.leases import Leases
from curation.labelling.page import LabelKey, LabellingPage
from curation.learning.selection import CHOSEN

LABELS = ("negative", "neutral", "positive")
NOW = datetime(2026, 3, 5, 12, tzinfo=UTC)
ASKED_AT = NOW - timedelta(hours=1)
LEASE = timedelta(seconds=600)


def page(folder: Path, **changes: Any) -> LabellingPage:
    """A page that is in order, but for `changes`."""
    template = folder / "item.html"
    template.write_text("<p>{{ item.text }}</p>")
    keys = [LabelKey(label=label, key=str(place), name=label.title()) for place, label in enumerate(LABELS, 1)]
    given: dict[str, Any] = {
        "title": "Reviews",
        "guidelines": "Judge the words.",
        "keys": (*keys, LabelKey(label="spam", key="x", name="Spam")),
        "fields": {"text": "text", "rating": "rating"},
        "item_template": template,
        "hidden": ("rating",),
        "lease_s": LEASE.total_seconds(),
    }
    return LabellingPage(**(given | changes))


@dataclass
class Desk:
    """The files of one dataset's labelling; `board` may be made anew on them, as a restarted service does."""

    folder: Path
    log: FeedbackLog
    board: Board = field(init=False)
    leases: Leases = field(init=False)

    def __post_init__(self) -> None:
        self.open()

    @property
    def queue(self) -> LabelQueue:
        """The dataset's queue."""
        return LabelQueue(self.folder / "label_queue", "reviews")

    @property
    def segments(self) -> Path:
        """Where the drain leaves the log's rows."""
        return self.folder / "segments"

    def open(self) -> None:
        """A board that remembers nothing, on the same files."""
        self.leases = Leases(self.folder / "leases.sqlite")
        self.board = Board("reviews", self.queue, self.log, self.segments, self.leases, page(self.folder))

    def ask(self, *items: str, reasons: dict[str, str] | None = None, asked_at: datetime = ASKED_AT) -> None:
        """A new generation that asks for `items` in this order; for "uncertain" where `reasons` gives nothing else."""
        rows = [
            {
                "item_id": item,
                "prediction_id": f"reviews:{item}:{'0' * 16}",
                "reason": (reasons or {}).get(item, "uncertain"),
                "probability": 0.5,
                "rank": rank,
                "fields": json.dumps({"rating": 4.0, "text": f"the text of {item}"}),
                "guess": "positive",
                "confidence": 0.75,
            }
            for rank, item in enumerate(items, 1)
        ]
        chosen = pa.Table.from_pylist(rows, pa.schema([*CHOSEN, *SHOWN]))
        self.queue.write(chosen, model_version=1, snapshot_version="v0001", asked_at=asked_at)

    def say(
        self, annotator: str, item: str, kind: Kind = "label", *, at: datetime = NOW, source: str = "label-page", **others: Any
    ) -> None:
        """An event that is received when it occurs; a label is "positive" where `others` does not say which."""
        fields = {"dataset": "reviews", "item_id": item, "kind": kind, "annotator": annotator, "source": source}
        if kind in {"label", "adjudicate"}:
            fields["label"] = "positive"
        fields |= {"event_id": str(uuid.uuid4()), "occurred_at": at.isoformat(), **others}
        event = checked_event(fields, {"reviews": LABELS, "films": LABELS}, now=at)
        self.log.append([[event]], now=at, received_as=[None])

    def drain(self) -> None:
        """Bring to a segment what the log holds and no segment does."""
        done = sum(int(path.stem[13:]) - int(path.stem[:12]) + 1 for path in self.segments.glob("*.parquet"))
        write_segment(self.segments, self.log, done + 1, self.log.head().seq)

    def give(
        self,
        annotator: str = "ann",
        tab: str = "1",
        *,
        wanted: int = 2,
        holding: tuple[str, ...] = (),
        now: datetime = NOW,
        in_all: int | None = None,
    ) -> list[str]:
        """The items that the tab then has."""
        tasks = self.board.lease(annotator, f"{annotator}/{tab}", wanted=wanted, holding=holding, now=now, in_all=in_all)
        return [task.item_id for task in tasks]

    def tasks(
        self, annotator: str = "ann", tab: str = "1", *, wanted: int = 2, holding: tuple[str, ...] = (), now: datetime = NOW
    ) -> list[Task]:
        """The tasks that the tab then has."""
        return self.board.lease(annotator, f"{annotator}/{tab}", wanted=wanted, holding=holding, now=now)
