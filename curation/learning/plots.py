"""Pictures of a model and its data as PNG bytes, small enough to stand in an asset's metadata. Draws; computes nothing.

matplotlib without pyplot: no global state, no window, and a second of CPU less to import.
"""

import base64
import io
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from curation.learning.evaluation import Evaluation
from curation.learning.gate import Part, Verdict
from curation.learning.label_value import LabelValue

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

DOTS_PER_INCH = 80
INK = "#1f4e79"
AGAINST = "#b3261e"
SILENT = "#8a8a8a"
PARTS_DRAWN = 24
"""Rows of a forest plot: what fits on a screen, and on what a verdict usually rests."""


def confusion_matrix(evaluation: Evaluation) -> bytes:
    """True classes down, predicted classes across; each cell its rows and their share of the true class."""
    counts = np.asarray(evaluation.confusion)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = canvas(width_inches=1.6 + 1.2 * len(counts), height_inches=1.2 + 0.8 * len(counts))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto")
    for (row, column), share in np.ndenumerate(shares):
        text_colour = "white" if share > 0.5 else "black"
        axes.text(column, row, f"{counts[row, column]:,}\n{share:.0%}", ha="center", va="center", color=text_colour)
    axes.set_xticks(range(len(counts)), evaluation.labels)
    axes.set_yticks(range(len(counts)), evaluation.labels)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    return png_of(figure)


def class_balance(counts: Mapping[str, Mapping[str, int]]) -> bytes:
    """The share of each class in each split; `counts` maps split to class to rows."""
    classes = sorted({name for by_class in counts.values() for name in by_class})
    figure, axes = canvas(width_inches=5.6, height_inches=1.4 + 0.5 * len(counts))
    left = np.zeros(len(counts))
    for name in classes:
        rows = np.asarray([by_class.get(name, 0) for by_class in counts.values()])
        shares = rows / np.maximum([sum(by_class.values()) for by_class in counts.values()], 1)
        bars = axes.barh(range(len(counts)), shares, left=left, label=name)
        axes.bar_label(
            bars, [f"{count:,}" if share > 0.06 else "" for count, share in zip(rows, shares, strict=True)], label_type="center"
        )
        left += shares
    axes.set_yticks(range(len(counts)), list(counts))
    axes.invert_yaxis()
    axes.set_xlim(0, 1)
    axes.set_xlabel("share of rows")
    axes.legend(ncols=min(4, len(classes)), loc="lower center", bbox_to_anchor=(0.5, 1.0), frameon=False)
    return png_of(figure)


def reliability_diagram(evaluation: Evaluation) -> bytes:
    """Accuracy against confidence, a point per bin, sized by its rows; on the dashed line a probability means what it says."""
    figure, axes = canvas(width_inches=4.4, height_inches=3.6)
    largest = max(part.rows for part in evaluation.reliability)
    confidences = [part.mean_confidence for part in evaluation.reliability]
    sizes = [20 + 180 * part.rows / largest for part in evaluation.reliability]
    axes.plot([0, 1], [0, 1], linestyle="--", color="grey", linewidth=1)
    axes.scatter(confidences, [part.accuracy for part in evaluation.reliability], s=sizes, color=INK)
    axes.set_xlim(0, 1)
    axes.set_ylim(0, 1.02)
    axes.set_xlabel("confidence")
    axes.set_ylabel("accuracy")
    axes.set_title(f"calibration error {evaluation.calibration_error.value:.3f}", fontsize="medium")
    return png_of(figure)


def verdict(judged: Verdict) -> bytes:
    """Challenger minus champion in points with its 95% interval: overall, control arm, then the slices, voting ones first.

    Dashed lines are the margins, overall and of a slice. Red stands against the challenger; hollow and grey does not vote.
    """
    slices = sorted(judged.slices, key=lambda part: (not part.is_against, not part.has_vote))
    parts = [judged.overall, *([judged.control] if judged.control is not None else []), *slices][:PARTS_DRAWN]
    figure, axes = canvas(width_inches=6.4, height_inches=1.2 + 0.22 * len(parts))
    for line, part in enumerate(parts):
        _interval(axes, line, part)
    axes.axvline(0, color="black", linewidth=0.8)
    for margin in (judged.policy.margin_points, judged.policy.slice_margin_points):
        axes.axvline(-margin, color=SILENT, linewidth=1, linestyle="--")
    axes.set_yticks(range(len(parts)), [f"{part.name:.40} ({part.rows:,})" for part in parts], fontsize="small", parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("challenger minus champion, accuracy in points")
    axes.set_title(judged.kind, fontsize="medium")
    return png_of(figure)


def label_value(compared: LabelValue) -> bytes:
    """Accuracy on the control arm against labels used, a line for each arm with its 95% intervals; the title says what follows."""
    figure, axes = canvas(width_inches=6.4, height_inches=3.8)
    for arm, colour, aside in (("random", SILENT, -1), ("chosen", INK, 1)):
        points = [point for point in compared.points if point.arm == arm]
        values = np.array([point.accuracy.value for point in points])
        reach = np.array([[point.accuracy.low, point.accuracy.high] for point in points]).T
        labels = (
            np.array([point.labels for point in points]) + aside * compared.matched / 100
        )  # so that intervals do not hide each other
        axes.errorbar(
            labels, values, yerr=np.abs(reach - values), color=colour, marker="o", markersize=4, capsize=2, label=f"{arm} labels"
        )
    axes.set_xlabel("labels used")
    axes.set_ylabel(f"accuracy on {compared.judged_on:,} labels of the control arm")
    axes.set_title(compared.why, fontsize="small", wrap=True)
    axes.legend(frameon=False, loc="lower right")
    return png_of(figure)


def as_markdown_image(png: bytes, description: str) -> str:
    """The picture within the text itself, for markdown metadata: nothing to serve, nothing to lose."""
    return f"![{description}](data:image/png;base64,{base64.b64encode(png).decode('ascii')})"


def _interval(axes: "Axes", line: int, part: Part) -> None:
    """One line of a forest plot: the difference as a point on its interval."""
    colour = AGAINST if part.is_against else INK if part.has_vote else SILENT
    difference = part.difference_points
    axes.plot([difference.low, difference.high], [line, line], color=colour, linewidth=1.5)
    axes.plot(
        difference.value, line, marker="o", markersize=5, color=colour, markerfacecolor=colour if part.has_vote else "white"
    )


def canvas(width_inches: float, height_inches: float) -> "tuple[Figure, Axes]":
    """An empty picture to draw on, and its axes."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width_inches, height_inches), dpi=DOTS_PER_INCH, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, figure.add_subplot()


def png_of(figure: "Figure") -> bytes:
    """The picture as PNG bytes in 64 colours."""
    from PIL import Image

    drawn, small = io.BytesIO(), io.BytesIO()
    with warnings.catch_warnings():
        # A label in a script that the bundled font lacks is drawn as boxes: worth drawing, not worth a warning a letter.
        warnings.filterwarnings("ignore", message=r"Glyph \d+")
        figure.savefig(drawn, format="png")
    # 64 colours are enough for a plot: 24 lines of a verdict take 14 kB instead of 58.
    Image.open(drawn).convert("RGB").quantize(64).save(small, format="png", optimize=True)
    return small.getvalue()
