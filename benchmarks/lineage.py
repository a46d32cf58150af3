"""What lineage costs on a large home: `explain` and every kind of `impact` at 1,000,000 predictions on 1,000,000 rows.

`uv run python -m benchmarks.lineage` makes a home (two snapshots of all rows, two models, half of the predictions each, 300,000 events
of 40 people, published fates), asks each question some times on it, prints a table and writes JSON. Wall seconds, of which a busy
machine has more, beside CPU seconds.
"""

import argparse
import datetime
import json
import os
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from functools import partial
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.measuring import measured, printed
from curation.fates import FateBook
from curation.feedback.events import LOGGED, prediction_id_of
from curation.lineage.explaining import explain
from curation.lineage.impact import Kind, impact
from curation.lineage.places import Places, Traced
from curation.predictions import ROWS_A_GROUP, ROWS_A_PART, SCHEMA, PredictionStore
from curation.promotions import ModelReference, PromotionLog
from curation.snapshots.manifest import Batch, CardTexts, Column, SnapshotSpec
from curation.snapshots.store import SnapshotStore
from resources.home import REPOSITORY, Home

LABELS = ("negative", "neutral", "positive")
EVENTS, PEOPLE, DAYS, TIMES = 300_000, 40, 10, 5
FIRST_DAY = datetime.date(2026, 11, 1)
MOMENT = datetime.datetime(2026, 11, 20, tzinfo=datetime.UTC)
SPLIT = "case when n % 10 < 8 then 'train' when n % 10 = 8 then 'validation' else 'test' end"
COLUMNS = (
    *(Column(name=name, type="string") for name in ("review_uid", "source", "text", "label", "label_origin")),
    Column(name="weight", type="number"),
    Column(name="labelled_at", type="timestamp"),
)


def with_snapshots(connection: duckdb.DuckDBPyConnection, home: Home, rows: int) -> list[str]:
    """Table `items` of that many rows, and two snapshots of it: the second has people's labels on 20,000 rows. Their digests."""
    connection.execute(
        "create table items as select n, sha256('item ' || n) as review_uid, if(n % 3 = 0, 'forum', 'shop') as source,"
        f" date '{FIRST_DAY}' + (n % {DAYS})::integer as day, 'line ' || (n // 1000) || '.jsonl' as file, n % 1000 + 1 as line,"
        f" {SPLIT} as split from range({rows}) as numbered(n)"
    )
    digests = []
    for consumed in (0, EVENTS):
        human = f"n % 50 = 0 and n % 10 < 9 and {consumed} > 0"
        connection.execute(
            "create or replace view training as select review_uid, source, 'this is the text of a review, number ' || n as text,"
            f" ['negative', 'neutral', 'positive'][n % 3 + 1] as label, if({human}, 'human', 'derived') as label_origin,"
            f" if({human}, 0.9, 1.0)::double as weight, day::timestamp as labelled_at, split, review_uid as cluster, null::varchar as subject,"
            " source || '/' || day as batch, file, line, strftime(day, '%Y-%m') as month from items"
        )
        batches = connection.execute("select distinct batch from training order by 1").fetchall()
        spec = SnapshotSpec(
            dataset="reviews",
            key="review_uid",
            columns=COLUMNS,
            labels=LABELS,
            batches=tuple(Batch(id=batch, seq=seq) for seq, (batch,) in enumerate(batches, start=1)),
            contracts={},
            code_versions={},
            consumed_feedback_seq=consumed,
            card=CardTexts(pretty_name="Reviews", description="Made up.", licence="other"),
            created_on=FIRST_DAY,
        )
        digests.append(SnapshotStore(home.snapshots).write(spec, connection, "training").manifest.digest)
    return digests


