"""What a dataset decides about drift: how rarely it may alarm for nothing, and what is too small to matter. Plain values."""

from pydantic import BaseModel, ConfigDict, Field


class DriftPolicy(BaseModel):
    """Effects are population stability indices (PSI): a shift by d standard deviations has about d squared."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    false_alarm_rate: float = Field(default=0.002, gt=0, lt=0.5)  # of days without drift, over all columns together
    least_effect: float = Field(default=0.0025, gt=0)  # as a shift by 0.05 standard deviations; what is smaller never alarms
    minimum_rows: int = Field(default=200, ge=20)  # of a day and of the reference; below it days are pooled
    pooled_days: int = Field(default=7, ge=1)  # a day without enough rows is judged with at most the six before it
