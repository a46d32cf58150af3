"""How fast feedback is acknowledged, and what the two obvious designs reach on the same disk, in one run.

`uv run python -m benchmarks.feedback` prints a table and writes JSON. The service is a process of its own, spoken to over 8
connections; its peers write without HTTP. Seconds are wall time: a promise about waiting, so run it on an idle machine.
"""

import argparse
import contextlib
import json
import random
import socket
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from multiprocessing.queues import Queue
from pathlib import Path

import duckdb

from benchmarks.measuring import printed
from resources.home import REPOSITORY

CONNECTIONS = 8
DUCKDB_WRITERS = 4
SERVICE = """
import sys
from pathlib import Path
from feedback_service.server import serve
from feedback_service.settings import Settings
from resources.home import Home
unlimited = Settings(port=0, requests_per_s=1e6, burst=10**6)
from curation_assets.datasets import served_datasets
serve(Home(Path(sys.argv[1])), served_datasets(), unlimited, lambda line: print(line, flush=True))
"""


@dataclass(frozen=True)
class Timed:
    """What a number of writers reached together: events a second, and the seconds that each commit took them."""

    events_per_s: float
    waits_s: list[float]

    def row(self, what: str, reach: str) -> list[object]:
        """One line of the table; waiting in ms."""
        hundredths = statistics.quantiles(self.waits_s, n=100)
        return [what, round(self.events_per_s), round(hundredths[49] * 1e3, 1), round(hundredths[98] * 1e3, 1), reach]


def an_event(number: int) -> dict[str, object]:
    """A label as a product would send it."""
    return {
        "event_id": str(uuid.uuid4()),
        "dataset": "reviews",
        "prediction_id": f"reviews:{number % 10_000:064x}:0123456789abcdef",
        "kind": "label",
        "label": ("negative", "neutral", "positive")[number % 3],
        "annotator": f"person {number % 20}",
        "source": "benchmark",
        "occurred_at": "2026-03-05T14:30:00Z",
        "context": {"page": "product", "position": number % 10},
    }


def request_bytes(body: object) -> bytes:
    """A whole POST, ready to be sent."""
    raw = json.dumps(body).encode()
    head = (
        f"POST /v1/feedback HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {len(raw)}\r\n\r\n"
    )
    return head.encode() + raw


def together(writers: list[Callable[[], list[float]]]) -> tuple[float, list[float]]:
    """(wall seconds, waits) of functions that each return their waits, run in a thread each."""
    waits: list[list[float]] = [[] for _ in writers]

    def run(place: int) -> None:
        waits[place] = writers[place]()

    threads = [threading.Thread(target=run, args=(place,)) for place in range(len(writers))]
    began_s = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return time.perf_counter() - began_s, [wait_s for each in waits for wait_s in each]