def with_predictions(connection: duckdb.DuckDBPyConnection, home: Home, rows: int) -> None:
    """Half of the rows predicted by each of two models, day by day."""
    for version in (1, 2):
        for day in range(DAYS):
            items = connection.execute(
                f"select n, review_uid, source from items where n % {DAYS} = {day} and n // {DAYS} % 2 = {version - 1} order by n"
            ).fetchall()
            when = FIRST_DAY + datetime.timedelta(days=day)
            for start in range(0, len(items), ROWS_A_PART):
                part = _part(items[start : start + ROWS_A_PART], version, when)
                folder = PredictionStore(home.predictions, "reviews").root / f"model={version:04d}" / f"day={when}"
                folder.mkdir(parents=True, exist_ok=True)
                pq.write_table(
                    part, folder / f"{start // ROWS_A_PART + 1:04d}.parquet", compression="zstd", row_group_size=ROWS_A_GROUP
                )


def _part(items: list[tuple[int, str, str]], version: int, day: datetime.date) -> pa.Table:
    count, sha256 = len(items), f"{version}" * 64
    texts = [f"this is the text of a review, number {number}" for number, _, _ in items]
    columns = {
        "prediction_id": [prediction_id_of("reviews", uid, sha256, text) for (_, uid, _), text in zip(items, texts, strict=True)],
        "dataset": ["reviews"] * count,
        "item_id": [uid for _, uid, _ in items],
        "record_no": [number for number, _, _ in items],
        "source": [source for _, _, source in items],
        "day": [day] * count,
        "text": texts,
        "label": ["neutral"] * count,
        "margin": [0.2] * count,
        "model_version": [version] * count,
        "model_sha256": [sha256] * count,
        "snapshot_version": [f"v{version:04d}"] * count,
        "language": ["latin"] * count,
        "length": [9] * count,
        "rating": [None] * count,
        "extra": [None] * count,
        "predicted_at": [MOMENT] * count,
    }
    arrays = {name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()}
    probabilities = pa.MapArray.from_arrays(
        np.arange(0, 3 * count + 1, 3, dtype=np.int32), [*LABELS] * count, [0.2, 0.5, 0.3] * count
    )
    return pa.table([arrays.get(name, probabilities) for name in SCHEMA.names], schema=SCHEMA)


