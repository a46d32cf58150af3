"""One home, everybody at once: `up` with its service, daemon and two runs, clients, a developer's dbt, and people who ask how it stands."""

import contextlib
import http.client
import itertools
import json
import os
import re
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import pytest

from curation.feedback.log import FeedbackLog
from curation.predictions import PredictionStore
from curation.training_rows import place_of
from curation_assets.dbt_models import dbt_executable
from resources.home import REPOSITORY, Home, today
from tests.curation_assets.loop_world import run
from tests.deliveries import deliver, review
from tests.serving import LOCATION, PATIENCE_S, Up, asked, serving, survivors

pytestmark = pytest.mark.slow

SECONDS = 60.0
PAUSE_S = 2.0  # between two commands and two builds: other tests run beside this minute
ITEMS = 40  # people talk about so few that the sensor never finds the 100 new labels it waits for: two runs are enough
TICKS = f"""{{ sensorOrError(sensorSelector: {{sensorName: "reviews_retrain_sensor", {LOCATION}}}) {{
  ... on Sensor {{ sensorState {{ ticks(limit: 100) {{ status skipReason error {{ message }} }} }} }} }} }}"""
STATUS = "query($run: ID!) { runOrError(runId: $run) { ... on Run { status } } }"
OF_LOCKS = re.compile(r"(?i)\block|IO Error|OperationalError|Traceback")
ENDED = {"SUCCESS", "FAILURE", "CANCELED"}


@dataclass
class Seen:
    """What everyone was told."""

    answers: list[int] = field(default_factory=list)
    acknowledged: list[str] = field(default_factory=list)
    commands: list[tuple[str, int, str]] = field(default_factory=list)
    builds: list[tuple[int, str]] = field(default_factory=list)
    first_status: dict[str, Any] = field(default_factory=dict)
    ticks: list[dict[str, Any]] = field(default_factory=list)
    runs: dict[str, str] = field(default_factory=dict)
    logs: dict[str, str] = field(default_factory=dict)
    survivors: list[list[str]] = field(default_factory=list)