@contextlib.contextmanager
def serving(home: Path) -> Iterator[int]:
    """The port of a service on a new home, until the block ends."""
    process = subprocess.Popen([sys.executable, "-c", SERVICE, str(home)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.communicate()


def sent(port: int, requests: list[bytes]) -> list[float]:
    """Seconds until each request was acknowledged, one after the other on one connection. RuntimeError for any answer but 201."""
    waits_s: list[float] = []
    with socket.create_connection(("127.0.0.1", port)) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for request in requests:
            began_s = time.perf_counter()
            connection.sendall(request)
            answer = connection.recv(65_536)
            while not answer.endswith(b"}"):  # the answer is one flat JSON object
                answer += connection.recv(65_536)
            waits_s.append(time.perf_counter() - began_s)
            if not answer.startswith(b"HTTP/1.1 201"):
                raise RuntimeError(answer.decode())
    return waits_s


def service(folder: Path, events_in_request: int, requests: int) -> Timed:
    """`requests` of so many events each, spread over the connections of a new service."""
    bodies = [[an_event(number) for number in range(events_in_request)] for _ in range(requests)]
    prepared = [request_bytes(body if events_in_request > 1 else body[0]) for body in bodies]
    with serving(folder / f"service {events_in_request}") as port:
        sent(port, [request_bytes(an_event(0)) for _ in range(50)])
        wall_s, waits_s = together([partial(sent, port, prepared[place::CONNECTIONS]) for place in range(CONNECTIONS)])
    return Timed(requests * events_in_request / wall_s, waits_s)


def sqlite_per_event(folder: Path, seconds: float) -> Timed:
    """A commit for each event: a connection per thread, WAL, `synchronous=FULL`, a minute's patience with the lock."""
    path = folder / "peer.sqlite"
    with contextlib.closing(sqlite3.connect(path)) as connection:
        connection.execute("pragma journal_mode = wal")
        connection.execute("create table log (seq integer primary key autoincrement, event_id text unique, body text)")

    def write() -> list[float]:
        waits_s: list[float] = []
        with contextlib.closing(sqlite3.connect(path, timeout=60, isolation_level=None)) as connection:
            connection.execute("pragma synchronous = full")
            until_s = time.perf_counter() + seconds
            while time.perf_counter() < until_s:
                event = an_event(len(waits_s))
                began_s = time.perf_counter()
                connection.execute("insert into log (event_id, body) values (?, ?)", (event["event_id"], json.dumps(event)))
                waits_s.append(time.perf_counter() - began_s)
        return waits_s

    wall_s, waits_s = together([write] * CONNECTIONS)
    return Timed(len(waits_s) / wall_s, waits_s)


def duckdb_writer(path: str, seconds: float, waits: "Queue[list[float]]") -> None:
    """Open, insert, close; where the file is taken, wait twice as long as before (10 ms to 1 s, with chance) and try again."""
    waits_s: list[float] = []
    chance = random.Random()
    until_s = time.perf_counter() + seconds
    while time.perf_counter() < until_s:
        event = an_event(len(waits_s))
        began_s, backoff_s = time.perf_counter(), 0.01
        while True:
            try:
                with duckdb.connect(path) as connection:
                    connection.execute("insert into feedback values (?, ?)", [event["event_id"], json.dumps(event)])
                break
            except duckdb.IOException:
                time.sleep(backoff_s * chance.uniform(0.5, 1.5))
                backoff_s = min(1.0, backoff_s * 2)
        waits_s.append(time.perf_counter() - began_s)
    waits.put(waits_s)


def duckdb_lock_and_backoff(folder: Path, seconds: float) -> Timed:
    """Four processes that share one DuckDB file the usual way."""
    path = str(folder / "peer.duckdb")
    with duckdb.connect(path) as connection:
        connection.execute("create table feedback (event_id varchar unique, body varchar)")
    spawning = get_context("spawn")
    waits: Queue[list[float]] = spawning.Queue()
    writers = [spawning.Process(target=duckdb_writer, args=(path, seconds, waits)) for _ in range(DUCKDB_WRITERS)]
    for writer in writers:
        writer.start()
    waits_s = [wait_s for _ in writers for wait_s in waits.get()]
    for writer in writers:
        writer.join()
    return Timed(len(waits_s) / seconds, waits_s)


def main() -> None:
    """Measure; print the table, write the JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--requests", type=int, default=8_000, help="single events; a twentieth as many batches of 100")
    parser.add_argument("--seconds", type=float, default=8.0, help="of each peer")
    parser.add_argument("--output", type=Path, default=REPOSITORY / "bench-results" / "feedback.json")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        table = [
            service(folder, 1, chosen.requests).row(f"service, single events, {CONNECTIONS} connections", "400/s, p99 50 ms"),
            service(folder, 100, chosen.requests // 20).row(f"service, batches of 100, {CONNECTIONS} connections", "8,000/s"),
            sqlite_per_event(folder, chosen.seconds).row(f"one SQLite commit per event, {CONNECTIONS} threads, no HTTP", "peer"),
            duckdb_lock_and_backoff(folder, chosen.seconds).row(f"DuckDB file, {DUCKDB_WRITERS} processes, no HTTP", "peer"),
        ]
    header = ["what", "acknowledged events/s", "p50 of a commit, ms", "p99, ms", "reach"]
    print(printed(header, table))
    chosen.output.parent.mkdir(parents=True, exist_ok=True)
    chosen.output.write_text(json.dumps({"header": header, "table": table}, indent=1))


if __name__ == "__main__":
    main()
