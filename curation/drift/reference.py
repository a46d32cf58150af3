"""What a day is compared with: the bins, counts and words of the rows that a champion was trained on, made once and kept.

Knows no dataset and no model; `identity` is whatever its maker needs to tell one reference from another.
"""

from collections.abc import Sequence

import duckdb
from pydantic import BaseModel, ConfigDict

from curation.drift.columns import Bins, Column, bins_of, counts_of
from curation.drift.vocabulary import LEAST_KEPT, Words, words_of


class ReferenceColumn(BaseModel):
    """A column as it was: its bins with their rows, or the words of its texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bins: Bins
    counts: tuple[int, ...]  # in the order of `bins.names`; none for a text
    words: Words | None = None

    @property
    def rows(self) -> int:
        """Rows, or texts read, that the column was counted over."""
        return self.words.texts if self.words else sum(self.counts)

    @property
    def is_empty(self) -> bool:
        """Whether no row had a value."""
        return self.rows == 0 or (bool(self.counts) and self.counts[-1] == self.rows)


class Reference(BaseModel):
    """The columns of the reference by name."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    columns: dict[str, ReferenceColumn]


def reference_of(connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[Column], key: str) -> Reference:
    """The rows of `relation` as a reference for these columns; `key`: SQL that tells rows apart, for the sample of texts."""
    binned = [(column, bins_of(connection, relation, column)) for column in columns if column.kind != "text"]
    counts = counts_of(connection, relation, [(column, bins) for column, bins in binned if not bins.is_identifier])
    found = {
        column.name: ReferenceColumn(bins=bins, counts=tuple(counts[column.name].rows if column.name in counts else ()))
        for column, bins in binned
    }
    for column in columns:
        if column.kind == "text":
            words = words_of(connection, relation, column.sql or column.name, key, LEAST_KEPT)
            found[column.name] = ReferenceColumn(bins=Bins(), counts=(), words=words)
    return Reference(columns={column.name: found[column.name] for column in columns})
