"""Random homes for lineage: batches, snapshots, models, predictions and feedback, written as runs leave them, with what is true of them.

`Graph` keeps every fact in plain lists, so that a test can answer by brute force what the library answers from files. No assertion.
"""

import datetime
import hashlib
import random
import shutil
import uuid
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from curation.fates import FateBook
from curation.feedback.events import LOGGED, prediction_id_of
from curation.lineage.places import Places, Traced
from curation.predictions import SCHEMA, PredictionStore
from curation.promotions import ModelReference, PromotionLog
from curation.snapshots.manifest import Batch, CardTexts, Column, SnapshotSpec
from curation.snapshots.store import SnapshotStore

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
TEST_FROM = 0.8
PEOPLE = ("anna", "bashir", 'o\'hara "x"', "zoë")
KINDS = ("label", "label", "label", "agree", "disagree", "spam", "skip", "withdraw", "adjudicate")
COLUMNS = (
    *(Column(name=name, type="string") for name in ("uid", "source", "text", "label", "label_origin")),
    Column(name="weight", type="number"),
    Column(name="labelled_at", type="timestamp"),
)
ROW = (
    "uid varchar, source varchar, text varchar, label varchar, label_origin varchar, weight double, labelled_at timestamp, split varchar,"
    " cluster varchar, subject varchar, batch varchar, file varchar, line bigint, month varchar"
)


def held_out(item: str) -> bool:
    """Whether an item trains nothing, by its place as `training_rows.place_of` has it."""
    return int(hashlib.sha256(f"split:{item}".encode()).hexdigest()[:8], 16) / 2**32 >= TEST_FROM


@dataclass(frozen=True)
class Item:
    """One kept record."""

    number: int
    uid: str
    native_id: str
    source: str
    day: datetime.date
    cluster: str

    @property
    def batch(self) -> str:
        return f"{self.source}/{self.day}"


@dataclass
class Graph:
    """What is true of one home. `snapshots`: version -> its rows by key; `consumed` by version; `decisions` as (kind, version)."""

    traced: Traced
    items: list[Item] = field(default_factory=list)
    snapshots: dict[str, dict[str, dict[str, Any]]] = field(default_factory=dict)
    consumed: dict[str, int] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    models: dict[int, ModelReference] = field(default_factory=dict)
    decisions: list[tuple[str, int]] = field(default_factory=list)
    predictions: list[dict[str, Any]] = field(default_factory=list)
    events: list[dict[str, Any]] = field(default_factory=list)

    @property
    def places(self) -> Places:
        return self.traced.places

    def pile(self) -> list[int]:
        """The champions that a rollback can go back through, the present one last."""
        pile: list[int] = []
        for kind, version in self.decisions:
            if kind in {"first", "promoted"}:
                pile.append(version)
            elif kind == "rolled_back":
                pile.pop()
        return pile

    def last_words(self, item: str, up_to: int | None) -> dict[str, dict[str, Any]]:
        """Annotator -> the last word on an item, with its `vote`: matched ones before others, then by time, then by seq."""
        words: dict[str, dict[str, Any]] = {}
        for event in self.events:
            if event["item_id"] != item or (up_to is not None and event["seq"] > up_to):
                continue
            judged = event | {"is_matched": self._is_matched(event), "vote": self._vote(event)}
            former = words.get(event["annotator"])
            if former is None or _rank(judged) > _rank(former):
                words[event["annotator"]] = judged
        return words

    def _is_matched(self, event: dict[str, Any]) -> bool:
        if event["prediction_id"] is None:
            return any(one["item_id"] == event["item_id"] for one in self.predictions)
        return any(one["prediction_id"] == event["prediction_id"] for one in self.predictions)

    def _vote(self, event: dict[str, Any]) -> str | None:
        if not self._is_matched(event):
            return None
        said = [one["label"] for one in self.predictions if one["prediction_id"] == event["prediction_id"]]
        match event["kind"]:
            case "label" | "adjudicate":
                return str(event["label"])
            case "spam":
                return "spam"
            case "agree":
                return str(said[0])
            case "disagree" if len(self.traced.labels) == 2:
                return next(label for label in self.traced.labels if label != said[0])
        return None


def _rank(word: dict[str, Any]) -> tuple[bool, datetime.datetime, int]:
    return word["is_matched"], word["occurred_at"], word["seq"]


