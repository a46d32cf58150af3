"""A small world for tests of the loop: two cohorts of reviews that speak differently, and people who say things about predictions.

Homes are real and runs go through Dagster; only the people are made up. It asserts nothing.
"""

import random
import uuid
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest

from curation.feedback.events import Event, checked_event
from curation.predictions import PredictionStore
from curation.snapshots.store import SnapshotStore
from curation.training_rows import SPLITS, place_of
from curation_assets.cli import main
from curation_assets.datasets import declared, labels_by_dataset
from curation_assets.loop import feedback_log
from curation_assets.runs import RunReport, retrain_dataset, run_dataset
from resources.home import Home, now
from tests.deliveries import review

REVIEWS = declared("reviews")
WAIT_S = 60.0
PRAISE = ["laeuft tadellos seit wochen", "klingt grossartig fuer das geld", "kam frueh an und sieht huebsch aus"]
BLAME = ["ging nach kurzer zeit kaputt", "riecht nach kleber und wird nie besser", "leckt ueberall auf die platte"]
FILLERS = ["ehrlich gesagt", "nach einem monat", "in unserer kleinen kueche", "zu diesem preis", "mit zwei kindern im haus"]
Cli = Callable[..., tuple[int, str, str]]


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
