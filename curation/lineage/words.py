"""Whose word is behind a label: the events on items, or of one annotator, and the last words among them up to a place in the log.

Asks the feedback segments (every drained event, also those that a later word has replaced) with the same SQL that curates; so what
a snapshot has consumed is told as it was, not as it is now. Opens neither the log nor the feedback table.
"""

import datetime
from collections.abc import Collection
from dataclasses import dataclass

import duckdb

from curation.binding import execute_bound
from curation.feedback.segments import covering_segments
from curation.feedback.voting import label_parameters, last_words
from curation.lineage.places import Traced, parquet, rows_of
from curation.predictions import PredictionStore
from curation.training_rows import SPAM, literal, place_of

EVENT = "seq, event_id, dataset, prediction_id, item_id, kind, label, annotator, source, occurred_at"


@dataclass(frozen=True)
class HumanLabel:
    """The last word of one annotator on one item; `label` is what it stands for, None for none (a skip, a withdrawal, no match).

    `is_consumed`: the snapshot's labels were resolved with it. A word that came later is not, nor one on an item that is held out.
    """

    item_id: str
    annotator: str
    kind: str
    label: str | None
    seq: int
    event_id: str
    source: str
    occurred_at: datetime.datetime
    is_consumed: bool


def words_on(
    connection: duckdb.DuckDBPyConnection, traced: Traced, items: Collection[str], consumed: int
) -> tuple[HumanLabel, ...]:
    """One entry per annotator and item as the labels up to event `consumed` had it, and one per word that came after; by item and seq."""
    if not _heard(connection, traced, "item_id in (select unnest($items))", {"items": sorted(items)}):
        return ()
    before = _last(connection, traced, consumed)
    now = _last(connection, traced, None)
    told = [_label(row, is_consumed=row["vote"] is not None and not row["is_held_out"]) for row in before]
    seen = {row["seq"] for row in before}
    told += [_label(row, is_consumed=False) for row in now if row["seq"] not in seen]
    return tuple(sorted(told, key=lambda word: (word.item_id, word.seq)))


@dataclass(frozen=True)
class Said:
    """What one annotator's events amount to: `events` in all, and the seq of the first and last."""

    events: int
    first_seq: int
    last_seq: int


def hear(connection: duckdb.DuckDBPyConnection, traced: Traced, annotator: str) -> Said | None:
    """Gather the events of an annotator on the dataset for `votes_of`; None where there is none."""
    if not _heard(connection, traced, "annotator = $annotator", {"annotator": annotator}):
        return None
    row = connection.execute("select count(*), min(seq), max(seq) from said").fetchone()
    return Said(*row) if row else None


def votes_of(connection: duckdb.DuckDBPyConnection, traced: Traced, consumed: int | None) -> list[str]:
    """The items, sorted, that the annotator heard last has a vote on up to event `consumed` (None: up to now), held-out ones left out."""
    known = {*traced.labels, SPAM}
    rows = _last(connection, traced, consumed)
    return sorted(str(row["item_id"]) for row in rows if row["vote"] in known and not row["is_held_out"])


def spoken_of(connection: duckdb.DuckDBPyConnection, traced: Traced) -> list[str]:
    """The items, sorted, on which a word of the annotator heard last stands now that is neither a skip nor a withdrawal."""
    return sorted({str(row["item_id"]) for row in _last(connection, traced, None) if row["kind"] not in {"skip", "withdraw"}})


def annotators(connection: duckdb.DuckDBPyConnection, traced: Traced) -> list[str]:
    """Everybody who has said something about the dataset's items, by name."""
    segments = [segment.path for segment in covering_segments(traced.places.segments)]
    if not segments:
        return []
    query = f"select distinct annotator from {parquet(segments)} where dataset = $dataset order by 1"
    return [name for (name,) in execute_bound(connection, query, {"dataset": traced.dataset}).fetchall()]


def _heard(connection: duckdb.DuckDBPyConnection, traced: Traced, condition: str, values: dict[str, str | list[str]]) -> bool:
    """Temp tables `said` (the dataset's events that meet a condition) and `known` (predictions of their items); whether there are any."""
    segments = [segment.path for segment in covering_segments(traced.places.segments)]
    if not segments:
        return False
    wanted = f"select {EVENT} from {parquet(segments)} where dataset = $dataset and {condition}"
    said = execute_bound(connection, f"create or replace temp table said as {wanted}", {"dataset": traced.dataset, **values})
    if said.fetchone() == (0,):
        return False
    parts = PredictionStore(traced.places.predictions, traced.dataset).parts()
    found = f"{parquet(parts)} semi join said using (item_id)" if parts else "said limit 0"
    connection.execute(
        f"create or replace temp table known as select prediction_id, {literal(traced.dataset)} as dataset, item_id, label from {found}"
    )
    return True


def _last(connection: duckdb.DuckDBPyConnection, traced: Traced, consumed: int | None) -> list[dict[str, object]]:
    """The last words among `said` up to that event, or among all."""
    events = "said" if consumed is None else f"(select * from said where seq <= {consumed:d})"
    query = last_words(events, "known", traced.labels)
    found = execute_bound(
        connection,
        f"select item_id, annotator, kind, vote, seq, event_id, source, occurred_at, {place_of('item_id')} >= $test_from as is_held_out "
        f"from ({query}) order by item_id, seq",
        {**label_parameters(traced.labels), "test_from": traced.test_from},
    )
    return rows_of(found)


def _label(row: dict[str, object], *, is_consumed: bool) -> HumanLabel:
    fields = {name: value for name, value in row.items() if name not in {"vote", "is_held_out"}}
    return HumanLabel(**fields, label=row["vote"], is_consumed=is_consumed)  # type: ignore[arg-type]  # columns of LOGGED
