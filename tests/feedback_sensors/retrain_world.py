"""A world for tests of the two clocks: a home, a Dagster instance, its daemon's own tick code, and a job in place of training.

The job does what a retrain does to the loop: it drains, writes a real snapshot and records a verdict; it fits no model.
"""

import contextlib
import datetime
import functools
import logging
import os
import random
import signal
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import dagster as dg
import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
from dagster._core.remote_origin import InProcessCodeLocationOrigin
from dagster._core.storage.event_log import ConsolidatedSqliteEventLogStorage
from dagster._core.storage.runs import SqliteRunStorage
from dagster._core.storage.schedules import SqliteScheduleStorage
from dagster._core.storage.sqlite import create_db_conn_string
from dagster._core.types.loadable_target_origin import LoadableTargetOrigin
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import InProcessWorkspaceLoadTarget
from dagster._daemon.sensor import execute_sensor_iteration
from dagster._scheduler.scheduler import launch_scheduled_runs
from dagster._serdes import ConfigurableClassData
from sqlalchemy import Connection, Engine, create_engine, event

from curation.feedback.drain import FeedbackTable
from curation.feedback.events import Event, checked_event, prediction_id_of
from curation.feedback.log import Appended, FeedbackLog
from curation.predictions import SCHEMA
from curation.promotions import ModelReference, PromotionLog
from curation.snapshots.parts import arrow_schema, index_columns
from curation.snapshots.store import SnapshotStore
from feedback_sensors.decision import why_obsolete
from feedback_sensors.facts import watermark_of
from feedback_sensors.retrain import retrain_sensor, weekly_schedule
from resources.home import REPOSITORY, Home
from tests.curation.snapshots.support_tickets import COLUMNS, SPEC, ticket
from tests.feedback_sensors.brute_force import Sent

LABELS = ("calm", "angry")
TEST_FROM = 0.8
NOW = datetime.datetime(2026, 11, 23, 8, tzinfo=datetime.UTC)
MODEL = "5" * 64
FEEDBACK = dg.AssetKey("feedback")
ALWAYS_DUE = -1  # seconds since the last tick are never fewer than this; 0 would mean Dagster's default of 30
QUIET_RUN = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
LOGGER = logging.getLogger("tests.feedback_sensors")
WITHIN_THIS_PROCESS = """
run_launcher:
  module: dagster._core.launcher.sync_in_memory_run_launcher
  class: SyncInMemoryRunLauncher
compute_logs: # of which every step would start four processes
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
run_storage: {{module: {module}, class: Runs, config: {{base_dir: {folder}/runs}}}}
schedule_storage: {{module: {module}, class: Ticks, config: {{base_dir: {folder}/ticks}}}}
event_log_storage: {{module: {module}, class: Events, config: {{base_dir: {folder}/events}}}}
"""
IN_A_RUN: list[Callable[[], None]] = []
"""What happens while a run is under way, after it has drained; each is called once."""


@functools.cache
def opened(url: str) -> Engine:
    """One engine a file, which waits for no disk: Dagster makes one for each statement, and compiles that anew."""
    engine = create_engine(url)
    event.listen(engine, "connect", lambda connection, _: connection.execute("pragma synchronous = off"))
    return engine


class Runs(SqliteRunStorage):
    """Dagster's runs, opened without a look for migrations: every tick opens them."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> SqliteRunStorage:
        if not Path(config_value["base_dir"], "runs.db").exists():
            super().from_config_value(inst_data, config_value)
        return cls(create_db_conn_string(config_value["base_dir"], "runs"), inst_data)

    def connect(self) -> contextlib.AbstractContextManager[Connection]:
        return opened(self._conn_string).begin()


class Ticks(SqliteScheduleStorage):
    """Dagster's ticks, likewise."""

    @classmethod
    def from_config_value(cls, inst_data: ConfigurableClassData | None, config_value: Any) -> SqliteScheduleStorage:
        if not Path(config_value["base_dir"], "schedules.db").exists():
            super().from_config_value(inst_data, config_value)
        return cls(create_db_conn_string(config_value["base_dir"], "schedules"), inst_data)

    def connect(self) -> contextlib.AbstractContextManager[Connection]:
        return opened(self._conn_string).begin()


class Events(ConsolidatedSqliteEventLogStorage):
    """Dagster's events of all runs in one file: making one for each run costs a tenth of a schedule."""

    def _connect(self) -> contextlib.AbstractContextManager[Connection]:
        return opened(self._conn_string).begin()


