"""A small world for tests of the loop: two cohorts of reviews that speak differently, and people who say things about predictions.

Homes are real and runs go through Dagster; only the people are made up. It asserts nothing.
"""

import csv
import json
import random
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from curation.feedback.events import Event, checked_event
from curation.feedback.importing import import_file
from curation.label_queue import LabelQueue
from curation.predictions import PredictionStore
from curation.snapshots.store import SnapshotStore
from curation.training_rows import SPLITS, place_of
from curation_assets.cli import main
from curation_assets.datasets import declared, labels_by_dataset
from curation_assets.loop import feedback_log
from curation_assets.runs import RunReport, retrain_dataset, run_dataset
from feedback_sensors.facts import Watermark, watermark_of
from resources.home import Home, now
from tests.deliveries import day, deliver, review

REVIEWS = declared("reviews")
WAIT_S = 60.0
PRAISE = ["laeuft tadellos seit wochen", "klingt grossartig fuer das geld", "kam frueh an und sieht huebsch aus"]
BLAME = ["ging nach kurzer zeit kaputt", "riecht nach kleber und wird nie besser", "leckt ueberall auf die platte"]
FILLERS = ["ehrlich gesagt", "nach einem monat", "in unserer kleinen kueche", "zu diesem preis", "mit zwei kindern im haus"]
Cli = Callable[..., tuple[int, str, str]]
CROWD = ("ann", "bob", "cat")
IMPORTED_AT = "2026-11-19T12:00:00+00:00"


def run(home: Home, until: str = "predictions") -> RunReport:
    """The daily run over all that is pending."""
    return run_dataset(home, "reviews", None, None, until, WAIT_S, lambda line: None)


def retrain(home: Home) -> RunReport:
    """A retrain by hand."""
    return retrain_dataset(home, "reviews", WAIT_S, lambda line: None)


def cli_of(capsys: pytest.CaptureFixture[str]) -> Cli:
    """Runs a command in this process: its exit code, standard output and standard error."""

    def command(*arguments: str | Path) -> tuple[int, str, str]:
        code = 0
        try:
            main([str(argument) for argument in arguments])
        except SystemExit as ended:
            code = int(ended.code or 0)
        printed = capsys.readouterr()
        return code, printed.out, printed.err

    return command


def newcomer(number: int) -> dict[str, Any]:
    """A review of the second cohort, in words that the first never uses."""
    chance = random.Random(number)
    is_good = chance.random() < 0.5
    said = PRAISE if is_good else BLAME
    text = " ".join(
        [
            chance.choice(FILLERS),
            chance.choice(said),
            f"bestellung {number * 7919 % 10007} mit teil {number * 104729 % 99991}",
            chance.choice(FILLERS),
            chance.choice(said),
            f"stueck {number}",
        ]
    )
    return review(number, text=text, title="stueck", rating=5 if is_good else 1)


def predictions_of(home: Home, version: int) -> pl.DataFrame:
    """One row per prediction of a model version, with the split of its item; sorted by item."""
    policy = REVIEWS.policy
    with duckdb.connect() as connection:
        PredictionStore(home.predictions, "reviews").register(connection, "predicted", version)
        told = connection.execute(
            f"select *, {place_of('item_id')} as place, case when place < {policy.train_until} then 'train' "
            f"when place < {policy.test_from} then 'validation' else 'test' end as split from predicted order by item_id"
        ).pl()
    return told


def training_rows(home: Home, version: str) -> pl.DataFrame:
    """All rows of a snapshot with the split that they are in."""
    folder = SnapshotStore(home.snapshots).folder("reviews", version)
    return pl.concat(
        [
            pl.read_parquet(part).with_columns(pl.lit(split).alias("split"))
            for split in SPLITS
            for part in sorted((folder / "data" / split).glob("*.parquet"))
        ]
    ).sort("review_uid")


def said(annotator: str, item: str, kind: str = "label", label: str | None = None, **more: Any) -> Event:
    """One event of a person about an item."""
    fields = {
        "event_id": str(uuid.uuid4()),
        "dataset": "reviews",
        "item_id": item,
        "kind": kind,
        "label": label,
        "annotator": annotator,
        "source": "test",
    }
    return checked_event(fields | more, labels_by_dataset(), now=now())


def each_said(annotators: Iterable[str], items: Iterable[str], kind: str = "label", label: str | None = None) -> list[Event]:
    """The same of each annotator about each item."""
    people = list(annotators)
    return [said(annotator, item, kind, label) for item in items for annotator in people]


