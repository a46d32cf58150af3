"""What the values of a batch look like, field by field, and what moved since the batch before. Warns; never refuses."""

import math
from collections import Counter
from typing import Any, NamedTuple

from pydantic import BaseModel, ConfigDict

from curation.ingestion.columns import JSON_TYPES, Delivered, Missing

DISTINCT_LIMIT = 10_000  # counted exactly up to here: enough for categories, ratings, segments; ids and texts have more
_FIGURES = 9  # significant digits kept of a mean: enough to read, and no promise beyond


class _Mean(NamedTuple):
    mean: float | None
    deviation: float | None
    values: int


class FieldProfile(BaseModel):
    """One field over the records of a batch that parsed; values and lengths are those of the valid ones."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    records: int
    types: dict[str, int]  # JSON type -> records with a value of it
    missing: int
    null: int
    distinct: int  # of values; DISTINCT_LIMIT means that many or more
    minimum: float | None = None  # of numbers; of times in seconds since 1970
    maximum: float | None = None
    mean: float | None = None
    deviation: float | None = None
    length_minimum: int | None = None  # of strings, in characters
    length_maximum: int | None = None
    length_mean: float | None = None
    length_deviation: float | None = None

    def share(self, what: str) -> float:
        """Of all records: those with a value of that JSON type, or `missing`, or `null`."""
        count = {"missing": self.missing, "null": self.null}.get(what, self.types.get(what, 0))
        return count / self.records if self.records else 0.0

    @property
    def value_mean(self) -> _Mean:
        """Of the numbers."""
        return _Mean(self.mean, self.deviation, sum(self.types.values()))

    @property
    def text_mean(self) -> _Mean:
        """Of the lengths."""
        return _Mean(self.length_mean, self.length_deviation, sum(self.types.values()))


class Profiler:
    """Builds the profiles of a batch, one block at a time."""

    def __init__(self) -> None:
        self._fields: dict[str, _Tally] = {}

    def add(self, field: str, delivered: Delivered, canonical: Any) -> None:
        """A field of a block: what was delivered, and the Arrow array of the valid values."""
        self._fields.setdefault(field, _Tally()).add(delivered, canonical)

    def profiles(self) -> dict[str, FieldProfile]:
        """Field name -> profile, in the order first added."""
        return {name: tally.profile() for name, tally in self._fields.items()}


class _Moments:
    def __init__(self) -> None:
        self.count = 0
        self.minimum = math.inf
        self.maximum = -math.inf
        self._sum = 0.0
        self._squares = 0.0
        self._origin: float | None = None  # near the values, so that squares of times keep their digits

    def add(self, values: Any) -> None:
        """A numpy array of numbers."""
        if len(values) == 0:
            return
        if self._origin is None:
            self._origin = float(values[0])
        offsets = values.astype("float64") - self._origin
        self.count += len(values)
        self.minimum = min(self.minimum, float(values.min()))
        self.maximum = max(self.maximum, float(values.max()))
        self._sum += float(offsets.sum())
        self._squares += float((offsets * offsets).sum())

    @property
    def mean(self) -> float:
        return _rounded((self._origin or 0.0) + self._sum / self.count)

    @property
    def deviation(self) -> float:
        return _rounded(math.sqrt(max(self._squares / self.count - (self._sum / self.count) ** 2, 0.0)))


class _Tally:
    def __init__(self) -> None:
        self._kinds: Counter[type] = Counter()
        self._distinct: set[Any] = set()
        self._numbers = _Moments()
        self._lengths = _Moments()

    def add(self, delivered: Delivered, canonical: Any) -> None:
        import pyarrow as pa
        import pyarrow.compute as pc

        values, kinds = delivered
        self._kinds += Counter(dict.fromkeys(kinds, len(values))) if len(kinds) == 1 else Counter(map(type, values))
        present = canonical.drop_null() if canonical.null_count else canonical
        if len(self._distinct) < DISTINCT_LIMIT:
            self._distinct.update(pc.unique(present).to_pylist())
        if pa.types.is_string(present.type):
            self._lengths.add(pc.utf8_length(present).to_numpy())
        elif pa.types.is_timestamp(present.type):
            self._numbers.add(present.view(pa.int64()).to_numpy() / 1e6)
        elif not pa.types.is_boolean(present.type):
            self._numbers.add(present.to_numpy())

    def profile(self) -> FieldProfile:
        numbers, lengths = self._numbers, self._lengths
        return FieldProfile(
            records=sum(self._kinds.values()),
            types={name: self._kinds[kind] for kind, name in JSON_TYPES.items() if self._kinds[kind]},
            missing=self._kinds[Missing],
            null=self._kinds[type(None)],
            distinct=min(len(self._distinct), DISTINCT_LIMIT),
            minimum=numbers.minimum if numbers.count else None,
            maximum=numbers.maximum if numbers.count else None,
            mean=numbers.mean if numbers.count else None,
            deviation=numbers.deviation if numbers.count else None,
            length_minimum=int(lengths.minimum) if lengths.count else None,
            length_maximum=int(lengths.maximum) if lengths.count else None,
            length_mean=lengths.mean if lengths.count else None,
            length_deviation=lengths.deviation if lengths.count else None,
        )


def moved(before: dict[str, FieldProfile], now: dict[str, FieldProfile], timestamps: frozenset[str] = frozenset()) -> list[str]:
    """A sentence with figures for every field whose profile moved; `timestamps` move by nature and are judged by type only.

    Types by more than 1 point, null and missing by more than 2, means by more than 0.3 standard deviations and 2%; and each by more
    than four standard errors, so that small batches do not cry wolf (one false alarm in 16,000 comparisons).
    """
    warnings: list[str] = []
    for name, latter in now.items():
        former = before.get(name)
        if former is None or not former.records or not latter.records:
            continue
        for what in sorted(former.types.keys() | latter.types.keys() | {"null", "missing"}):
            points = 0.02 if what in ("null", "missing") else 0.01
            was, is_now = former.share(what), latter.share(what)
            if abs(is_now - was) > max(points, 4 * _share_error(was, is_now, former.records, latter.records)):
                warnings.append(f"{name}: {was:.1%} to {is_now:.1%} of records are {what}")
        if name not in timestamps:
            warnings += _mean_moved(f"{name}: mean", former.value_mean, latter.value_mean)
            warnings += _mean_moved(f"{name}: mean length", former.text_mean, latter.text_mean)
    return warnings


def _mean_moved(what: str, before: _Mean, now: _Mean) -> list[str]:
    if before.mean is None or now.mean is None or before.deviation is None or now.deviation is None:
        return []
    error = math.sqrt(before.deviation**2 / max(before.values, 1) + now.deviation**2 / max(now.values, 1))
    threshold = max(0.3 * max(before.deviation, now.deviation), 4 * error, 0.02 * abs(before.mean))
    if min(before.values, now.values) < 30 or abs(now.mean - before.mean) <= threshold:
        return []
    return [f"{what} {before.mean:.4g} to {now.mean:.4g} (standard deviation {before.deviation:.4g} to {now.deviation:.4g})"]


def _share_error(one: float, other: float, count_one: int, count_other: int) -> float:
    pooled = (one * count_one + other * count_other) / (count_one + count_other)
    return math.sqrt(pooled * (1 - pooled) * (1 / count_one + 1 / count_other))


def _rounded(value: float) -> float:
    return float(f"{value:.{_FIGURES}g}")
