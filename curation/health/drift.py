"""Does what arrives still look like what the champion learned from? The kept verdicts of the last days in a sentence; judges nothing."""

from dataclasses import dataclass
from itertools import takewhile
from math import sqrt

from curation.drift.judging import ColumnDrift
from curation.drift.kept import DriftBook
from curation.promotions import ModelReference

DAYS_READ = 30
COLUMNS_NAMED = 3
NAME_CHARACTERS = 40  # an extra field's name stems from a record


@dataclass(frozen=True)
class DriftTold:
    """What is known of drift against the champion's snapshot, in one sentence. `is_alarm`: columns have moved."""

    sentence: str
    is_alarm: bool = False


def drift_told(book: DriftBook, champion: ModelReference | None) -> DriftTold | None:
    """The newest verdict against this champion's snapshot, None where there is no champion. CurationError where a file is damaged."""
    if champion is None:
        return None
    known = (champion.version, champion.snapshot_version)
    against = f"against {champion.snapshot_version}, the snapshot of model {champion.version}"
    days = [day for day in book.days(DAYS_READ) if (day.model_version, day.snapshot_version) == known]
    if not days:
        return DriftTold(f"Drift has not been looked at yet {against}; the next run with new rows does.")
    alarms = list(takewhile(lambda day: day.alarm, reversed(days)))
    if not alarms:
        return DriftTold(f"Drift on {days[-1].sentence}.")
    moved = alarms[0].alarms
    named = ", ".join(_moved(column) for column in moved[:COLUMNS_NAMED])
    more = f" and {len(moved) - COLUMNS_NAMED} more" if len(moved) > COLUMNS_NAMED else ""
    since = f"{alarms[-1].day}{' or earlier' if len(alarms) == DAYS_READ else ''}"
    return DriftTold(f"Drift since {since} {against}: {named}{more} moved; figures in standard deviations.", is_alarm=True)


def _moved(column: ColumnDrift) -> str:
    """A column and how far it moved, as the check in Dagster gives it: the root of the population stability index."""
    return f"{column.name[:NAME_CHARACTERS]} ({'gone' if column.effect is None else f'{sqrt(column.effect):.2f}'})"