def definitions() -> dg.Definitions:
    """The code location of the dataset that the environment names, over the home that it names."""
    dataset, threshold = os.environ["RETRAIN_DATASET"], int(os.environ["RETRAIN_THRESHOLD"])
    labels = {dataset: LABELS}

    @dg.asset(name=f"{dataset}_retrained")
    def retrained(context: dg.AssetExecutionContext, home: dg.ResourceParam[Home]) -> dg.MaterializeResult:
        return dg.MaterializeResult(metadata={"verdict": retrain(home, dataset, context.run)})

    clocks: dict[str, Any] = {"test_from": TEST_FROM, "job_name": f"{dataset}_retrain", "feedback": FEEDBACK}
    return dg.Definitions(
        assets=[retrained, dg.AssetSpec(FEEDBACK)],
        jobs=[dg.define_asset_job(f"{dataset}_retrain", [retrained], tags={"curation/retrain": dataset}, config=QUIET_RUN)],
        sensors=[retrain_sensor(dataset, labels, threshold=threshold, minimum_interval_seconds=ALWAYS_DUE, **clocks)],
        schedules=[weekly_schedule(dataset, labels, **clocks)],
        resources={"home": Home.find()},
        executor=dg.in_process_executor,
    )


def retrain(home: Home, dataset: str, run: dg.DagsterRun) -> str:
    """Drains, freezes, judges, as far as the file `failing` in the home lets it; what came of it."""
    watermark = watermark_of(home, dataset)
    if told := why_obsolete(run.tags, watermark.seq):
        return told
    fail(home, "at the start")
    seq, chain = drain(home, dataset)
    while IN_A_RUN:
        IN_A_RUN.pop()()
    if seq == watermark.seq:
        return "nothing new"
    version, digest = freeze(home, dataset, seq, chain)
    fail(home, "before the verdict")
    decide_on(home, dataset, version, digest, seq, chain, run.run_id)
    fail(home, "after the verdict")
    return version


def fail(home: Home, where: str) -> None:
    """End the run when the home says that it fails here."""
    failing = home.root / "failing"
    if failing.exists() and failing.read_text() == where:
        raise dg.Failure(f"fails {where}")


def drain(home: Home, dataset: str) -> tuple[int, str]:
    """Bring everything logged into the table; seq and chain of the last row."""
    table = FeedbackTable(home.feedback_table, home.feedback_segments, home.lock("feedback"), home.predictions)
    with FeedbackLog(home.feedback_log, home.subject_key()) as log:
        while True:
            with table.drained(log, {dataset: LABELS}, now=NOW) as (drained, _):
                if not drained.waiting:
                    return drained.last_seq, drained.head.chain


def freeze(home: Home, dataset: str, seq: int, chain: str) -> tuple[str, str]:
    """A snapshot of five tickets that says it has consumed labels up to `seq`; its version and digest."""
    schema = arrow_schema((*COLUMNS, *index_columns("ticket_uid")[1:])).append(pa.field("month", pa.string()))
    spec = SPEC.model_copy(update={"dataset": dataset, "consumed_feedback_seq": seq, "consumed_feedback_head": chain})
    rows = [ticket(number, batch="desk/2026-01-02", file="a.json", month="2026-01") for number in range(5)]
    with duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}) as connection:
        connection.register("given", pa.Table.from_pylist(rows, schema=schema))
        connection.execute("create table rows as select * from given")
        manifest = SnapshotStore(home.snapshots).write(spec, connection, "rows").manifest
    return manifest.version, manifest.digest


def decide_on(home: Home, dataset: str, version: str, digest: str, seq: int, chain: str, run_id: str) -> None:
    """Record a verdict on a snapshot: the first model is champion, and every other challenger is refused."""
    log = PromotionLog(home.promotions, dataset)
    champion = log.champion()
    number = len(log.decisions()) + 1
    challenger = ModelReference(
        version=number,
        run_id=f"run{number}",
        artefact=f"{number}/model.skops",
        artefact_sha256=MODEL,
        snapshot_version=version,
        snapshot_digest=digest,
    )
    log.append(
        kind="refused" if champion else "first", challenger=challenger, champion=champion or challenger, former_champion=champion,
        snapshot_version=version, consumed_feedback_seq=seq, feedback_head=chain, at=NOW, by=run_id, why="test", figures={},
    )  # fmt: skip


class DaemonDied(KeyboardInterrupt):
    """What stands for `kill -9` of the daemon: Dagster's tick code writes nothing more when a KeyboardInterrupt passes through it."""


def die(number: int, frame: FrameType | None) -> None:
    """Signal handler: the daemon ends here."""
    raise DaemonDied


