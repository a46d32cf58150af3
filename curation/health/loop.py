"""The four panels of one dataset's loop, each read by itself: what is damaged costs its own figures, and says so.

Only public files are opened, never the warehouse nor the feedback table. What follows from files that never change is kept
between looks, so a page costs the same after a million events.
"""

import datetime
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from curation.alerts.book import Open, read_book, read_heartbeat
from curation.alerts.telling import alerter_oddities, open_alerts
from curation.drift.kept import DriftBook
from curation.errors import CurationError
from curation.fates import FateBook
from curation.feedback.curated import CuratedFeedback, State
from curation.feedback.log import FeedbackLog
from curation.feedback.recent import RecentFeedback
from curation.health import delays
from curation.health.delays import Backlog, Quarantined, Refused, Seen, Wait
from curation.health.drift import DriftTold, drift_told
from curation.health.progress import Progress, progress
from curation.health.trust import Trust, trust
from curation.health.value import Bought, bought
from curation.ingestion.ledger import Ledger
from curation.label_queue import LabelQueue
from curation.learning.label_value import Values
from curation.looks import read_look
from curation.promotions import Decision, PromotionLog

Value = TypeVar("Value")


@dataclass(frozen=True)
class Unreadable:
    """A panel whose files cannot be read: what is wrong, and what to do about it."""

    sentence: str
    fix: str


@dataclass(frozen=True)
class Delays:
    """The panel "what is late or odd?": `oddities` are sentences, most pressing first; `sentence` sums them up.

    `waits`: one per verdict, and the last one over all.
    """

    sentence: str
    oddities: tuple[str, ...]
    quarantined: tuple[Quarantined, ...]
    waits: tuple[Wait, ...]
    seen: Seen


@dataclass(frozen=True)
class Health:
    """What is known of a loop at one moment."""

    progress: Progress | Unreadable
    bought: Bought | Unreadable
    trust: Trust | Unreadable
    delays: Delays


@dataclass(frozen=True)
class Places:
    """Where a dataset's public files lie: folders below CURATION_HOME; `models` is the one that artefacts are named from."""

    lake: Path
    segments: Path
    promotions: Path
    models: Path
    looks: Path
    alerts: Path