def curation(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command as people give it."""
    command = [sys.executable, "-m", "curation_assets.cli", *arguments, "--home", str(home)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=REPOSITORY)


def predictions_of(home: Home) -> list[str]:
    """Predictions on items that may train, in the order of their names."""
    with duckdb.connect() as connection:
        PredictionStore(home.predictions, "reviews").register(connection, "predictions")
        trainable = f"select prediction_id from predictions where {place_of('item_id')} < 0.8 order by all limit {ITEMS}"
        return [row[0] for row in connection.execute(trainable).fetchall()]


class Client:
    """Posts labels, one at a time, and remembers what was answered."""

    def __init__(self, address: str, predictions: list[str], seen: Seen) -> None:
        self._at, self._seen = urlsplit(address), seen
        self._turns = itertools.cycle(itertools.product(range(5), predictions))

    def post(self) -> None:
        annotator, prediction = next(self._turns)
        event = {
            "event_id": str(uuid.uuid4()),
            "dataset": "reviews",
            "prediction_id": prediction,
            "kind": "label",
            "label": "neutral",
            "annotator": f"annotator {annotator}",
            "source": "test",
        }
        with contextlib.closing(http.client.HTTPConnection(self._at.netloc, timeout=PATIENCE_S)) as connection:
            connection.request("POST", self._at.path, json.dumps(event), {"Content-Type": "application/json"})
            answer = connection.getresponse()
            answer.read()
        self._seen.answers.append(answer.status)
        if answer.status == 201:
            self._seen.acknowledged.append(event["event_id"])


def command(home: Path, name: str, seen: Seen) -> None:
    told = curation(home, name)
    seen.commands.append((name, told.returncode, told.stdout + told.stderr))


def dbt_build(home: Path, seen: Seen) -> None:
    """A developer's build as README says, into a file of the test's own."""
    own = home.with_name("developer")
    places = {"CURATION_HOME": home, "CURATION_DEV_WAREHOUSE": own / "dev.duckdb", "DBT_TARGET_PATH": own / "target"}
    command = [dbt_executable(), "--no-use-colors", "build", "--project-dir", "dbt_project", "--log-path", str(own / "logs")]
    told = subprocess.run(
        [*command, "--exclude-resource-type", "unit_test"],
        capture_output=True,
        text=True,
        check=False,
        cwd=REPOSITORY,
        env={**os.environ, **{name: str(place) for name, place in places.items()}},
    )
    seen.builds.append((told.returncode, told.stdout[-3000:]))


@contextlib.contextmanager
def again_and_again(pause_s: float, *acts: Callable[[], None]) -> Iterator[None]:
    """`acts` in turn, each after a pause, beside the block; the one under way is finished."""
    stop = threading.Event()

    def go_on() -> None:
        for act in itertools.cycle(acts):
            act()
            if stop.wait(pause_s):
                return

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def ticks_of(served: Up) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = asked(served.address, TICKS)["sensorOrError"]["sensorState"]["ticks"]
    return found


def wait_until(served: Up, is_so: Callable[[], bool], what: str) -> None:
    """Look every half second; the block's patience is that of a start."""
    until_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < until_s, f"not within {PATIENCE_S:.0f} s: {what}; {ticks_of(served)}"
        with contextlib.suppress(subprocess.TimeoutExpired):
            raise AssertionError(f"`up` ended by itself with {served.process.wait(0.5)}")


def crowd(home: Home, served: Up, seen: Seen) -> None:
    """One label until the daemon has counted it; then two runs and everyone else, for a minute and until the runs have ended."""
    client = Client(served.feedback, predictions_of(home), seen)
    began_s = time.monotonic()
    client.post()
    wait_until(served, lambda: any(is_counted(tick, "1 of 100 new labels") for tick in ticks_of(served)), "one label counted")
    seen.first_status = json.loads(curation(home.root, "status", "--json").stdout)
    runs = [served.launch("reviews_daily", today().isoformat()), served.launch("reviews_retrain")]
    with (
        again_and_again(0.05, client.post),
        again_and_again(PAUSE_S, lambda: command(home.root, "status", seen), lambda: command(home.root, "verify", seen)),
        again_and_again(PAUSE_S, lambda: dbt_build(home.root, seen)),
    ):

        def has_ended() -> bool:
            seen.runs = {run: asked(served.address, STATUS, run=run)["runOrError"]["status"] for run in runs}
            return time.monotonic() > began_s + SECONDS and set(seen.runs.values()) <= ENDED

        wait_until(served, has_ended, "both runs ended")
    seen.ticks = ticks_of(served)


def is_counted(tick: dict[str, Any], told: str) -> bool:
    return str(tick["skipReason"]).startswith(told)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """A champion with predictions."""
    home = Home(tmp_path_factory.mktemp("crowd") / "home").prepare()
    deliver(home.root, today(), [review(number) for number in range(300)])
    report = run(home)
    assert report.succeeded, report.failure
    return home


@pytest.fixture(scope="module")
def seen(home: Home) -> Seen:
    """The minute, and what was left after it."""
    seen = Seen()
    with serving(home.root) as served:
        crowd(home, served, seen)
    seen.survivors = survivors(home.root)
    logs = (home.dagster / "up.log", home.feedback_log.with_name("serve.log"))
    seen.logs = {path.name: path.read_text() for path in logs}
    return seen


def test_a_label_posted_to_up_is_counted_by_its_own_sensor_and_shown_by_status(seen: Seen) -> None:
    assert any(is_counted(tick, "1 of 100 new labels") for tick in seen.ticks)
    told = seen.first_status["feedback"]
    assert (told["events"], told["drained_to_seq"], told["unmatched"]) == (1, 1, 0)


def test_no_lock_error_reaches_a_client_a_command_a_run_a_tick_or_a_developer(seen: Seen) -> None:
    assert set(seen.answers) == {201}
    assert [told for told in seen.commands if told[1] != 0] == []
    assert [told for told in seen.builds if told[0] != 0] == []
    assert set(seen.runs.values()) == {"SUCCESS"}
    assert [tick for tick in seen.ticks if tick["status"] not in {"SKIPPED", "SUCCESS", "STARTED"}] == []
    said = [*seen.logs.values(), *(told for *_, told in seen.commands)]
    assert [line for text in said for line in text.splitlines() if OF_LOCKS.search(line)] == []
    assert min(len(seen.answers) // 100, len(seen.commands) // 4, len(seen.builds), len(seen.runs) // 2) >= 1


def test_every_acknowledged_event_is_in_the_log_and_everything_verifies(home: Home, seen: Seen) -> None:
    with FeedbackLog(home.feedback_log, home.subject_key()) as log:
        kept = log.read(0, 1_000_000)["event_id"].to_pylist()
    assert sorted(kept) == sorted(seen.acknowledged)
    told = curation(home.root, "verify", "--json")
    assert json.loads(told.stdout)["findings"] == []


def test_nothing_survives_up(seen: Seen) -> None:
    assert seen.survivors == []
