"""The real service on a free port of loopback as tests need it: started, spoken to, ended or killed. No assertion."""

import contextlib
import http.client
import json
import os
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from curation.labelling.page import LabelKey, LabellingPage
from feedback_service.datasets import ServedDataset
from feedback_service.settings import Settings
from resources.home import REPOSITORY

ITEM = Path(__file__).with_name("item.html")
PATIENCE_S = 60.0  # a start takes 1 s of an idle machine
LABELS = {"reviews": ("negative", "neutral", "positive"), "tickets": ("billing", "technical")}


def served(title: str, labels: tuple[str, ...]) -> ServedDataset:
    """A dataset with a plain labelling page: the keys 1, 2, 3 for its labels, x for spam."""
    keys = [LabelKey(label=label, key=str(place), name=label.capitalize()) for place, label in enumerate(labels, start=1)]
    page = LabellingPage(
        title=title.capitalize(),
        guidelines="Judge the words.\n\n- One key a label.\n- Skip what you cannot judge.",
        keys=(*keys, LabelKey(label="spam", key="x", name="Spam")),
        fields={"title": "title", "text": "text", "source": "source", "rating": "rating"},
        item_template=ITEM,
        hidden=("rating",),
    )
    assets = {
        role: f"{title}_{role}" for role in ("curated", "feedback", "snapshot", "model", "champion", "predictions", "queue")
    }
    return ServedDataset(labels=labels, labelling=page, test_from=0.8, retrain_after=100, assets=assets)


SERVED = {name: served(name, labels).model_dump(mode="json") for name, labels in LABELS.items()}
PROGRAM = """
import json, sys
from feedback_service.server import serve
from feedback_service.settings import Settings
from resources.home import Home
from pathlib import Path
from curation.errors import CurationError
from feedback_service.datasets import ServedDataset
datasets = {name: ServedDataset.model_validate(served) for name, served in json.loads(sys.argv[3]).items()}
try:
    serve(Home(Path(sys.argv[1])), datasets, Settings.model_validate_json(sys.argv[2]), lambda line: print(line, flush=True))
except CurationError as error:
    sys.exit(f"Error: {error}")
"""


@dataclass
class Served:
    """A running service and the port it took."""

    process: subprocess.Popen[str]
    address: str

    @property
    def port(self) -> int:
        found = urlsplit(self.address).port
        assert found is not None
        return found

    def kill(self) -> None:
        """Without a word of warning."""
        self.process.kill()
        self.process.wait(PATIENCE_S)


@dataclass
class Answer:
    """What the service said."""

    status: int
    headers: Mapping[str, str]
    raw: bytes

    @property
    def body(self) -> Any:
        return json.loads(self.raw)


def started(home: Path, settings: Settings) -> subprocess.Popen[str]:
    """The service as a process of its own; it may refuse to serve, and then ends with status 1 and says why."""
    command = [sys.executable, "-c", PROGRAM, str(home), settings.model_dump_json(), json.dumps(SERVED)]
    quiet = {name: value for name, value in os.environ.items() if name != "CURATION_NOW"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, env=quiet)


def begun(home: Path, settings: Settings) -> Served:
    """The service once it serves."""
    process = started(home, settings)
    assert process.stdout is not None and process.stderr is not None
    first = process.stdout.readline()
    if not first:
        raise RuntimeError(process.stderr.read())
    threading.Thread(target=process.stdout.read, daemon=True).start()  # nobody waits for a reader of its pipes
    return Served(process, first.split()[-1])


@contextlib.contextmanager
def serving(home: Path, settings: Settings | None = None) -> Iterator[Served]:
    """The service until the block ends."""
    served = begun(home, settings or Settings(port=0))
    try:
        yield served
    finally:
        served.process.terminate()
        served.process.communicate(timeout=PATIENCE_S)


def call(
    port: int,
    method: str,
    path: str,
    body: Any = None,
    *,
    token: str | None = None,
    headers: Mapping[str, str] | None = None,
) -> Answer:
    """One request on a connection of its own. `body`: bytes, an iterator of bytes (sent in chunks), or anything as JSON."""
    is_raw = body is None or isinstance(body, bytes) or hasattr(body, "__next__")
    sent = {"Content-Type": "application/json"} if body is not None else {}
    sent |= {"Authorization": f"Bearer {token}"} if token else {}
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    with contextlib.closing(connection):
        connection.request(method, path, body if is_raw else json.dumps(body).encode(), {**sent, **(headers or {})})
        answered = connection.getresponse()
        return Answer(answered.status, dict(answered.getheaders()), answered.read())


def event(**changes: Any) -> dict[str, Any]:
    """An event that nobody refuses, with a new id; a change to None leaves the field out."""
    fields = {
        "event_id": str(uuid.uuid4()),
        "dataset": "reviews",
        "item_id": "a" * 64,
        "kind": "label",
        "label": "positive",
        "annotator": "anna",
        "source": "shop",
    }
    return {name: value for name, value in (fields | changes).items() if value is not None}
