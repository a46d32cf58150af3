"""Verdicts and references on disk, for everyone who shows or sends them: `lake/drift/<dataset>/<day>.json`, whole or absent.

Beside the days: `references/<id>.json`, made once for each champion, and `JUDGED.json`, which rows of a day were judged against which
reference. Holds no rule; a verdict on a day replaces the one before.
"""

import datetime
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from curation.drift.judging import ColumnDrift, drifted
from curation.drift.reference import Reference
from curation.errors import CurationError
from curation.files import valid_name, written_whole

JUDGED_NAME = "JUDGED.json"
Model = TypeVar("Model", bound=BaseModel)


class ChampionReference(BaseModel):
    """The reference of one champion: of which model and snapshot, from which entries of the ledger, and how its rows looked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model_version: int
    snapshot_version: str
    rows: int
    entries: tuple[int, ...]  # numbers in the ledger of the batches whose rows these are
    inputs: Reference
    outputs: Reference  # of the rows that the model did not learn from


class DayDrift(BaseModel):
    """The verdict on the rows of one arrival day, with those of earlier days where it had too few."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    day: datetime.date
    rows: int  # of the day itself
    pooled_rows: int  # of all days judged together, this one included
    pooled_since: datetime.date | None = None
    model_version: int
    snapshot_version: str
    columns: list[ColumnDrift]
    alarm: bool
    sentence: str

    @property
    def alarms(self) -> list[ColumnDrift]:
        """The columns that drifted, the furthest first."""
        return drifted(self.columns)


class DriftBook:
    """All verdicts on one dataset below `lake`."""

    def __init__(self, lake: Path, dataset: str) -> None:
        self.dataset = valid_name(dataset, "dataset")
        self.folder = lake / "drift" / self.dataset

    def days(self, last: int | None = None) -> list[DayDrift]:
        """One verdict per judged day, oldest first; of the `last` days, or all. CurationError where a file is damaged."""
        paths = sorted(self.folder.glob("????-??-??.json"))
        return [_read(path, DayDrift) for path in (paths if last is None else paths[-last:])]

    def newest(self) -> DayDrift | None:
        """The verdict on the latest day, None before the first."""
        return next(iter(self.days(1)), None)

    def keep(self, verdict: DayDrift) -> None:
        """Write the verdict on its day."""
        _write(self.folder / f"{verdict.day.isoformat()}.json", verdict)

    def reference(self, identity: str) -> ChampionReference | None:
        """The kept reference of that id, None where it was never made."""
        path = self._reference_path(identity)
        return _read(path, ChampionReference) if path.exists() else None

    def keep_reference(self, identity: str, reference: ChampionReference) -> None:
        """Write a reference."""
        _write(self._reference_path(identity), reference)

    def judged(self, identity: str) -> dict[str, str]:
        """Day to the digest of its predictions when it was judged against this reference."""
        path = self.folder / JUDGED_NAME
        try:
            told = json.loads(path.read_bytes()) if path.exists() else {}
        except ValueError as error:
            raise _damaged(path) from error
        days: dict[str, str] = told["days"] if told.get("reference") == identity else {}
        return days

    def keep_judged(self, identity: str, days: Mapping[str, str]) -> None:
        """Remember what `judged` tells."""
        with written_whole(self.folder / JUDGED_NAME) as temporary:
            temporary.write_text(json.dumps({"reference": identity, "days": dict(days)}, indent=1, sort_keys=True))

    def _reference_path(self, identity: str) -> Path:
        return self.folder / "references" / f"{identity}.json"


def _write(path: Path, value: BaseModel) -> None:
    with written_whole(path) as temporary:
        temporary.write_text(json.dumps(value.model_dump(mode="json"), allow_nan=False, ensure_ascii=False, indent=1) + "\n")


def _read(path: Path, kind: type[Model]) -> Model:
    try:
        return kind.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> CurationError:
    return CurationError(f"{path} is damaged", "remove it; the next run judges anew")
