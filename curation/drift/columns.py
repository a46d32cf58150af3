"""What is watched of a relation: columns with their kind, and how many rows fall into each bin of them. SQL over any relation.

Bins are the reference's: exact deciles of a number, the most frequent values of anything else, then `other` and `missing`.
"""

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import duckdb
from pydantic import BaseModel, ConfigDict

from curation.training_rows import quoted

Kind = Literal["number", "category", "any", "text"]
DECILES = [step / 10 for step in range(1, 10)]
VALUES_KEPT = 50
VALUE_CHARACTERS = 40  # of a value's name in a sentence
FEW_VALUES = 20  # a number with no more of them, such as a rating, is counted value by value
READ_AT_MOST = 1000  # values of a day; what is rarer counts as other
IDENTIFIER_SHARE = 0.5  # of distinct values among the rows; above it a column names rows and has no shares to compare


class Column(NamedTuple):
    """A column to watch. `sql`: an expression over the relation; empty means the relation's column of that name."""

    name: str
    kind: Kind
    sql: str = ""


class Counted(NamedTuple):
    """Rows per bin in the order of `Bins.names`, and the most frequent value among those that have no bin of their own."""

    rows: list[int]
    newcomer: str | None = None


class Bins(BaseModel):
    """How a column is counted: at `cuts` (ascending, each the upper end of its bin) or by `values`; with neither it is not judged."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    cuts: tuple[float, ...] = ()
    values: tuple[str, ...] = ()
    is_identifier: bool = False

    @property
    def names(self) -> list[str]:
        """One name per bin, `missing` last."""
        if not self.cuts:
            return [*(repr(value[:VALUE_CHARACTERS]) for value in self.values), "any other value", "no value"]
        low = [f"{self.cuts[0]:.4g} or less"]
        between = [f"above {start:.4g} up to {end:.4g}" for start, end in itertools.pairwise(self.cuts)]
        return [*low, *between, f"above {self.cuts[-1]:.4g}", "no value"]


def columns_of(connection: duckdb.DuckDBPyConnection, relation: str) -> set[str]:
    """Names of the relation's columns."""
    return {name for name, *_ in connection.execute(f"describe {relation}").fetchall()}


def _expression(column: Column, present: set[str]) -> str:
    return column.sql or (quoted(column.name) if column.name in present else "null")


def _number(column: Column, present: set[str]) -> str:
    """SQL: a finite or infinite double, or null; what is not a number is missing."""
    return f"nullif(try_cast({_expression(column, present)} as double), 'nan'::double)"


def bins_of(connection: duckdb.DuckDBPyConnection, relation: str, column: Column) -> Bins:
    """The bins that the rows of `relation` suggest for a column (not a text). One scan, and a sort where it is a number."""
    present = columns_of(connection, relation)
    value, number = _expression(column, present), _number(column, present)
    row = connection.execute(
        f"select count(value), count(number), approx_count_distinct(value) from (select {value} as value, {number} as number from {relation})"
    ).fetchone()
    filled, numbers, distinct = row or (0, 0, 0)
    is_number = column.kind == "number" or (column.kind == "any" and filled == numbers)
    if is_number and distinct > FEW_VALUES:
        row = connection.execute(f"select quantile_disc({number}, {DECILES}) from {relation}").fetchone()
        if row and row[0]:
            return Bins(cuts=tuple(sorted(set(row[0]))))
    if not is_number and distinct > max(VALUES_KEPT, IDENTIFIER_SHARE * filled):
        return Bins(is_identifier=True)
    counted = _value_counts(connection, relation, value, VALUES_KEPT)
    return Bins(values=tuple(sorted(name for name, _ in counted if name is not None)[:VALUES_KEPT]))


def _value_counts(connection: duckdb.DuckDBPyConnection, relation: str, value: str, limit: int) -> list[tuple[str | None, int]]:
    """The most frequent values as texts, and null with the rows that have none; NaN is no value."""
    return connection.execute(
        f"select nullif(cast({value} as varchar), 'nan') as value, count(*) from {relation} "
        f"group by all order by count(*) desc, value limit {limit + 1}"
    ).fetchall()


def counts_of(connection: duckdb.DuckDBPyConnection, relation: str, columns: Sequence[tuple[Column, Bins]]) -> dict[str, Counted]:
    """Rows of `relation` per bin of every column; one scan for all numbers, one per other column."""
    present = columns_of(connection, relation)
    row = connection.execute(f"select count(*) from {relation}").fetchone()
    total = row[0] if row else 0
    counted = {
        column.name: _by_value(connection, relation, _expression(column, present), bins.values, total)
        for column, bins in columns
        if not bins.cuts
    }
    numbers = [(column, bins) for column, bins in columns if bins.cuts]
    return counted | _by_number(connection, relation, numbers, present, total)


def _by_value(connection: duckdb.DuckDBPyConnection, relation: str, value: str, values: Sequence[str], total: int) -> Counted:
    found = dict(_value_counts(connection, relation, value, READ_AT_MOST))
    if None not in found:  # it may be rarer than the values read
        row = connection.execute(
            f"select count(*) from {relation} where nullif(cast({value} as varchar), 'nan') is null"
        ).fetchone()
        found[None] = row[0] if row else 0
    known = [found.get(name, 0) for name in values]
    newcomer = next((name for name in found if name is not None and name not in values), None)
    return Counted([*known, total - sum(known) - found[None], found[None]], newcomer)


def _by_number(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    numbers: Sequence[tuple[Column, Bins]],
    present: set[str],
    total: int,
) -> dict[str, Counted]:
    if not numbers:
        return {}
    inner = ", ".join(f"{_number(column, present)} as c{place}" for place, (column, _) in enumerate(numbers))
    asked = [
        asked
        for place, (_, bins) in enumerate(numbers)
        for asked in (f"count(c{place})", *(f"count(*) filter (c{place} <= '{cut!r}'::double)" for cut in bins.cuts))
    ]
    row = connection.execute(f"select {', '.join(asked)} from (select {inner} from {relation})").fetchone()
    told = iter(row or ())
    counted = {}
    for column, bins in numbers:
        filled = next(told)
        up_to = [0, *(next(told) for _ in bins.cuts), filled]
        counted[column.name] = Counted([*(high - low for low, high in itertools.pairwise(up_to)), total - filled])
    return counted
