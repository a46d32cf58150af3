"""Charts on the server: what is drawn, where it lies, what a reader without eyes gets, and that nothing breaks out of it."""

import xml.etree.ElementTree as ElementTree
from xml.etree.ElementTree import Element

import pytest

from feedback_service.pages.charts import (
    Bar,
    Cell,
    HorizontalBars,
    Line,
    LineChart,
    Point,
    Stack,
    StackedBars,
    Table,
    Words,
    horizontal_bars,
    line_chart,
    percent,
    stacked_bars,
    whole,
)
from feedback_service.pages.drawing import ticks

WORDS = Words("accuracy", "Accuracy <by> version", "How many are right & how sure we are.")
TABLE = Table(("version", "accuracy"), ((Cell("v1", href="/runs/1?a=1&b=2"), Cell("84.0%", is_number=True)),))


def figure(markup: str) -> Element:
    return ElementTree.fromstring(markup)


def lines(*points: Point, has_band: bool = False) -> Element:
    x_ticks = tuple((point.x, f"v{point.x:.0f}") for point in points)
    return figure(
        line_chart(LineChart(WORDS, (Line("champion", 1, points, has_band=has_band),), x_ticks, "version", percent, TABLE))
    )


def wide(drawn: Element) -> Element:
    (found,) = (svg for svg in drawn.iter("svg") if svg.get("class") == "chart-wide")
    return found


def of_class(drawn: Element, name: str) -> list[Element]:
    return [element for element in wide(drawn).iter() if name in (element.get("class") or "").split()]


THREE = tuple(Point(x, 0.8 + x / 100, f"version {x}", 0.75, 0.9) for x in (1, 2, 3))


def test_every_drawing_is_an_image_with_a_title_and_a_description_of_its_own() -> None:
    drawn = lines(*THREE)
    for svg in drawn.iter("svg"):
        labelled = {element.get("id"): element.text for element in svg if element.tag in {"title", "desc"}}
        assert svg.get("role") == "img"
        assert [labelled[key] for key in (svg.get("aria-labelledby") or "").split()] == [WORDS.title, WORDS.description]
    ids = [element.get("id") for element in drawn.iter() if element.get("id")]
    assert len(set(ids)) == len(ids) == 4


def test_the_same_figures_stand_in_a_table_with_its_links() -> None:
    drawn = lines(*THREE)
    (table,) = drawn.iter("table")
    assert [cell.text for cell in table.iter("th")] == ["version", "accuracy"]
    assert [(link.get("href"), link.text) for link in table.iter("a")] == [("/runs/1?a=1&b=2", "v1")]
    assert [cell.text for cell in table.iter("td") if cell.get("class") == "number"] == ["84.0%"]


def test_no_style_no_script_and_no_markup_from_values_enters_the_page() -> None:
    evil = '"><script>alert(1)</script><b style="x'
    words = Words("a", evil, evil)
    table = Table((evil,), ((Cell(evil, href="/x?" + evil),),))
    drawn = [
        line_chart(LineChart(words, (Line(evil, 1, (Point(0, 1, evil),)),), ((0, evil),), evil, whole, table)),
        stacked_bars(StackedBars(words, (evil,), (Stack(evil, (1,), evil),), whole, table)),
        horizontal_bars(HorizontalBars(words, (Bar(evil, 1, evil),), whole, table, reference=1, reference_name=evil)),
    ]
    for markup in drawn:
        elements = list(figure(markup).iter())
        assert not [element for element in elements if element.tag in {"script", "b", "style"}]
        assert not [name for element in elements for name in element.attrib if name == "style" or name.startswith("on")]


def test_points_lie_in_order_and_higher_values_lie_higher() -> None:
    dots = of_class(lines(*THREE), "dot")
    across, down = ([float(dot.get(name) or "nan") for dot in dots] for name in ("cx", "cy"))
    assert across == sorted(across) and down == sorted(down, reverse=True)
    assert all(0 <= x <= 540 for x in across) and all(0 <= y <= 270 for y in down)


def test_intervals_are_bars_or_a_band() -> None:
    assert len(of_class(lines(*THREE), "whisker")) == 9 and not of_class(lines(*THREE), "band")
    banded = lines(*THREE, has_band=True)
    assert len(of_class(banded, "band")) == 1 and not of_class(banded, "whisker")


