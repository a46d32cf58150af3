"""The charts of a loop's health, with the same figures as tables. From `curation.health`, to markup; computes nothing, reads nothing."""

import datetime
from collections.abc import Callable
from typing import Literal

from markupsafe import Markup

from curation.health.delays import Wait, duration
from curation.health.loop import Delays
from curation.health.progress import Progress, Score, Step
from curation.health.trust import Trust
from curation.health.value import Bought
from curation.learning.evaluation import Estimate
from curation.learning.label_value import Point as ShadowPoint
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

DECISIONS_DRAWN, SLICES_DRAWN, ANNOTATORS_DRAWN, REASONS_DRAWN = 40, 10, 10, 8
ROWS_SHOWN = 200  # of a table; a page stays below 300 kB


def day(moment: datetime.datetime) -> str:
    """A moment as people write it, in UTC."""
    return f"{moment.astimezone(datetime.UTC):%-d %b %Y, %H:%M}"


def told(estimate: Estimate) -> str:
    """A share with its interval."""
    return f"{estimate.value:.1%} ({estimate.low:.1%} to {estimate.high:.1%})"


def number(text: str) -> Cell:
    """A cell that holds a number."""
    return Cell(text, is_number=True)


def _points(steps: list[tuple[int, Step]], score_of: str) -> tuple[Point, ...]:
    points = []
    for place, step in steps:
        score: Score | None = getattr(step, score_of)
        if score is not None:
            version = step.judged.version if score_of == "judged_score" else step.champion.version
            words = f"version {version}, {day(step.at)}: {told(score.accuracy)} of {score.rows:,} rows"
            is_marked = score_of == "judged_score" or (score_of == "champion_score" and step.kind != "refused")
            estimate = score.accuracy
            beside = 0.02 * len(steps) if score_of == "control_score" else 0.0  # or its interval would lie on the other's
            points.append(
                Point(place + beside, estimate.value, words, estimate.low, estimate.high, step.kind if is_marked else None)
            )
    return tuple(points)


def accuracy_chart(steps: tuple[Step, ...], run: Callable[[str], str | None]) -> Markup:
    """The champion after each decision, refused challengers beside it, and the champion on the control arm. `run` gives a run's address."""
    numbered = list(enumerate(steps))[-DECISIONS_DRAWN:]
    refused = [(place, step) for place, step in numbered if step.kind == "refused"]
    lines = [
        Line("champion, frozen test", 1, _points(numbered, "champion_score"), has_band=True),
        Line("refused challenger", 2, _points(refused, "judged_score"), is_joined=False),
        Line("champion, control arm", 3, _points(numbered, "control_score"), is_joined=False),
    ]
    rows = []
    for step in reversed(steps[-ROWS_SHOWN:]):
        judged, control, difference = step.judged_score, step.control_score, step.difference_points
        rows.append(
            (
                day(step.at),
                Cell(f"version {step.judged.version}", run(step.judged.run_id)),
                step.kind.replace("_", " "),
                number(told(judged.accuracy) if judged else "–"),
                number(told(control.accuracy) if control else "–"),
                number(f"{difference.value:+.2f} ({difference.low:+.2f} to {difference.high:+.2f})" if difference else "–"),
                step.why,
            )
        )
    return line_chart(
        LineChart(
            Words(
                "accuracy",
                "Accuracy by decision, with 95% intervals",
                "One point per decision: the champion's share of right answers on the frozen test and on the control arm, "
                "and those of challengers that were refused.",
            ),
            tuple(line for line in lines if line.points),
            tuple((place, f"v{step.judged.version}") for place, step in numbered),
            "decision, by the version it was about",
            percent,
            Table(
                ("when", "model", "decision", "frozen test", "champion, control arm", "difference, points", "why"), tuple(rows)
            ),
        )
    )


