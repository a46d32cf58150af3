"""How each panel of a loop's health looks: its answer, its key figures, its charts and tables. From `curation.health`, to markup.

Computes nothing and reads nothing; where things are linked to is told by `Links`.
"""

from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from curation.feedback.curated import State
from curation.health.delays import duration
from curation.health.loop import Delays, Health, Unreadable
from curation.health.progress import Progress
from curation.health.trust import RELIABLE_ALPHA, TENTATIVE_ALPHA, Trust, meaning_of
from curation.health.value import Bought
from feedback_service.pages.charts import Table, percent, table_of
from feedback_service.pages.health_charts import (
    ROWS_SHOWN,
    accuracy_chart,
    annotator_chart,
    day,
    day_chart,
    learned_chart,
    number,
    reason_chart,
    shadow_chart,
    slice_chart,
    wait_chart,
)

Tone = Literal["good", "warn", "bad", "plain"]


@dataclass(frozen=True)
class Links:
    """Where the rows, the runs and the assets behind a panel are; MLflow's and Dagster's pages only where they are served."""

    dataset: str
    mlflow_url: str | None
    assets: dict[str, tuple[str, str | None]]  # role -> the asset's name, and its address in Dagster

    def run(self, run_id: str) -> str | None:
        """The page of an MLflow run."""
        return f"{self.mlflow_url.rstrip('/')}/#/runs/{run_id}" if self.mlflow_url else None

    def predictions(self, version: int) -> str:
        """The predictions of one model."""
        return f"/predictions/{self.dataset}?model={version}"

    def asset(self, role: str) -> tuple[str, str | None]:
        """What to call an asset's link, and where it leads; nowhere without Dagster's address."""
        name, address = self.assets[role]
        return f"{name} in Dagster", address

    def drift(self) -> tuple[str, str | None]:
        """The same for the check that tells drift column by column."""
        name, address = self.assets["predictions"]
        return f"Drift of {name} in Dagster", f"{address}?view=checks" if address else None


@dataclass(frozen=True)
class Figure:
    """A number that a panel stands on, and what it is."""

    value: str
    name: str


@dataclass(frozen=True)
class Panel:
    """One panel as its template shows it. `answer` is the sentence's beginning, shown larger; `sentence` the rest."""

    key: str
    question: str
    tone: Tone
    answer: str
    sentence: str
    notes: tuple[str, ...] = ()
    figures: tuple[Figure, ...] = ()
    charts: tuple[Markup, ...] = ()
    tables: tuple[tuple[str, Markup], ...] = ()
    links: tuple[tuple[str, str | None], ...] = ()


QUESTIONS = {
    "progress": "Is it getting better?",
    "value": "What do labels buy?",
    "trust": "Can we trust the labels?",
    "delays": "What is late or odd?",
}


def panels(health: Health, links: Links) -> tuple[Panel, ...]:
    """The four panels in the order of their questions."""
    return (
        _unreadable("progress", health.progress)
        if isinstance(health.progress, Unreadable)
        else _progress(health.progress, links),
        _unreadable("value", health.bought) if isinstance(health.bought, Unreadable) else _bought(health.bought, links),
        _unreadable("trust", health.trust) if isinstance(health.trust, Unreadable) else _trust(health.trust, links),
        _delays(health.delays, links),
    )


def _unreadable(key: str, found: Unreadable) -> Panel:
    return Panel(key, QUESTIONS[key], "bad", *_split(found.sentence), notes=(found.fix,) if found.fix else ())


def _split(sentence: str) -> tuple[str, str]:
    """A sentence at its first colon: the answer, and what it rests on."""
    answer, colon, rest = sentence.partition(": ")
    return (answer, f"{rest[:1].upper()}{rest[1:]}") if colon and len(answer) <= 60 else (sentence, "")


