"""Pieces of an SVG drawing: a plot's scales, its axes and grid, and the few shapes that charts are made of.

Numbers and class names in, markup out; what a chart means is known by `charts`.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

Form = Callable[[float], str]
CHARACTER_PX = 7.0  # of the 12 px text in the drawings, widest usual letters


@dataclass(frozen=True)
class Plot:
    """The area that values are drawn in, in pixels, and the values at its edges."""

    left: float
    right: float
    top: float
    bottom: float
    x_range: tuple[float, float]
    y_range: tuple[float, float]

    def x(self, value: float) -> float:
        """Where a value of x lies, in pixels."""
        low, high = self.x_range
        return self.left + (self.right - self.left) * ((value - low) / (high - low) if high > low else 0.5)

    def y(self, value: float) -> float:
        """Where a value of y lies, in pixels."""
        low, high = self.y_range
        return self.bottom - (self.bottom - self.top) * ((value - low) / (high - low) if high > low else 0.5)


def ticks(low: float, high: float, at_most: int) -> list[float]:
    """Round values (1, 2 or 5 times a power of ten apart) within [low, high], at most `at_most` of them."""
    span = high - low
    if span <= 0:
        return [low]
    step = 10.0 ** math.floor(math.log10(span / at_most))
    step *= next(factor for factor in (1, 2, 5, 10, 20) if span / (step * factor) < at_most)
    first = math.ceil(low / step - 1e-9)
    return [round(number * step, 10) for number in range(first, math.floor(high / step + 1e-9) + 1)]


def shortened(name: str, room_px: float) -> str:
    """`name`, cut where it would be wider than the room for it."""
    fitting = max(4, int(room_px / CHARACTER_PX))
    return name if len(name) <= fitting else f"{name[: fitting - 1]}…"


def horizontal_grid(plot: Plot, values: Sequence[float], form: Form) -> Markup:
    """A line at each value of y, with the value at its left."""
    pieces = []
    for value in values:
        pieces.append(line(plot.left, plot.y(value), plot.right, plot.y(value), "grid-line"))
        pieces.append(text(plot.left - 8, plot.y(value) + 4, form(value), "tick tick-name"))
    return joined(pieces)


def x_axis(plot: Plot, labels: Sequence[tuple[float, str]], name: str, height: int) -> Markup:
    """The axis at the bottom with as many labels (x in pixels, text) as fit side by side, always the last, and its name."""
    pieces = [line(plot.left, plot.bottom, plot.right, plot.bottom, "axis")]
    free_until = math.inf
    for x, label in reversed(labels):
        half = CHARACTER_PX * len(label) / 2 + 3
        if x + half <= free_until:
            pieces.append(text(x, plot.bottom + 18, label, "tick tick-middle"))
            free_until = x - half
    if name:
        pieces.append(text((plot.left + plot.right) / 2, height - 4, name, "tick tick-middle axis-name"))
    return joined(pieces)


def joined(pieces: Iterable[Markup]) -> Markup:
    """The pieces one after the other."""
    return Markup("").join(pieces)


def path(places: Sequence[tuple[float, float]]) -> str:
    """The `d` of an open path through (x, y) in pixels."""
    return "".join(f"{'L' if number else 'M'}{x:.1f} {y:.1f}" for number, (x, y) in enumerate(places))


def line(x1: float, y1: float, x2: float, y2: float, name: str) -> Markup:
    """A straight line of class `name`."""
    return Markup('<line class="{}" x1="{:.1f}" y1="{:.1f}" x2="{:.1f}" y2="{:.1f}"/>').format(name, x1, y1, x2, y2)


def bar(x: float, y: float, width: float, height: float, name: str) -> Markup:
    """A rectangle of class `name`, from its upper left corner."""
    return Markup('<rect class="{}" x="{:.1f}" y="{:.1f}" width="{:.1f}" height="{:.1f}"/>').format(name, x, y, width, height)


def circle(x: float, y: float, radius: float, name: str) -> Markup:
    """A circle of class `name`."""
    return Markup('<circle class="{}" cx="{:.1f}" cy="{:.1f}" r="{:g}"/>').format(name, x, y, radius)


def text(x: float, y: float, words: str, name: str) -> Markup:
    """Words of class `name` at a baseline; where they are anchored is the class's affair."""
    return Markup('<text class="{}" x="{:.1f}" y="{:.1f}">{}</text>').format(name, x, y, words)