def slice_chart(found: Progress) -> Markup:
    """The champion's weakest slices beside its accuracy over all rows; "" before a verdict on it."""
    last = found.steps[-1] if found.steps else None
    weakest = found.weakest(SLICES_DRAWN)
    if last is None or last.champion_score is None:
        return Markup("")
    overall = last.champion_score.accuracy.value
    bars = tuple(
        Bar(
            part.name,
            part.score.accuracy.value,
            f"{part.name}: {told(part.score.accuracy)} of {part.score.rows:,} rows",
            part.score.accuracy.low,
            part.score.accuracy.high,
            "bad" if part.is_against else "plain",
        )
        for part in weakest
    )
    rows = tuple(
        (
            part.name,
            number(f"{part.score.rows:,}"),
            number(told(part.score.accuracy)),
            number(f"{part.difference_points.value:+.2f}"),
            "spoke against the challenger" if part.is_against else "",
        )
        for part in found.slices[:ROWS_SHOWN]
    )
    start = max(0.0, min([bar.low or 0.0 for bar in bars], default=0.0) - 0.03)
    return horizontal_bars(
        HorizontalBars(
            Words(
                "slices",
                "Where the champion is weakest",
                f"The champion's accuracy by slice of the frozen test, lowest first, with 95% intervals; {overall:.1%} over all rows.",
            ),
            bars,
            percent,
            Table(("slice", "rows", "accuracy", "last difference, points", "remark"), rows),
            start=start,
            end=1.0,
            is_dotted=True,
            reference=overall,
            reference_name="all test rows",
        )
    )


def shadow_chart(found: Bought, figure: Literal["accuracy", "test_accuracy"]) -> Markup:
    """Both arms of the comparison, judged on the control arm's labels or on the frozen test."""
    where = "labels of the control arm" if figure == "accuracy" else "the frozen test"

    def of_arm(arm: Literal["chosen", "random"]) -> tuple[Point, ...]:
        return tuple(_shadow_point(arm, point, getattr(point, figure)) for point in found.points(arm))

    lines = tuple(
        line
        for line in (
            Line("chosen by the queue", 1, of_arm("chosen"), has_band=True),
            Line("drawn at random", 2, of_arm("random"), has_band=True),
        )
        if line.points
    )
    counts = sorted({point.x for line in lines for point in line.points})
    rows = tuple(
        (line.name, number(whole(point.x)), number(told(Estimate(point.y, point.low or 0.0, point.high or 0.0))))
        for line in lines
        for point in line.points
    )
    return line_chart(
        LineChart(
            Words(
                f"shadow-{figure.replace('_', '-')}",
                f"Accuracy on {where} against labels used",
                f"Shadow models trained on labels that the queue chose and on random ones, judged on {where}, with 95% intervals.",
            ),
            lines,
            tuple((count, whole(count)) for count in counts),
            "labels used",
            percent,
            Table(("labels", "how many", "accuracy"), rows),
        )
    )


def _shadow_point(arm: str, point: ShadowPoint, estimate: Estimate) -> Point:
    words = f"{point.labels:,} {arm} labels: {told(estimate)}"
    return Point(point.labels, estimate.value, words, estimate.low, estimate.high)


def learned_chart(found: Bought) -> Markup:
    """Champions by labels learned; "" before the second."""
    if len(found.learned) < 2:
        return Markup("")
    points = tuple(
        Point(
            one.labels,
            one.score.accuracy.value,
            f"version {one.version}, {one.labels:,} labels: {told(one.score.accuracy)}",
            one.score.accuracy.low,
            one.score.accuracy.high,
        )
        for one in found.learned
    )
    rows = tuple((f"version {one.version}", number(f"{one.labels:,}"), number(told(one.score.accuracy))) for one in found.learned)
    return line_chart(
        LineChart(
            Words(
                "learned",
                "Champions: accuracy on the frozen test against labels learned",
                "One point per champion, with its 95% interval: the labels from people that it and those before it have learned from.",
            ),
            (Line("champion", 1, points, has_band=True),),
            tuple((one.labels, whole(one.labels)) for one in found.learned),
            "labels learned",
            percent,
            Table(("champion", "labels learned", "accuracy"), rows),
        )
    )


