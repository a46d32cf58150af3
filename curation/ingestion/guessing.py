"""What a sample of records shows of each key: its types, a date format, a rating scale. Guesses, each with its count.

Looks at values only; which canonical field a key becomes is for `draft`. A guess allows 2% of values that do not fit, so that
dirt does not decide what clean values look like.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from itertools import product

from curation.ingestion.sources import Delivered, Rating

FITTING_SHARE = 0.98
_LARGEST_DEPTH = 4
_LARGEST_KEYS = 300  # an object used as a dictionary would otherwise make a key of every value
_SCALES = ((1, 5), (0, 1), (0, 5), (1, 10), (0, 10), (-1, 1), (1, 100), (0, 100))
_EPOCH_START_S, _EPOCH_END_S = 631_152_000, 4_102_444_800  # 1990 to 2100
_GROUPED = re.compile(r"\d{1,3}(,\d{3})+")
_ISO_DATE = re.compile(r"\d{4}-\d\d-\d\d")
_DATES = (
    *("%Y/%m/%d", "%Y.%m.%d", "%Y%m%d", "%d.%m.%Y", "%d/%m/%Y", "%m/%d/%Y", "%d-%m-%Y", "%m-%d-%Y"),
    *("%y.%m.%d", "%d.%m.%y", "%m/%d/%y", "%d/%m/%y", "%y/%m/%d", "%y-%m-%d", "%d-%m-%y"),
    *("%m %d, %Y", "%B %d, %Y", "%b %d, %Y", "%d %B %Y", "%d %b %Y", "%d-%b-%Y"),
)
_TIMES = ("", " %H:%M:%S", " %H:%M", "T%H:%M:%S", " %I:%M %p", ", %H:%M")
_FORMATS = (*map("".join, product(_DATES, _TIMES)), "%a %b %d %H:%M:%S %z %Y", "%a, %d %b %Y %H:%M:%S %z")
_POLARITY = {
    word: polarity
    for polarity, words in (
        (-2, "terrible,awful,horrible,worst,very bad,very poor,very negative,very dissatisfied,one"),
        (-1, "bad,poor,negative,neg,dissatisfied,dislike,disliked,down,no,two"),
        (0, "neutral,ok,okay,fair,average,mixed,medium,mediocre,three"),
        (1, "good,positive,pos,satisfied,like,liked,up,yes,four"),
        (2, "excellent,great,perfect,amazing,best,very good,very positive,very satisfied,five"),
    )
    for word in words.split(",")
}


@dataclass
class Key:
    """What a sample shows of one key path: how often each JSON type, and the scalars themselves."""

    path: tuple[str, ...]
    types: Counter[str] = field(default_factory=Counter)  # JSON types; null, list and object among them
    values: list[str | int | float | bool] = field(default_factory=list)  # scalars that are not null, in record order

    @property
    def present(self) -> int:
        """In how many records it has a value that is not null."""
        return self.types.total() - self.types["null"]

    @property
    def delivered(self) -> tuple[Delivered, int]:
        """The narrowest type that fits at least 98% of the scalars, `any` when none does; and how many it fits."""
        whole, fraction = self.types["integer"], self.types["number"]
        candidates: tuple[tuple[Delivered, int], ...] = (
            ("integer", whole),
            ("number", whole + fraction),
            ("string", self.types["string"]),
            ("boolean", self.types["boolean"]),
        )
        for delivered, fitting in candidates:
            if self.values and fitting >= FITTING_SHARE * len(self.values) and not (delivered == "integer" and fraction):
                return delivered, fitting
        return "any", len(self.values)

    @property
    def is_scalar(self) -> bool:
        """Whether nearly all of its values are scalars, so that it can be a field."""
        return bool(self.values) and len(self.values) >= FITTING_SHARE * self.present


def keys_of(records: Iterable[dict[str, object]]) -> dict[tuple[str, ...], Key]:
    """Every key path of the records, nested ones down to four levels, in order of first sight."""
    keys: dict[tuple[str, ...], Key] = {}
    for record in records:
        _look(record, (), keys)
    return keys


def _look(record: dict[str, object], parent: tuple[str, ...], keys: dict[tuple[str, ...], Key]) -> None:
    for name, value in record.items():
        path = (*parent, name)
        if path not in keys and len(keys) >= _LARGEST_KEYS:
            continue
        key = keys.setdefault(path, Key(path))
        match value:
            case dict():
                key.types["object"] += 1
                if len(path) < _LARGEST_DEPTH:
                    _look(value, path, keys)
            case list():
                key.types["list"] += 1
            case bool() | int() | float() | str():
                key.types[_json_type(value)] += 1
                key.values.append(value)
            case _:
                key.types["null"] += 1


def _json_type(value: str | float | bool) -> str:
    if isinstance(value, bool):
        return "boolean"
    return "string" if isinstance(value, str) else "integer" if isinstance(value, int) else "number"


def numbers_of(key: Key) -> list[float]:
    """The values that are finite numbers or write one ("4", "1,026"); a boolean is none."""
    numbers = []
    for value in key.values:
        if isinstance(value, bool):
            continue
        try:
            number = float(value.replace(",", "") if isinstance(value, str) and _GROUPED.fullmatch(value) else value)
        except (ValueError, OverflowError):
            continue
        if math.isfinite(number):
            numbers.append(number)
    return numbers


@dataclass(frozen=True)
class DateGuess:
    """A date format, how many values it fits, its earliest and latest date, and what else fits as many."""

    format: str
    fitting: int
    first: date
    last: date
    others: tuple[str, ...] = ()


def guess_dates(key: Key) -> DateGuess | None:
    """The date format of a key's values, None when no known one fits 98% of them.

    Where several fit (15.08.25), the one with the shortest span from first to last date wins: years vary less than days.
    """
    needed = FITTING_SHARE * len(key.values)
    if not key.is_scalar:
        return None
    epoch = _guess_epoch(numbers_of(key), needed)  # "1400630400" too
    if epoch is not None or key.delivered[0] != "string":
        return epoch
    texts = [value for value in key.values if isinstance(value, str)]
    isos = _parsed(texts, "iso8601")
    if isos and len(isos) >= needed:
        return DateGuess("iso8601", len(isos), min(isos), max(isos))
    guesses = []
    for form in _FORMATS:
        if len(_parsed(texts[:20], form)) >= 15 or len(texts) < 20:  # the first twenty rule most formats out
            dates = _parsed(texts, form)
            if dates and len(dates) >= needed:
                guesses.append(DateGuess(form, len(dates), min(dates), max(dates)))
    best = min(guesses, key=lambda guess: guess.last - guess.first, default=None)
    if best is None:
        return None
    others = tuple(guess.format for guess in guesses if guess is not best)
    return DateGuess(best.format, best.fitting, best.first, best.last, others)


def _guess_epoch(numbers: list[float], needed: float) -> DateGuess | None:
    for form, unit in (("epoch_s", 1), ("epoch_ms", 1000)):
        moments = [number / unit for number in numbers if _EPOCH_START_S <= number / unit <= _EPOCH_END_S]
        if moments and len(moments) >= needed:
            first, last = (datetime.fromtimestamp(moment, UTC).date() for moment in (min(moments), max(moments)))
            return DateGuess(form, len(moments), first, last)
    return None


def _parsed(texts: Iterable[str], form: str) -> list[date]:
    dates = []
    for text in texts:
        try:
            if form != "iso8601":
                dates.append(datetime.strptime(text, form).date())
            elif _ISO_DATE.match(text):  # fromisoformat alone would take 20150825 and 2015-W01-1 too
                dates.append(datetime.fromisoformat(text).date())
        except ValueError:
            continue
    return dates


@dataclass(frozen=True)
class ScaleGuess:
    """A rating scale, how many values lie on it, and whether the order of its named categories is only alphabetical."""

    rating: Rating
    fitting: int
    is_order_unknown: bool = False


def guess_scale(key: Key) -> ScaleGuess | None:
    """The scale of a key's values: a usual one that holds 98% of the numbers, or up to twelve named categories."""
    numbers = numbers_of(key)
    if not key.is_scalar or key.delivered[0] == "boolean":
        return None
    if len(numbers) < FITTING_SHARE * len(key.values):
        return _guess_categories(key)
    for low, high in _SCALES:
        on_scale = [number for number in numbers if low <= number <= high]
        if len(on_scale) >= FITTING_SHARE * len(key.values):
            fractions = sum(not number.is_integer() for number in on_scale)
            is_whole = fractions <= (1 - FITTING_SHARE) * len(on_scale)
            return ScaleGuess(Rating(minimum=low, maximum=high, whole=is_whole), len(on_scale) - (fractions if is_whole else 0))
    return None


