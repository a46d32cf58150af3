"""What labels have bought a dataset so far: gathers the rows that shadow models learn from and are judged on, compares, keeps the result.

Opens the newest snapshot, the champion (for its settings alone), the label queue and curated feedback. Whatever the labels are like,
there is a result that says what is missing; no shadow model leaves `curation.learning.label_value`.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from curation.feedback.curated import FEEDBACK, LABELS, CuratedFeedback
from curation.label_queue import LabelQueue
from curation.learning.classifier import CLASSIFIER
from curation.learning.label_value import (
    BASE_ROWS_AT_MOST,
    COLUMNS,
    TEST_ROWS_AT_MOST,
    Arms,
    LabelValue,
    Recipe,
    Values,
    compare,
    sampled,
)
from curation.learning.selection import CONTROL
from curation.snapshots.manifest import Manifest
from curation.snapshots.store import SnapshotStore
from curation.training_rows import SPAM
from curation_assets.datasets import Declared
from curation_assets.loop import champion_of, predictor_of
from curation_assets.steps import check_as_written
from resources.home import Home

if TYPE_CHECKING:
    import polars as pl


def label_value_now(home: Home, known: Declared) -> LabelValue:
    """The comparison on the newest snapshot with the labels as curated last, kept in lake/label_value. The same rows, the same bytes."""
    name = known.dataset.name
    champion = champion_of(home, name)
    manifest = SnapshotStore(home.snapshots).manifest(name)
    classifier = predictor_of(home, champion).pipeline[CLASSIFIER]
    value = compare(
        _arms(home, known, manifest),
        Recipe(known.training, known.loop.sampling, float(classifier.C)),
        dataset=name,
        snapshot_version=manifest.version,
        model_version=champion.version,
    )
    Values(home.lake, name).write(value)
    return value


def _arms(home: Home, known: Declared, manifest: Manifest) -> Arms:
    """Rows with derived labels from the snapshot, labels from people from curated feedback, without spam, the newest of each arm."""
    import polars as pl

    labels = _labels(home, known)
    asked = _asked(home, known.dataset.name)
    newest_first = labels.sort(["labelled_at", "item_id"], descending=[True, False])
    control = newest_first.filter("is_control").head(known.loop.control_labels)
    is_chosen = ~pl.col("is_held_out") & pl.col("item_id").is_in(asked.implode())
    # Twice as many as of the control arm is what a comparison can use at most.
    chosen = newest_first.filter(is_chosen).head(2 * known.loop.control_labels)
    folder = SnapshotStore(home.snapshots).folder(manifest.dataset, manifest.version)
    return Arms(
        base=_derived(folder, manifest, "train", BASE_ROWS_AT_MOST, labels["item_id"]),
        chosen=chosen.select(COLUMNS),
        control=control.select(COLUMNS),
        test=_derived(folder, manifest, "test", TEST_ROWS_AT_MOST, labels["item_id"]),
    )


def _derived(folder: Path, manifest: Manifest, split: str, at_most: int, labelled: "pl.Series") -> "pl.DataFrame":
    """At most so many rows of one split with derived labels, of items that nobody has labelled; no other texts are read."""
    import polars as pl

    check_as_written(folder, manifest, split)
    parts = [folder / path for path in sorted(manifest.data_parts(split))]
    if not parts:
        return pl.DataFrame(schema=_schema())
    rows = pl.scan_parquet(parts).select(pl.col(manifest.key).alias("item_id"), *COLUMNS[1:], "label_origin")
    usable = rows.filter((pl.col("label_origin") == "derived") & ~pl.col("item_id").is_in(labelled.implode()))
    wanted = sampled(usable.select("item_id").collect()["item_id"].to_list(), at_most)
    return usable.filter(pl.col("item_id").is_in(wanted)).select(COLUMNS).cast(_schema()).collect()


def _labels(home: Home, known: Declared) -> "pl.DataFrame":
    """One row per item that people agree on, spam left out: `COLUMNS`, is_held_out, is_control. No rows before the first feedback."""
    import polars as pl

    book = CuratedFeedback(home.lake, known.dataset.name)
    labels, feedback = book.file(LABELS), book.file(FEEDBACK)
    if labels is None or feedback is None:
        return pl.DataFrame(schema={**_schema(), "is_held_out": pl.Boolean, "is_control": pl.Boolean})
    texts = pl.read_parquet(feedback, columns=["item_id", "seq", "text"]).drop_nulls("text").sort("seq")
    return (
        pl.read_parquet(labels)
        .filter(pl.col("label").is_not_null() & (pl.col("label") != SPAM))
        .join(texts.unique("item_id", keep="first"), on="item_id")
        .rename({"confidence": "weight"})
        .select(*COLUMNS, "is_held_out", "is_control")
        .cast(_schema())
    )


def _asked(home: Home, dataset: str) -> "pl.Series":
    """The items that the queue has chosen for what they teach."""
    import polars as pl

    files = LabelQueue(home.lake / "label_queue", dataset).asked()
    asked = [
        pl.read_parquet(file, columns=["item_id", "reason"]).filter(pl.col("reason") != CONTROL)["item_id"] for file in files
    ]
    return pl.concat([pl.Series("item_id", [], pl.String), *asked]).unique()


def _schema() -> "pl.Schema":
    import polars as pl

    types = (pl.String(), pl.String(), pl.String(), pl.Float64(), pl.Datetime("us", "UTC"))
    return pl.Schema(dict(zip(COLUMNS, types, strict=True)))