class LoopHealth:
    """One dataset's loop, looked at as often as one likes; threads may share it."""

    def __init__(self, places: Places, dataset: str, labels: Sequence[str], log: FeedbackLog, recent: RecentFeedback) -> None:
        self._places, self._dataset, self._labels = places, dataset, tuple(labels)
        self._log, self._recent = log, recent
        self._promotions = PromotionLog(places.promotions, dataset)
        self._curated = CuratedFeedback(places.lake, dataset)
        self._ledger = Ledger(places.lake, dataset)
        self._decided: tuple[object, tuple[Decision, ...]] | None = None
        self._progressed: tuple[tuple[Decision, ...], Progress] | None = None
        self._waited: tuple[tuple[Decision, ...], tuple[Wait, ...]] | None = None

    def look(self, now: datetime.datetime) -> Health:
        """The four panels now. What a CurationError keeps from being read is told in its panel; anything else is raised."""
        progressed = _panel(self._progress)
        steps = progressed.steps if isinstance(progressed, Progress) else ()
        return Health(
            progress=progressed,
            bought=_panel(lambda: bought(Values(self._places.lake, self._dataset).current(), steps, self._curated.current())),
            trust=_panel(lambda: trust(self._curated, self._labels, self._recent.summary())),
            delays=self._delays(now),
        )

    def _decisions(self) -> tuple[Decision, ...]:
        """All decisions, read and verified again only when a file of theirs is another. CurationError when one was changed."""
        folder = self._promotions.folder
        files = sorted(folder.glob("[0-9H]*")) if folder.is_dir() else []
        seen = [(path.name, (told := path.stat()).st_mtime_ns, told.st_size) for path in files]
        if self._decided is None or self._decided[0] != seen:
            decisions = tuple(self._promotions.decisions())
            if findings := self._promotions.verify():
                raise CurationError(findings[0], f"curation verify {self._dataset} lists all that differs")
            self._decided = seen, decisions
        return self._decided[1]

    def _progress(self) -> Progress:
        decisions = self._decisions()
        if self._progressed is None or self._progressed[0] is not decisions:
            self._progressed = decisions, progress(self._dataset, decisions, self._places.models)
        return self._progressed[1]

    def _waits(self) -> tuple[Wait, ...]:
        """Read again only after another decision: what a verdict has consumed never changes."""
        decisions = self._decisions()
        if self._waited is None or self._waited[0] is not decisions:
            self._waited = decisions, delays.waits(self._places.segments, decisions, self._dataset)
        return self._waited[1]

    def _delays(self, now: datetime.datetime) -> Delays:
        places, ledger = self._places, self._ledger
        unread: list[str] = []
        state = _told(unread, self._curated.current)
        latest = _told(unread, lambda: tuple(ledger.latest().values())) or ()
        refusals = _told(unread, lambda: tuple(ledger.refused().values())) or ()
        fates = _told(unread, FateBook(places.lake, self._dataset).current)
        seen = Seen(
            backlog=_told(unread, lambda: self._backlog(state)),
            queue=_told(unread, lambda: delays.queue_state(self._queue, places.segments, self._log)),
            sources=_told(unread, lambda: delays.freshness_of(ledger, now)) or (),
            refused=tuple(Refused(entry.source, entry.day, entry.message) for entry in refusals),
            days=delays.days(fates, latest),
            look=_told(unread, lambda: read_look(places.looks, self._dataset)),
            drift=_told(unread, self._drift),
            alerts=_told(unread, self._open_alerts),
        )
        waited = _told(unread, self._waits) or ()
        lacks_queue = self._queue.current() is None and bool(_told([], self._decisions))
        alerter = _told(unread, lambda: alerter_oddities(places.alerts, now)) or ()
        found = (*dict.fromkeys(unread), *alerter, *delays.oddities(seen, self._dataset, now, lacks_queue=lacks_queue))
        return Delays(
            sentence=_summary(found, waited, seen),
            oddities=found,
            quarantined=delays.quarantined([*latest, *refusals]),
            waits=waited,
            seen=seen,
        )

    def _drift(self) -> DriftTold | None:
        decisions = self._decisions()
        return drift_told(DriftBook(self._places.lake, self._dataset), decisions[-1].champion if decisions else None)

    def _open_alerts(self) -> tuple[Open, ...] | None:
        has_looked = read_heartbeat(self._places.alerts) is not None
        return open_alerts(read_book(self._places.alerts), self._dataset) if has_looked else None

    def _backlog(self, state: State | None) -> Backlog:
        return delays.backlog(self._places.segments, self._log, state, self._recent.summary().backlog)

    @property
    def _queue(self) -> LabelQueue:
        return LabelQueue(self._places.lake / "label_queue", self._dataset)


def _panel(read: Callable[[], Value]) -> Value | Unreadable:
    try:
        return read()
    except CurationError as error:
        return Unreadable(f"This cannot be told: {error.message}.", error.fix or "")


def _told(unread: list[str], read: Callable[[], Value]) -> Value | None:
    """What `read` gives; where a file cannot be read None, and one more sentence in `unread`."""
    try:
        return read()
    except CurationError as error:
        unread.append(f"{error.message}: {error.fix}." if error.fix else f"{error.message}.")
        return None


def _summary(found: Sequence[str], waited: Sequence[Wait], seen: Seen) -> str:
    has_feedback = seen.backlog is not None and seen.backlog.log_seq > 0
    if found:
        count = "One thing needs a look" if len(found) == 1 else f"{len(found)} things need a look"
        answer = f"{count}: {found[0]}"
    elif not seen.sources and not has_feedback:
        answer = "Nothing can be late yet: no batch has arrived, and nobody has said anything."
    else:
        waiting = seen.backlog.waiting if seen.backlog else 0
        answer = f"Nothing is late: {f'{waiting:,} events wait' if waiting else 'no feedback waits'} for the next retrain."
    if not waited:
        return answer
    return f"{answer} From a person's feedback to the model that learned it: {delays.duration(waited[-1].median_s)} (median)."
