"""What people say about items now, not at the last run: each annotator's last word, conflicts, and figures about both.

The newest curated generation with the events after it on top, kept in memory, so that a question costs only what has arrived since
the last one. Tables that take long to make are made by `catch_up` beside the questions, which never wait for it.
"""

import contextlib
import threading
from collections.abc import Collection, Iterator
from pathlib import Path

import duckdb
import pyarrow as pa

from curation.errors import CurationError
from curation.feedback.curated import CuratedFeedback, State
from curation.feedback.log import FeedbackLog
from curation.feedback.word_tables import Conflicts, Source, Summary, WordTables
from curation.predictions import PredictionStore

FOLLOWED_AT_ONCE = 5_000
"""Events that a question takes in at most: some 100 ms. After a large import the next questions, or `catch_up`, take in the rest."""
MADE_ANEW_FROM = 50_000
"""Events behind the log from which making the tables anew takes less than following."""
SMALL_EVENTS, SMALL_BYTES = 5_000, 5_000_000
"""A log, and parts of predictions, of which a question makes the tables itself, in some 100 ms."""


class StillReading(CurationError):
    """There is no answer yet: `catch_up` makes the tables for the first time."""

    def __init__(self, dataset: str) -> None:
        told = f"the feedback on {dataset} and the predictions that it is about are still being read"
        super().__init__(told, "look again in a few seconds")


class RecentFeedback:
    """The feedback on one dataset as it stands. Threads may share it; one question is answered at a time.

    Of a small home every question makes its own tables where they are out of date. Of a large one whoever keeps this object calls
    `catch_up` all along: until its first end questions raise StillReading, and after a run or more predictions they are answered
    from the former tables, on which all events are as well, until it has made others. An event that waits for its prediction
    votes once tables with that prediction are there.
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
        self._source = Source(CuratedFeedback(lake, dataset), segments, log, labels, test_from)
        self._predictions = predictions
        self._asking = threading.Lock()
        self._tables: WordTables | None = None
        self._trouble: CurationError | None = None  # why there are none, where that is known

    def words_of(self, item_ids: Collection[str]) -> pa.Table:
        """Each annotator's last word on these items, whatever its kind: columns WORDS, by item, then by when it was said."""
        with self._answering() as tables:
            return tables.words_of(list(item_ids))

    def conflicts(self, limit: int, offset: int = 0, *, include_decided: bool = False) -> Conflicts:
        """Items whose votes differ: ties first, then those with most votes. With `include_decided`, adjudicated items after them."""
        with self._answering() as tables:
            return tables.conflicts(limit, offset, include_decided=include_decided)

    def summary(self) -> Summary:
        """Figures about all of it."""
        with self._answering() as tables:
            return tables.summary()

    def catch_up(self) -> None:
        """Make the tables anew where a run or predictions have come or much was said, and take in all events there are.

        Questions are answered meanwhile. CurationError where something cannot be read; questions tell the same until it can.
        """
        head = self._source.log.head().seq  # not what arrives meanwhile: under load that would never end
        try:
            with self._readable():
                former, made_of = self._tables, self._made_of()
                if former is None or former.made_of != made_of or head - former.read_to >= MADE_ANEW_FROM:
                    tables = WordTables(self._source, *made_of)
                    with self._asking:
                        self._tables = tables
        except CurationError as error:
            self._trouble = error
            raise
        while self._tables and self._tables.read_to < head:
            with self._answering():  # not in one go: others ask in between
                pass

    @contextlib.contextmanager
    def _answering(self) -> Iterator[WordTables]:
        """Tables for one thread at a time; CurationError where what they are made of cannot be read."""
        with self._asking, self._readable():
            made_of = self._made_of()
            if (self._tables is None or self._tables.made_of != made_of) and self._is_small(made_of[1]):
                self._tables = WordTables(self._source, *made_of)
            if self._tables is None:
                raise self._trouble or StillReading(self._source.book.dataset)
            self._tables.follow(FOLLOWED_AT_ONCE)
            yield self._tables

    @contextlib.contextmanager
    def _readable(self) -> Iterator[None]:
        """Errors of DuckDB as ours; the tables are of no use then, as a change may have ended half-way."""
        try:
            yield
        except duckdb.Error as error:
            dataset = self._source.book.dataset
            told = f"the feedback on {dataset} cannot be read: {str(error).splitlines()[0]}"
            trouble = CurationError(told, f"if a file of it is damaged, curation run {dataset} makes it again")
            self._tables, self._trouble = None, trouble
            raise trouble from error

    def _made_of(self) -> tuple[State | None, list[Path]]:
        return self._source.book.current(), self._predictions.parts()

    def _is_small(self, parts: Collection[Path]) -> bool:
        return self._source.log.head().seq <= SMALL_EVENTS and sum(part.stat().st_size for part in parts) <= SMALL_BYTES
