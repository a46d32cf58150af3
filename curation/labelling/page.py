"""What a dataset declares of its labelling page: keys, guidelines, the item's fields and how one item looks.

Plain values that are checked when they are made, so that a page which cannot work never starts. It renders nothing, and knows
neither queues nor people.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from curation.errors import CurationError
from curation.training_rows import SPAM

RESERVED: Mapping[str, str] = {
    "s": "skip",
    "u": "undo",
    "p": "previous",
    "g": "show the guess and what is hidden; good, among predictions",
    "b": "bad, among predictions",
    "j": "next, among conflicts and predictions",
    "k": "previous, among conflicts and predictions",
    "h": "help",
    "?": "help",
    "Enter": "press the button in focus",
    "Escape": "close what is open",
    "ArrowUp": "scroll",
    "ArrowDown": "scroll",
    "ArrowLeft": "move between choices",
    "ArrowRight": "move between choices",
}
"""Key, as browsers name it -> what it does on the pages. No label may have one of them."""
KEY = re.compile(r"[a-z0-9]")


class LabelKey(BaseModel):
    """One answer that people may give: a label of the dataset, or "spam"; the key that gives it, and its name on the button."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    key: str
    name: str = Field(min_length=1)

    @model_validator(mode="after")
    def _key_is_usable(self) -> Self:
        if self.key in RESERVED:
            raise CurationError(
                f"the key {self.key!r} of label {self.label!r} is taken by the page: {RESERVED[self.key]}",
                f"give {self.label!r} another key than {', '.join(RESERVED)}",
            )
        if not KEY.fullmatch(self.key):
            raise CurationError(
                f"the key {self.key!r} of label {self.label!r} is no single key", "use one lower-case letter a to z, or a digit"
            )
        return self


class LabellingPage(BaseModel):
    """The labelling page of one dataset. `fields` is what a queue carries of each item: name -> SQL of the project's own.

    That SQL is over the columns of the curated table, and `language` of the item's prediction.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    title: str
    guidelines: str  # plain text: paragraphs, and lists whose lines begin with "- "
    keys: tuple[LabelKey, ...] = Field(min_length=1)
    fields: dict[str, str]
    item_template: Path  # a Jinja2 fragment, autoescaped; it gets `item`, the fields by name
    hidden: tuple[str, ...] = ()  # fields that are shown after the answer, or on request
    skip_reasons: tuple[str, ...] = Field(default=("not sure", "cannot be judged"), min_length=1)
    lease_s: float = Field(default=600.0, gt=0)  # for so long an item that somebody was given goes to nobody else

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for place, answer in enumerate(self.keys):
            for other in self.keys[:place]:
                if answer.key == other.key:
                    raise CurationError(
                        f"labels {other.label!r} and {answer.label!r} both have the key {answer.key!r}",
                        f"give {answer.label!r} another key",
                    )
                if answer.label == other.label:
                    raise CurationError(
                        f"label {answer.label!r} has two keys: {other.key!r} and {answer.key!r}", "leave one of them out"
                    )
        for name in self.hidden:
            if name not in self.fields:
                raise CurationError(
                    f"the hidden field {name!r} is no field of the items", f"hide one of {', '.join(self.fields)}"
                )
        if not self.item_template.is_file():
            raise CurationError(
                f"the item template {self.item_template} is not there", "write it: a Jinja2 fragment that shows `item`"
            )
        return self

    def check_labels(self, dataset: str, labels: tuple[str, ...]) -> None:
        """CurationError unless every one of the dataset's labels has a key, and every key a label of it or "spam"."""
        keyed = {answer.label: answer.key for answer in self.keys}
        for label in labels:
            if label not in keyed:
                raise CurationError(
                    f"label {label!r} of {dataset} has no key on its labelling page",
                    f"add LabelKey(label={label!r}, key=..., name=...) to its keys",
                )
        for label, key in keyed.items():
            if label not in (*labels, SPAM):
                raise CurationError(
                    f"the key {key!r} of the labelling page of {dataset} gives {label!r}, which is no label of {dataset}",
                    f"use one of {', '.join((*labels, SPAM))}, or leave the key out",
                )
