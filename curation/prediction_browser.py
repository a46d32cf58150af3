"""Looking through the predictions of one dataset: filtered, searched, sorted, a page at a time, with their counts by day.

Reads the Parquet parts of a `PredictionStore` and nothing else: neither the warehouse nor feedback, and no model. What can be asked
is in `prediction_filters`; how it is shown is for whoever asks.
"""

import contextlib
import datetime
import itertools
import threading
from collections import Counter, OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path

import duckdb
import pyarrow as pa

from curation.errors import CurationError
from curation.feedback.events import parts_of
from curation.prediction_filters import BANDS, UNRATED, Filters, Sort
from curation.predictions import PredictionStore, digest_of
from curation.training_rows import literal

PAGE_ROWS = 50
CHARACTERS_SHOWN = 2_000
"""Of each text on a page; `one` gives all of it."""
SEARCHED_BYTES = 256 * 1024 * 1024
"""Of parts that a search reads, newest days first: about 1.5 million short reviews, and half a second of one core."""
KEPT = 64
"""Counts by day that are remembered, so that the next page of the same question costs its rows only."""
CONFIG: dict[str, str | bool | int | float | list[str]] = {
    "memory_limit": "512MB",
    "temp_directory": "",  # beyond it a question fails: nothing is written where a page only reads
    "threads": "2",  # the other cores take events in
    "autoinstall_known_extensions": "false",
    "autoload_known_extensions": "false",
}
_ORDERS: Mapping[Sort, str] = {
    "newest": "day desc, record_no desc",
    "least_sure": "confidence, day desc, record_no desc",
    "most_sure": "confidence desc, day desc, record_no desc",
}


@dataclass(frozen=True)
class Prediction:
    """What one model said of one item. `probabilities`: the likeliest label first; `confidence` is the first of them.

    `text` may be cut: it had `characters` of them. `length` is in words, as the slices are.
    """

    prediction_id: str
    item_id: str
    day: datetime.date
    source: str
    text: str
    characters: int
    label: str
    confidence: float
    probabilities: tuple[tuple[str, float], ...]
    model_version: int
    model_sha256: str
    snapshot_version: str
    language: str
    length: int
    rating: float | None
    extra: str | None
    predicted_at: datetime.datetime


_SHOWN = ", ".join(field.name for field in fields(Prediction) if field.name not in {"item_id", "characters"})
"""The id of a prediction holds the item's, and hex digits are the dearest to read: 40 ms of 1,000,000 where rows lie far apart."""


@dataclass(frozen=True)
class DayCount:
    """One row per arrival day and predicted label: how many predictions, and their mean confidence."""

    day: datetime.date
    label: str
    predictions: int
    confidence: float


@dataclass(frozen=True)
class Page:
    """Page `page_no` of `pages` (from 1), and of all that was found: `total` and `days`, oldest first.

    `searched_from`: the first day that a search looked at, where there was more than it reads; None where it read everything.
    """

    rows: tuple[Prediction, ...]
    total: int
    page_no: int
    pages: int
    days: tuple[DayCount, ...]
    searched_from: datetime.date | None


@dataclass(frozen=True)
class Choices:
    """What the filters may be set to: the versions that predicted, newest first, and the values that occur with one of them."""

    models: tuple[int, ...]
    labels: tuple[str, ...]
    sources: tuple[str, ...]
    languages: tuple[str, ...]
    ratings: tuple[float, ...]
    has_unrated: bool
    days: tuple[datetime.date, ...]  # every arrival day with predictions, oldest first

    @property
    def lengths(self) -> tuple[str, ...]:
        """The names of the length bands, shortest first."""
        return tuple(BANDS)


@dataclass(frozen=True)
class _Question:
    """What is read to answer: the parts that may hold it, and conditions on their rows with the values to bind.

    `kept`: the temp table that holds the answer already, so that texts are read once, not twice.
    """

    parts: tuple[Path, ...]
    where: str
    values: dict[str, object]
    searched_from: datetime.date | None
    kept: str | None = None

    @property
    def relation(self) -> str:
        """SQL: day, record_no, label and confidence of each prediction that is wanted."""
        return self.kept or f"(select day, record_no, label, confidence from {_relation(self.parts)} where {self.where})"