def _guess_categories(key: Key) -> ScaleGuess | None:
    counts = Counter(value for value in key.values if isinstance(value, str))
    common = [
        name for name, count in counts.most_common(13) if name.strip() and count >= (1 - FITTING_SHARE) / 4 * len(key.values)
    ]
    fitting = sum(counts[name] for name in common)
    if not 2 <= len(common) <= 12 or fitting < FITTING_SHARE * len(key.values):
        return None
    numbered = {name: float(number[0]) for name in common if (number := re.match(r"\d+(\.\d+)?", name))}  # "4 stars"
    scale = next(((low, high) for low, high in _SCALES if all(low <= number <= high for number in numbered.values())), None)
    if len(numbered) == len(common) and len(set(numbered.values())) > 1 and scale is not None:
        return ScaleGuess(Rating(minimum=scale[0], maximum=scale[1], categories=_sorted(numbered)), fitting)
    places = {name: place for name in common if (place := _POLARITY.get(_spoken(name))) is not None}
    is_order_unknown = len(places) < len(common) or len(set(places.values())) < 2
    if is_order_unknown:
        places = {name: place for place, name in enumerate(sorted(common))}
    order = sorted(set(places.values()))
    categories = _sorted({name: 1.0 + order.index(place) for name, place in places.items()})
    return ScaleGuess(Rating(minimum=1, maximum=len(order), categories=categories), fitting, is_order_unknown)


def _sorted(categories: dict[str, float]) -> dict[str, float]:
    return dict(sorted(categories.items(), key=lambda item: (item[1], item[0])))


def _spoken(name: str) -> str:
    return re.sub(r"[\W_]+", " ", name).strip().lower()
