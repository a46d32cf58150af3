"""Charts as inline SVG, drawn on the server: lines with intervals and marks, stacked bars with a line, horizontal bars.

Values in, markup out; pure, and of no dataset. Each is a figure with a wide and a narrow drawing (a style sheet shows the one that
fits, so that text stays legible on a phone), a legend, and the same figures as a table. Colours are classes: no style attribute.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from feedback_service.pages import drawing as draw
from feedback_service.pages.drawing import CHARACTER_PX, Form, Plot, ticks

Kind = Literal["first", "promoted", "refused", "rolled_back"]
MARKS: dict[Kind, str] = {
    "first": "first model",
    "promoted": "promoted",
    "refused": "refused",
    "rolled_back": "rolled back",
}
"""What is told of a point by its shape as well as its colour."""

WIDTHS_PX = {"wide": 540, "narrow": 330}
SHORT = 24  # characters of a cell that is not worth a second line
ROW_PX, NAMED_ROW_PX = 26, 42  # of a horizontal bar: its name beside it, or above it where it is long


@dataclass(frozen=True)
class Cell:
    """A cell of a table; with `href` a link, with `is_number` set right."""

    text: str
    href: str | None = None
    is_number: bool = False


@dataclass(frozen=True)
class Table:
    """What a chart shows, for whoever reads rather than looks: header and rows of the same length."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell | str, ...], ...]


@dataclass(frozen=True)
class Words:
    """What is told of a chart: `name` distinguishes it on its page, `description` says in a sentence what is to be seen."""

    name: str
    title: str
    description: str


@dataclass(frozen=True)
class Point:
    """One point; `low` and `high` are its interval, `told` is shown when one points at it."""

    x: float
    y: float
    told: str
    low: float | None = None
    high: float | None = None
    mark: Kind | None = None


@dataclass(frozen=True)
class Line:
    """Points in the order of x. `hue` is one of the four series colours; `has_band` draws intervals as an area, else as bars."""

    name: str
    hue: int
    points: tuple[Point, ...]
    has_band: bool = False
    is_joined: bool = True


@dataclass(frozen=True)
class LineChart:
    """Lines over x. `x_ticks` are (x, text), thinned where they would touch; `form` writes values of y."""

    words: Words
    lines: tuple[Line, ...]
    x_ticks: tuple[tuple[float, str], ...]
    x_name: str
    form: Form
    table: Table
    y_from: float | None = None  # where the axis must begin, such as 0; None follows the points
    reference: float | None = None  # a horizontal line
    reference_name: str = ""


@dataclass(frozen=True)
class Stack:
    """One bar: the values of its parts from the bottom, and the value of the line at it, if any."""

    label: str
    parts: tuple[float, ...]
    told: str
    line: float | None = None


@dataclass(frozen=True)
class StackedBars:
    """Bars side by side, such as days, each stacked of the same `parts`; a line from 0 to 1 over them, read at the right."""

    words: Words
    parts: tuple[str, ...]
    stacks: tuple[Stack, ...]
    form: Form
    table: Table
    line_name: str = ""
    hues: tuple[int, ...] = (1, 2, 3, 4)


@dataclass(frozen=True)
class Bar:
    """One row: its value, and where there is one its interval. `tone` says what it means."""

    name: str
    value: float
    told: str
    low: float | None = None
    high: float | None = None
    tone: Literal["plain", "good", "warn", "bad"] = "plain"


@dataclass(frozen=True)
class HorizontalBars:
    """Rows from `start` to `end`, as bars or (`is_dotted`) as dots with their intervals; `reference` is a vertical line."""

    words: Words
    bars: tuple[Bar, ...]
    form: Form
    table: Table
    start: float = 0.0
    end: float | None = None
    is_dotted: bool = False
    reference: float | None = None
    reference_name: str = ""


def percent(value: float) -> str:
    """A share in words: 84.0%."""
    return f"{100 * value:.1f}%"


def whole(value: float) -> str:
    """A count in words: 1,884."""
    return f"{value:,.0f}"