def annotator_chart(found: Trust) -> Markup:
    """Reliability by annotator, the lowest first, beside blind guessing."""
    shown = found.annotators[:ANNOTATORS_DRAWN]
    bars = tuple(
        Bar(
            one.name,
            one.reliability,
            f"{one.name}: {one.reliability:.0%} of {one.votes:,} votes right",
            tone="bad" if one.is_hostile else "plain",
        )
        for one in shown
    )
    rows = tuple(
        (
            one.name,
            number(percent(one.reliability)),
            number(f"{one.votes:,}"),
            number("–" if one.agreement is None else percent(one.agreement)),
            "worse than blind guessing" if one.is_hostile else "",
        )
        for one in found.annotators[:ROWS_SHOWN]
    )
    more = len(found.annotators) - len(shown)
    return horizontal_bars(
        HorizontalBars(
            Words(
                "annotators",
                "Reliability by annotator" + (f", the lowest {len(shown)} of {len(found.annotators)}" if more else ""),
                f"The expected share of right votes of each annotator, the least reliable first; blind guessing has {found.chance:.0%}.",
            ),
            bars,
            lambda value: f"{value:.0%}",
            Table(("annotator", "reliability", "votes", "agreement with others", "remark"), rows),
            end=1.0,
            reference=found.chance,
            reference_name="blind guessing",
        )
    )


def day_chart(found: Delays) -> Markup:
    """Records by arrival day and fate."""
    parts = ("kept", "duplicates", "spam or empty", "quarantined")
    stacks: list[Stack] = []
    rows: list[tuple[Cell | str, ...]] = []
    for one in found.seen.days:
        values = (one.kept, one.duplicates, one.spam, one.quarantined)
        words = ", ".join(f"{value:,} {part}" for value, part in zip(values, parts, strict=True))
        stacks.append(Stack(f"{one.day:%-d %b}", values, f"{one.day}: {words}"))
        rows.append((str(one.day), *(number(f"{value:,}") for value in values)))
    return stacked_bars(
        StackedBars(
            Words("days", "What became of records, by arrival day", "Records of each day by what became of them."),
            parts,
            tuple(stacks),
            whole,
            Table(("day", *parts), tuple(rows)),
            hues=(1, 4, 3, 2),
        )
    )


def reason_chart(found: Delays) -> Markup:
    """Records in quarantine by reason."""
    shown = found.quarantined[:REASONS_DRAWN]
    bars = tuple(
        Bar(f"{one.source}: {one.reason}", one.records, f"{one.source}: {one.reason}: {one.records:,} records", tone="warn")
        for one in shown
    )
    rows = tuple((one.source, one.reason, number(f"{one.records:,}")) for one in found.quarantined[:ROWS_SHOWN])
    return horizontal_bars(
        HorizontalBars(
            Words("quarantine", "Quarantine by reason", "Records in quarantine, the most frequent reasons first."),
            bars,
            whole,
            Table(("source", "reason", "records"), rows),
        )
    )


def wait_chart(found: Delays) -> Markup:
    """How long feedback waited for the verdict that learned it; a chart from two verdicts on."""
    verdicts = [(one.decision, one.at, one) for one in found.waits if one.decision is not None and one.at is not None]
    verdicts = verdicts[-DECISIONS_DRAWN:]
    if len(verdicts) < 2:
        return Markup("")

    def points(figure: Literal["median_s", "longest_s"]) -> tuple[Point, ...]:
        return tuple(
            Point(
                place,
                getattr(one, figure) / 3600,
                f"decision {decision}: {duration(getattr(one, figure))} over {one.events:,} events",
            )
            for place, (decision, _, one) in enumerate(verdicts)
        )

    return line_chart(
        LineChart(
            Words(
                "waits",
                "Hours from a person's feedback to the model that learned it",
                "One point per verdict: the median and the longest wait of the events that it was the first to learn from.",
            ),
            (Line("median", 1, points("median_s")), Line("longest", 2, points("longest_s"))),
            tuple((place, f"{moment:%-d %b}") for place, (_, moment, _) in enumerate(verdicts)),
            "verdict",
            lambda value: f"{value:,.3g}",
            Table(
                ("decision", "when", "events", "median", "longest"),
                tuple(_wait_row(decision, moment, one) for decision, moment, one in verdicts),
            ),
            y_from=0,
        )
    )


def _wait_row(decision: int, moment: datetime.datetime, wait: Wait) -> tuple[Cell | str, ...]:
    figures = (f"{wait.events:,}", duration(wait.median_s), duration(wait.longest_s))
    return (str(decision), day(moment), *(number(figure) for figure in figures))
