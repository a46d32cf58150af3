"""What the retrain sensor's last look found, one small JSON file per dataset: for whoever tells people how far the loop is.

A note, replaced by every look, from which nothing is decided: the counts themselves stand in the feedback log, verdicts in the
promotion log.
"""

from pathlib import Path

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, NonNegativeInt, PositiveInt, ValidationError

from curation.errors import CurationError
from curation.files import valid_name, written_whole


class Look(BaseModel):
    """One look at one dataset's labels. `effective` and `tied` are None when they could not be counted; `message` says why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    dataset: str
    message: str = Field(min_length=1)
    effective: NonNegativeInt | None
    threshold: PositiveInt
    tied: NonNegativeInt | None
    asked_attempt: PositiveInt | None  # of the retrain that this look asked for; None when it asked for none
    alarm: bool  # nothing happens until a person has looked
    at: AwareDatetime


def write_look(folder: Path, look: Look) -> None:
    """Leave the look in `folder` as its dataset's last one; a reader sees it or the one before, never half of it."""
    with written_whole(_path(folder, look.dataset)) as temporary:
        temporary.write_text(look.model_dump_json())


def read_look(folder: Path, dataset: str) -> Look | None:
    """The last look at a dataset, None before the first. CurationError names a damaged file and what to do about it."""
    path = _path(folder, dataset)
    try:
        return Look.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except ValidationError as error:
        told = f"{path} is damaged: {error.errors(include_url=False)[0]['msg']}"
        raise CurationError(told, "remove it: the sensor's next look writes it again, within a minute") from error


def _path(folder: Path, dataset: str) -> Path:
    return folder / f"{valid_name(dataset, 'dataset')}.json"
