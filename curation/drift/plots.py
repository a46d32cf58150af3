"""Drift over days as a picture: PNG bytes, small enough for an asset's page. Draws; computes nothing."""

from collections.abc import Sequence
from math import sqrt

from curation.drift.kept import DayDrift
from curation.learning.plots import AGAINST, INK, SILENT, canvas, png_of

COLUMNS_DRAWN = 20


def drift_over_days(days: Sequence[DayDrift]) -> bytes:
    """A row per column, a column per day (oldest first): darker blue moved further, red alarmed, grey was not judged.

    Cells give the effect in standard deviations: the root of the population stability index.
    """
    names = list(dict.fromkeys(column.name for day in reversed(days) for column in day.columns))[:COLUMNS_DRAWN]
    figure, axes = canvas(width_inches=2.2 + 0.5 * max(4, len(days)), height_inches=1.2 + 0.24 * max(1, len(names)))
    for across, day in enumerate(days):
        found = {column.name: column for column in day.columns}
        for down, name in enumerate(names):
            column = found.get(name)
            if column is None or column.effect is None:
                colour, depth, told = (AGAINST, 0.9, "gone") if column is not None and column.alarm else (SILENT, 0.2, "")
            else:
                shift = sqrt(max(0.0, column.effect))
                colour, depth, told = (
                    (AGAINST, 0.9, f"{shift:.2f}") if column.alarm else (INK, min(0.6, 0.1 + shift), f"{shift:.2f}")
                )
            axes.fill_between([across - 0.47, across + 0.47], down - 0.45, down + 0.45, color=colour, alpha=depth, linewidth=0)
            axes.text(across, down, told, ha="center", va="center", fontsize="x-small", color="white" if depth > 0.5 else "black")
    axes.set_xlim(-0.5, max(4, len(days)) - 0.5)
    axes.set_ylim(len(names) - 0.5, -0.5)
    axes.set_xticks(range(len(days)), [f"{day.day:%m-%d}" for day in days], fontsize="small")
    axes.set_yticks(range(len(names)), [f"{name:.32}" for name in names], fontsize="small", parse_math=False)
    axes.set_title("shift in standard deviations; red is an alarm", fontsize="small")
    return png_of(figure)
