"""The verdict on one day's rows, column by column: an alarm needs an effect beyond chance and large enough to matter.

Every column shares the day's rate of false alarms, so that more columns do not mean more alarms (Bonferroni).
"""

from collections.abc import Sequence
from math import inf, sqrt

import duckdb
from pydantic import BaseModel, ConfigDict

from curation.drift.columns import VALUE_CHARACTERS, Column, Counted, columns_of, counts_of
from curation.drift.effects import compared, psi_of
from curation.drift.policy import DriftPolicy
from curation.drift.reference import Reference, ReferenceColumn
from curation.drift.vocabulary import Words, compared_words, words_of


class ColumnDrift(BaseModel):
    """One column of one day. Effect and limit are population stability indices; all three figures are None where nothing could be
    compared, and the sentence says why."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    effect: float | None = None
    limit: float | None = None  # the least effect, or what chance exceeds with the column's share of the rate, if that is more
    null_p: float | None = None  # how often chance alone makes such an effect
    alarm: bool = False
    sentence: str


def drifted(columns: Sequence[ColumnDrift]) -> list[ColumnDrift]:
    """The columns that alarm: those without any value first, then the furthest."""
    return sorted(
        (column for column in columns if column.alarm), key=lambda column: -(inf if column.effect is None else column.effect)
    )


def judged_columns(
    connection: duckdb.DuckDBPyConnection,
    relation: str,
    columns: Sequence[Column],
    reference: Reference,
    policy: DriftPolicy,
    key: str,
) -> list[ColumnDrift]:
    """One verdict per column of the reference and of `columns`, in this order. `key`: SQL that tells rows apart."""
    present = columns_of(connection, relation)
    row = connection.execute(f"select count(*) from {relation}").fetchone()
    rows = row[0] if row else 0
    wanted = {column.name: column for column in columns}
    told: dict[str, ColumnDrift] = {}
    judged: list[tuple[Column, ReferenceColumn]] = []
    for name, known in reference.columns.items():
        column = wanted.pop(name, None) or Column(name, "any", "null")
        why = _why_not(name, known, rows, policy)
        if why:
            told[name] = ColumnDrift(name=name, sentence=why)
        elif known.words and not column.sql and name not in present:
            told[name] = ColumnDrift(name=name, alarm=True, sentence=f"{name} is gone: no row of these has such a column")
        else:
            judged.append((column, known))
    counts = counts_of(connection, relation, [(column, known.bins) for column, known in judged if not known.words])
    rate = policy.false_alarm_rate / max(1, len(judged))
    for column, known in judged:
        if known.words:
            words = words_of(connection, relation, column.sql or column.name, key)
            told[column.name] = _judged_words(column.name, known.words, words, policy, rate)
        else:
            told[column.name] = _judged_counts(column.name, known, counts[column.name], policy, rate)
    new = [
        ColumnDrift(
            name=name, sentence=f"{name} is new: the reference has no such column, so there is nothing to compare it with"
        )
        for name in wanted
    ]
    return [*(told[name] for name in reference.columns), *new]


def _why_not(name: str, known: ReferenceColumn, rows: int, policy: DriftPolicy) -> str | None:
    """Why a column cannot be judged, None where it can."""
    if known.bins.is_identifier:
        return f"{name} is not judged: nearly every row of the reference has another value"
    if known.rows < policy.minimum_rows:
        return f"{name} is not judged: the reference has {_rows(known.rows)}, {policy.minimum_rows} are needed"
    if known.is_empty:
        return f"{name} is not judged: no row of the reference has a value"
    if rows < policy.minimum_rows:
        return f"{name} is not judged: {_rows(rows)}, {policy.minimum_rows} are needed"
    return None


def _rows(count: int) -> str:
    return f"{count:,} row" if count == 1 else f"{count:,} rows"


def _judged_counts(name: str, known: ReferenceColumn, day: Counted, policy: DriftPolicy, rate: float) -> ColumnDrift:
    counts = day.rows
    effect = compared(known.counts, counts, rate)
    is_alarm = effect.null_p < rate and effect.psi >= policy.least_effect
    if counts[-1] == sum(counts) and is_alarm:
        sentence = f"{name} is gone: no row has a value; in the reference {_share(sum(known.counts[:-1]), known.rows)} had one"
    elif is_alarm:
        sentence = f"{name} drifted as by {sqrt(effect.psi):.2f} standard deviations: {_what_moved(known, day)}"
    elif len([count for count in known.counts if count]) == 1:
        sentence = f"{name} has one value, as in the reference"
    else:
        sentence = f"{name} is as in the reference"
    return ColumnDrift(
        name=name,
        effect=effect.psi,
        limit=max(policy.least_effect, effect.null_psi),
        null_p=effect.null_p,
        alarm=is_alarm,
        sentence=sentence,
    )


def _what_moved(known: ReferenceColumn, day: Counted) -> str:
    """The bin that contributes most, with its share before and now."""
    counts, names = day.rows, known.bins.names
    parts = psi_of(known.counts, counts)
    place = int(parts.argmax())
    now, before = _share(counts[place], sum(counts)), _share(known.counts[place], known.rows)
    name = names[place]
    if place == len(names) - 2 and day.newcomer is not None:
        name = f"values without a bin, most of all {day.newcomer[:VALUE_CHARACTERS]!r},"
    return f"{name} in {now} of the rows, {before} in the reference"


def _judged_words(name: str, reference: Words, day: Words, policy: DriftPolicy, rate: float) -> ColumnDrift:
    if day.texts < policy.minimum_rows:
        is_gone = day.texts == 0
        why = f"{name} is gone: no row has a text" if is_gone else f"{name} is not judged: only {day.texts:,} rows have a text"
        return ColumnDrift(name=name, alarm=is_gone, sentence=why)
    drift = compared_words(reference, day, policy.least_effect, rate)
    if drift.moved:
        moved = "; ".join(
            f"{word!r} in {now:.1%} of the texts, {before:.1%} in the reference" for word, before, now in drift.moved
        )
        sentence = f"{name} drifted: {moved}"
    else:
        sentence = f"{name} is as in the reference"
    return ColumnDrift(
        name=name,
        effect=drift.effect,
        limit=policy.least_effect,
        null_p=drift.null_p,
        alarm=bool(drift.moved),
        sentence=sentence,
    )


def _share(count: int, total: int) -> str:
    return f"{count / total:.1%}"
