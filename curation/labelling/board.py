"""Who labels what next: the newest queue of a dataset, what has been said of its items, and who has which in front of them.

An item goes to one person at a time and is done once somebody has answered it; a second opinion goes to two. Rules only: answers
come from `answers`, leases from `leases`, and nothing is written but leases. Threads may share a board; one process has it.
"""

import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import orjson

from curation.feedback.log import FeedbackLog
from curation.label_queue import LabelQueue, queued_in
from curation.labelling.answers import Answers, microseconds
from curation.labelling.leases import Lease, Leases
from curation.labelling.page import LabellingPage
from curation.learning.selection import SECOND_OPINION
from curation.training_rows import SPAM

OPINIONS = {SECOND_OPINION: 2}
"""By reason, how many people one queue asks about an item: one where nothing is said. The next queue asks again if they differ."""


@dataclass(frozen=True)
class Task:
    """One item in front of one person; `queue` is the generation that asks for it."""

    item_id: str
    prediction_id: str
    reason: str
    rank: int
    queue: str
    fields: dict[str, Any]
    guess: str
    confidence: float


@dataclass(frozen=True)
class Standing:
    """How a queue stands for one annotator, in items.

    `size` is `open` (for this annotator now, what their tabs hold included), `answered` (done, or answered by this annotator),
    `skipped_by_you` and `leased_to_others` together. `queue` is None before the first; a queue written before queues carried
    what people see has nothing to show, so its size is 0.
    """

    today: int  # of any queue or none, on this day in UTC
    open: int
    answered: int
    skipped_by_you: int
    leased_to_others: int
    size: int
    queue: str | None


@dataclass(frozen=True)
class _Item:
    """A task, when it was asked for, and how many people are to answer it."""

    task: Task
    asked_at: int  # microseconds since 1970, UTC
    opinions: int


