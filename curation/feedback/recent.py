"""What people say about items now, not at the last run: each annotator's last word, conflicts, and figures about both.

The newest curated generation, with the events after it on top: read once, then kept in memory for as long as the generation is the
same, so that a question costs only what has arrived since the last one. Reads Parquet and the log; writes and decides nothing.
"""

import contextlib
import threading
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import CurationError
from curation.feedback.curated import FEEDBACK, CuratedFeedback, State
from curation.feedback.events import ADJUDICATE
from curation.feedback.known import MATCHED, know, newest
from curation.feedback.log import FeedbackLog
from curation.feedback.matching import row_groups
from curation.feedback.segments import covering_segments
from curation.feedback.voting import label_parameters, latest, voted
from curation.predictions import PredictionStore
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
"""Columns of `RecentFeedback.words_of`: one row per item and annotator."""
LOOKED_UP_AT_MOST = 200  # items found by their row groups in a generation (50 in 35 ms); more are found by reading its ids once
EVENTS_AT_ONCE = 50_000
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "1GB",  # 1,000,000 words and predictions take some 200 MB
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
create or replace table heard (dataset varchar, item_id varchar, annotator varchar, kind varchar, label varchar, vote varchar,
    reason varchar, occurred_at timestamptz, seq bigint, event_id varchar, source varchar, is_matched boolean);