def _progress(found: Progress, links: Links) -> Panel:
    gain, champion = found.gain_points, found.champion
    tone: Tone = "plain" if gain is None else "good" if gain.low > 0 else "bad" if gain.high < 0 else "plain"
    figures: list[Figure] = []
    if champion is not None:
        last = found.steps[-1]
        figures.append(Figure(f"v{champion.version}", "champion"))
        if last.champion_score is not None:
            figures.append(Figure(percent(last.champion_score.accuracy.value), "frozen test right"))
        if last.control_score is not None:
            figures.append(
                Figure(percent(last.control_score.accuracy.value), f"of {last.control_score.rows:,} control labels right")
            )
        figures.append(Figure(str(len(found.steps)), "decision" if len(found.steps) == 1 else "decisions"))
    shown = [links.asset("champion"), links.asset("model")]
    if champion is not None:
        shown.insert(0, (f"MLflow run of version {champion.version}", links.run(champion.run_id)))
        shown.insert(0, (f"Predictions of version {champion.version}", links.predictions(champion.version)))
    return Panel(
        "progress",
        QUESTIONS["progress"],
        tone,
        *_split(found.sentence),
        notes=found.notes,
        figures=tuple(figures),
        charts=tuple(chart for chart in (accuracy_chart(found.steps, links.run), slice_chart(found)) if chart),
        links=tuple(shown),
    )


def _bought(found: Bought, links: Links) -> Panel:
    comparison = found.comparison
    saved = comparison.saved if comparison else None
    tone: Tone = "plain" if saved is None else "good" if saved.low > 0 else "bad" if saved.high < 0 else "plain"
    figures = [
        Figure(f"{found.learned[-1].labels:,}" if found.learned else "0", "labels learned by the champion and those before")
    ]
    figures.append(Figure(f"{found.control_labels:,}", "labels of the random control arm"))
    if comparison is not None:
        figures.append(Figure(f"{comparison.chosen_labels:,}", "chosen labels compared"))
    if saved is not None:
        figures.insert(0, Figure(f"{saved.value:.0f}", f"of {comparison.matched if comparison else 0} labels saved"))
    return Panel(
        "value",
        QUESTIONS["value"],
        tone,
        *_split(found.sentence),
        notes=found.notes,
        figures=tuple(figures),
        charts=tuple(
            chart
            for chart in (shadow_chart(found, "accuracy"), shadow_chart(found, "test_accuracy"), learned_chart(found))
            if chart
        ),
        links=(("The label queue", f"/label/{links.dataset}"), links.asset("queue"), links.asset("model")),
    )


def _trust(found: Trust, links: Links) -> Panel:
    tone: Tone = "plain"
    figures = []
    if found.alpha is not None:
        tone = "good" if found.alpha >= RELIABLE_ALPHA else "warn" if found.alpha >= TENTATIVE_ALPHA else "bad"
        figures.append(Figure(f"{found.alpha:.2f}", f"Krippendorff's alpha: {meaning_of(found.alpha)}"))
    if any(one.is_hostile for one in found.annotators):
        tone = "bad"
    if found.heard.items:
        figures += [
            Figure(f"{found.heard.items:,}", "items with labels"),
            Figure(f"{found.heard.open_conflicts:,}", f"conflicts open, {found.heard.tied:,} of them tied"),
            Figure(f"{found.heard.adjudicated:,}", "adjudicated"),
        ]
    chart = annotator_chart(found)
    return Panel(
        "trust",
        QUESTIONS["trust"],
        tone,
        *_split(found.sentence),
        notes=found.notes,
        figures=tuple(figures),
        charts=(chart,) if chart else (),
        tables=_label_table(found.curated),
        links=(("Conflicts to settle", f"/label/{links.dataset}/conflicts"), links.asset("feedback")),
    )


