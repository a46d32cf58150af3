"""What people have said of the items of one queue, and how much each has answered today; kept up with the log in memory.

History comes from the segments, once per queue and day, then only what is new from the log: work follows what was said since, not
what was ever said. Kept are the queue's items and today's words. Not thread-safe: the board's lock is around it.
"""

from collections import defaultdict
from collections.abc import Collection, Mapping
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import duckdb
import pyarrow as pa
import pyarrow.compute as pc

from curation.errors import CurationError
from curation.feedback.events import Kind
from curation.feedback.log import FeedbackLog
from curation.feedback.segments import Segment, covering_segments

CONFIG: dict[str, Any] = {"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}
ROWS_AT_ONCE = 5_000
HEARD = pa.schema(
    [
        ("item_id", pa.string()),
        ("annotator", pa.string()),
        ("kind", pa.string()),
        ("occurred_at", pa.int64()),
        ("received_at", pa.int64()),
        ("seq", pa.int64()),
    ]
)
"""Times are microseconds since 1970, UTC: to make 16,000 datetimes of Arrow's takes 150 ms, integers 20."""
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND, _DAY = timedelta(microseconds=1), timedelta(days=1)
_NO_WORDS: Mapping[str, "Word"] = {}


class Word(NamedTuple):
    """What an annotator said of an item; of two, the greater is the later. Times as in HEARD."""

    occurred_at: int
    seq: int
    kind: Kind
    received_at: int


class Answers:
    """The last words on a queue's items in one dataset. `labels_count`: with two labels a disagreement says which one it is."""

    def __init__(self, dataset: str, log: FeedbackLog, segments: Path, *, labels_count: int) -> None:
        self.dataset = dataset
        self.day = date.min
        self._log, self._segments = log, segments
        votes = {"label", "spam", "agree", "adjudicate"}
        self._votes = frozenset(votes | {"disagree"} if labels_count == 2 else votes)
        self._said: dict[str, dict[str, Word]] = {}
        self._spoken_of: defaultdict[str, set[str]] = defaultdict(set)  # annotator -> items of the queue
        self._seq = 0
        self._earlier_today = HEARD.empty_table()  # of the segments; an annotator's rows become words when somebody asks for them
        self._today: dict[str, dict[str, Word]] = {}

    def load(self, item_ids: Collection[str], now: datetime) -> None:
        """Turn to these items, and to the day of `now` in UTC: all that the segments say, then `follow`. CurationError where one is damaged."""
        self._items, self._said, self._today = frozenset(item_ids), {}, {}
        self._spoken_of.clear()
        self.day = now.astimezone(UTC).date()
        whole = _whole(covering_segments(self._segments))
        self._seq = whole[-1].last if whole else 0
        self._earlier_today = HEARD.empty_table()
        if whole:
            try:
                said, self._earlier_today = self._history([str(segment.path) for segment in whole])
            except duckdb.Error as error:
                told = f"the feedback in {self._segments} cannot be read: {str(error).splitlines()[0]}"
                raise CurationError(told, "remove the damaged file: the next drain writes it again from the log") from error
            for row in said.to_pylist():
                self._hear(row)
        self.follow()

    def follow(self) -> set[str]:
        """Take in what was said since the last call; the queue's items that it was about."""
        touched: set[str] = set()
        begin, end = (microseconds(moment) for moment in _bounds(self.day))
        while True:
            rows = self._log.read(self._seq, ROWS_AT_ONCE)
            if not rows.num_rows:
                return touched
            for row in rows.filter(pc.equal(rows["dataset"], self.dataset)).select(HEARD.names).cast(HEARD).to_pylist():
                if row["item_id"] in self._items:
                    touched.add(row["item_id"])
                    self._hear(row)
                if begin <= row["occurred_at"] < end:
                    _keep_last(self._words_today(row["annotator"]), row["item_id"], row)
            self._seq = rows["seq"][-1].as_py()

    def spoken_of(self) -> Collection[str]:
        """The queue's items that somebody has said something of."""
        return self._said.keys()

    def spoken_of_by(self, annotator: str) -> Collection[str]:
        """The queue's items that the annotator has said something of."""
        return self._spoken_of.get(annotator, ())

    def words(self, item_id: str) -> Mapping[str, Word]:
        """Annotator -> their last word on this item of the queue."""
        return self._said.get(item_id, _NO_WORDS)

    def is_answer(self, word: Word) -> bool:
        """Whether the word says what the item is: no skip, no withdrawal, no disagreement that leaves a choice."""
        return word.kind in self._votes

    def answered_today(self, annotator: str) -> int:
        """Items of the dataset, of any queue or none, that the annotator has answered on `day`."""
        return sum(map(self.is_answer, self._words_today(annotator).values()))

    def _hear(self, row: dict[str, Any]) -> None:
        _keep_last(self._said.setdefault(row["item_id"], {}), row["annotator"], row)
        self._spoken_of[row["annotator"]].add(row["item_id"])

    def _words_today(self, annotator: str) -> dict[str, Word]:
        """Item -> the annotator's last word on it today."""
        if annotator not in self._today:
            words = self._today[annotator] = {}
            for row in self._earlier_today.filter(pc.equal(self._earlier_today["annotator"], annotator)).to_pylist():
                _keep_last(words, row["item_id"], row)
        return self._today[annotator]

    def _history(self, segments: list[str]) -> tuple[pa.Table, pa.Table]:
        """Two tables, one row per event of the dataset, as HEARD: those on the items, and those of `day`."""
        columns = ", ".join(f"epoch_us({name}) as {name}" if name.endswith("_at") else name for name in HEARD.names)
        with duckdb.connect(config=CONFIG) as connection:
            connection.execute("set timezone = 'UTC'")
            connection.read_parquet(segments).create_view("logged")
            connection.register("wanted", pa.table({"item_id": pa.array(self._items, pa.string())}))
            said = connection.execute(
                f"select {columns} from logged semi join wanted using (item_id) where dataset = ?", [self.dataset]
            ).to_arrow_table()
            today = connection.execute(
                f"select {columns} from logged where dataset = ? and occurred_at >= ? and occurred_at < ?",
                [self.dataset, *_bounds(self.day)],
            ).to_arrow_table()
        return said.cast(HEARD), today.cast(HEARD)


def _bounds(day: date) -> tuple[datetime, datetime]:
    """When a day begins and ends, in UTC."""
    midnight = datetime.combine(day, time(), UTC)
    return midnight, midnight + _DAY


def _whole(covering: list[Segment]) -> list[Segment]:
    """The segments from seq 1 up to the first gap: what is lost comes again with the next drain, until then the log has it."""
    whole: list[Segment] = []
    for segment in covering:
        if segment.first != (whole[-1].last + 1 if whole else 1):
            break
        whole.append(segment)
    return whole


def _keep_last(words: dict[str, Word], key: str, row: dict[str, Any]) -> None:
    word = Word(row["occurred_at"], row["seq"], row["kind"], row["received_at"])
    words[key] = max(word, words.get(key, word))


def microseconds(moment: datetime) -> int:
    """Microseconds since 1970, UTC."""
    return (moment - _EPOCH) // _MICROSECOND