def line_chart(chart: LineChart) -> Markup:
    """The figure of lines; "" without a point."""
    points = [point for line in chart.lines for point in line.points]
    if not points:
        return Markup("")
    marks = sorted({point.mark for point in points if point.mark}, key=list(MARKS).index)
    legend = [(f"key-line-{line.hue}", line.name) for line in chart.lines]
    legend += [(f"key-mark key-{mark}", MARKS[mark]) for mark in marks]
    legend += [("key-reference", chart.reference_name)] if chart.reference is not None else []
    return _figure(chart.words, legend, lambda width: _drawn_lines(chart, points, width), chart.table)


def stacked_bars(chart: StackedBars) -> Markup:
    """The figure of stacked bars; "" without a bar."""
    if not chart.stacks:
        return Markup("")
    legend = [(f"key-bar-{hue}", name) for hue, name in zip(chart.hues, chart.parts, strict=False)]
    legend += [("key-line-over", chart.line_name)] if chart.line_name else []
    return _figure(chart.words, legend, lambda width: _drawn_stacks(chart, width), chart.table)


def horizontal_bars(chart: HorizontalBars) -> Markup:
    """The figure of horizontal bars; "" without a bar."""
    if not chart.bars:
        return Markup("")
    legend = [("key-reference", chart.reference_name)] if chart.reference is not None else []
    return _figure(chart.words, legend, lambda width: _drawn_bars(chart, width), chart.table)


def _figure(words: Words, legend: Sequence[tuple[str, str]], drawn: Callable[[int], tuple[int, Markup]], table: Table) -> Markup:
    drawings = []
    for size, width in WIDTHS_PX.items():
        height, content = drawn(width)
        key = f"chart-{words.name}-{size}"
        drawings.append(
            Markup(
                '<svg class="chart-{size}" role="img" viewBox="0 0 {width} {height}" aria-labelledby="{key}-title {key}-desc">'
                '<title id="{key}-title">{title}</title><desc id="{key}-desc">{description}</desc>{content}</svg>'
            ).format(
                size=size,
                width=width,
                height=height,
                key=key,
                title=words.title,
                description=words.description,
                content=content,
            )
        )
    keys = draw.joined(
        Markup('<li><span class="key {}" aria-hidden="true"></span>{}</li>').format(name, text) for name, text in legend
    )
    return Markup(
        '<figure class="chart"><figcaption>{title}</figcaption>{legend}{drawings}'
        '<details class="chart-table"><summary>The figures<span class="visually-hidden"> of: {title}</span></summary>{table}</details>'
        "</figure>"
    ).format(
        title=words.title,
        legend=Markup('<ul class="chart-legend">{}</ul>').format(keys) if legend else "",
        drawings=draw.joined(drawings),
        table=table_of(table, words.title),
    )


def table_of(table: Table, caption: str) -> Markup:
    """The table alone, in a frame that scrolls where it is wider than the screen."""
    first = table.rows[0] if table.rows else table.header
    header = draw.joined(
        Markup('<th scope="col" class="{}">{}</th>').format(_class_of(cell), name)
        for name, cell in zip(table.header, first, strict=True)
    )
    rows = draw.joined(Markup("<tr>{}</tr>").format(draw.joined(_cell(cell) for cell in row)) for row in table.rows)
    return Markup(
        '<div class="table-scroll" role="region" aria-label="{0}" tabindex="0"><table class="table">'
        '<caption class="visually-hidden">{0}</caption><thead><tr>{1}</tr></thead><tbody>{2}</tbody></table></div>'
    ).format(caption, header, rows)


def _class_of(cell: Cell | str) -> str:
    """How a cell is set: numbers to the right, short words in one line."""
    if isinstance(cell, Cell) and cell.is_number:
        return "number"
    return "short" if len(cell if isinstance(cell, str) else cell.text) <= SHORT else "words"


def _cell(cell: Cell | str) -> Markup:
    shown = Cell(cell) if isinstance(cell, str) else cell
    content = Markup('<a href="{}">{}</a>').format(shown.href, shown.text) if shown.href else shown.text
    return Markup('<td class="{}">{}</td>').format(_class_of(shown), content)


