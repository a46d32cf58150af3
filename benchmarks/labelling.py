"""How fast labelling is: keys in a real browser, 50 annotators at once over HTTP, and every page at a million events.

Run by hand: `uv run python -m benchmarks.labelling [browser|crowd|pages]`, all three without a word. Needs Chromium for the first.
"""

import contextlib
import http.client
import json
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import uuid
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlencode

import orjson
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.loop import ITEMS, with_history
from benchmarks.measuring import printed
from curation.feedback.curated import CuratedFeedback, Sources
from curation.feedback.events import prediction_id_of
from curation.feedback.log import FeedbackLog
from curation.feedback.segments import segment_files
from curation.label_queue import SHOWN, LabelQueue
from curation.learning.selection import CHOSEN
from curation.predictions import SCHEMA, PredictionStore
from curation_assets.datasets import declared
from resources.home import REPOSITORY, Home, now, today

ANNOTATORS = 50
CROWD_S = 60.0
THINKING_S = 0.5  # between decisions: twice as fast as the fastest people
KEYS = 100
EVENTS = 1_000_000
LOOKS = 10
START_S = 15.0
PAGES = ["/", "/label/reviews", "/label/reviews/conflicts", "/predictions/reviews", "/loop/reviews"]
ITEMS_PATH, ASKED = "/label/reviews/items", {"tab": "a", "wanted": 12, "holding": []}
MODEL = "ab" * 32  # the model of benchmarks.loop's predictions
FLAGS = ["--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-component-update"]
SERVICE = """
import sys
from feedback_service.server import serve
from feedback_service.settings import Settings
from resources.home import Home
from pathlib import Path
from curation_assets.datasets import served_datasets
serve(Home(Path(sys.argv[1])), served_datasets(), Settings(port=0), lambda line: print(line, flush=True))
"""


@contextlib.contextmanager
def serving(home: Home) -> Iterator[int]:
    """The port of a service on a home, until the block ends."""
    process = subprocess.Popen([sys.executable, "-c", SERVICE, str(home.root)], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY)
    try:
        assert process.stdout is not None
        yield int(process.stdout.readline().rsplit(":", 1)[1])
    finally:
        process.terminate()
        process.communicate()


def with_queue(home: Home, items: int) -> None:
    """A queue of `items` items, each of 60 words, with the fields of a review."""
    chance = random.Random(7)
    words = ("the kettle", "boils fast", "but its lid", "sticks and", "after two weeks", "of use it", "began to", "leak a little")
    rows = [
        {
            "item_id": f"{number:064x}",
            "prediction_id": prediction_id_of("reviews", f"{number:064x}", MODEL, "text"),
            "reason": "uncertain",
            "probability": 0.5,
            "rank": number + 1,
            "fields": orjson.dumps(
                {
                    "title": "A kettle",
                    "text": " ".join(chance.choices(words, k=25)),
                    "source": "shop",
                    "date": "2026-11-01",
                    "rating": 4,
                }
            ).decode(),
            "guess": "neutral",
            "confidence": 0.4,
        }
        for number in range(items)
    ]
    chosen = pa.Table.from_pylist(rows, pa.schema([*CHOSEN, *SHOWN]))
    LabelQueue(home.lake / "label_queue", "reviews").write(chosen, model_version=1, snapshot_version="v0001", asked_at=now())


class Session:
    """Somebody signed in over HTTP, on one connection."""

    def __init__(self, port: int, name: str) -> None:
        self.connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self.name = name
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self._asked("POST", "/sign-in", urlencode({"who": name, "next": "/"}).encode(), form)
        self.headers = {"Cookie": answer[1]["set-cookie"].split(";")[0], "Content-Type": "application/json"}
        page = self.get("/")[1].decode()
        self.headers["X-CSRF-Token"] = page.split('data-csrf="')[1].split('"')[0]

    def _asked(self, method: str, path: str, body: bytes | None, headers: dict[str, str]) -> tuple[int, dict[str, str], bytes]:
        self.connection.request(method, path, body, headers)
        answer = self.connection.getresponse()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()

    def get(self, path: str) -> tuple[float, bytes, bool]:
        """Seconds until the whole page was there, the page, and whether it is the one that says what is still being read.

        RuntimeError for any other refusal.
        """
        began_s = time.perf_counter()
        status, headers, raw = self._asked("GET", path, None, {**self.headers, "Accept": "text/html"})
        if status != 200 and "refresh" not in headers:
            raise RuntimeError(f"GET {path}: {status} {raw[:300]!r}")
        return time.perf_counter() - began_s, raw, status != 200

    def post(self, path: str, body: object) -> tuple[float, dict[str, object]]:
        """Seconds until the answer was there, and the answer. RuntimeError for a refusal."""
        began_s = time.perf_counter()
        status, _, raw = self._asked("POST", path, json.dumps(body).encode(), self.headers)
        if status >= 300:
            raise RuntimeError(f"POST {path}: {status} {raw[:300]!r}")
        return time.perf_counter() - began_s, json.loads(raw)


