"""Random schedules of the real loop: the real definitions, instance and sensor, the daemon's own tick code, the real retrain job.

What must come of each is worked out beside it in plain Python, from what was sent and from what befell the runs. Each run is a
process of its own, as in use; only the clock between two ticks is turned on instead of waited for.
"""

import contextlib
import datetime
import logging
import random
import signal
import sys
import uuid
from dataclasses import dataclass, field
from typing import Any

import dagster as dg
import pyarrow.parquet as pq
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.scheduler.instigation import SensorInstigatorData
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration
from dagster._daemon.sensor import execute_sensor_iteration
from filelock import FileLock

from curation.feedback.events import Event, checked_event
from curation.looks import read_look
from curation.predictions import PredictionStore
from curation_assets.build import build_defs
from curation_assets.datasets import declared, labels_by_dataset
from resources.home import Home
from tests.curation_assets.killing import RETRAINED_AT, Moment, ended, say
from tests.feedback_sensors.brute_force import Sent, place

REVIEWS = declared("reviews")
NOW = datetime.datetime.fromisoformat(RETRAINED_AT)
PEOPLE = ("ann", "bob", "cat")
LOGGER = logging.getLogger("tests.curation_assets")


def definitions() -> dg.Definitions:
    """What `curation_assets.definitions` holds, over the home that the environment names now."""
    return build_defs(Home.find())


@dataclass(frozen=True)
class Fate:
    """What befalls one run: where it dies or, with `is_told_more`, where labels come in meanwhile; and whether a verdict comes."""

    name: str
    moment: Moment | None = None
    has_verdict: bool = False
    is_told_more: bool = False


LOCKED_OUT = Fate("finds another writer, and fails")
FAILING = (
    LOCKED_OUT,
    Fate("is killed with a snapshot that is not the latest yet", Moment("snapshots/reviews/LATEST")),
    Fate("is killed with a model and no verdict", Moment("mlflow/reviews.json")),
)
REACHING = (
    Fate("is killed while it writes its verdict", Moment("promotions/reviews/HEAD"), has_verdict=True),
    Fate("is killed after its verdict", Moment("sqlite3.connect", after="promotions/reviews/HEAD"), has_verdict=True),
    Fate("is told more before its verdict", Moment("promotions/reviews/0"), has_verdict=True, is_told_more=True),
)
WELL = Fate("goes well", has_verdict=True)


def drawn(chance: random.Random) -> list[Fate]:
    """What befalls the runs of a schedule, the last one first; once it has befallen them, every run goes well."""
    return chance.sample([chance.choice(FAILING), chance.choice(REACHING)], 2)


@dataclass
class Expected:
    """The rule in plain Python: a look asks once where the threshold is reached and nothing is under way; a verdict starts anew."""

    sent: Sent
    verdicts: list[tuple[int, int]] = field(default_factory=list)  # the watermark before each and after it
    asked: list[tuple[int, int, int]] = field(default_factory=list)  # watermark, attempt and newest event, by run
    is_under_way: bool = False

    @property
    def watermark(self) -> int:
        return self.verdicts[-1][1] if self.verdicts else 0

    def look(self) -> None:
        if not self.is_under_way and self.sent.count(self.watermark) >= REVIEWS.loop.retrain_after:
            attempt = 1 + sum(watermark == self.watermark for watermark, *_ in self.asked)
            self.asked.append((self.watermark, attempt, len(self.sent.logged)))
            self.is_under_way = True

    def reach_verdict(self) -> None:
        self.verdicts.append((self.watermark, len(self.sent.logged)))

    @property
    def crossed(self) -> set[int]:
        """The watermarks above which the threshold was found to be reached."""
        return {watermark for watermark, *_ in self.asked}


