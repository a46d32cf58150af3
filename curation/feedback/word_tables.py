"""Tables of what people say of one dataset's items: the words as they are now, which items are in dispute, how annotators agree.

Made whole of one curated generation, the predictions there are and the events after it; from then on they follow the log. In
memory; reads Parquet and the log, decides nothing. Not thread-safe: `recent` sees to that.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from curation.feedback.curated import FEEDBACK, CuratedFeedback, State
from curation.feedback.events import ADJUDICATE
from curation.feedback.known import MATCHED, know, newest
from curation.feedback.log import FeedbackLog
from curation.feedback.matching import row_groups
from curation.feedback.segments import covering_segments
from curation.feedback.voting import label_parameters, latest, voted
from curation.training_rows import SPAM, literal, place_of

WORDS = (
    "item_id",
    "annotator",
    "kind",
    "label",
    "vote",  # the label it stands for; null for none, and for one that the dataset does not have
    "reason",
    "occurred_at",
    "seq",
    "event_id",
    "source",
    "is_matched",
)
"""Columns of `WordTables.words_of`: one row per item and annotator."""
HEARD_AT_ONCE = 250_000  # events matched with the predictions in one go: 100 MB, and a fifth of the time of 50,000 at a time
READ_AT_ONCE = 5_000  # events read from the log: 40 ms in which nobody else reads it
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",  # 1,000,000 words and predictions take some 200 MB, twice that while they are made
    "temp_directory": "",  # nothing is written where a page only reads
    "threads": "2",  # the other cores take events in
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
_GONE: dict[str, None] = dict.fromkeys(("prediction_id", "text", "source", "predicted_label"))
_LISTED = ", ".join(WORDS)
READ = [  # of an event
    "dataset",
    "prediction_id",
    *(name for name in WORDS if name not in {"vote", "is_matched"}),
]
_SCHEMA = """
set timezone = 'UTC';
create table heard (dataset varchar, item_id varchar, annotator varchar, kind varchar, label varchar, vote varchar,
    reason varchar, occurred_at timestamptz, seq bigint, event_id varchar, source varchar, is_matched boolean);