def append(home: Home, events: list[Event]) -> int:
    """Enter events into the log; its last seq."""
    with feedback_log(home) as log:
        log.append([events], now=now(), received_as=[None])
        return log.head().seq


@dataclass(frozen=True)
class Told:
    """Which items people spoke about, by what became of them."""

    agreed: list[str]  # before the daily run; the last five are withdrawn after it
    neutral: list[str]
    spam: list[str]
    withdrawn: list[str]
    validation: list[str]
    held_out: list[str]  # of the test split, labelled unasked
    control: list[str]  # of the test split, asked for
    csv: list[str]
    json_lines: list[str]
    sql: list[str]

    @property
    def trained(self) -> list[str]:
        """Those whose label comes from people in the end."""
        return sorted([*self.agreed[:-5], *self.neutral, *self.validation, *self.csv, *self.json_lines, *self.sql])


@dataclass(frozen=True)
class World:
    """A home after a first run, a daily run beside 30 labels, and a retrain; what each reported, and the watermark in between."""

    home: Home
    first: RunReport
    daily: RunReport
    verdict: RunReport
    between: Watermark
    told: Told


def lived_through(folder: Path) -> World:
    """The world, made in `folder` by two daily runs and a retrain."""
    home = Home(folder / "home").prepare()
    deliver(home.root, day(1), [review(number) for number in range(500)])
    first = run(home)
    predicted = predictions_of(home, 1).filter(pl.col("split") == "train").head(30)
    append(
        home,
        [
            said("ann", item, "agree", prediction_id=prediction)
            for item, prediction in predicted.select("item_id", "prediction_id").rows()
        ],
    )
    deliver(home.root, day(2), [newcomer(number) for number in range(1000, 1300)])
    daily, between = run(home), watermark_of(home, "reviews")
    told = told_by_people(home, predicted["item_id"].to_list())
    return World(home, first, daily, retrain(home), between, told)


def told_by_people(home: Home, agreed: list[str]) -> Told:
    """Let people speak through every door: the log, a CSV file, JSON lines and SQL."""
    predicted = predictions_of(home, 1)
    queue = pl.read_parquet(LabelQueue(home.lake / "label_queue", "reviews").current() or "")
    control = queue.filter(pl.col("reason") == "control")["item_id"].sort().to_list()
    others = predicted.filter(~pl.col("item_id").is_in([*agreed, *control])).sort("day", "item_id")
    train, validation, test = (
        others.filter(pl.col("split") == split)["item_id"].to_list() for split in ("train", "validation", "test")
    )
    told = Told(
        agreed=agreed,
        neutral=train[:10],
        spam=train[10:16],
        withdrawn=train[16:24],
        validation=validation[:5],
        held_out=test[:5],
        control=control,
        csv=train[-15:],
        json_lines=train[-30:-15],
        sql=train[-45:-30],
    )
    append(
        home,
        [
            *each_said(
                CROWD, [*told.neutral, *told.withdrawn, *told.validation, *told.held_out, *told.control], "label", "neutral"
            ),
            *each_said(CROWD, told.spam, "spam"),
            *each_said(CROWD, told.withdrawn, "withdraw"),
            *each_said(["ann"], told.agreed[-5:], "withdraw"),
        ],
    )
    stars = dict(
        predicted.select("item_id", pl.when(pl.col("rating") > 3).then(pl.lit("positive")).otherwise(pl.lit("negative"))).rows()
    )
    by_csv, by_lines = home.root.parent / "labels.csv", home.root.parent / "labels.jsonl"
    with by_csv.open("w", newline="") as file:
        csv.writer(file).writerows([
            ("item_id", "kind", "label", "annotator", "occurred_at"),
            *((item, "label", stars[item], "dora", IMPORTED_AT) for item in told.csv),
        ])  # fmt: skip
    by_lines.write_text(
        "".join(
            json.dumps({"item_id": item, "kind": "label", "label": stars[item], "annotator": "emil"}) + "\n"
            for item in told.json_lines
        )
    )
    with feedback_log(home) as log:
        for path in (by_csv, by_lines):
            import_file(log, path, labels_by_dataset(), dataset="reviews", now=now())
    with duckdb.connect(home.feedback_table) as connection:
        connection.executemany(
            "insert into feedback (dataset, item_id, kind, label, annotator) values ('reviews', ?, 'label', ?, 'fred')",
            [(item, stars[item]) for item in told.sql],
        )
    return told