@dataclass
class Work:
    """What one annotator of the crowd did."""

    waits_s: list[float] = field(default_factory=list)
    labelled: list[str] = field(default_factory=list)


def annotate(port: int, name: str, work: Work, until_s: float) -> None:
    """Label one item after the other, as the page's script does it, until the time is over."""
    session, tab = Session(port, name), str(uuid.uuid4())
    held: list[str] = []
    while time.monotonic() < until_s:
        wait_s, answer = session.post("/label/reviews/items", {"tab": tab, "wanted": 5, "holding": held})
        work.waits_s.append(wait_s)
        tasks = answer["tasks"]
        assert isinstance(tasks, list)
        held = [task["item_id"] for task in tasks]
        task = tasks[0]
        event = {
            "event_id": str(uuid.uuid4()),
            "dataset": "reviews",
            "prediction_id": task["prediction_id"],
            "kind": "label",
            "label": "positive",
            "annotator": name,
            "source": "label-page",
        }
        wait_s, _ = session.post("/v1/feedback", event)
        work.waits_s.append(wait_s)
        work.labelled.append(task["item_id"])
        held.remove(task["item_id"])
        time.sleep(THINKING_S)


def crowd() -> list[list[object]]:
    """50 annotators at once: waits, items that went to two people, labels that are not in the log."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder)).prepare()
        with_queue(home, 10_000)
        done = [Work() for _ in range(ANNOTATORS)]
        with serving(home) as port:
            until_s = time.monotonic() + CROWD_S
            threads = [
                threading.Thread(target=annotate, args=(port, f"person-{place}", done[place], until_s))
                for place in range(ANNOTATORS)
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
        with FeedbackLog(home.feedback_log, home.subject_key()) as log:
            logged = Counter(log.read(0, 10**6)["item_id"].to_pylist())
    labelled = Counter(item for work in done for item in work.labelled)
    waits_s = [wait_s for work in done for wait_s in work.waits_s]
    hundredths = statistics.quantiles(waits_s, n=100)
    return [
        [f"{ANNOTATORS} annotators, {CROWD_S:.0f} s: labels", sum(labelled.values()), ""],
        ["items labelled by two", sum(count > 1 for count in labelled.values()), "0"],
        ["labels not in the log, or twice", sum((labelled - logged).values()) + sum((logged - labelled).values()), "0"],
        ["request, p50 ms", 1e3 * hundredths[49], ""],
        ["request, p99 ms", 1e3 * hundredths[98], "200"],
    ]


def browser() -> list[list[object]]:
    """A scripted annotator with 100 items before it: from the key to the next item painted, and decisions a minute."""
    from playwright.sync_api import sync_playwright

    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder)).prepare()
        with_queue(home, 2 * KEYS)
        with serving(home) as port, sync_playwright() as playwright:
            started = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=FLAGS)
            page = started.new_page()
            page.goto(f"http://127.0.0.1:{port}/sign-in?next=/label/reviews")
            page.locator("#who").fill("anna")
            page.keyboard.press("Enter")
            page.locator("#item[data-item]").wait_for()
            # From the key event's own time stamp to the frame after the next item is in place.
            page.evaluate(
                "window.waits = []; addEventListener('keydown', (key) => requestAnimationFrame(() => requestAnimationFrame("
                "() => window.waits.push(performance.now() - key.timeStamp))), true)"
            )
            began_s = time.perf_counter()
            for _ in range(KEYS):
                before = page.locator("#item").get_attribute("data-item")
                page.keyboard.press("3")
                page.wait_for_function(
                    "before => ![undefined, before].includes(document.getElementById('item').dataset.item)", arg=before
                )
            took_s = time.perf_counter() - began_s
            page.get_by_text("safely with the service").wait_for()
            waits_ms = page.evaluate("window.waits")
            started.close()
        with FeedbackLog(home.feedback_log, home.subject_key()) as log:
            kept = log.head().seq
    return [
        ["key to the next item painted, p50 ms", statistics.median(waits_ms), ""],
        ["key to the next item painted, p95 ms", statistics.quantiles(waits_ms, n=20)[18], "50"],
        ["decisions a minute of a scripted annotator", round(60 * KEYS / took_s), "60"],
        [f"of {KEYS} decisions lost", KEYS - kept, "0"],
    ]


def with_predictions(home: Home, count: int) -> None:
    """`count` whole predictions in place of the bare ones that the history is about."""
    store = PredictionStore(home.predictions, "reviews")
    shutil.rmtree(store.root)
    for day in range(10):
        rows = count // 10
        numbers = range(day * rows, (day + 1) * rows)
        items = [f"{number:064x}" for number in numbers]
        labels = [("negative", "neutral", "positive")[number % 3] for number in numbers]
        columns = {
            "prediction_id": [prediction_id_of("reviews", item, MODEL, "text") for item in items],
            "dataset": ["reviews"] * rows,
            "item_id": items,
            "record_no": list(numbers),
            "source": [("shop", "forum", "app")[number % 3] for number in numbers],
            "day": [today()] * rows,
            "text": [f"kettle {number} boils fast but its lid sticks and it began to leak" for number in numbers],
            "label": labels,
            "probabilities": [[("negative", 0.2), ("neutral", 0.3), ("positive", 0.5)]] * rows,
            "margin": [number % 997 / 997 for number in numbers],
            "model_version": [1] * rows,
            "model_sha256": [MODEL] * rows,
            "snapshot_version": ["v0001"] * rows,
            "language": ["latin"] * rows,
            "length": [12] * rows,
            "rating": [float(number % 5 + 1) for number in numbers],
            "extra": [None] * rows,
            "predicted_at": [now()] * rows,
        }
        part = store.root / "model=0001" / f"day={today()}" / f"{day + 1:04d}.parquet"
        part.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table(columns, schema=SCHEMA), part, compression="zstd")


def curate(home: Home) -> None:
    """A generation of all that was said, as a run makes it."""
    policy = declared("reviews").policy
    with FeedbackLog(home.feedback_log, home.subject_key()) as log:
        nothing = pa.table({"item_id": pa.array([], pa.string())})
        predictions = PredictionStore(home.predictions, "reviews")
        sources = Sources(segment_files(home.feedback_segments), predictions, nothing, log.head())
    CuratedFeedback(home.lake, "reviews").write(sources, policy.labels, policy.test_from)


def looked_at(home: Home, which: str) -> list[list[object]]:
    """Waits for each page: the longest from the start on, while the service reads what it keeps, and the median of later ones."""
    rows: list[list[object]] = []
    with serving(home) as port:
        began_s = time.monotonic()
        session, waits_s, read_s = Session(port, "anna"), defaultdict[str, list[float]](list), 0.0
        while time.monotonic() - began_s < START_S:
            for path in PAGES:
                wait_s, _, is_reading = session.get(path)
                waits_s[path].append(wait_s)
                read_s = time.monotonic() - began_s if is_reading else read_s
            waits_s[ITEMS_PATH].append(session.post(ITEMS_PATH, ASKED)[0])
        for path, waited_s in waits_s.items():
            later_s = [session.post(path, ASKED)[0] if path == ITEMS_PATH else session.get(path)[0] for _ in range(LOOKS)]
            rows.append([f"{which}, {path}: longest of {len(waited_s)} in {START_S:.0f} s, ms", 1e3 * max(waited_s), "300"])
            rows.append([f"{which}, {path}: median of {LOOKS} later, ms", 1e3 * statistics.median(later_s), "300"])
    return [*rows, [f"{which}: pages tell that feedback is still being read until, s", read_s, ""]]


def pages() -> list[list[object]]:
    """Seconds of server time of every page with a million events behind it, from the start of the service on."""
    with tempfile.TemporaryDirectory() as folder:
        home = Home(Path(folder)).prepare()
        with_history(home, EVENTS)
        with_queue(home, 200)
        with_predictions(home, ITEMS)
        uncurated = looked_at(home, "no run yet")
        curate(home)
        return [*uncurated, *looked_at(home, "curated")]


if __name__ == "__main__":
    wanted = sys.argv[1:] or ["browser", "crowd", "pages"]
    measured = [row for part in wanted for row in {"browser": browser, "crowd": crowd, "pages": pages}[part]()]
    print(printed(["what", "measured", "reach"], measured))
