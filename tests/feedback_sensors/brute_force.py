"""What people sent about a dataset, and the new labels in it counted by brute force: no SQL, no table, no drain.

The reference that schedules of the loop are held against. It knows of retrains only what it is asked: a watermark.
"""

import datetime
import hashlib
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from curation.feedback.events import Event


def place(item: str) -> float:
    """Where an item lies in [0, 1); from a dataset's `test_from` on it is held out."""
    return int(hashlib.sha256(f"split:{item}".encode()).hexdigest()[:8], 16) / 2**32


@dataclass
class Sent:
    """Events in the order of the log, which begins empty. `predicted`: the label that the only model gave each item."""

    labels: tuple[str, ...]
    test_from: float
    predicted: Mapping[str, str]
    at: datetime.datetime  # when events arrive; counts as the moment of those that name none
    logged: list[Event] = field(default_factory=list)  # by seq, from 1

    def add(self, *events: Event) -> None:
        """Remember what was sent; what is known already changes nothing."""
        known = {event.event_id for event in self.logged}
        self.logged += [event for event in events if event.event_id not in known]

    def count(self, watermark: int, up_to: int | None = None) -> int:
        """Items whose majority has changed above a watermark and is not tied, the held-out ones aside."""
        up_to = len(self.logged) if up_to is None else up_to
        touched = {event.item for event in self.logged[watermark:up_to]}
        return sum(
            1
            for item in touched
            if place(item) < self.test_from and (after := self._majority(item, up_to)) != "tied"
            and after != self._majority(item, watermark).replace("tied", "")
        )  # fmt: skip

    def _majority(self, item: str, up_to: int) -> str:
        """The label that most annotators stand by, "tied", or "" where nobody says one."""
        last: dict[str, tuple[tuple[datetime.datetime, int], Event]] = {}
        for seq, event in enumerate(self.logged[:up_to], start=1):
            key = (event.occurred_at or self.at, seq)
            if event.item == item and (event.annotator not in last or key > last[event.annotator][0]):
                last[event.annotator] = (key, event)
        votes = Counter(vote for _, event in last.values() if (vote := self._vote(event)))
        best = votes.most_common(2)
        if not best:
            return ""
        return "tied" if len(best) == 2 and best[0][1] == best[1][1] else best[0][0]

    def _vote(self, event: Event) -> str | None:
        predicted = self.predicted.get(event.item)
        if predicted is None or event.kind in {"skip", "withdraw"}:
            return None
        others = [label for label in self.labels if label != predicted]
        other = others[0] if len(others) == 1 else None
        return {"label": event.label, "agree": predicted, "disagree": other, "spam": "spam"}[event.kind]
