"""The chart of predictions by arrival day: how many of each label, and how sure the model was. Counts in, a figure out."""

import datetime
from collections.abc import Iterable, Sequence

from markupsafe import Markup

from curation.prediction_browser import DayCount
from feedback_service.pages.charts import Cell, Stack, StackedBars, Table, Words, stacked_bars

BARS_AT_MOST = 60
"""Of more days, several are one bar: at 60, a bar is 6 px of the narrow drawing."""
HUES = 4
OTHERS = "others"


def chart_of_days(days: Sequence[DayCount], labels: Sequence[str]) -> Markup:
    """The figure of these counts (oldest first), labels in the order of `labels`; "" without any. Days without predictions show."""
    if not days:
        return Markup("")
    first, last = days[0].day, days[-1].day
    days_a_bar = -(-((last - first).days + 1) // BARS_AT_MOST)
    parts = _parts([*labels, *sorted({counted.label for counted in days} - set(labels))])
    bars: list[list[DayCount]] = [[] for _ in range((last - first).days // days_a_bar + 1)]
    for counted in days:
        bars[(counted.day - first).days // days_a_bar].append(counted)
    stacks = [_stack(first + datetime.timedelta(days=days_a_bar * place), bar, parts) for place, bar in enumerate(bars)]
    a_bar = "day" if days_a_bar == 1 else f"{days_a_bar} days"
    total, sure = _sum(days), _mean(days)
    words = Words(
        "days",
        f"Predictions and mean confidence by {'arrival day' if days_a_bar == 1 else a_bar}",
        f"{total:,} {'prediction' if total == 1 else 'predictions'} from {first} to {last}, {sure:.0%} sure on average.",
    )
    rows = tuple(_figures(stack) for stack in stacks)
    table = Table(("from" if days_a_bar > 1 else "day", *parts, "mean confidence"), rows)
    return stacked_bars(
        StackedBars(words, parts, tuple(stacks), lambda value: f"{value:,.0f}", table, line_name="mean confidence")
    )


def _parts(labels: Sequence[str]) -> tuple[str, ...]:
    """The labels that have a colour of their own, and `OTHERS` where there are more."""
    return tuple(labels) if len(labels) <= HUES else (*labels[: HUES - 1], OTHERS)


def _stack(day: datetime.date, bar: Sequence[DayCount], parts: Sequence[str]) -> Stack:
    counts = dict.fromkeys(parts, 0)
    for counted in bar:
        counts[counted.label if counted.label in counts else OTHERS] += counted.predictions
    sure = _mean(bar) if bar else None
    told = ", ".join(f"{count:,} {label}" for label, count in counts.items() if count) or "no predictions"
    return Stack(day.isoformat(), tuple(counts.values()), f"{day}: {told}; {_percent(sure)} sure on average", sure)


def _figures(stack: Stack) -> tuple[Cell | str, ...]:
    numbers = [*(f"{value:,.0f}" for value in stack.parts), _percent(stack.line)]
    return (stack.label, *(Cell(number, is_number=True) for number in numbers))


def _sum(days: Iterable[DayCount]) -> int:
    return sum(counted.predictions for counted in days)


def _mean(days: Sequence[DayCount]) -> float:
    return sum(counted.confidence * counted.predictions for counted in days) / _sum(days)


def _percent(share: float | None) -> str:
    return "–" if share is None else f"{share:.0%}"