create table places (key ubigint, row_no bigint);
create table standing (item_id varchar, votes bigint, is_tied boolean, is_decided boolean);
create table raters (annotator varchar, votes bigint, agreeing double, shared bigint);
create table held (words bigint, items bigint);
"""
"""`heard`: the words, as they are now, on items that events after the generation speak of. `places`: one row per word of the
generation, by the item's key. `standing`: one row per item whose votes differ or that somebody has adjudicated. `raters` and
`held`: numbers that their sums make right, as `_count` adds them."""
_LAST_OF_HEARD = """
    create or replace table heard as from heard semi join (
        select arg_max(seq, row(is_matched, occurred_at, seq)) as seq from heard group by hash(item_id), hash(annotator)
    ) as last using (seq)"""
"""The rule of `voting.latest`, by keys instead of whole rows: of 1,000,000 words these would not fit."""
_TALLIED = """
    select hash(item_id) as key, any_value(item_id) as item_id, vote, count(*) filter (kind <> 'adjudicate') as votes,
        bool_or(kind = 'adjudicate') as is_decided
    from {words} where vote is not null group by key, vote"""
_STANDING = """
    insert into standing select item_id, votes, is_tied, is_decided
    from (
        select any_value(item_id) as item_id, sum(votes)::bigint as votes, bool_or(is_decided) as is_decided,
            count(*) filter (votes > 0) as labels, max(votes, 2) filter (votes > 0) as top,
            coalesce(top[1] = top[2], false) as is_tied
        from tallied group by key
    )
    where labels > 1 or is_decided"""
_RATERS = """
    insert into raters select annotator, {sign} * count(*),
        {sign} * coalesce(sum((tallied.votes - 1) / (item.votes - 1)) filter (item.votes > 1), 0), {sign} * count(*) filter (item.votes > 1)
    from (select hash(item_id) as key, annotator, vote from {words} where vote is not null and kind <> 'adjudicate')
    join tallied using (key, vote) join (select key, sum(votes) as votes from tallied group by key) as item using (key)
    group by annotator"""
_HELD = "insert into held select {sign} * (select count(*) from {words}), {sign} * (select count(distinct key) from tallied)"


@dataclass(frozen=True)
class Vote:
    """What one annotator says an item is."""

    annotator: str
    label: str
    reason: str | None
    occurred_at: datetime


@dataclass(frozen=True)
class Conflict:
    """One item on which people differ, or differed until somebody adjudicated: `adjudication`, the newest where there are several.

    The prediction is the one that the last curated word was about, else the newest; nothing is known of one that is gone. `votes`
    are in the order in which they were given.
    """

    item_id: str
    prediction_id: str | None
    text: str | None
    source: str | None
    predicted_label: str | None
    votes: tuple[Vote, ...]
    adjudication: Vote | None
    is_tied: bool
    is_held_out: bool  # what is decided here judges models, and trains none


@dataclass(frozen=True)
class Conflicts:
    """Some of the conflicts, and how many there are in all."""

    total: int
    rows: tuple[Conflict, ...]


@dataclass(frozen=True)
class Rater:
    """One annotator: votes, and the mean share of the others who say the same on shared items; None where there are none."""

    annotator: str
    votes: int
    agreement: float | None


@dataclass(frozen=True)
class Summary:
    """Figures about what people say now. `backlog`: events that no run has curated yet."""

    words: int
    items: int  # with a vote
    open_conflicts: int
    tied: int  # of these, without a majority
    adjudicated: int
    raters: tuple[Rater, ...]  # by name
    latest_seq: int
    backlog: int


@dataclass(frozen=True)
class Source:
    """Where the feedback on one dataset is, and what its votes can be."""

    book: CuratedFeedback
    segments: Path
    log: FeedbackLog
    labels: tuple[str, ...]
    test_from: float


class WordTables:
    """The words on one dataset's items: those of a curated generation, and the events after it, as far as `read_to`.

    What cannot be read raises duckdb.Error or CurationError, and such tables are of no use any more.
    """

    def __init__(self, source: Source, state: State | None, parts: Sequence[Path]) -> None:
        """Tables that hold the generation of `state`, the predictions in `parts`, and every event there is by now."""
        self.made_of = state, parts
        self._source = source
        self._dataset = source.book.dataset
        known = ", ".join(literal(label) for label in (*source.labels, SPAM))
        self._listed = _LISTED.replace("vote", f"case when vote in ({known}) then vote end as vote")
        self._generation = "(select *, 0 as file_row_number from heard where false)"
        if state:
            path = literal(str(source.book.root / state.digest / FEEDBACK))
            self._generation = f"read_parquet({path}, file_row_number = true)"
        self._curated = f"select {literal(self._dataset)} as dataset, {self._listed} from {self._generation}"
        self._backlog = 0
        self._latest_seq = self.read_to = state.seq if state else 0  # the latter of whatever dataset
        self._summary: Summary | None = None
        self._database = duckdb.connect(config=CONFIG)
        self._database.execute(_SCHEMA)
        self._database.execute(f"create view generation as {self._curated}")
        self._database.execute(f"insert into places select hash(item_id), file_row_number from {self._generation}")
        know(self._database, parts)
        for events in self._events_after(self.read_to):
            self._hear(events, "heard")
        self._database.execute("insert into heard from generation where item_id in (select item_id from heard)")
        self._database.execute(_LAST_OF_HEARD)
        self._count("(from generation where item_id not in (select item_id from heard) union all from heard)", 1)
        self._database.execute(_STANDING)

    def follow(self, at_most: int) -> None:
        """Take in as many of the events that were logged since."""
        events = self._source.log.read(self.read_to, at_most)
        if not events.num_rows:
            return
        self._database.execute("create or replace table news as from heard where false")
        if self._hear(events, "news"):
            self._change()
            self._summary = None

    def words_of(self, item_ids: Sequence[str]) -> pa.Table:
        """Each annotator's last word on these items, whatever its kind: columns WORDS, by item, then by when it was said."""
        self._show(item_ids)
        heard = self._database.execute(
            f"select {_LISTED} from heard where item_id in (select item_id from shown)"
        ).to_arrow_table()
        changed = set(heard["item_id"].unique().to_pylist())
        self._show([item_id for item_id in item_ids if item_id not in changed])
        found = self._database.execute(f"select {_LISTED} from ({self._curated} where {self._shown_rows()})").to_arrow_table()
        order = [(name, "ascending") for name in ("item_id", "occurred_at", "seq")]
        return pa.concat_tables([heard, found]).sort_by(order)

    def conflicts(self, limit: int, offset: int, *, include_decided: bool) -> Conflicts:
        """Items whose votes differ: ties first, then those with most votes. With `include_decided`, adjudicated items after them."""
        wanted = "true" if include_decided else "not is_decided"
        row = self._database.execute(f"select count(*) from standing where {wanted}").fetchone()
        found = self._database.execute(
            f"select item_id, is_tied from standing where {wanted} "
            "order by is_decided, is_tied desc, votes desc, item_id limit $limit offset $offset",
            {"limit": limit, "offset": offset},
        ).fetchall()
        return Conflicts(row[0] if row else 0, tuple(self._told(dict(found))))

    def summary(self) -> Summary:
        """Figures about all of it."""
        if self._summary is None:
            self._summary = self._summarised()
        return self._summary

    def _events_after(self, seq: int) -> Iterator[pa.Table]:
        """The events above `seq`, of all datasets, in order, in tables of many."""
        waiting: list[pa.Table] = []
        for rows in self._pieces_after(seq):
            waiting.append(rows)
            if sum(table.num_rows for table in waiting) >= HEARD_AT_ONCE:
                yield pa.concat_tables(waiting)
                waiting = []
        if waiting:
            yield pa.concat_tables(waiting)

    def _pieces_after(self, seq: int) -> Iterator[pa.Table]:
        """From the segments as far as they reach, then from the log: little at a time, for others wait while it is read."""
        for segment in covering_segments(self._source.segments):
            if segment.last > seq and segment.first <= seq + 1:
                for rows in row_groups(segment.path, READ, "remove it: the next drain writes it again from the log"):
                    yield rows.filter(pc.greater(rows["seq"], seq))
                seq = segment.last
        while (rows := self._source.log.read(seq, READ_AT_ONCE)).num_rows:
            yield rows.select(READ)
            seq = rows["seq"][-1].as_py()

    def _hear(self, events: pa.Table, table: str) -> bool:
        """Add what events say of the dataset's items, with its vote, to a table with the columns of `heard`; whether any does."""
        ours = events.filter(pc.equal(events["dataset"], self._dataset))
        if ours.num_rows:
            self._database.register("arriving", ours)
            self._database.execute(
                f"insert into {table} select dataset, {self._listed} from ({voted(MATCHED, self._source.labels)})",
                label_parameters(self._source.labels),
            )
            self._database.unregister("arriving")
            self._latest_seq = ours["seq"][-1].as_py()
        self._backlog += ours.num_rows
        self.read_to = events["seq"][-1].as_py()
        return bool(ours.num_rows)

    def _count(self, words: str, sign: int) -> None:
        """Let what a relation of words tells enter `raters` and `held`, or with `sign` -1 leave them. Table `tallied` is its tally."""
        for statement in ("create or replace table tallied as " + _TALLIED, _RATERS, _HELD):
            self._database.execute(statement.format(words=words, sign=sign))

    def _change(self) -> None:
        """Let `news` change `heard`, into which the generation's words on its items come first, and what is counted of it."""
        fresh = self._database.execute(
            "select item_id from news except select item_id from heard where item_id in (select item_id from news)"
        ).fetchall()
        self._show([item_id for (item_id,) in fresh])
        self._database.execute(f"insert into heard {self._curated} where {self._shown_rows()}")
        self._database.execute("create or replace table before as from heard where item_id in (select item_id from news)")
        self._database.execute(f"create or replace table changed as {latest('(from before union all from news)')}")
        self._count("before", -1)
        for table in ("heard", "standing"):
            self._database.execute(f"delete from {table} where item_id in (select item_id from news)")
        self._database.execute("insert into heard from changed")
        self._count("changed", 1)
        self._database.execute(_STANDING)

    def _show(self, item_ids: Sequence[str]) -> None:
        """Relation `shown`: the items that are asked for."""
        self._database.register("shown", pa.table({"item_id": pa.array(item_ids, pa.string())}))

    def _shown_rows(self) -> str:
        """SQL: whether a row of the generation is about an item of `shown`. Numbers of rows: to look for 10 ids takes ten times as long."""
        rows = self._database.execute("select row_no from places where key in (select hash(item_id) from shown)").fetchall()
        return f"file_row_number in ({', '.join(str(row_no) for (row_no,) in rows)})" if rows else "false"

    def _told(self, is_tied: dict[str, bool]) -> Iterator[Conflict]:
        """The conflicts on these items, in their order; `is_tied` by item."""
        predictions, held_out = self._predictions_of(list(is_tied)), self._held_out(list(is_tied))
        votes: dict[str, list[Vote]] = {}
        decisions: dict[str, Vote] = {}
        for word in self.words_of(list(is_tied)).to_pylist():  # by when they were said, so the newest decision stays
            if word["vote"] is not None:
                vote = Vote(word["annotator"], word["vote"], word["reason"], word["occurred_at"])
                if word["kind"] == ADJUDICATE:
                    decisions[word["item_id"]] = vote
                else:
                    votes.setdefault(word["item_id"], []).append(vote)
        for item_id, tied in is_tied.items():
            yield Conflict(
                item_id=item_id,
                **predictions.get(item_id, _GONE),
                votes=tuple(votes.get(item_id, ())),
                adjudication=decisions.get(item_id),
                is_tied=tied,
                is_held_out=item_id in held_out,
            )

    def _predictions_of(self, item_ids: list[str]) -> dict[str, dict[str, Any]]:
        """What `Conflict` tells of an item's prediction, by item: the one its last word was about, else the newest there is."""
        self._show(item_ids)
        told = {}
        if self.made_of[0]:
            found = self._database.execute(
                "select item_id, prediction_id, text, item_source as source, predicted_label"
                f" from {self._generation} where {self._shown_rows()} and prediction_id is not null"
                " qualify row_number() over (partition by item_id order by seq desc) = 1"
            )
            told = {row.pop("item_id"): row for row in found.to_arrow_table().to_pylist()}
        others = newest(self._database, self.made_of[1], [item_id for item_id in item_ids if item_id not in told])
        return told | {row.pop("item_id"): row for row in others}

    def _held_out(self, item_ids: list[str]) -> set[str]:
        self._show(item_ids)
        where = f"{place_of('item_id')} >= $test_from"
        found = self._database.execute(
            f"select item_id from shown where {where}", {"test_from": self._source.test_from}
        ).fetchall()
        return {item_id for (item_id,) in found}

    def _summarised(self) -> Summary:
        row = self._database.execute(
            "select * from (select sum(words), sum(items) from held), (select count(*) filter (not is_decided),"
            " count(*) filter (is_tied and not is_decided), count(*) filter (is_decided) from standing)"
        ).fetchone()
        raters = self._database.execute(
            "select annotator, sum(votes)::bigint, case when sum(shared) > 0 then sum(agreeing) / sum(shared) end "
            "from raters group by annotator having sum(votes) > 0 order by annotator"
        ).fetchall()
        assert row is not None  # counts always have a row
        words, items, open_conflicts, tied, adjudicated = map(int, row)
        told = tuple(Rater(*rater) for rater in raters)
        return Summary(words, items, open_conflicts, tied, adjudicated, told, self._latest_seq, self._backlog)
