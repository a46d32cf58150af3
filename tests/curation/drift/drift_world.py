"""A home whose champion predicted a snapshot's batches and what came after, made without a model or a run. It asserts nothing."""

import copy
import datetime
import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from curation.drift.kept import DriftBook
from curation.drift.policy import DriftPolicy
from curation.drift.watching import Watched
from curation.ingestion.ledger import ORDINALS
from curation.predictions import SCHEMA, PredictionStore
from curation.promotions import ModelReference, PromotionLog
from curation.snapshots.manifest import Batch, CardTexts, Column, SnapshotSpec
from curation.snapshots.store import SnapshotStore

NOW = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
FIRST_DAY = datetime.date(2026, 11, 18)
PRAISE = ["works great", "sounds wonderful", "arrived early", "looks lovely", "makes mornings easier", "worth every cent"]
THINGS = ["kettle", "lamp", "headset", "blanket", "drill", "backpack", "speaker", "toaster"]
SPLITS = ("train", "train", "train", "validation", "test")
Row = dict[str, Any]


def day(number: int) -> datetime.date:
    """The day of that number, the first is 1."""
    return FIRST_DAY + datetime.timedelta(days=number - 1)


def row(seq: int, number: int, generator: np.random.Generator, version: int = 1, **changed: Any) -> Row:
    """One prediction on the row of that number in the entry `seq` of the ledger."""
    confidence = float(generator.uniform(0.5, 1.0))
    label = "positive" if generator.random() < 0.6 else "negative"
    other = "negative" if label == "positive" else "positive"
    text = f"the {generator.choice(THINGS)} {generator.choice(PRAISE)} and {generator.choice(PRAISE)}"
    made: Row = {
        "prediction_id": f"p{version}-{seq}-{number}",
        "dataset": "reviews",
        "item_id": f"item-{seq}-{number}",
        "record_no": seq * ORDINALS + number,
        "source": "shop" if generator.random() < 0.7 else "app",
        "day": day(seq),
        "text": text,
        "label": label,
        "probabilities": {label: confidence, other: 1 - confidence},
        "margin": 2 * confidence - 1,
        "model_version": version,
        "model_sha256": f"{version:064x}",
        "snapshot_version": f"v{version:04d}",
        "language": "latin",
        "length": int(generator.lognormal(3, 0.6)),
        "rating": float(generator.integers(1, 6)),
        "extra": json.dumps({"segment": str(generator.choice(["new", "loyal"])), "votes": int(generator.poisson(30))}),
        "predicted_at": NOW,
    }
    return made | changed


class DriftWorld:
    """The public files of reviews below `root`. Entry n of the ledger arrived on day n; `reference` days are the snapshot's."""

    def __init__(self, root: Path, *, reference_days: int = 2, rows_a_day: int = 600) -> None:
        self.root = root
        self.snapshots = SnapshotStore(root / "snapshots")
        self.predictions = PredictionStore(root / "lake" / "predictions", "reviews")
        self.champion = self.promote(1, reference_days, rows_a_day)

    def copied(self, root: Path) -> "DriftWorld":
        """The same world in another folder: to write a snapshot takes longer than to copy it."""
        shutil.copytree(self.root, root)
        other = copy.copy(self)
        other.root = root
        other.snapshots = SnapshotStore(root / "snapshots")
        other.predictions = PredictionStore(root / "lake" / "predictions", "reviews")
        return other

    def promote(self, version: int, reference_days: int, rows_a_day: int) -> ModelReference:
        """A champion whose snapshot holds the batches of the first days, which it has predicted."""
        rows: list[Row] = []
        for seq in range(1, reference_days + 1):
            rows += self.arrive(seq, rows_a_day, version=version, is_learned=True)
        digest = self._freeze(rows, reference_days)
        champion = ModelReference(
            version=version,
            run_id=f"run{version}",
            artefact=f"artifacts/reviews/run{version}/artifacts/model.skops",
            artefact_sha256=f"{version:064x}",
            snapshot_version=f"v{version:04d}",
            snapshot_digest=digest,
        )
        log = PromotionLog(self.root / "promotions", "reviews")
        former = log.champion()
        log.append(
            kind="promoted" if former else "first",
            challenger=champion,
            champion=champion,
            former_champion=former,
            snapshot_version=champion.snapshot_version,
            consumed_feedback_seq=0,
            feedback_head="0" * 64,
            at=NOW,
            by="a test",
            why="it is no worse",
            figures={},
        )
        self.champion = champion
        return champion

    def arrive(
        self,
        seq: int,
        count: int,
        *,
        version: int = 1,
        on: datetime.date | None = None,
        is_learned: bool = False,
        **changed: Any,
    ) -> list[Row]:
        """Rows of entry `seq` that model `version` has predicted, all of them changed alike; it is sure of those that it learned."""
        generator = np.random.default_rng([seq, version])
        rows = [row(seq, number, generator, version, **changed) for number in range(count)]
        for number, made in enumerate(rows):
            if is_learned and SPLITS[number % 5] == "train":
                made["probabilities"] = {made["label"]: 0.999}
        on = on or day(seq)
        folder = self.predictions.root / f"model={version:04d}" / f"day={on.isoformat()}"
        folder.mkdir(parents=True, exist_ok=True)
        rows = [made | {"day": on} for made in rows]
        path = folder / f"{len(list(folder.iterdir())) + 1:04d}.parquet"
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), path)
        return rows

    def _freeze(self, rows: list[Row], days: int) -> str:
        columns = (
            "review_uid",
            "source",
            "item_id",
            "text",
            "label",
            "weight",
            "split",
            "cluster",
            "subject",
            "batch",
            "file",
            "line",
            "month",
        )
        training = [
            (made["item_id"], made["source"], made["item_id"], made["text"], made["label"], 1.0, SPLITS[place % 5], made["item_id"],
             None, f"shop/{made['day']}", "a.json", place, "2026-11")
            for place, made in enumerate(rows)
        ]  # fmt: skip
        table = pa.table(
            {
                name: pa.array([line[place] for line in training], pa.string() if name == "subject" else None)
                for place, name in enumerate(columns)
            }
        )
        spec = SnapshotSpec(
            dataset="reviews",
            key="review_uid",
            columns=tuple(
                Column.model_validate({"name": name, "type": "number" if name == "weight" else "string"}) for name in columns[:6]
            ),
            labels=("negative", "positive"),
            batches=tuple(Batch(id=f"shop/{day(seq)}", seq=seq) for seq in range(1, days + 1)),
            contracts={},
            code_versions={},
            created_on=day(days),
            card=CardTexts(pretty_name="Reviews", description="Made up.", licence="unknown"),
        )
        with duckdb.connect() as connection:
            connection.register("training", table)
            return self.snapshots.write(spec, connection, "training").manifest.digest

    @property
    def book(self) -> DriftBook:
        """Where verdicts are kept."""
        return DriftBook(self.root / "lake", "reviews")

    def watched(self, policy: DriftPolicy | None = None) -> Watched:
        """What `judge_new_days` needs."""
        return Watched(self.predictions, self.snapshots, self.champion, self.book, policy or DriftPolicy())