def _drawn_lines(chart: LineChart, points: Sequence[Point], width: int) -> tuple[int, Markup]:
    height = 270 if width > 400 else 230
    lows = [point.y if point.low is None else point.low for point in points]
    highs = [point.y if point.high is None else point.high for point in points]
    if chart.reference is not None:
        lows, highs = [*lows, chart.reference], [*highs, chart.reference]
    y_range = _padded(min(lows), max(highs), chart.y_from)
    values = ticks(*y_range, at_most=6)
    left = 12 + CHARACTER_PX * max(len(chart.form(value)) for value in values)
    positions = [point.x for point in points]
    air = (max(positions) - min(positions)) * 0.04
    plot = Plot(left, width - 16, 14, height - 44, (min(positions) - air, max(positions) + air), y_range)
    pieces = [draw.horizontal_grid(plot, values, chart.form)]
    pieces.append(draw.x_axis(plot, [(plot.x(x), text) for x, text in chart.x_ticks], chart.x_name, height))
    if chart.reference is not None:
        at = plot.y(chart.reference)
        pieces.append(draw.line(plot.left, at, plot.right, at, "reference"))
    for line in reversed(chart.lines):  # the first is the one that matters: on top
        pieces.append(_drawn_line(plot, line))
    return height, draw.joined(pieces)


def _drawn_line(plot: Plot, line: Line) -> Markup:
    """Band or error bars first, then the line, then dots and marks on top."""
    pieces = []
    ranged = [
        (plot.x(point.x), plot.y(point.low), plot.y(point.high))
        for point in line.points
        if point.low is not None and point.high is not None
    ]
    if line.has_band and len(ranged) > 1:
        outline = [(x, high) for x, _, high in ranged] + [(x, low) for x, low, _ in reversed(ranged)]
        pieces.append(Markup('<path class="band band-{}" d="{}Z"/>').format(line.hue, draw.path(outline)))
    else:
        for x, low, high in ranged:
            pieces.append(draw.line(x, low, x, high, f"whisker whisker-{line.hue}"))
            pieces += [draw.line(x - 4, end, x + 4, end, f"whisker whisker-{line.hue}") for end in (low, high)]
    places = [(plot.x(point.x), plot.y(point.y)) for point in line.points]
    if line.is_joined and len(places) > 1:
        pieces.append(Markup('<path class="line line-{}" d="{}"/>').format(line.hue, draw.path(places)))
    for (x, y), point in zip(places, line.points, strict=True):
        shape = _mark(x, y, point.mark) if point.mark else draw.circle(x, y, 4, f"dot dot-{line.hue}")
        pieces.append(Markup("<g>{}<title>{}</title></g>").format(shape, point.told))
    return draw.joined(pieces)


def _mark(x: float, y: float, kind: Kind) -> Markup:
    """A shape of its own for each kind: ring, triangle up, cross, triangle down."""
    if kind == "first":
        return draw.circle(x, y, 6, "mark mark-first")
    if kind == "refused":
        corners = [((x - 6, y - 6), (x + 6, y + 6)), ((x - 6, y + 6), (x + 6, y - 6))]
        return Markup('<path class="mark mark-refused" d="{}"/>').format("".join(draw.path(pair) for pair in corners))
    up = -1 if kind == "promoted" else 1
    corners_of = [(x - 8, y - up * 6), (x + 8, y - up * 6), (x, y + up * 8)]
    return Markup('<path class="mark mark-{}" d="{}Z"/>').format(kind, draw.path(corners_of))