def graph(root: Path, seed: int, dataset: str = "notes") -> Graph:
    """A random home below `root`, laid out as `resources.home` does; the same for the same seed."""
    chance = random.Random(seed)
    labels = ("bad", "good") if chance.random() < 0.5 else ("bad", "fair", "good")
    places = Places(
        root / "lake",
        root / "lake" / "feedback",
        root / "lake" / "predictions",
        root / "promotions",
        root / "mlflow",
        root / "snapshots",
    )
    made = Graph(Traced(places, dataset, labels, TEST_FROM))
    _arrive(made, chance)
    _predict_and_say(made, chance)
    with duckdb.connect() as connection:
        for number in range(1, chance.randint(1, 3) + 1):
            _freeze(made, chance, connection, number)
        _decide(made, chance)
        _publish_fates(made, connection)
    for version in made.snapshots:
        if chance.random() < 0.2:
            shutil.rmtree(places.snapshots / dataset / version)
            made.deleted.add(version)
    return made


def _arrive(made: Graph, chance: random.Random) -> None:
    days = [datetime.date(2026, 10, 30) + datetime.timedelta(days=number) for number in range(chance.randint(1, 4))]  # two months
    for number in range(chance.randint(4, 14)):
        uid = hashlib.sha256(f"{chance.random()}".encode()).hexdigest()
        same = [item for item in made.items if held_out(item.uid) == held_out(uid)]
        cluster = chance.choice(same).cluster if same and chance.random() < 0.4 else uid
        made.items.append(Item(number, uid, f"n-{number}", chance.choice(("mail", "shop", "web")), chance.choice(days), cluster))


def _predict_and_say(made: Graph, chance: random.Random) -> None:
    """Predictions of up to four models to come, and events on items, predictions, and on predictions that never were."""
    for version in range(1, chance.randint(1, 4) + 1):
        made.models[version] = ModelReference(
            version=version,
            run_id=f"run{version}",
            artefact=f"run{version}/model.skops",
            artefact_sha256=f"{version}" * 64,
            snapshot_version="v0001",
            snapshot_digest="0" * 64,
        )
        for item in made.items:
            if chance.random() < 0.6:
                made.predictions.append(_prediction(made, item, version, chance.choice(made.traced.labels)))
    for seq in range(1, chance.randint(0, 60) + 1):
        item = chance.choice(made.items)
        about = [one["prediction_id"] for one in made.predictions if one["item_id"] == item.uid]
        kind = chance.choice(KINDS)
        prediction_id = chance.choice([*about, None, prediction_id_of(made.traced.dataset, item.uid, "f" * 64, "never")])
        if kind in {"agree", "disagree"} and prediction_id is None:
            kind = "skip"
        made.events.append(
            dict.fromkeys(LOGGED.names)
            | {
                "seq": seq,
                "event_id": str(uuid.UUID(int=seq)),
                "dataset": made.traced.dataset if chance.random() < 0.95 else "other",
                "prediction_id": prediction_id,
                "item_id": item.uid,
                "kind": kind,
                "label": chance.choice(made.traced.labels) if kind in {"label", "adjudicate"} else None,
                "annotator": chance.choice(PEOPLE),
                "source": "page",
                "occurred_at": NOW - datetime.timedelta(minutes=chance.randint(0, 20)),
                "received_at": NOW,
            }
        )
    if made.events:
        made.places.segments.mkdir(parents=True)
        middle = chance.randint(1, len(made.events))
        for part in (made.events[:middle], made.events[middle:]):
            if part:
                name = f"{part[0]['seq']:012d}-{part[-1]['seq']:012d}.parquet"
                pq.write_table(pa.Table.from_pylist(part, LOGGED), made.places.segments / name)
    made.events = [event for event in made.events if event["dataset"] == made.traced.dataset]


def _prediction(made: Graph, item: Item, version: int, label: str) -> dict[str, Any]:
    text = f"text of {item.native_id}"
    others = [name for name in made.traced.labels if name != label]
    return dict.fromkeys(SCHEMA.names) | {
        "prediction_id": prediction_id_of(made.traced.dataset, item.uid, f"{version}" * 64, text),
        "dataset": made.traced.dataset,
        "item_id": item.uid,
        "record_no": item.number,
        "source": item.source,
        "day": item.day,
        "text": text,
        "label": label,
        "probabilities": [(label, 0.6), *((name, 0.4 / len(others)) for name in others)],
        "margin": 0.2,
        "model_version": version,
        "model_sha256": f"{version}" * 64,
        "language": "latin",
        "length": 3,
        "predicted_at": NOW,
    }