create or replace table standing (item_id varchar, votes bigint, is_tied boolean, is_decided boolean);
create or replace table raters (annotator varchar, votes bigint, agreeing double, shared bigint);
create or replace table held (words bigint, items bigint);
"""
"""`heard`: the words, as they are now, on items that events after the generation speak of. `standing`: one row per item whose votes
differ or that somebody has adjudicated. `raters` and `held`: numbers that their sums make right, as `_COUNTED` gives them."""
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


class RecentFeedback:
    """The feedback on one dataset as it stands. Threads may share it; one question is answered at a time.

    An event that waits for its prediction votes once the prediction is there; one that a run has curated, after the next run.
    """

    def __init__(
        self,
        lake: Path,
        segments: Path,
        log: FeedbackLog,
        predictions: PredictionStore,
        dataset: str,
        labels: tuple[str, ...],
        test_from: float,
    ) -> None:
        self._book = CuratedFeedback(lake, dataset)
        self._segments = segments
        self._log = log
        self._predictions = predictions
        self._dataset = dataset
        self._labels = labels
        self._test_from = test_from
        known = ", ".join(literal(label) for label in (*labels, SPAM))
        self._listed = _LISTED.replace("vote", f"case when vote in ({known}) then vote end as vote")
        self._asking = threading.Lock()
        self._database = duckdb.connect(config=CONFIG)
        self._made_of: tuple[State | None, list[Path]] | None = None  # the generation, and the parts of predictions
        self._read_to = 0  # seq of the last event that was looked at, of whatever dataset
        self._latest_seq = 0  # of the last one of this dataset
        self._backlog = 0
        self._generation: str | None = None  # SQL of its rows
        self._summary: Summary | None = None

    def words_of(self, item_ids: Collection[str]) -> pa.Table:
        """Each annotator's last word on these items, whatever its kind: columns WORDS, by item, then by when it was said."""
        with self._answering():
            return self._words_of(list(item_ids))

    def conflicts(self, limit: int, offset: int = 0, *, include_decided: bool = False) -> Conflicts:
        """Items whose votes differ: ties first, then those with most votes. With `include_decided`, adjudicated items after them."""
        with self._answering():
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
        with self._answering():
            if self._summary is None:
                self._summary = self._summarised()
            return self._summary

    @contextlib.contextmanager
    def _answering(self) -> Iterator[None]:
        """Tables that are up to date, for one thread at a time; CurationError where what they are made of cannot be read."""
        with self._asking:
            try:
                self._refresh()
                yield
            except duckdb.Error as error:
                self._made_of = None
                told = f"the feedback on {self._dataset} cannot be read: {str(error).splitlines()[0]}"
                raise CurationError(told, f"if a file of it is damaged, curation run {self._dataset} makes it again") from error

    def _refresh(self) -> None:
        """Bring the tables up to the log's end."""
        made_of = self._book.current(), self._predictions.parts()
        if made_of != self._made_of:
            self._made_of = None
            self._begin(*made_of)
            self._made_of = made_of
        for events in self._events_after(self._read_to):
            self._hear(events)

    def _begin(self, state: State | None, parts: Sequence[Path]) -> None:
        """Tables that hold the generation and the predictions, and no event after it."""
        dataset = literal(self._dataset)
        self._generation = f"read_parquet({literal(str(self._book.root / state.digest / FEEDBACK))})" if state else None
        generation = self._generation or "heard where false"
        self._database.execute(_SCHEMA)
        self._database.execute(
            f"create or replace view generation as select {dataset} as dataset, {self._listed} from {generation}"
        )
        self._count("generation", 1)
        self._database.execute(_STANDING)
        know(self._database, parts)
        self._read_to = self._latest_seq = state.seq if state else 0
        self._backlog, self._summary = 0, None

    def _count(self, words: str, sign: int) -> None:
        """Let what a relation of words tells enter `raters` and `held`, or with `sign` -1 leave them. Table `tallied` is its tally."""
        for statement in ("create or replace table tallied as " + _TALLIED, _RATERS, _HELD):
            self._database.execute(statement.format(words=words, sign=sign))

    def _events_after(self, seq: int) -> Iterator[pa.Table]:
        """The events above `seq`, of all datasets, in order, in tables of many: who reads a generation's words reads them once."""
        waiting: list[pa.Table] = []
        for rows in self._pieces_after(seq):
            waiting.append(rows)
            if sum(table.num_rows for table in waiting) >= EVENTS_AT_ONCE:
                yield pa.concat_tables(waiting)
                waiting = []
        if waiting:
            yield pa.concat_tables(waiting)

    def _pieces_after(self, seq: int) -> Iterator[pa.Table]:
        """From the segments as far as they reach, then from the log."""
        for segment in covering_segments(self._segments):
            if segment.last > seq and segment.first <= seq + 1:
                for rows in row_groups(segment.path, READ, "remove it: the next drain writes it again from the log"):
                    yield rows.filter(pc.greater(rows["seq"], seq))
                seq = segment.last
        while (rows := self._log.read(seq, EVENTS_AT_ONCE)).num_rows:
            yield rows.select(READ)
            seq = rows["seq"][-1].as_py()

    def _hear(self, events: pa.Table) -> None:
        """Let events change the words on their items, and what follows for these items."""
        made_of, self._made_of = self._made_of, None  # after an error half-way the next question begins anew
        connection = self._database
        connection.register("arriving", events)
        connection.execute(
            f"create or replace table news as select dataset, {self._listed} from ({voted(MATCHED, self._labels)})",
            label_parameters(self._labels) | {"dataset": self._dataset},
        )
        connection.unregister("arriving")
        found = connection.execute("select count(*), max(seq) from news").fetchone()
        assert found is not None  # counts always have a row
        count, last = found
        if count:
            self._change()
            self._backlog, self._latest_seq, self._summary = self._backlog + count, last, None
        self._read_to = pc.max(events["seq"]).as_py() or self._read_to
        self._made_of = made_of

    def _change(self) -> None:
        """Let `news` change `heard`, into which the generation's words on its items come first, and what is counted of it."""
        fresh = self._database.execute(
            "select item_id from news except select item_id from heard where item_id in (select item_id from news)"
        ).fetchall()
        where, bound = self._among([item_id for (item_id,) in fresh])
        self._database.execute(f"insert into heard from generation where {where}", bound)
        self._database.execute("create or replace table before as from heard where item_id in (select item_id from news)")
        self._database.execute(f"create or replace table changed as {latest('(from before union all from news)')}")
        self._count("before", -1)
        for table in ("heard", "standing"):
            self._database.execute(f"delete from {table} where item_id in (select item_id from news)")
        self._database.execute("insert into heard from changed")
        self._count("changed", 1)
        self._database.execute(_STANDING)

    def _among(self, item_ids: list[str]) -> tuple[str, list[str]]:
        """SQL: whether `item_id` is one of these, and values to bind to it."""
        if len(item_ids) <= LOOKED_UP_AT_MOST:
            return (f"item_id in ({', '.join('?' * len(item_ids))})" if item_ids else "false"), item_ids
        self._database.register("sought", pa.table({"sought": pa.array(item_ids, pa.string())}))
        return "item_id in (select sought from sought)", []

    def _words_of(self, item_ids: list[str]) -> pa.Table:
        where, bound = self._among(item_ids)
        heard = self._database.execute(f"select {_LISTED} from heard where {where}", bound).to_arrow_table()
        changed = set(heard["item_id"].unique().to_pylist())
        where, bound = self._among([item_id for item_id in item_ids if item_id not in changed])
        found = self._database.execute(f"select {_LISTED} from generation where {where}", bound).to_arrow_table()
        order = [(name, "ascending") for name in ("item_id", "occurred_at", "seq")]
        return pa.concat_tables([heard, found]).sort_by(order)

    def _told(self, is_tied: dict[str, bool]) -> Iterator[Conflict]:
        """The conflicts on these items, in their order; `is_tied` by item."""
        predictions, held_out = self._predictions_of(list(is_tied)), self._held_out(list(is_tied))
        votes: dict[str, list[Vote]] = {}
        decisions: dict[str, Vote] = {}
        for word in self._words_of(list(is_tied)).to_pylist():  # by when they were said, so the newest decision stays
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
        where, bound = self._among(item_ids)
        told = {}
        if self._generation:
            found = self._database.execute(
                "select item_id, prediction_id, text, item_source as source, predicted_label"
                f" from {self._generation} where {where} and prediction_id is not null"
                " qualify row_number() over (partition by item_id order by seq desc) = 1",
                bound,
            )
            told = {row.pop("item_id"): row for row in found.to_arrow_table().to_pylist()}
        assert self._made_of is not None  # `_refresh` comes before any question
        others = newest(self._database, self._made_of[1], [item_id for item_id in item_ids if item_id not in told])
        return told | {row.pop("item_id"): row for row in others}

    def _held_out(self, item_ids: list[str]) -> set[str]:
        self._database.register("shown", pa.table({"item_id": pa.array(item_ids, pa.string())}))
        where = f"{place_of('item_id')} >= $test_from"
        found = self._database.execute(f"select item_id from shown where {where}", {"test_from": self._test_from}).fetchall()
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
