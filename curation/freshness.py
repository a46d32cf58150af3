"""Is a source late? Judged by its newest arrival day, never by when an asset ran: any old day's backfill would look fresh."""

import datetime
from collections.abc import Mapping
from dataclasses import dataclass

from curation.ingestion.ledger import Ledger
from curation.ingestion.sources import Source


@dataclass(frozen=True)
class Freshness:
    """How old a source's newest day is at a given moment, in hours since that day began (UTC)."""

    source: str
    newest_day: datetime.date
    age_h: float
    deadline_h: float

    @property
    def is_late(self) -> bool:
        """Past the deadline, counted from the end of the newest day."""
        return self.age_h > 24.0 + self.deadline_h

    @property
    def told(self) -> str:
        """One sentence for a person."""
        state = "LATE" if self.is_late else "fresh"
        return (
            f"{self.source}: {state}, newest day {self.newest_day}, the next was due {24 + self.deadline_h:.0f} h after it began"
        )


def freshness(ledger: Ledger, sources: Mapping[str, Source], now: datetime.datetime) -> list[Freshness]:
    """One per source that has ever delivered, sorted by name."""
    newest: dict[str, datetime.date] = {}
    for entry in ledger.entries():
        newest[entry.source] = max(entry.day, newest.get(entry.source, entry.day))
    found = []
    for source, day in sorted(newest.items()):
        if source in sources:
            began = datetime.datetime.combine(day, datetime.time(), datetime.UTC)
            found.append(Freshness(source, day, (now - began).total_seconds() / 3600, sources[source].deadline_hours))
    return found
