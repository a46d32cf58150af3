"""OpenLineage events against a real HTTP receiver on loopback that takes, refuses, talks nonsense or is not there."""

import contextlib
import dataclasses
import datetime
import json
import socket
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Event, Thread
from typing import Any

import duckdb
import pytest

from curation.snapshots.manifest import Batch, CardTexts, Column, SnapshotSpec
from curation.snapshots.store import Snapshot, SnapshotStore
from curation_assets.lineage_events import tell_others
from resources.openlineage_receiver import Receiver

NOW = datetime.datetime(2026, 11, 23, 12, tzinfo=datetime.UTC)
ROWS = (
    "select 'a' as uid, 'shop' as source, 'a secret text' as text, 'good' as label, 'train' as split, 'a' as cluster,"
    " 'somebody' as subject, 'shop/2026-11-22' as batch, 'f' as file, 1::bigint as line, '2026-11' as month"
)


class Listener(ThreadingHTTPServer):
    """Keeps what it is sent and answers with `status`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answering)
        self.status = 201
        self.got: list[tuple[str, str | None, dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class Answering(BaseHTTPRequestHandler):
    """One request of the listener."""

    server: Listener

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.got.append((self.path, self.headers["Authorization"], body))
        self.send_response(self.server.status)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Nothing: the test looks at `got`."""


@pytest.fixture
def listener() -> Iterator[Listener]:
    with Listener() as server:
        Thread(target=server.serve_forever, daemon=True).start()
        yield server
        server.shutdown()


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Snapshot:
    columns = tuple(Column(name=name, type="string") for name in ("uid", "source", "text", "label"))
    spec = SnapshotSpec(
        dataset="notes",
        key="uid",
        columns=columns,
        labels=("good",),
        batches=(Batch(id="shop/2026-11-22", seq=1),),
        contracts={},
        code_versions={},
        consumed_feedback_seq=7,
        card=CardTexts(pretty_name="Notes", description="Made up.", licence="other"),
        created_on=NOW.date(),
    )
    root: Path = tmp_path_factory.mktemp("snapshots")
    with duckdb.connect() as connection:
        connection.execute(f"create table rows as {ROWS}")
        return SnapshotStore(root).write(spec, connection, "rows")


def test_a_new_snapshot_is_told_with_its_batches_and_its_digest(listener: Listener, snapshot: Snapshot) -> None:
    assert tell_others(snapshot, {"OPENLINEAGE_URL": listener.url, "OPENLINEAGE_NAMESPACE": "prod"}, now=NOW) is None
    ((path, authorization, event),) = listener.got
    assert (path, authorization, event["eventType"]) == ("/api/v1/lineage", None, "COMPLETE")
    assert event["eventTime"] == "2026-11-23T12:00:00+00:00"
    assert [(one["namespace"], one["name"]) for one in event["inputs"]] == [("prod", "notes/raw/shop/2026-11-22")]
    (output,) = event["outputs"]
    facets = output["facets"]
    assert output["name"] == "notes/snapshot"
    assert facets["version"]["datasetVersion"] == "v0001"
    assert facets["curation_digest"]["digest"] == snapshot.manifest.digest
    assert facets["curation_digest"]["consumedFeedbackSeq"] == 7
    assert output["outputFacets"]["outputStatistics"]["rowCount"] == 1
    assert not {"a secret text", "somebody"} & set(json.dumps(event).split('"'))


def test_the_same_snapshot_is_the_same_run(listener: Listener, snapshot: Snapshot) -> None:
    for _ in range(2):
        tell_others(snapshot, {"OPENLINEAGE_URL": listener.url}, now=NOW)
    first, second = (event["run"]["runId"] for _, _, event in listener.got)
    assert first == second


def test_key_and_endpoint_are_the_standard_variables(listener: Listener, snapshot: Snapshot) -> None:
    environment = {"OPENLINEAGE_URL": f"{listener.url}/", "OPENLINEAGE_API_KEY": "k", "OPENLINEAGE_ENDPOINT": "/lineage"}
    assert tell_others(snapshot, environment, now=NOW) is None
    assert [(path, key) for path, key, _ in listener.got] == [("/lineage", "Bearer k")]


@pytest.mark.parametrize("environment", [{}, {"OPENLINEAGE_DISABLED": "true"}], ids=["unset", "disabled"])
def test_nothing_is_sent_unless_asked_for(listener: Listener, snapshot: Snapshot, environment: dict[str, str]) -> None:
    given = environment | ({"OPENLINEAGE_URL": listener.url} if environment else {})
    assert tell_others(snapshot, given, now=NOW) is None
    assert listener.got == []


def test_an_unchanged_snapshot_is_not_told_again(listener: Listener, snapshot: Snapshot) -> None:
    unchanged = dataclasses.replace(snapshot, is_new=False)
    assert tell_others(unchanged, {"OPENLINEAGE_URL": listener.url}, now=NOW) is None
    assert listener.got == []


def test_a_receiver_that_refuses_is_a_warning(listener: Listener, snapshot: Snapshot) -> None:
    listener.status = 500
    told = tell_others(snapshot, {"OPENLINEAGE_URL": listener.url}, now=NOW)
    assert told is not None
    assert "HTTP Error 500" in told


def test_a_receiver_that_is_not_there_or_speaks_no_http_is_a_warning(snapshot: Snapshot) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"http://127.0.0.1:{server.getsockname()[1]}"

        def hang_up() -> None:
            connection, _ = server.accept()
            with connection:
                connection.sendall(b"no HTTP\r\n\r\n")

        Thread(target=hang_up, daemon=True).start()
        nonsense = tell_others(snapshot, {"OPENLINEAGE_URL": address}, now=NOW)
    assert "v0001 was not taken" in str(nonsense)
    assert "v0001 was not taken" in str(tell_others(snapshot, {"OPENLINEAGE_URL": address}, now=NOW))


def test_a_receiver_that_answers_byte_by_byte_delays_no_longer_than_one_that_hangs() -> None:
    is_heard = Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def drip() -> None:
            connection, _ = server.accept()
            with connection, contextlib.suppress(OSError):
                connection.sendall(b"HTTP/1.1 200 ")
                for _ in range(40):  # 2 s in all, each byte well within the timeout
                    if is_heard.wait(0.05):
                        return
                    connection.sendall(b"O")
                connection.sendall(b"K\r\n\r\n")

        Thread(target=drip, daemon=True).start()
        receiver = Receiver(f"http://127.0.0.1:{server.getsockname()[1]}", "curation", None, timeout_s=0.5)
        assert "no answer within 0.5 s" in str(receiver.send({}))
        is_heard.set()


def test_an_address_that_is_none_fails_no_run(snapshot: Snapshot) -> None:
    told = tell_others(snapshot, {"OPENLINEAGE_URL": "file:///etc/passwd"}, now=NOW)
    assert "is no address" in str(told)