def _label_table(state: State | None) -> tuple[tuple[str, Markup], ...]:
    """What becomes of people's words on the way to training."""
    if state is None:
        return ()
    caption = "From words to labels"
    stages = (
        ("events", state.events),
        ("last words on an item", state.words),
        ("without a prediction of ours", state.unmatched),
        ("items with an answer", state.items),
        ("items undecided", state.undecided),
        ("labels that may train", state.trainable),
        ("labels of the control arm, for evaluation only", state.control),
    )
    rows = tuple((stage, number(f"{count:,}")) for stage, count in stages)
    return ((caption, table_of(Table(("what", "how many"), rows), caption)),)


def _delays(found: Delays, links: Links) -> Panel:
    seen = found.seen
    tone: Tone = "good" if seen.sources else "plain"
    if found.oddities:
        tone = "bad" if seen.look is not None and seen.look.alarm else "warn"
    answer, sentence = _split(found.sentence)
    notes = list(found.oddities[1:])
    if seen.drift is not None and not seen.drift.is_alarm:
        notes.append(seen.drift.sentence)
    if seen.look is not None:
        notes.append(f"The sensor, {day(seen.look.at)}: {seen.look.message}.")
    if seen.alerts is not None:
        titles = "; ".join(f"{one.cause.title}, since {day(one.opened_at)}" for one in seen.alerts)
        notes.append(f"Open alerts: {titles or 'none'}.")
    charts = (day_chart(found), reason_chart(found), wait_chart(found))
    return Panel(
        "delays",
        QUESTIONS["delays"],
        tone,
        answer,
        sentence,
        notes=tuple(notes),
        figures=tuple(_delay_figures(found)),
        charts=tuple(chart for chart in charts if chart),
        tables=tuple(_delay_tables(found)),
        links=(
            ("The label queue", f"/label/{links.dataset}"),
            links.asset("queue"),
            links.asset("feedback"),
            links.asset("curated"),
            links.drift(),
        ),
    )


def _delay_figures(found: Delays) -> list[Figure]:
    figures, seen = [], found.seen
    if seen.look is not None and seen.look.effective is not None:
        figures.append(Figure(f"{seen.look.effective:,} of {seen.look.threshold:,}", "new labels to the next retrain"))
    if seen.backlog is not None:
        figures.append(Figure(f"{seen.backlog.waiting:,}", "events wait to be curated"))
        figures.append(Figure(f"{seen.backlog.log_seq - seen.backlog.table_seq:,}", "events between log and table"))
    if seen.queue is not None:
        figures.append(Figure(f"{seen.queue.open:,} of {seen.queue.total:,}", "queued items open"))
    if found.waits:
        longest = duration(found.waits[-1].longest_s)
        figures.append(Figure(duration(found.waits[-1].median_s), f"from feedback to model, median; at most {longest}"))
    return figures


def _delay_tables(found: Delays) -> list[tuple[str, Markup]]:
    seen = found.seen
    tables = []
    if seen.sources:
        rows = tuple(
            (one.source, str(one.newest_day), "late" if one.is_late else "fresh", f"{one.deadline_h:g} h") for one in seen.sources
        )
        tables.append(("Freshness by source", Table(("source", "newest day", "state", "within"), rows)))
    if seen.refused:
        refusals = tuple((one.source, str(one.day), one.message) for one in seen.refused[:ROWS_SHOWN])
        tables.append(("Refused batches", Table(("source", "day", "why"), refusals)))
    if seen.backlog is not None:
        stages = (
            ("acknowledged in the log", seen.backlog.log_seq),
            ("in the feedback table", seen.backlog.table_seq),
            ("curated", seen.backlog.curated_seq),
        )
        tables.append(
            ("Feedback by stage", Table(("stage", "up to seq"), tuple((stage, number(f"{seq:,}")) for stage, seq in stages)))
        )
    if seen.queue is not None:
        counted = tuple(
            (reason.replace("_", " "), number(f"{items:,}")) for reason, items in sorted(seen.queue.by_reason.items())
        )
        tables.append((f"Queue {seen.queue.number:06d}, asked {day(seen.queue.asked_at)}", Table(("reason", "items"), counted)))
    return [(caption, table_of(table, caption)) for caption, table in tables]