class RealLoop:
    """A home with a champion, its instance and its daemon; what people send and what befalls each of them."""

    def __init__(self, home: Home) -> None:
        self.home = home
        parts = PredictionStore(home.predictions, "reviews").parts()
        rows = pq.read_table(parts, columns=["item_id", "prediction_id", "label"], partitioning=None).to_pylist()
        self.prediction_ids = {row["item_id"]: row["prediction_id"] for row in rows}
        predicted = {row["item_id"]: row["label"] for row in rows}
        self.expected = Expected(Sent(REVIEWS.policy.labels, REVIEWS.policy.test_from, predicted, NOW))
        self.sent = self.expected.sent
        self.open = contextlib.ExitStack()
        self.restart()

    def restart(self) -> None:
        """The daemon starts anew: nothing is left of it but what the home holds."""
        self.open.close()
        self.instance = self.open.enter_context(dg.DagsterInstance.from_config(str(self.home.dagster)))
        origin = LoadableTargetOrigin(executable_path=sys.executable, module_name=__name__, attribute="definitions")
        target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin, location_name="curation"))
        self.daemon = self.open.enter_context(WorkspaceProcessContext(self.instance, target))

    def send(self, events: list[Event]) -> None:
        """Enter events into the log, as the capture service does."""
        say(self.home, events)
        self.sent.add(*events)

    def tick(self) -> None:
        """The daemon's next iteration, half a minute after the last. AssertionError where it counts other labels than we."""
        self._half_a_minute_passes()
        self.expected.look()
        list(execute_sensor_iteration(self.daemon, LOGGER, None, None))
        (tick,) = self.instance.get_ticks(*self._sensor(), limit=1)
        assert tick.tick_data.error is None, f"the tick failed: {tick.tick_data.error}"
        look = read_look(self.home.feedback_looks, "reviews")
        effective = self.sent.count(self.expected.watermark)
        assert look is not None and look.effective == effective, f"{effective} new labels by our count, but the look is {look}"

    def _sensor(self) -> tuple[str, str]:
        (location,) = self.daemon.create_request_context().code_locations
        (repository,) = location.get_repositories().values()
        sensor = repository.get_sensor("reviews_retrain_sensor")
        return sensor.get_remote_origin_id(), sensor.selector_id

    def _half_a_minute_passes(self) -> None:
        """What Dagster remembers of its last tick becomes older by the sensor's interval, or it would not look again yet."""
        state = self.instance.get_instigator_state(*self._sensor())
        if state is not None:
            data: Any = state.instigator_data
            assert isinstance(data, SensorInstigatorData)
            times = ("last_tick_timestamp", "last_tick_start_timestamp", "last_tick_success_timestamp")
            earlier = {name: moment - 30 for name in times if (moment := getattr(data, name)) is not None}
            self.instance.update_instigator_state(state.with_data(data._replace(**earlier)))

    def wipe(self) -> None:
        """Forget the sensor's cursor and everything else that Dagster remembers of it but its ticks."""
        if self.instance.get_instigator_state(*self._sensor()) is not None:
            self.instance.delete_instigator_state(*self._sensor())

    def watch(self) -> None:
        """The daemon's run monitoring looks for runs whose process is gone."""
        list(execute_run_monitoring_iteration(self.daemon, LOGGER))
        self.expected.is_under_way = bool(self.queued())

    def queued(self) -> list[dg.DagsterRun]:
        """Runs that wait to be executed."""
        return self.instance.get_runs(dg.RunsFilter(statuses=[dg.DagsterRunStatus.QUEUED]))

    def execute(self, fate: Fate, meanwhile: list[Event]) -> None:
        """The oldest queued run meets its fate. AssertionError when it meets another."""
        (run,) = self.queued()
        with FileLock(self.home.lock("reviews")) if fate == LOCKED_OUT else contextlib.nullcontext():
            code = ended("execute", self.home.root, fate.moment, meanwhile if fate.is_told_more else ())
        (record,) = self.instance.get_run_records(dg.RunsFilter(run_ids=[run.run_id]))
        is_killed = fate.moment is not None and not fate.is_told_more
        left = "STARTED" if is_killed else "FAILURE" if fate == LOCKED_OUT else "SUCCESS"
        found = (record.dagster_run.status.value, code)
        assert found == (left, -signal.SIGKILL if is_killed else 0), f"a run that {fate.name} ends with {found}"
        if fate.has_verdict:
            self.expected.reach_verdict()
        if fate.is_told_more:
            self.sent.add(*meanwhile)
        self.expected.is_under_way = is_killed


