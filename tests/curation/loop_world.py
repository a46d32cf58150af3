"""A loop's public files as runs, the service and the sensor leave them, made without any of these. It asserts nothing of them."""

import datetime
import json
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from curation.drift.judging import ColumnDrift
from curation.drift.kept import DayDrift, DriftBook
from curation.feedback.curated import CuratedFeedback, Sources
from curation.feedback.events import checked_event
from curation.feedback.log import FeedbackLog
from curation.feedback.recent import RecentFeedback
from curation.feedback.segments import segment_files, write_segment
from curation.health.loop import Health, LoopHealth, Places
from curation.ingestion.ledger import Counts, Entry, Ledger, Violation
from curation.ingestion.sources import Source
from curation.label_queue import SHOWN, LabelQueue
from curation.learning.evaluation import wilson
from curation.learning.gate import Compared, GatePolicy, Verdict, judge
from curation.learning.selection import CHOSEN
from curation.predictions import SCHEMA, PredictionStore
from curation.promotions import Decision, ModelReference, PromotionLog

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
HOUR = datetime.timedelta(hours=1)
LABELS = ("negative", "positive")
ROWS = 1000


def model(version: int) -> ModelReference:
    return ModelReference(
        version=version,
        run_id=f"run{version}",
        artefact=f"artifacts/reviews/run{version}/artifacts/model.skops",
        artefact_sha256=f"{version:064x}",
        snapshot_version=f"v{version:04d}",
        snapshot_digest=f"{version:064x}",
    )


def compared(champion_right: int, challenger_right: int, rows: int = ROWS) -> Compared:
    """Two models of which the better has right what the other has, and more; even and odd rows are slices."""
    said = {
        right: ["positive" if row < right else "negative" for row in range(rows)] for right in (champion_right, challenger_right)
    }
    parity = ["even" if row % 2 == 0 else "odd" for row in range(rows)]
    keys = [f"item{row}" for row in range(rows)]
    return Compared(keys, ["positive"] * rows, said[champion_right], said[challenger_right], {"parity": parity})