def with_fates(connection: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Every record kept, as a run publishes it."""
    connection.execute(
        "create table fates as select n as record_no, source || '/' || day || '/' || file || ':' || line as record_id, review_uid,"
        " 'native-' || n as native_id, source, day, file, line, 'kept' as fate, null::varchar as rule, null::varchar as duplicate_of,"
        " null::double as jaccard, 1 as decided_at_seq from items"
    )
    kept = "count(*) as kept, 0 as spam, 0 as empty, 0 as exact_duplicate, 0 as near_duplicate, 0 as superseded"
    connection.execute(f"create table batches as select source, day, {kept} from items group by all")
    FateBook(home.lake, "reviews").publish(connection, "fates", "batches", "made up")


def with_feedback(connection: duckdb.DuckDBPyConnection, home: Home) -> None:
    """Everybody's words on the rows that people label, as one segment."""
    items = [uid for (uid,) in connection.execute("select review_uid from items where n % 50 = 0 order by n").fetchall()]
    rows = [
        {
            "seq": number + 1,
            "event_id": str(uuid.UUID(int=number)),
            "dataset": "reviews",
            "item_id": items[number % len(items)],
            "kind": "label",
            "label": LABELS[number % 3],
            "annotator": f"annotator-{number * 7919 % PEOPLE}",
            "source": "benchmark",
            "occurred_at": MOMENT,
            "received_at": MOMENT,
        }
        for number in range(EVENTS)
    ]
    home.feedback_segments.mkdir(parents=True)
    pq.write_table(
        pa.Table.from_pylist(rows, LOGGED), home.feedback_segments / f"{1:012d}-{EVENTS:012d}.parquet", row_group_size=50_000
    )


def with_decisions(home: Home, digests: list[str]) -> None:
    """The first model, and the second that took its place."""
    log = PromotionLog(home.promotions, "reviews")
    former = None
    for version, digest in enumerate(digests, start=1):
        model = ModelReference(
            version=version,
            run_id=f"run{version}",
            artefact=f"run{version}/model.skops",
            artefact_sha256=f"{version}" * 64,
            snapshot_version=f"v{version:04d}",
            snapshot_digest=digest,
        )
        log.append(
            kind="promoted" if former else "first",
            challenger=model,
            champion=model,
            former_champion=former,
            snapshot_version=f"v{version:04d}",
            consumed_feedback_seq=EVENTS if former else 0,
            feedback_head="0" * 64,
            at=MOMENT,
            by="benchmark",
            why="made up",
            figures={},
        )
        former = model


def made(folder: Path, rows: int) -> Home:
    """A home of that size below an empty folder."""
    home = Home(folder).prepare()
    with duckdb.connect() as connection:
        digests = with_snapshots(connection, home, rows)
        with_predictions(connection, home, rows)
        with_fates(connection, home)
        with_feedback(connection, home)
    with_decisions(home, digests)
    return home


def cpu_s() -> float:
    """CPU seconds of this process and of its ended children."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def timed(question: Callable[[int], object]) -> tuple[float, float, float]:
    """Wall seconds of the first answer; medians of the others, wall and CPU seconds (of this process and of those it waited for)."""
    walls, cpus = [], []
    for number in range(TIMES + 1):
        wall, cpu = time.perf_counter(), cpu_s()
        question(number)
        walls.append(time.perf_counter() - wall)
        cpus.append(cpu_s() - cpu)
    return walls[0], statistics.median(walls[1:]), statistics.median(cpus[1:])


def _asked(traced: Traced, kind: Kind, value: str, _: int) -> object:
    return impact(traced, "review_uid", kind, value)


def _commanded(arguments: list[str], home: Path, _: int) -> object:
    curation = str(Path(sys.executable).with_name("curation"))
    return measured([curation, *arguments, "--home", str(home)], cwd=REPOSITORY)


def main() -> None:
    """Measure; print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--home", type=Path, help="an empty folder to keep the home in, or one kept before")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "bench-results" / "lineage.json")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder: Path = (chosen.home or Path(temporary)).resolve()
        home = Home(folder) if (folder / "promotions" / "reviews").exists() else made(folder, chosen.rows)
        places = Places(home.lake, home.feedback_segments, home.predictions, home.promotions, home.mlflow, home.snapshots)
        traced = Traced(places, "reviews", LABELS, 0.9)
        with duckdb.connect() as connection:
            uids = [
                connection.execute("select sha256('item ' || ?)", [str(number)]).fetchall()[0][0]
                for number in range(0, 50 * (TIMES + 1), 50)
            ]
        ids = [
            prediction_id_of(
                "reviews", uid, f"{number * 50 // DAYS % 2 + 1}" * 64, f"this is the text of a review, number {number * 50}"
            )
            for number, uid in enumerate(uids)
        ]
        asked: dict[Kind, str] = {
            "review": "native-250",
            "annotator": "annotator-7",
            "source": "shop",
            "batch": f"shop/{FIRST_DAY}",
        }
        questions: dict[str, Callable[[int], object]] = {"explain": lambda number: explain(traced, ids[number])}
        questions |= {f"impact of one {kind}": partial(_asked, traced, kind, value) for kind, value in asked.items()}
        questions["`curation explain`, the whole command"] = partial(_commanded, ["explain", ids[0]], folder)
        questions |= {
            f"`curation impact --{kind}`, the whole command": partial(
                _commanded, ["impact", "reviews", f"--{kind}", value], folder
            )
            for kind, value in asked.items()
        }
        table = [[question, *timed(ask)] for question, ask in questions.items()]
    print(printed(["question", "first, wall s", "median, wall s", "median, CPU s"], table))
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps({"rows": chosen.rows, "events": EVENTS, "table": table}, indent=1))


if __name__ == "__main__":
    main()