class Board:
    """The labelling of one dataset."""

    def __init__(
        self, dataset: str, queue: LabelQueue, log: FeedbackLog, segments: Path, leases: Leases, page: LabellingPage
    ) -> None:
        self.dataset = dataset
        self._queue, self._leases = queue, leases
        self._lease_for = timedelta(seconds=page.lease_s)
        labels_count = sum(answer.label != SPAM for answer in page.keys)
        self._answers = Answers(dataset, log, segments, labels_count=labels_count)
        self._lock = threading.Lock()
        self._is_loaded = False
        self._generation: Path | None = None
        self._items: dict[str, _Item] = {}
        self._lacking: dict[str, int] = {}  # answers that each item still wants, by rank

    def lease(
        self, annotator: str, holder: str, *, wanted: int, holding: Sequence[str], now: datetime, in_all: int | None = None
    ) -> list[Task]:
        """The tasks that `holder`, a tab of `annotator`, has from `now` on: of `holding` those it still may, and others up to `wanted`.

        Others come by rank, what somebody has skipped after the rest; none that the annotator has answered or skipped, that is
        done, or that as many people have as are to answer it. What another tab of theirs has comes only where there is nothing
        else: that tab may have been closed. What the tab had and no longer names is free again, unless it was answered: an undo
        within the lease finds it. With `in_all`, nothing more comes to an annotator whose tabs have as many together.
        """
        with self._lock:
            self._follow(now)
            leased = self._leases.of_annotator(self.dataset, annotator)
            theirs = {
                lease.item_id
                for lease in leased
                if lease.until_at > now and self._lacking.get(lease.item_id) and not self._has_spoken(lease.item_id, annotator)
            }
            room = len(self._items) if in_all is None else max(0, in_all - len(theirs))
            held = [item for item in dict.fromkeys(holding) if self._may_have(item, annotator, holder, now)]
            lapsed = [item for item in held if item not in theirs]
            kept = [item for item in held if item not in lapsed[room:]]
            new = (item for item in self._wanting(held) if self._may_have(item, annotator, holder, now))
            given = kept + self._first(new, min(wanted - len(kept), room - len(lapsed)))
            if not given:
                elsewhere = (item for item in self._wanting(held) if item in theirs and self._is_free(item, annotator, now))
                given = self._first(elsewhere, wanted)
            had = {lease.item_id for lease in leased if lease.holder == holder}
            self._grant(given, annotator, holder, now)
            self._leases.release(
                self.dataset, holder, [item for item in had.difference(given) if not self._has_spoken(item, annotator)]
            )
            return [self._items[item].task for item in given]

    def standing(self, annotator: str, *, now: datetime) -> Standing:
        """How the queue stands for the annotator now."""
        with self._lock:
            self._follow(now)
            done = list(self._lacking.values()).count(0)
            answered = skipped = elsewhere = 0
            # All items but these, and those that are done, are open to the annotator.
            for item in {*self._answers.spoken_of_by(annotator), *self._leases.items(self.dataset)}:
                if self._lacking.get(item, 0) and not self._is_free(item, annotator, now):
                    said = self._answers.words(item).get(annotator)
                    answered += said is not None and self._answers.is_answer(said)
                    skipped += said is not None and said.kind == "skip"
                    elsewhere += not self._has_spoken(item, annotator)
            size = len(self._items)
            return Standing(
                today=self._answers.answered_today(annotator),
                open=size - done - answered - skipped - elsewhere,
                answered=done + answered,
                skipped_by_you=skipped,
                leased_to_others=elsewhere,
                size=size,
                queue=self._generation.stem if self._generation else None,
            )

    def _follow(self, now: datetime) -> None:
        """Turn to the newest queue and to today, and take in what was said since the last call."""
        newest = self._queue.current()
        if self._is_loaded and newest == self._generation and self._answers.day == now.astimezone(UTC).date():
            touched = self._answers.follow()
        else:
            self._is_loaded = False
            self._generation, self._items = newest, _items_of(newest) if newest else {}
            self._answers.load(self._items, now)
            self._lacking = {item: wanted.opinions for item, wanted in self._items.items()}
            touched = set(self._answers.spoken_of())
            self._is_loaded = True
        for item in touched:
            self._lacking[item] = self._lacks(item)

    def _lacks(self, item: str) -> int:
        """Answers that the item still wants; of one that wants a second opinion, only those since it was asked for count."""
        wanted = self._items[item]
        words = [word for word in self._answers.words(item).values() if self._answers.is_answer(word)]
        if any(word.kind == "adjudicate" for word in words):
            return 0
        if wanted.opinions > 1:
            words = [word for word in words if word.received_at > wanted.asked_at]
        return max(0, wanted.opinions - len(words))

    def _grant(self, items: Sequence[str], annotator: str, holder: str, now: datetime) -> None:
        leases = [Lease(item, annotator, holder, now + self._lease_for) for item in items]
        self._leases.grant(self.dataset, leases, now=now)

    def _first(self, items: Iterator[str], count: int) -> list[str]:
        """The first `count` of `items`: what nobody skipped, then the rest."""
        chosen: list[str] = []
        skipped: list[str] = []
        while len(chosen) < count and (item := next(items, None)) is not None:
            (skipped if self._was_skipped(item) else chosen).append(item)
        return [*chosen, *skipped][: max(0, count)]

    def _wanting(self, held: Collection[str]) -> Iterator[str]:
        """The items that still want an answer, by rank, but for `held`."""
        return (item for item, lacking in self._lacking.items() if lacking and item not in held)

    def _may_have(self, item: str, annotator: str, holder: str, now: datetime) -> bool:
        """Whether the item is free for the annotator and in no other tab of theirs."""
        return self._is_free(item, annotator, now) and not any(
            lease.annotator == annotator and lease.holder != holder for lease in self._leases.of_item(self.dataset, item, now)
        )

    def _is_free(self, item: str, annotator: str, now: datetime) -> bool:
        """Whether the annotator has not spoken of the item, and those who have it leave an answer to give."""
        lacking = self._lacking.get(item, 0)
        if not lacking or self._has_spoken(item, annotator):
            return False
        others = (lease.annotator for lease in self._leases.of_item(self.dataset, item, now) if lease.annotator != annotator)
        return sum(not self._has_spoken(item, other) for other in others) < lacking

    def _has_spoken(self, item: str, annotator: str) -> bool:
        """Whether the annotator's last word on the item is an answer or a skip."""
        word = self._answers.words(item).get(annotator)
        return word is not None and (word.kind == "skip" or self._answers.is_answer(word))

    def _was_skipped(self, item: str) -> bool:
        return any(word.kind == "skip" for word in self._answers.words(item).values())


def _items_of(generation: Path) -> dict[str, _Item]:
    """The items of a queue by rank; without those that carry nothing to show."""
    items = {}
    for row in sorted(queued_in(generation).to_pylist(), key=lambda row: row["rank"]):
        if row["fields"] is not None:
            shared = {name: row[name] for name in ("item_id", "prediction_id", "reason", "rank", "guess", "confidence")}
            task = Task(**shared, queue=generation.stem, fields=orjson.loads(row["fields"]))
            items[task.item_id] = _Item(task, microseconds(row["asked_at"]), OPINIONS.get(task.reason, 1))
    return items