class PredictionBrowser:
    """Answers about the predictions in a store; threads may share it, one question is answered at a time.

    Counts by day and choices are remembered for as long as the parts are the same.
    """

    def __init__(self, store: PredictionStore) -> None:
        self._store = store
        self._asking = threading.Lock()  # memory and cores are bounded for one question, whoever else asks
        self._database = duckdb.connect(config=CONFIG)
        self._days: OrderedDict[tuple[str, Filters], tuple[DayCount, ...]] = OrderedDict()
        self._choices: tuple[str, Choices] | None = None

    def models(self) -> tuple[int, ...]:
        """The versions of models that predicted, newest first."""
        return tuple(sorted({_version_of(part) for part in self._store.parts()}, reverse=True))

    def page(self, filters: Filters, page_no: int = 1, size: int = PAGE_ROWS) -> Page:
        """One page of the predictions wanted; the last one where there are fewer than `page_no` (from 1) of them."""
        question = self._question(filters)
        if not question.parts:
            return Page((), 0, 1, 1, (), None)
        key = (digest_of([*question.parts]), filters.model_copy(update={"sort": "newest"}))
        with self._answering() as connection:
            if key not in self._days:
                if filters.q:
                    question = _kept(connection, question)
                self._days[key] = _counted(connection, question)
                if len(self._days) > KEPT:
                    self._days.popitem(last=False)
            days = self._days[key]
            total = sum(counted.predictions for counted in days)
            pages = max(1, -(-total // size))
            page_no = min(max(1, page_no), pages)
            skipped = (page_no - 1) * size
            if filters.sort == "newest":
                question, skipped = _narrowed(question, days, skipped, size)
            rows = _read(connection, question.parts, _places(connection, question, filters.sort, size, skipped))
        return Page(rows, total, page_no, pages, days, question.searched_from)

    def choices(self, model: int | None = None) -> Choices:
        """What there is to choose from among the predictions of one model version, or of the newest."""
        models = self.models()
        parts = self._store.parts(model or next(iter(models), 0))
        digest = f"{models} {digest_of(parts)}"
        with self._answering() as connection:
            if self._choices is None or self._choices[0] != digest:
                self._choices = (digest, _choices_among(connection, models, parts))
            return self._choices[1]

    def one(self, prediction_id: str) -> Prediction | None:
        """Everything of one prediction, its text whole; None when there is none of that id."""
        with self._answering() as connection:
            for version in self.models():
                relation = _relation(self._store.parts(version))
                found = connection.execute(
                    f"select {_SHOWN} from {relation} where prediction_id = $id limit 1", {"id": prediction_id}
                )
                for prediction in _predictions(found.to_arrow_table()):
                    return prediction
        return None

    @contextlib.contextmanager
    def _answering(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection, for one thread at a time; CurationError where the parts cannot be read, or a question needs too much memory."""
        with self._asking, self._database.cursor() as connection:
            try:
                yield connection
            except duckdb.Error as error:
                dataset = self._store.dataset
                told = f"the predictions of {dataset} cannot be read: {str(error).splitlines()[0]}"
                fix = f"if a file is damaged, remove its day's folder: curation run {dataset} predicts the day again"
                raise CurationError(told, fix) from error

    def _question(self, filters: Filters) -> _Question:
        version = filters.model or next(iter(self.models()), 0)
        first, last = filters.day_from or datetime.date.min, filters.day_to or datetime.date.max
        parts = [part for part in self._store.parts(version) if first <= _day_of(part) <= last]
        searched_from = None
        if filters.q:
            parts, searched_from = _searchable(parts)
        conditions, values = _conditions(filters)
        return _Question(tuple(parts), " and ".join(["true", *conditions]), values, searched_from)


def _version_of(part: Path) -> int:
    return int(part.parent.parent.name.removeprefix("model="))


def _day_of(part: Path) -> datetime.date:
    return datetime.date.fromisoformat(part.parent.name.removeprefix("day="))


def _relation(parts: Iterable[Path]) -> str:
    """SQL: the rows of those parts, one at least, with their `confidence`. A list of paths that is bound would import pandas."""
    listed = ", ".join(literal(str(path)) for path in parts)
    return (
        f"(select *, list_max(map_values(probabilities)) as confidence from read_parquet([{listed}], hive_partitioning = false))"
    )


def _searchable(parts: list[Path]) -> tuple[list[Path], datetime.date | None]:
    """The parts of the newest days that a search reads, at least one day's; and the first of these days where it is not all."""
    sizes = Counter[datetime.date]()
    for part in parts:
        sizes[_day_of(part)] += part.stat().st_size
    days = sorted(sizes, reverse=True)
    read = [
        day for day, until in zip(days, itertools.accumulate(sizes[day] for day in days), strict=True) if until <= SEARCHED_BYTES
    ]
    read = read or days[:1]
    if len(read) == len(days):
        return parts, None
    return [part for part in parts if _day_of(part) >= read[-1]], read[-1]


def _conditions(filters: Filters) -> tuple[list[str], dict[str, object]]:
    """SQL conditions and the values to bind; model and days are chosen by their parts."""
    conditions: list[str] = []
    values: dict[str, object] = {}
    for name in ("label", "source", "language"):
        if (wanted := getattr(filters, name)) is not None:
            conditions.append(f"{name} = ${name}")
            values[name] = wanted
    if filters.percent_from > 0 or filters.percent_to < 100:
        conditions.append("confidence between $least and $most")
        values |= {"least": filters.percent_from / 100, "most": filters.percent_to / 100}
    if filters.length is not None:
        conditions.append("length between $shortest and $longest")
        values["shortest"], values["longest"] = BANDS[filters.length]
    if filters.rating == UNRATED:
        conditions.append("rating is null")
    elif filters.rating is not None:
        conditions.append("rating = $rating")
        values["rating"] = filters.rating
    if filters.q:
        conditions.append("contains(lower(text), lower($q))")  # no pattern, so nothing to escape; and half the time of ilike
        values["q"] = filters.q
    return conditions, values


def _kept(connection: duckdb.DuckDBPyConnection, question: _Question) -> _Question:
    """The same question, its answer in memory."""
    connection.execute(f"create temp table matching as from {question.relation}", question.values)
    return replace(question, kept="matching", values={})


def _counted(connection: duckdb.DuckDBPyConnection, question: _Question) -> tuple[DayCount, ...]:
    counted = f"select day, label, count(*), avg(confidence) from {question.relation} group by all order by day, label"
    return tuple(DayCount(*row) for row in connection.execute(counted, question.values).fetchall())


def _narrowed(question: _Question, days: Iterable[DayCount], skipped: int, size: int) -> tuple[_Question, int]:
    """The question with only the parts of the days that a page of the newest lies in, and how many it skips there."""
    by_day = Counter[datetime.date]()
    for counted in days:
        by_day[counted.day] += counted.predictions
    before, first, read = 0, 0, set()
    for day in sorted(by_day, reverse=True):
        if before + by_day[day] <= skipped:
            first = before + by_day[day]
        elif before < skipped + size:
            read.add(day)
        before += by_day[day]
    parts = tuple(part for part in question.parts if _day_of(part) in read)
    return replace(question, parts=parts), skipped if question.kept else skipped - first


def _places(
    connection: duckdb.DuckDBPyConnection, question: _Question, sort: Sort, size: int, skipped: int
) -> list[tuple[datetime.date, int]]:
    """Day and record number of a page's predictions, in order."""
    if not question.parts:
        return []
    chosen = f"select day, record_no from {question.relation} order by {_ORDERS[sort]} limit $size offset $skipped"
    return connection.execute(chosen, {**question.values, "size": size, "skipped": skipped}).fetchall()


def _read(
    connection: duckdb.DuckDBPyConnection, parts: Iterable[Path], places: list[tuple[datetime.date, int]]
) -> tuple[Prediction, ...]:
    """The predictions at those days and record numbers, in their order; opens the parts of these days only."""
    if not places:
        return ()
    days, numbers = zip(*places, strict=True)
    columns = {"day": pa.array(days, pa.date32()), "record_no": pa.array(numbers, pa.int64()), "place": range(len(places))}
    connection.register("wanted", pa.table(columns))
    relation = _relation(part for part in parts if _day_of(part) in days)
    found = connection.execute(f"select {_SHOWN} from {relation} join wanted using (day, record_no) order by place")
    return tuple(_predictions(found.to_arrow_table(), CHARACTERS_SHOWN))


def _predictions(found: pa.Table, characters: int | None = None) -> Iterator[Prediction]:
    """The rows of `found` (columns `_SHOWN`), in order; texts cut to so many `characters`."""
    for row in found.to_pylist():
        told = {
            "item_id": parts_of(row["prediction_id"])[1],
            "text": row["text"][:characters],
            "characters": len(row["text"]),
            "probabilities": tuple(sorted(row["probabilities"], key=lambda named: (-named[1], named[0]))),
        }
        yield Prediction(**row | told)


def _choices_among(connection: duckdb.DuckDBPyConnection, models: tuple[int, ...], parts: list[Path]) -> Choices:
    if not parts:
        return Choices(models, (), (), (), (), False, ())
    values = ", ".join(
        f"list_sort(list(distinct {name}) filter ({name} is not null))" for name in ("label", "source", "language", "rating")
    )
    asked = connection.execute(f"select {values}, count(*) > count(rating) from {_relation(parts)}").fetchone()
    assert asked is not None  # an aggregate always has its row
    labels, sources, languages, ratings, has_unrated = asked
    days = tuple(sorted({_day_of(part) for part in parts}))
    return Choices(models, tuple(labels), tuple(sources), tuple(languages or ()), tuple(ratings or ()), has_unrated, days)
