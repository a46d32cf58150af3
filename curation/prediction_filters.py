"""What somebody asks of a dataset's predictions: filters, search and order, understood from a form's fields or refused by name.

Plain values. Reads nothing, and does not know whether there is anything to be found.
"""

import datetime
import re
from collections.abc import Mapping
from typing import Annotated, Literal, Self, get_args

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from curation.errors import CurationError
from curation.learning.gate import LENGTH_BANDS, LONGEST_BAND

Sort = Literal["newest", "least_sure", "most_sure"]
UNRATED = "none"
Value = Annotated[str, Field(max_length=300)]
BANDS = {name: (low + 1, high) for (low, _), (high, name) in zip(((-1, ""), *LENGTH_BANDS), LENGTH_BANDS, strict=False)}
BANDS[LONGEST_BAND] = (LENGTH_BANDS[-1][0] + 1, 2**31 - 1)
"""Name of a length band -> its first and last number of words."""
_EXPECTED = {
    "day_from": "a date such as 2026-03-05",
    "day_to": "a date such as 2026-03-05",
    "model": "the number of a model's version, from 1",
    "percent_from": "a percentage from 0 to 100",
    "percent_to": "a percentage from 0 to 100",
    "length": f"one of {', '.join(BANDS)}",
    "rating": f"a number, or {UNRATED}",
    "sort": f"one of {', '.join(get_args(Sort))}",
    "q": "text of at most 200 characters",
}


def _day(value: object) -> object:
    """Refuses what is no day as ISO 8601 writes it: pydantic would take a number of seconds."""
    if isinstance(value, str) and not re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.ASCII):
        raise ValueError("no date")
    return value


class FilterError(CurationError):
    """A filter that says nothing: `field` is its name in `Filters`, `problem` what is the matter with it."""

    def __init__(self, field: str, problem: str, fix: str) -> None:
        super().__init__(f"{field} {problem}", fix)
        self.field = field
        self.problem = problem


class Filters(BaseModel):
    """Which predictions are wanted, and in which order; None is any. Made by `asked` from what a visitor typed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    day_from: Annotated[datetime.date | None, BeforeValidator(_day)] = None  # arrival days, both included
    day_to: Annotated[datetime.date | None, BeforeValidator(_day)] = None
    model: int | None = Field(default=None, ge=1, lt=2**31)  # None: the newest version that predicted
    label: Value | None = None
    percent_from: float = Field(default=0.0, ge=0, le=100)  # of confidence: the probability of the label that was predicted
    percent_to: float = Field(default=100.0, ge=0, le=100)
    source: Value | None = None
    language: Value | None = None
    length: Value | None = None  # a band of `BANDS`
    rating: Annotated[float, Field(allow_inf_nan=False)] | Literal["none"] | None = None
    q: str = Field(default="", max_length=200)  # occurs in the text, in capitals or not
    sort: Sort = "newest"

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if self.day_from and self.day_to and self.day_from > self.day_to:
            raise FilterError("day_from", f"is {self.day_from}, after the last day {self.day_to}", "exchange the two")
        if self.percent_from > self.percent_to:
            told = f"is {self.percent_from:g}, more than the upper end {self.percent_to:g}"
            raise FilterError("percent_from", told, "exchange the two")
        if self.length is not None and self.length not in BANDS:
            raise FilterError("length", f"is {self.length!a}", f"give {_EXPECTED['length']}")
        return self

    @classmethod
    def asked(cls, given: Mapping[str, str]) -> Self:
        """The filters of a form's fields; blank ones count as not given, and names that are no filter are passed over.

        FilterError names the first field that cannot be understood.
        """
        told = {name: text.strip() for name, text in given.items() if name in cls.model_fields and text.strip()}
        try:
            return cls.model_validate(told)
        except ValidationError as error:
            field = str(error.errors(include_url=False)[0]["loc"][0])
            raise FilterError(field, f"is {told[field][:60]!a}", f"give {_EXPECTED.get(field, 'plain text')}") from None
