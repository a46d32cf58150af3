"""The promise of the log under fire: what was acknowledged is there, once, however the service dies."""

import http.client
import json
import random
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from curation.feedback.log import FeedbackLog
from feedback_service.settings import Settings
from resources.home import Home
from tests.feedback_service.serving import begun, event
from tests.serving import free_port

SECONDS = 20.0
CLIENTS = 4
KILLS = 5  # at least, where a start takes longer than a second


class Client(threading.Thread):
    """Sends event after event until each is acknowledged, some twice, and remembers what was acknowledged."""

    def __init__(self, port: int, seed: int, stop: threading.Event) -> None:
        super().__init__()
        self._port = port
        self._chance = random.Random(seed)
        self._stopped = stop
        self.acknowledged: dict[str, int] = {}
        self.unexpected: list[int] = []
        self.resent = 0

    def run(self) -> None:
        while not self._stopped.is_set():
            sent = [self._event() for _ in range(self._chance.choice((1, 1, 1, 20)))]
            while not self._send(sent) and not self._stopped.is_set():
                self.resent += 1
            self._stopped.wait(0.01)  # other tests run beside these 20 s
            if self._chance.random() < 0.2:
                self._send(sent)  # a duplicate delivery

    def _event(self) -> dict[str, Any]:
        """Clocks that go wrong by up to 4 minutes, and moments in no order over a month."""
        at = datetime.now(UTC) + timedelta(minutes=4) - timedelta(minutes=self._chance.choice((0, 4, 8, 60, 40_000)))
        return event(item_id=f"item {self._chance.randrange(50)}", annotator=self.name, occurred_at=at.isoformat())

    def _send(self, sent: list[dict[str, Any]]) -> bool:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=10)
        try:
            connection.request("POST", "/v1/feedback", json.dumps(sent), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            taken = json.loads(answer.read())
        except (OSError, http.client.HTTPException):
            self._stopped.wait(0.02)  # a client's patience between two attempts
            return False
        finally:
            connection.close()
        if answer.status not in {200, 201}:
            self.unexpected.append(answer.status)
            return False
        self.acknowledged |= {each["event_id"]: taken["seq"] for each in sent}
        return True


@pytest.mark.slow
def test_killed_every_second_under_load_it_loses_and_doubles_nothing_acknowledged(tmp_path: Path) -> None:
    home, port, stop = Home(tmp_path / "home").prepare(), free_port(), threading.Event()
    clients = [Client(port, seed, stop) for seed in range(CLIENTS)]
    served = begun(home.root, Settings(port=port))
    for client in clients:
        client.start()
    until_s, kills = time.monotonic() + SECONDS, 0
    while time.monotonic() < until_s or kills < KILLS:
        stop.wait(1.0)  # the second of the promise
        served.kill()
        kills += 1
        served = begun(home.root, Settings(port=port))
    stop.set()
    for client in clients:
        client.join()
    served.kill()

    with FeedbackLog(home.feedback_log, home.subject_key()) as log:
        rows = log.read(0, 1_000_000).select(["seq", "event_id"]).to_pylist()
        findings = log.verify({})
    kept = {row["event_id"]: row["seq"] for row in rows}
    acknowledged = {event_id: seq for client in clients for event_id, seq in client.acknowledged.items()}
    assert {event_id for event_id in acknowledged if event_id not in kept} == set()
    assert [row["seq"] for row in rows] == list(range(1, len(rows) + 1))
    assert len(kept) == len(rows)
    assert all(kept[event_id] <= seq for event_id, seq in acknowledged.items())
    assert findings == []
    assert [status for client in clients for status in client.unexpected] == []
    assert sum(client.resent for client in clients) >= kills  # the kills did hit requests
    assert len(acknowledged) > 500
