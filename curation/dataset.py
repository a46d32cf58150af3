"""What a dataset declares of itself, once: its canonical fields, and what identifies, orders and belongs to whom.

The shape only: where the fields come from is a `Source` (curation.ingestion.sources), what becomes of them is SQL and policy.
"""

from typing import Literal

from pydantic import BaseModel, ConfigDict

FieldType = Literal["string", "integer", "number", "boolean", "timestamp", "rating"]
"""Canonical types. In Parquet: string, int64, double, bool, timestamp[us, UTC]; a rating is a double on the source's scale."""


class Field(BaseModel):
    """One canonical field of a dataset."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    type: FieldType
    required: bool = False  # the default of every source: missing or null breaks the contract
    description: str


class Dataset(BaseModel):
    """A dataset's declaration; `key` names the uid column of its rows, `native_id` the field that holds the source's own id."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    key: str  # name of the uid column, "review_uid"
    fields: tuple[Field, ...]
    native_id: str = "native_id"  # field with the id that the source gives; its absence makes the uid a hash of the record
    ordered_by: str  # timestamp field that orders rows within a batch, "reviewed_at"
    subject: str | None = None  # field that names the person a row stems from, "user_id"

    def field(self, name: str) -> Field | None:
        """The canonical field of that name, or None."""
        return next((field for field in self.fields if field.name == name), None)


class PromptDataset(BaseModel):
    """A dataset of prompts and answers, judged by preference: it has no sources, no fields of its own and no model of ours."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    train_until: float = 0.8  # where the train split of prompts ends in [0, 1), see `training_rows.place_of`
    test_from: float = 0.9  # where their test split begins