def _freeze(made: Graph, chance: random.Random, connection: duckdb.DuckDBPyConnection, number: int) -> None:
    """A snapshot of some of the items; each row that somebody has a vote on may carry a label from people."""
    consumed = chance.randint(max([0, *made.consumed.values()]), max([0, *(event["seq"] for event in made.events)]))
    rows: dict[str, dict[str, Any]] = {}
    for item in made.items:
        if chance.random() < 0.3 and rows:
            continue
        votes = [word["vote"] for word in made.last_words(item.uid, consumed).values() if word["vote"] in made.traced.labels]
        is_human = bool(votes) and not held_out(item.uid) and chance.random() < 0.8
        rows[item.uid] = {
            "uid": item.uid,
            "source": item.source,
            "text": f"text of {item.native_id}, {number}",
            "label": votes[0] if is_human else chance.choice(made.traced.labels),
            "label_origin": "human" if is_human else "derived",
            "weight": 0.9 if is_human else 1.0,
            "labelled_at": NOW.replace(tzinfo=None),
            "split": "test" if held_out(item.uid) else chance.choice(("train", "validation")),
            "cluster": item.cluster,
            "subject": None,
            "batch": item.batch,
            "file": f"{item.source}.jsonl",
            "line": item.number + 1,
            "month": f"{item.day:%Y-%m}",
        }
    connection.execute(f"create or replace table training ({ROW})")
    connection.executemany(f"insert into training values ({', '.join('?' * 14)})", [list(row.values()) for row in rows.values()])
    batches = sorted({item.batch for item in made.items})
    spec = SnapshotSpec(
        dataset=made.traced.dataset,
        key="uid",
        columns=COLUMNS,
        labels=made.traced.labels,
        batches=tuple(Batch(id=batch, seq=seq) for seq, batch in enumerate(batches, start=1)),
        contracts={},
        code_versions={"attempt": str(number)},
        consumed_feedback_seq=consumed,
        card=CardTexts(pretty_name="Notes", description="Made up.", licence="other"),
        created_on=NOW.date(),
    )
    version = SnapshotStore(made.places.snapshots).write(spec, connection, "training").folder.name
    made.snapshots[version], made.consumed[version] = rows, consumed


def _decide(made: Graph, chance: random.Random) -> None:
    """Each model learns from a snapshot and is judged, but for one that is never; some champions are rolled back. Writes predictions."""
    log = PromotionLog(made.places.promotions, made.traced.dataset)
    for version in made.models:
        snapshot = chance.choice(list(made.snapshots))
        reference = made.models[version].model_copy(update={"snapshot_version": snapshot})
        made.models[version] = reference
        if chance.random() < 0.15:
            continue
        champion = log.champion()
        kind: Any = "first" if champion is None else chance.choice(("promoted", "refused"))
        log.append(
            kind=kind,
            challenger=reference,
            champion=champion if kind == "refused" and champion else reference,
            former_champion=champion,
            snapshot_version=snapshot,
            consumed_feedback_seq=made.consumed[snapshot],
            feedback_head="0" * 64,
            at=NOW,
            by="test",
            why="made up",
            figures={},
        )
        made.decisions.append((kind, version))
        if len(made.pile()) > 1 and chance.random() < 0.4:
            back = log.roll_back(at=NOW, by="test", why="made up")
            made.decisions.append(("rolled_back", back.champion.version))
    store = PredictionStore(made.places.predictions, made.traced.dataset)
    for one in made.predictions:
        one["snapshot_version"] = made.models[one["model_version"]].snapshot_version
    for version in made.models:
        for day in {one["day"] for one in made.predictions}:
            part = [one for one in made.predictions if (one["model_version"], one["day"]) == (version, day)]
            if part:
                folder = store.root / f"model={version:04d}" / f"day={day}"
                folder.mkdir(parents=True)
                pq.write_table(pa.Table.from_pylist(part, SCHEMA), folder / "0001.parquet", row_group_size=3)


def _publish_fates(made: Graph, connection: duckdb.DuckDBPyConnection) -> None:
    connection.execute(
        "create table fates (record_no bigint, record_id varchar, uid varchar, native_id varchar, source varchar, day date, file varchar,"
        " line bigint, fate varchar, rule varchar, duplicate_of varchar, jaccard double, decided_at_seq bigint)"
    )
    for item in made.items:
        place = [item.source, item.day, f"{item.source}.jsonl", item.number + 1]
        name = f"{item.batch}/{item.source}.jsonl:{item.number + 1}"
        connection.execute(
            f"insert into fates values ({', '.join('?' * 13)})",
            [item.number, name, item.uid, item.native_id, *place, "kept", None, None, None, 1],
        )
    connection.execute("create table batches as select source, day, 0 as spam, 0 as empty, 0 as exact_duplicate, 0 as near_duplicate,"
                       " 0 as superseded, count(*) as kept from fates group by all")  # fmt: skip
    FateBook(made.places.lake, made.traced.dataset).publish(connection, "fates", "batches", "made up")