def _drawn_stacks(chart: StackedBars, width: int) -> tuple[int, Markup]:
    height = 270 if width > 400 else 220
    values = ticks(0, max(1.0, *(sum(stack.parts) for stack in chart.stacks)), at_most=5)
    tallest = max(1.0, *(sum(stack.parts) for stack in chart.stacks))
    left = 12 + CHARACTER_PX * max(len(chart.form(value)) for value in values)
    right = width - (46 if chart.line_name else 12)
    plot = Plot(left, right, 14, height - 30, (0, len(chart.stacks)), (0, tallest * 1.04))
    pieces = [draw.horizontal_grid(plot, values, chart.form)]
    slot = (plot.right - plot.left) / len(chart.stacks)
    for place, stack in enumerate(chart.stacks):
        bars, base = [], 0.0
        for hue, value in zip(chart.hues, stack.parts, strict=False):
            top, bottom = plot.y(base + value), plot.y(base)
            base += value
            if value:
                bars.append(draw.bar(plot.left + slot * place + slot * 0.14, top, slot * 0.72, bottom - top, f"bar bar-{hue}"))
        pieces.append(Markup("<g>{}<title>{}</title></g>").format(draw.joined(bars), stack.told))
    middles = [plot.left + slot * (place + 0.5) for place in range(len(chart.stacks))]
    if chart.line_name:
        over = Plot(plot.left, plot.right, plot.top, plot.bottom, plot.x_range, (0, 1))
        places = [(x, over.y(stack.line)) for x, stack in zip(middles, chart.stacks, strict=True) if stack.line is not None]
        pieces.append(Markup('<path class="line line-over" d="{}"/>').format(draw.path(places)) if places else Markup(""))
        pieces += [draw.circle(x, y, 3, "dot dot-over") for x, y in places]
        pieces += [draw.text(plot.right + 6, over.y(value) + 4, f"{value:.0%}", "tick") for value in (0, 0.5, 1)]
    pieces.append(draw.x_axis(plot, [(x, stack.label) for x, stack in zip(middles, chart.stacks, strict=True)], "", height))
    return height, draw.joined(pieces)


def _drawn_bars(chart: HorizontalBars, width: int) -> tuple[int, Markup]:
    end = _end_of(chart)
    longest = 20 + CHARACTER_PX * max(len(bar.name) for bar in chart.bars)
    is_above = longest > width * 0.35
    left, row = (6.0, NAMED_ROW_PX) if is_above else (longest, ROW_PX)
    right = width - 14 - CHARACTER_PX * max(len(chart.form(bar.value)) for bar in chart.bars)
    height = row * len(chart.bars) + 34
    plot = Plot(left, right, 6, height - 28, (chart.start, end), (0, len(chart.bars)))
    values = ticks(chart.start, end, at_most=5)
    pieces = [draw.line(plot.x(value), plot.top, plot.x(value), plot.bottom, "grid-line") for value in values]
    pieces.append(draw.x_axis(plot, [(plot.x(value), chart.form(value)) for value in values], "", height))
    for place, bar in enumerate(chart.bars):
        middle = plot.top + row * (place + (0.68 if is_above else 0.5))
        name = draw.text(left - 8, middle + 4, bar.name, "tick tick-name")
        if is_above:
            name = draw.text(left, middle - 12, draw.shortened(bar.name, width - left), "tick tick-above")
        value = draw.text(plot.right + 8, middle + 4, chart.form(bar.value), "tick tick-value")
        shape = _drawn_bar(chart, plot, bar, middle, end)
        pieces.append(Markup("<g>{}{}{}<title>{}</title></g>").format(shape, name, value, bar.told))
    if chart.reference is not None:
        at = plot.x(chart.reference)
        pieces.append(draw.line(at, plot.top, at, plot.bottom, "reference"))
    return height, draw.joined(pieces)


def _end_of(chart: HorizontalBars) -> float:
    if chart.end is not None:
        return chart.end
    ends = [bar.value if bar.high is None else bar.high for bar in chart.bars]
    return max([*ends, chart.reference or 0.0]) * 1.02 or 1.0


def _drawn_bar(chart: HorizontalBars, plot: Plot, bar: Bar, middle: float, end: float) -> Markup:
    """A bar or a dot at its value, and the interval around it, both cut at the ends of the scale."""
    at = plot.x(min(max(bar.value, chart.start), end))
    pieces = []
    if not chart.is_dotted:
        pieces.append(draw.bar(plot.left, middle - 7, max(at - plot.left, 1), 14, f"bar bar-{bar.tone}"))
    if bar.low is not None and bar.high is not None:
        low, high = plot.x(max(bar.low, chart.start)), plot.x(min(bar.high, end))
        pieces.append(draw.line(low, middle, high, middle, f"whisker whisker-{bar.tone}"))
    if chart.is_dotted:
        pieces.append(draw.circle(at, middle, 5, f"dot dot-{bar.tone}"))
    return draw.joined(pieces)


def _padded(low: float, high: float, start: float | None) -> tuple[float, float]:
    """A range with some air around it, also when all values are one."""
    air = (high - low) * 0.08 or abs(high) * 0.05 or 1.0
    return (low - air if start is None else min(start, low)), high + air
