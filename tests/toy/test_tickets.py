"""The library takes any dataset: tickets go from raw JSON to a snapshot, and nothing of reviews is loaded on the way."""

import datetime
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl

from curation.deduplication.decisions import decide
from curation.ingestion.inspection import batch_id, raw_files
from curation.ingestion.intake import pending, take_in
from curation.ingestion.ledger import Ledger
from curation.ingestion.sources import parse_sources
from curation.snapshots.manifest import Batch, Column, SnapshotSpec
from curation.snapshots.store import Snapshot, SnapshotStore
from curation.training_rows import training_rows
from tests.toy.tickets import CARD, CLEANING, CURATED, POLICY, SOURCES_YAML, TICKETS

DAY = datetime.date(2026, 11, 20)
NOW = datetime.datetime(2026, 11, 21, tzinfo=datetime.UTC)
ASKS = "the invoice of last month shows a charge for a second seat that nobody in our team has ever ordered"


def ticket(number: int, body: object, solved_by: str = "billing", priority: object = 1) -> dict[str, object]:
    opened = f"2026-11-19T10:{number:02d}:00Z"
    return {
        "number": f"T{number}",
        "from": f"c{number % 3}",
        "solved_by": solved_by,
        "body": body,
        "opened": opened,
        "priority": priority,
    }


TICKETS_DELIVERED = [
    ticket(1, ASKS),
    ticket(2, f"{ASKS} at all"),
    ticket(3, ASKS.upper()),
    ticket(4, "the printer on the third floor prints blank pages since the update of this morning", "technical"),
    ticket(5, "cheap http://pills.example"),
    ticket(6, "   "),
    ticket(7, 12),
    *[
        ticket(number, f"machine {number} shows error {number * 7} and restarts by itself", "technical")
        for number in range(8, 50)
    ],
]


def take_in_tickets(home: Path) -> Ledger:
    batch = home / "landing" / "tickets" / "helpdesk" / DAY.isoformat()
    batch.mkdir(parents=True)
    (batch / "a.jsonl").write_text("\n".join(json.dumps(one) for one in TICKETS_DELIVERED) + "\n{broken\n")
    ledger, sources = Ledger(home / "lake", "tickets"), parse_sources(SOURCES_YAML, "toy", TICKETS)
    for waiting in pending(TICKETS, sources, home / "landing", ledger, today=NOW.date()).batches:
        take_in(TICKETS, sources[waiting.source], waiting, home / "landing", ledger, now=NOW)
    return ledger


def curate(connection: duckdb.DuckDBPyConnection, ledger: Ledger) -> None:
    files = [str(path) for path in raw_files(ledger)]
    connection.execute("create view raw as select * from read_parquet($files)".replace("$files", repr(files)))
    connection.execute(f"create table cleaned as {CLEANING}")
    connection.execute("begin")
    decided = decide(connection, connection.table("cleaned"), key=TICKETS.key, decided=None, bands="bands")
    decided.create("decided")
    connection.execute("commit")
    connection.execute(f"create view curated as {CURATED}")


def freeze(home: Path, connection: duckdb.DuckDBPyConnection, ledger: Ledger) -> Snapshot:
    sources = parse_sources(SOURCES_YAML, "toy", TICKETS)
    relation = training_rows(connection, TICKETS, POLICY, sources, "curated", b"key")
    types = {"ticket_uid": "string", "source": "string", "item_id": "string", "text": "string", "label": "string"}
    types |= {"label_origin": "string", "weight": "number", "labelled_at": "timestamp", "rating": "number", "priority": "integer"}
    spec = SnapshotSpec(
        dataset="tickets",
        key=TICKETS.key,
        columns=tuple(Column.model_validate({"name": name, "type": kind}) for name, kind in types.items()),
        labels=POLICY.labels,
        batches=tuple(Batch(id=batch_id(entry), seq=entry.seq) for entry in ledger.entries()),
        contracts={name: source.digest for name, source in sources.items()},
        code_versions={},
        card=CARD,
        created_on=DAY,
    )
    return SnapshotStore(home / "snapshots").write(spec, connection, relation)


def test_tickets_go_from_raw_to_a_snapshot(tmp_path: Path) -> None:
    ledger = take_in_tickets(tmp_path)
    with duckdb.connect() as connection:
        curate(connection, ledger)
        fates = dict(connection.execute("select native_id, fate from decided join cleaned using (record_no)").fetchall())
        snapshot = freeze(tmp_path, connection, ledger)
    counts = ledger.entries()[0].counts
    assert (counts.records_in, counts.malformed, counts.contract) == (50, 1, 1)
    assert {number: fates[number] for number in ("T1", "T2", "T3", "T4", "T5", "T6")} == {
        "T1": "kept", "T2": "near_duplicate", "T3": "exact_duplicate", "T4": "kept", "T5": "spam", "T6": "empty",
    }  # fmt: skip
    rows = pl.concat([pl.read_parquet(part) for part in sorted(snapshot.folder.glob("data/*/*.parquet"))])
    assert rows.height == 44 == snapshot.manifest.rows
    assert set(rows["label"]) == {"billing", "technical"}
    assert rows["priority"].dtype == pl.Int64


def test_nothing_of_reviews_is_loaded_for_tickets() -> None:
    code = "import sys, tests.toy.test_tickets; print([name for name in sys.modules if 'reviews' in name])"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert loaded.stdout.strip() == "[]"
