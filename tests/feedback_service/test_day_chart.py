"""The chart of predictions by day: no day is left out, many days share a bar, and no label is lost for want of a colour."""

import datetime
import re

import pytest

from curation.prediction_browser import DayCount
from feedback_service.pages.day_chart import BARS_AT_MOST, chart_of_days

FIRST = datetime.date(2026, 1, 1)


def count(day: int, label: str = "good", predictions: int = 10, confidence: float = 0.5) -> DayCount:
    return DayCount(FIRST + datetime.timedelta(days=day), label, predictions, confidence)


def figures(days: list[DayCount], labels: tuple[str, ...] = ("bad", "good")) -> list[list[str]]:
    """The rows of the chart's table, its header first."""
    markup = str(chart_of_days(days, labels))
    rows = re.findall(r"<tr>(.*?)</tr>", markup, re.DOTALL)
    return [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row) for row in rows]


def test_a_day_without_predictions_has_its_place() -> None:
    counts = [count(0, "bad", 30, 0.6), count(0, "good", 10, 1.0), count(2)]
    assert figures(counts) == [
        ["day", "bad", "good", "mean confidence"],
        ["2026-01-01", "30", "10", "70%"],
        ["2026-01-02", "0", "0", "–"],
        ["2026-01-03", "0", "10", "50%"],
    ]


@pytest.mark.parametrize(("days", "bars"), [(BARS_AT_MOST, 60), (BARS_AT_MOST + 1, 31), (1_000, 59)], ids=str)
def test_of_many_days_several_share_a_bar_and_none_is_lost(days: int, bars: int) -> None:
    _, *rows = figures([count(day) for day in range(days)])
    assert len(rows) == bars
    assert sum(int(row[2].replace(",", "")) for row in rows) == 10 * days


def test_more_labels_than_colours_are_counted_together() -> None:
    labels = ("a", "b", "c", "d", "e")
    header, row = figures([count(0, label) for label in (*labels, "of a former model")], labels)
    assert header == ["day", "a", "b", "c", "others", "mean confidence"]
    assert row[1:5] == ["10", "10", "10", "30"]


def test_without_predictions_there_is_no_chart() -> None:
    assert chart_of_days([], ("bad", "good")) == ""