class World:
    """A home's public files below `root`, and the loop's health over them."""

    def __init__(self, root: Path, log: FeedbackLog) -> None:
        self.lake, self.log = root / "lake", log
        self.places = Places(
            self.lake, self.lake / "feedback", root / "promotions", root / "mlflow", root / "looks", root / "alerts"
        )
        self.predictions = PredictionStore(self.lake / "predictions", "reviews")
        self.promotions = PromotionLog(self.places.promotions, "reviews")
        recent = RecentFeedback(self.lake, self.places.segments, log, self.predictions, "reviews", LABELS, 0.9)
        self.health = LoopHealth(self.places, "reviews", LABELS, log, recent)

    def look(self, now: datetime.datetime = NOW) -> Health:
        return self.health.look(now)

    def first(self, right: int | None = 800) -> Decision:
        """The first champion; `right` of its test rows were, as the evaluation beside its file says, where there is one."""
        if right is not None:
            path = (self.places.models / model(1).artefact).with_name("evaluation.json")
            path.parent.mkdir(parents=True)
            path.write_text(json.dumps({"rows": ROWS, "accuracy": vars(wilson(right, ROWS))}))
        return self._decided(1, "first", "the first model", {}, seq=0)

    def verdict(self, version: int, champion_right: int, challenger_right: int, *, seq: int = 0, control: int = 0) -> Decision:
        """What the gate makes of a challenger with so many rows right, in the log."""
        verdict: Verdict = judge(
            compared(champion_right, challenger_right),
            GatePolicy(slice_minimum_rows=100),
            new_labels=50,
            verdicts_given=version - 2,
            control=compared(control, control, 2 * control) if control else None,
        )
        return self._decided(version, verdict.kind, verdict.why, verdict.as_json(), seq=seq)

    def _decided(self, version: int, kind: Any, why: str, figures: dict[str, Any], *, seq: int) -> Decision:
        champion = self.promotions.champion()
        head = self.log.head_at(seq)
        assert head is not None
        return self.promotions.append(
            kind=kind,
            challenger=model(version),
            champion=champion if kind == "refused" and champion else model(version),
            former_champion=champion,
            snapshot_version=f"v{version:04d}",
            consumed_feedback_seq=seq,
            feedback_head=head.chain,
            at=NOW - (10 - version) * HOUR,
            by="run",
            why=why,
            figures=figures,
        )

    def say(self, statements: Sequence[tuple[str, str, str]], at: datetime.datetime) -> None:
        """(item, annotator, label) into the log, received then."""
        events = [
            checked_event(
                {
                    "event_id": str(uuid.uuid5(uuid.NAMESPACE_OID, f"{item}/{annotator}/{at}")),
                    "dataset": "reviews",
                    "item_id": item,
                    "kind": "label",
                    "label": label,
                    "annotator": annotator,
                    "source": "label-page",
                    "occurred_at": at,
                },
                {"reviews": LABELS},
                now=at,
            )
            for item, annotator, label in statements
        ]
        self.log.append([events], now=at, received_as=[None])

    def drain(self) -> None:
        """What is new in the log as a segment."""
        files = segment_files(self.places.segments)
        reached = int(files[-1].stem.split("-")[1]) if files else 0
        if self.log.head().seq > reached:
            write_segment(self.places.segments, self.log, reached + 1, self.log.head().seq)

    def predict(self, items: Sequence[str]) -> None:
        """One prediction per item."""
        rows = [
            dict.fromkeys(SCHEMA.names)
            | {
                "prediction_id": f"reviews:{item}:{'0' * 16}",
                "dataset": "reviews",
                "item_id": item,
                "label": "positive",
                "predicted_at": NOW - 24 * HOUR,
            }
            for item in items
        ]
        folder = self.predictions.root / "model=0001" / "day=2026-11-22"
        folder.mkdir(parents=True)
        pa.parquet.write_table(pa.Table.from_pylist(rows, SCHEMA), folder / "0001.parquet")

    def curate(self) -> None:
        """Drain, and curate all of it."""
        self.drain()
        control = pa.table({"item_id": pa.array([], pa.string())})
        sources = Sources(segment_files(self.places.segments), self.predictions, control, self.log.head())
        CuratedFeedback(self.lake, "reviews").write(sources, LABELS, 0.9)

    def ask(self, items: Sequence[str], at: datetime.datetime) -> Path:
        """A queue of these items."""
        rows = [
            dict.fromkeys(SHOWN.names)
            | {"item_id": item, "prediction_id": None, "reason": "uncertain", "probability": 0.5, "rank": rank}
            for rank, item in enumerate(items)
        ]
        chosen = pa.Table.from_pylist(rows, pa.schema([*CHOSEN, *SHOWN]))
        queue = LabelQueue(self.lake / "label_queue", "reviews")
        return queue.write(chosen, model_version=1, snapshot_version="v0001", asked_at=at)

    def drift(self, day: datetime.date, moved: dict[str, float | None], *, version: int = 1) -> None:
        """A verdict on a day of 3,000 rows: names of columns to the index by which each moved, None for one that is gone."""
        columns = [
            ColumnDrift(name=name, effect=effect, limit=None if effect is None else 0.01, alarm=True, sentence=f"{name} drifted")
            for name, effect in moved.items()
        ]
        calm = ColumnDrift(name="language", effect=0.0, limit=0.01, sentence="language is as in the reference")
        verdict = DayDrift(
            dataset="reviews",
            day=day,
            rows=3000,
            pooled_rows=3000,
            model_version=version,
            snapshot_version=f"v{version:04d}",
            columns=[*columns, calm],
            alarm=bool(moved),
            sentence=f"{day}: 3,000 rows against v{version:04d}, the snapshot of model {version}: no drift in 1 columns",
        )
        DriftBook(self.lake, "reviews").keep(verdict)

    def batch(self, day: datetime.date, *, bad: int = 0, refused: bool = False) -> None:
        """A batch of 100 records from the shop, `bad` of them without text."""
        ledger = Ledger(self.lake, "reviews")
        violation = Violation(
            rule="contract",
            field="text",
            expectation="must be there",
            found="missing",
            count=bad,
            share=bad / 100,
            file="a",
            line=1,
        )
        entry = Entry(
            seq=ledger.next_seq(),
            dataset="reviews",
            source="shop",
            day=day,
            verdict="refused" if refused else "accepted",
            message=f"{bad}% of the records are missing their text",
            files=[],
            contract=Source(name="shop", fields={}).model_dump(mode="json"),
            contract_digest="",
            counts=Counts.model_validate({"in": 100, "malformed": 0, "contract": bad, "valid": 100 - bad}),
            profile={},
            moved=[],
            warnings=[],
            violations=[violation] if bad else [],
            taken_in_at=NOW,
        )
        with ledger.commit(entry, ledger.refused_folder("shop", day) if refused else ledger.folder(entry.seq)):
            pass