def test_marks_differ_in_shape_and_are_explained_once_each() -> None:
    kinds = ("first", "promoted", "refused", "rolled_back", "promoted")
    drawn = lines(*(Point(x, 0.8, "", mark=kind) for x, kind in enumerate(kinds)))  # type: ignore[arg-type]
    shapes = {mark.get("class"): mark.tag + (mark.get("d") or "")[-1:] for mark in of_class(drawn, "mark")}
    assert list(shapes) == ["mark mark-first", "mark mark-promoted", "mark mark-refused", "mark mark-rolled_back"]
    legend = ["".join(item.itertext()) for item in drawn.iter("li")]
    assert legend == ["champion", "first model", "promoted", "refused", "rolled back"]


def test_a_single_point_and_equal_values_have_a_place() -> None:
    (dot,) = of_class(lines(Point(5, 0.8, "")), "dot")
    assert 0 < float(dot.get("cx") or "nan") < 540 and 0 < float(dot.get("cy") or "nan") < 270


def test_labels_that_would_touch_are_left_out_but_never_the_last() -> None:
    drawn = lines(*(Point(x, 0.8, "") for x in range(100)))
    told = [text.text for text in of_class(drawn, "tick-middle")]
    assert "v99" in told and 10 < len(told) < 40


def test_without_a_value_there_is_no_figure() -> None:
    nothing = Table((), ())
    assert line_chart(LineChart(WORDS, (Line("a", 1, ()),), (), "", whole, nothing)) == ""
    assert stacked_bars(StackedBars(WORDS, ("a",), (), whole, nothing)) == ""
    assert horizontal_bars(HorizontalBars(WORDS, (), whole, nothing)) == ""


def test_stacked_parts_lie_on_each_other_in_proportion_and_the_line_is_read_at_the_right() -> None:
    stacks = (Stack("1 Nov", (30, 10), "", line=0.5), Stack("2 Nov", (0, 40), "", line=1.0))
    drawn = figure(stacked_bars(StackedBars(WORDS, ("kept", "spam"), stacks, whole, TABLE, line_name="confidence")))
    bars = [{name: float(bar.get(name) or "nan") for name in ("x", "y", "height")} for bar in of_class(drawn, "bar")]
    assert len(bars) == 3, "nothing of a part is no bar"
    kept, spam, other = bars
    assert kept["height"] == pytest.approx(3 * spam["height"], abs=0.2)
    assert spam["y"] + spam["height"] == pytest.approx(kept["y"], abs=0.2)
    assert other["height"] == pytest.approx(kept["height"] + spam["height"], abs=0.2) and other["x"] > kept["x"]
    lower, upper = (float(dot.get("cy") or "nan") for dot in of_class(drawn, "dot-over"))
    assert upper < lower
    assert [text.text for text in of_class(drawn, "tick")][-5:-2] == ["0%", "50%", "100%"]


def test_horizontal_bars_grow_to_the_right_and_the_reference_stands_where_it_belongs() -> None:
    bars = (Bar("gus", 0.25, "", tone="bad"), Bar("anna", 0.5, ""), Bar("ben", 1.0, ""))
    chart = HorizontalBars(WORDS, bars, percent, TABLE, end=1.0, reference=0.5, reference_name="guessing")
    drawn = figure(horizontal_bars(chart))
    widths = [float(bar.get("width") or "nan") for bar in of_class(drawn, "bar")]
    assert widths == pytest.approx([widths[2] / 4, widths[2] / 2, widths[2]], abs=0.2)
    (reference,) = of_class(drawn, "reference")
    left = float(of_class(drawn, "bar")[1].get("x") or "nan")
    assert float(reference.get("x1") or "nan") == pytest.approx(left + widths[1], abs=0.2)
    assert [bar.get("class") for bar in of_class(drawn, "bar")] == ["bar bar-bad", "bar bar-plain", "bar bar-plain"]


def test_long_names_stand_above_their_rows_and_are_cut_where_the_drawing_ends() -> None:
    name = "marketplace: rating must be one of terrible, poor, average, good, excellent or nothing at all, as declared"
    chart = HorizontalBars(WORDS, (Bar(name, 3, ""),), whole, TABLE)
    (shown,) = of_class(figure(horizontal_bars(chart)), "tick-above")
    assert shown.text is not None and shown.text.endswith("…") and name.startswith(shown.text[:-1])


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (0.823, 0.931, [0.84, 0.86, 0.88, 0.9, 0.92]),
        (0.0, 7300.0, [0.0, 2000.0, 4000.0, 6000.0]),
        (3.0, 3.0, [3.0]),
    ],
    ids=["shares", "narrow", "counts", "one value"],
)
def test_ticks_are_round_and_within(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high, 6) == expected