class Schedule:
    """One schedule, drawn from its seed; `told` is what happened, step by step."""

    def __init__(self, home: Home, seed: int) -> None:
        self.chance = random.Random(seed)
        self.fates = drawn(self.chance)
        self.loop = RealLoop(home)
        self.unsaid = [item for item in sorted(self.loop.prediction_ids) if place(item) < REVIEWS.policy.test_from]
        self.held_out = sorted(set(self.loop.prediction_ids) - set(self.unsaid))
        self.chance.shuffle(self.unsaid)
        self.told = [f"seed {seed}"]

    def play(self) -> None:
        """Bursts of labels with everything else between them, then all comes to rest. AssertionError tells the steps."""
        loop = self.loop
        often = [*[self._burst] * 6, *[loop.tick] * 6, *[self._run] * 5, *[loop.watch] * 3]
        steps = [*often, self._replay, loop.restart, loop.wipe]
        self.chance.shuffle(steps)
        try:
            for step in steps:
                step()
                self.told.append(f"{step.__name__}: {len(loop.sent.logged)} logged")
            self._come_to_rest()
        except AssertionError as error:
            raise AssertionError("\n  ".join([*self.told, str(error)])) from error

    def _burst(self) -> None:
        self.loop.send(self._events(self.chance.randint(50, 80)))

    def _events(self, number: int) -> list[Event]:
        """Words of three people, most on items that nobody has spoken about, in another order than they were said in."""
        events = [self._event() for _ in range(number)]
        self.chance.shuffle(events)
        return events

    def _event(self) -> Event:
        known = [event.item for event in self.loop.sent.logged]
        if known and self.chance.random() < 0.2:
            item = self.chance.choice(known)
        else:
            item = self.chance.choice(["unknown", *self.held_out]) if self.chance.random() < 0.1 else self.unsaid.pop()
        kinds = ["label"] * 14 + ["skip", "withdraw", "spam"] + (["agree", "disagree"] if item != "unknown" else [])
        kind = self.chance.choice(kinds)
        made = {
            "event_id": str(uuid.UUID(int=self.chance.getrandbits(128), version=4)),
            "dataset": "reviews",
            "item_id": item,
            "prediction_id": self.loop.prediction_ids[item] if kind in {"agree", "disagree"} else None,
            "kind": kind,
            "label": self.chance.choice(REVIEWS.policy.labels) if kind == "label" else None,
            "annotator": self.chance.choice(PEOPLE),
            "source": "test",
            "occurred_at": NOW - datetime.timedelta(seconds=self.chance.randrange(86_400)),
        }
        return checked_event(made, labels_by_dataset(), now=NOW)

    def _replay(self) -> None:
        known, before = self.loop.sent.logged, len(self.loop.sent.logged)
        if known:
            self.loop.send(self.chance.sample(known, 10))
            assert len(self.loop.sent.logged) == before, "a replay was counted"

    def _run(self) -> None:
        if self.loop.queued():
            fate = self.fates.pop() if self.fates else WELL
            self.loop.execute(fate, self._events(30))
            self.told.append(f"the run {fate.name}")

    def _come_to_rest(self) -> None:
        """Until a look finds nothing in flight and asks for nothing."""
        for _ in range(8):
            self.loop.watch()
            self.loop.tick()
            if not self.loop.queued():
                return
            self._run()
        raise AssertionError("the loop never comes to rest")