@contextlib.contextmanager
def instance_in(folder: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance with our settings; runs wait in its queue until `Loop.execute` takes them, within this process."""
    folder.mkdir()
    (folder / "dagster.yaml").write_text(
        (REPOSITORY / "dagster.yaml").read_text() + WITHIN_THIS_PROCESS.format(module=__name__, folder=folder)
    )
    former = signal.signal(signal.SIGUSR1, die)
    with dg.DagsterInstance.from_config(str(folder)) as instance:
        yield instance
    signal.signal(signal.SIGUSR1, former)


class Loop:
    """One dataset in a home of its own: what people send, what the daemon does, what a run does, and what came of it all."""

    def __init__(self, instance: dg.DagsterInstance, root: Path, dataset: str, threshold: int, items: int) -> None:
        self.instance, self.dataset, self.threshold = instance, dataset, threshold
        self.home = Home(root).prepare()
        self.labels = {dataset: LABELS}
        self.items = [f"item{number}" for number in range(items)]
        self.predicted = {item: LABELS[number % 2] for number, item in enumerate(self.items)}
        self.sent = Sent(LABELS, TEST_FROM, self.predicted, NOW)
        self.log = FeedbackLog(self.home.feedback_log, self.home.subject_key())
        self.clock = NOW
        self._write_predictions()
        self.restart()

    def _write_predictions(self) -> None:
        rows = [
            dict.fromkeys(SCHEMA.names)
            | {"prediction_id": self.prediction_id(item), "dataset": self.dataset, "item_id": item, "label": label}
            for item, label in self.predicted.items()
        ]
        folder = self.home.predictions / self.dataset / "model=0001" / "day=2026-11-01"
        folder.mkdir(parents=True)
        pq.write_table(pa.Table.from_pylist(rows, schema=SCHEMA), folder / "0001.parquet")

    @property
    def logged(self) -> list[Event]:
        """Every event by seq, from 1."""
        return self.sent.logged

    def prediction_id(self, item: str) -> str:
        """The id of the prediction on an item."""
        return prediction_id_of(self.dataset, item, MODEL, "text")

    def restart(self) -> None:
        """The daemon starts anew: nothing is left of it but what the instance and the home hold."""
        os.environ.update(CURATION_HOME=str(self.home.root), RETRAIN_DATASET=self.dataset, RETRAIN_THRESHOLD=str(self.threshold))
        origin = LoadableTargetOrigin(executable_path=sys.executable, module_name=__name__, attribute="definitions")
        target = InProcessWorkspaceLoadTarget(InProcessCodeLocationOrigin(origin, location_name="tickets"))
        self.workspace = WorkspaceProcessContext(self.instance, target)

    def close(self) -> None:
        """Let go of the log."""
        self.log.close()

    def event(self, item: str, kind: str = "label", annotator: str = "ann", **fields: Any) -> Event:
        """One event on an item, about its prediction unless `fields` say otherwise."""
        made: dict[str, Any] = {"event_id": str(uuid.uuid4()), "dataset": self.dataset, "item_id": item, "kind": kind}
        made |= {"annotator": annotator, "source": "test"} | fields
        if kind in {"agree", "disagree"}:
            made["prediction_id"] = self.prediction_id(item)
        return checked_event(made, self.labels, now=NOW)

    def send(self, *events: Event) -> Appended:
        """Append a list as the capture service does; what is known already changes nothing."""
        (answer,) = self.log.append([events], now=NOW, received_as=[None])
        assert isinstance(answer, Appended)
        self.sent.add(*events)
        return answer

    def tick(self, crash: dict[str, int | Exception] | None = None) -> str:
        """One iteration of the sensor daemon; what the tick said. `crash`: where the daemon dies (a signal) or fails."""
        name = f"{self.dataset}_retrain_sensor"
        try:
            list(execute_sensor_iteration(self.workspace, LOGGER, None, None, debug_crash_flags={name: crash} if crash else None))
        except DaemonDied:
            self.restart()
            return "died"
        tick = self.instance.get_ticks(*self._sensor(), limit=1)[0]
        if crash is None and tick.tick_data.error:
            raise AssertionError(tick.tick_data.error.to_string())
        return tick.skip_reason or tick.status.value

    def _sensor(self) -> tuple[str, str]:
        (location,) = self.workspace.create_request_context().code_locations
        (repository,) = location.get_repositories().values()
        (sensor,) = repository.get_sensors()
        return sensor.get_remote_origin_id(), sensor.selector_id

    def wipe(self) -> None:
        """Forget the sensor's cursor and everything else that Dagster remembers of it but its ticks."""
        if self.instance.get_instigator_state(*self._sensor()) is not None:
            self.instance.delete_instigator_state(*self._sensor())

    def week(self) -> None:
        """Two iterations of the scheduler a week apart, so that the weekly schedule is due in the second."""
        for _ in range(2):
            list(launch_scheduled_runs(self.workspace, LOGGER, self.clock, {}))
            self.clock += datetime.timedelta(days=7)

    def start_by_hand(self) -> None:
        """Queue a run of the job as its page in the UI does: with the job's own tags only."""
        context = self.workspace.create_request_context()
        (location,) = context.code_locations
        (repository,) = location.get_repositories().values()
        job = repository.get_full_job(f"{self.dataset}_retrain")
        plan = context.get_execution_plan(job, QUIET_RUN, None, None)
        run = self.instance.create_run(
            job_name=job.name, run_id=None, run_config=QUIET_RUN, resolved_op_selection=None, step_keys_to_execute=None, status=None,
            op_selection=None, root_run_id=None, parent_run_id=None, tags=dict(job.run_tags), job_snapshot=job.job_snapshot,
            execution_plan_snapshot=plan.execution_plan_snapshot, parent_job_snapshot=None, asset_selection=None,
            asset_check_selection=None, remote_job_origin=job.get_remote_origin(),
            job_code_origin=repository.get_full_job(job.name).get_python_origin(), asset_graph=repository.asset_graph,
        )  # fmt: skip
        self.instance.submit_run(run.run_id, context)

    def runs(self, *statuses: dg.DagsterRunStatus) -> list[dg.DagsterRun]:
        """Runs of the job in these statuses (or all), oldest first."""
        wanted = dg.RunsFilter(job_name=f"{self.dataset}_retrain", statuses=list(statuses) or None)
        return self.instance.get_runs(wanted)[::-1]

    def execute(self, failing: str | None = None, meanwhile: Callable[[], None] | None = None) -> None:
        """The oldest queued run, if any, runs within this process and ends. `failing`: where it fails."""
        queued = self.runs(dg.DagsterRunStatus.QUEUED)
        if not queued:
            return
        mark = self.home.root / "failing"
        mark.write_text(failing or "")
        if meanwhile:
            IN_A_RUN.append(meanwhile)
        self.instance.launch_run(queued[0].run_id, self.workspace.create_request_context())
        IN_A_RUN.clear()

    def daily_snapshot(self) -> None:
        """What the daily job does beside the retrain: it freezes what there is, which moves LATEST and is no verdict."""
        seq, chain = drain(self.home, self.dataset)
        freeze(self.home, self.dataset, seq, chain)

    def verdicts(self) -> list[tuple[int, int]]:
        """For each verdict, oldest first, the watermark before it and after it, from the manifests on disk."""
        store = SnapshotStore(self.home.snapshots)
        decisions = PromotionLog(self.home.promotions, self.dataset).decisions()
        ends = [store.manifest(self.dataset, decision.snapshot_version).consumed_feedback_seq for decision in decisions]
        return list(zip([0, *ends], ends, strict=False))

    def reached_by(self) -> list[dg.DagsterRun]:
        """The run that reached each verdict, oldest first."""
        by_id = {run.run_id: run for run in self.runs()}
        return [by_id[decision.by] for decision in PromotionLog(self.home.promotions, self.dataset).decisions()]

    def watermark(self) -> int:
        """The watermark now."""
        return self.verdicts()[-1][1] if self.verdicts() else 0

    def count(self, watermark: int, up_to: int | None = None) -> int:
        """New labels above a watermark, by brute force over what was sent."""
        return self.sent.count(watermark, up_to)


def random_event(loop: Loop, chance: random.Random) -> Event:
    """One event of some kind on some item, known or not, at some moment of the past day, by one of four annotators."""
    item = chance.choice([*loop.items, "unknown"])
    kinds = ["label"] * 6 + ["skip", "withdraw", "spam"] + (["agree", "disagree"] if item in loop.predicted else [])
    kind = chance.choice(kinds)
    fields: dict[str, Any] = {"label": chance.choice(LABELS)} if kind == "label" else {}
    if chance.random() < 0.7:
        fields["occurred_at"] = (NOW - datetime.timedelta(seconds=chance.randrange(86_400))).isoformat()
    event_id = str(uuid.UUID(int=chance.getrandbits(128), version=4))
    return loop.event(item, kind, f"ann{chance.randrange(4)}", event_id=event_id, **fields)
