"""A headless run of one dataset through Dagster, and the report of what it did. What `curation run` and `demo` call.

Imports Dagster only when there is work: a run with nothing new answers from the ledger in a second.
"""

import contextlib
import datetime
import hashlib
import json
import os
import shutil
import sys
import uuid
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.errors import CurationError
from curation.fates import COUNTS, FateBook
from curation.files import written_whole
from curation.ingestion.inspection import batch_id
from curation.ingestion.intake import Pending, pending
from curation.ingestion.ledger import Entry, Ledger
from curation.ingestion.sources import load_sources
from curation.promotions import PromotionLog
from curation.snapshots.store import SnapshotStore
from curation_assets.counts import counts_by_batch
from curation_assets.datasets import Declared, declared
from curation_assets.loop import champion_told, feedback_waiting, new_labels, queue_told
from curation_assets.steps import model_told, warehouse_epoch
from feedback_sensors.decision import RETRAIN_TAG, counted
from resources.history import opened_history
from resources.home import Home, now, today
from resources.warehouse import check_whole

if TYPE_CHECKING:
    import dagster as dg

UNTIL = ("curated", "snapshot", "model", "predictions")
LOW_DISK_BYTES = 100_000_000  # less than this, and a failed run's first suspect is the disk
NEVER_RETRIED = {
    "dagster/max_retries": "0"
}  # Dagster cannot start what this process was; its promise to would hold the sensor back
Tell = Callable[[str], None]
Seen = dict[str, tuple[int, dict[str, int]]]
Products = dict[str, dict[str, Any] | None]


@dataclass(frozen=True)
class Done:
    """A Dagster run that ended: why it failed, if it did, and the CPU seconds of its steps."""

    run_id: str | None = None
    failure: str | None = None
    step_cpu_s: dict[str, float] = field(default_factory=dict)
    did_all_work: bool = False  # also where nothing but the check on refused batches failed: it works nothing in


@dataclass
class RunReport:
    """What a run found, did and left; `as_json` is the contract of `curation run --json`."""

    dataset: str
    batches: list[dict[str, Any]]
    refused: list[dict[str, Any]]
    problems: list[str]
    notices: list[str]
    snapshot: dict[str, Any] | None
    model: dict[str, Any] | None
    champion: dict[str, Any] | None
    queue: dict[str, Any] | None
    run_id: str | None = None
    failure: str | None = None
    step_cpu_s: dict[str, float] = field(default_factory=dict)
    total: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        self.total = {name: sum(batch[name] for batch in self.batches) for name in COUNTS}

    @property
    def succeeded(self) -> bool:
        """No step failed, no batch stands refused, nothing in landing is out of place."""
        return self.failure is None and not self.refused and not self.problems

    def as_json(self) -> dict[str, Any]:
        """Plain values: batches with counts and state, totals, snapshot, model, refusals."""
        return {"succeeded": self.succeeded, **asdict(self)}


def run_dataset(
    home: Home, name: str, first: datetime.date | None, last: datetime.date | None, until: str, wait_s: float, tell: Tell
) -> RunReport:
    """Materialize everything pending between two arrival days (default: all), up to `until` (one of UNTIL), through Dagster.

    Raises CurationError where the user can mend something before the run starts; a failed run is told in the report.
    """
    if first and last and first > last:
        raise CurationError(f"--from {first} lies after --to {last}", "swap them")
    home.prepare()
    os.environ.update({**home.environment(), "CURATION_WAIT_S": str(wait_s)})
    known = declared(name)
    check_whole(home, name)
    ledger = Ledger(home.lake, name)
    sources = load_sources(known.sources, known.dataset)
    waiting = pending(known.dataset, sources, home.landing, ledger, today=today(), from_day=first, to_day=last)
    batches_before, before = _batches_seen(home, name), _products(home, name)
    days = sorted({batch.day for batch in waiting.batches})
    done = Done()
    if days or not _is_complete(home, known, until):
        tell(_told(waiting, days))
        done = _daily(home, known, (days or [today()])[0], (days or [today()])[-1], until, tell)
        if done.did_all_work:
            _note_complete(home, known, until)
    return _report(home, known, waiting, (first, last), batches_before, before, done)


def retrain_dataset(home: Home, name: str, wait_s: float, tell: Tell, tags: Mapping[str, str] | None = None) -> RunReport:
    """Retrain on the labels that people have given, whatever their number, and end in a verdict. `tags`: what a sensor asked with.

    Raises CurationError where there is no champion yet to challenge, or no label that it has not learned from.
    """
    home.prepare()
    os.environ.update({**home.environment(), "CURATION_WAIT_S": str(wait_s)})
    known = declared(name)
    check_whole(home, name)
    count, watermark = new_labels(home, known, now=now())
    if PromotionLog(home.promotions, name).champion() is None:
        raise CurationError(f"{name} has no champion yet to challenge", f"curation run {name} trains the first")
    is_cut_short = not count.effective and _is_cut_short(home, name)
    if not (count.effective or is_cut_short):
        raise CurationError(
            f"there are no new labels of {name} since the last verdict (event {watermark}): {counted(count, known.loop.retrain_after)}",
            "label some of the queue, or send feedback; curation status tells what waits",
        )
    waiting = pending(
        known.dataset, load_sources(known.sources, known.dataset), home.landing, Ledger(home.lake, name), today=today()
    )
    batches_before, before = _batches_seen(home, name), _products(home, name)
    was_complete = _is_worked_in(home, known, "predictions")
    from curation_assets.selections import after_the_model, retrain_selection

    if is_cut_short:
        tell("the last retrain reached its verdict and was cut short; finishing it")
    selection = after_the_model(known) if is_cut_short else retrain_selection(known)
    done = _materialize(home, name, f"{name}_retrain_by_hand", selection, {RETRAIN_TAG: name, **(tags or {})}, tell)
    if done.did_all_work and was_complete:
        _note_complete(home, known, "predictions")
    return _report(home, known, waiting, (today(), today()), batches_before, before, done)


def _is_cut_short(home: Home, name: str) -> bool:
    """Whether the run that gave the last verdict has not ended well, and no retrain since has: its champion may not have predicted."""
    import dagster as dg

    verdict = PromotionLog(home.promotions, name).last_verdict()
    with opened_history(home) as instance:
        gave = instance.get_run_record_by_id(verdict.by.removeprefix("run ")) if verdict else None
        if gave is None or gave.dagster_run.status == dg.DagsterRunStatus.SUCCESS:
            return False
        ended_well = dg.RunsFilter(tags={RETRAIN_TAG: name}, statuses=[dg.DagsterRunStatus.SUCCESS])
        newest = instance.get_run_records(ended_well, limit=1)
        return not newest or newest[0].storage_id < gave.storage_id


def _report(
    home: Home,
    known: Declared,
    waiting: Pending,
    days: tuple[datetime.date | None, datetime.date | None],
    batches_before: Seen,
    before: Products,
    done: Done,
) -> RunReport:
    name, (first, last) = known.dataset.name, days
    after = _products(home, name)
    return RunReport(
        dataset=name,
        batches=_batches_now(home, name, batches_before, first or datetime.date.min, last or datetime.date.max),
        refused=[
            _refusal(entry)
            for entry in Ledger(home.lake, name).refused().values()
            if (first or entry.day) <= entry.day <= (last or entry.day)
        ],
        problems=[f"{problem.message}; {problem.fix}" for problem in waiting.problems],
        notices=waiting.notices,
        run_id=done.run_id,
        failure=done.failure,
        step_cpu_s=done.step_cpu_s,
        **{what: _with_state(now_, before[what]) for what, now_ in after.items()},
    )


def _products(home: Home, dataset: str) -> Products:
    """What runs make, by field of the report; None where there is none yet."""
    return {
        "snapshot": _snapshot(home, dataset),
        "model": _model(home, dataset),
        "champion": champion_told(home, dataset),
        "queue": queue_told(home, dataset),
    }


def _told(waiting: Pending, days: list[datetime.date]) -> str:
    if not days:
        return "nothing new in landing; finishing what is missing"
    if len(waiting.batches) == 1:
        return f"1 batch pending: {waiting.batches[0].source} {days[0]}, {waiting.batches[0].why}"
    return f"{len(waiting.batches)} batches pending, {days[0]} to {days[-1]}"


def _batches_seen(home: Home, dataset: str) -> Seen:
    entries = list(Ledger(home.lake, dataset).latest().values())
    return {
        batch_id(entry): (entry.seq, counts)
        for entry, counts in zip(entries, counts_by_batch(home, dataset, entries), strict=True)
    }


def _batches_now(home: Home, dataset: str, before: Seen, first: datetime.date, last: datetime.date) -> list[dict[str, Any]]:
    told = []
    entries = sorted(Ledger(home.lake, dataset).latest().values(), key=lambda entry: (entry.day, entry.source))
    for entry, counts in zip(entries, counts_by_batch(home, dataset, entries), strict=True):
        former = before.get(batch_id(entry))
        state = "new" if former is None or former[0] != entry.seq else "changed" if former[1] != counts else "unchanged"
        if state != "unchanged" or first <= entry.day <= last:
            told.append({"source": entry.source, "day": entry.day.isoformat(), "state": state, **counts})
    return told


def _refusal(entry: Entry) -> dict[str, Any]:
    return {
        "source": entry.source,
        "day": entry.day.isoformat(),
        "message": entry.message,
        "in": entry.counts.records_in,
        "malformed": entry.counts.malformed,
        "contract": entry.counts.contract,
        "violations": [violation.model_dump(mode="json") for violation in entry.violations],
    }


def _snapshot(home: Home, dataset: str) -> dict[str, Any] | None:
    store = SnapshotStore(home.snapshots)
    if store.latest(dataset) is None:
        return None
    manifest = store.manifest(dataset)
    return {"version": manifest.version, "digest": manifest.digest, "rows": manifest.rows, "path": str(store.folder(dataset))}


def _model(home: Home, dataset: str) -> dict[str, Any] | None:
    told = model_told(home, dataset)
    if told is None:
        return None
    return {name: told[name] for name in ("version", "snapshot_version", "metrics")}


def _with_state(now: dict[str, Any] | None, before: dict[str, Any] | None) -> dict[str, Any] | None:
    if now is None:
        return None
    is_new = before is None or now["version"] != before["version"]
    return {**now, "state": "new" if is_new else "unchanged"}


def _completion(home: Home, known: Declared) -> dict[str, Any]:
    """What a finished run has worked in; the same again means there is nothing to do."""
    name = known.dataset.name
    policies = "".join(policy.model_dump_json() for policy in (known.policy, known.training, known.loop))
    products = _products(home, name)
    return {
        "ledger_seq": max((entry.seq for entry in Ledger(home.lake, name).latest().values()), default=0),
        "epoch": warehouse_epoch(home, name),
        "policy": hashlib.sha256(policies.encode()).hexdigest()[:16],
        **{what: told["version"] if told else None for what, told in products.items()},
    }


def _note_complete(home: Home, known: Declared, until: str) -> None:
    with written_whole(home.root / "runs" / f"{known.dataset.name}.json") as temporary:
        temporary.write_text(json.dumps({"until": until, **_completion(home, known)}))


def _noted(path: Path) -> dict[str, Any] | None:
    """A note of the last complete run; None where there is none that can be read: then there is something to do."""
    try:
        told: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return told


def _is_complete(home: Home, known: Declared, until: str) -> bool:
    if (
        _noted(home.root / "runs" / f"{known.dataset.name}.json") is None
        or not home.warehouse(known.dataset.name).exists()
        or FateBook(home.lake, known.dataset.name).current() is None
    ):
        return not Ledger(home.lake, known.dataset.name).entries()
    return _is_worked_in(home, known, until) and not feedback_waiting(home, known.dataset.name)


def _is_worked_in(home: Home, known: Declared, until: str) -> bool:
    """Whether the last complete run has seen what there is now, people's feedback aside."""
    told = _noted(home.root / "runs" / f"{known.dataset.name}.json")
    if told is None:
        return False
    reached = UNTIL.index(told.pop("until")) >= UNTIL.index(until)
    return bool(reached and told == _completion(home, known))


@contextlib.contextmanager
def _printed_to(log: Path) -> Iterator[None]:
    """What is printed goes to `log`, also by child processes (on Ctrl-C Dagster's end with tracebacks); sys.stderr stays the user's."""
    with log.open("w") as output, contextlib.redirect_stdout(output), os.fdopen(os.dup(2), "w") as user:
        os.dup2(output.fileno(), 2)
        try:
            with contextlib.redirect_stderr(user) if sys.stderr is sys.__stderr__ else contextlib.nullcontext():
                yield
        finally:
            os.dup2(user.fileno(), 2)


def _daily(home: Home, known: Declared, first: datetime.date, last: datetime.date, until: str, tell: Tell) -> Done:
    from curation_assets.selections import RANGE_END, RANGE_START, daily_selection, has_champion

    name = known.dataset.name
    selection = daily_selection(known, has_champion(home, known), until)
    days = {RANGE_START: first.isoformat(), RANGE_END: last.isoformat()}
    return _materialize(home, name, f"{name}_{until}", selection, days, tell)


def _materialize(
    home: Home, name: str, job_name: str, selection: "dg.AssetSelection", tags: Mapping[str, str], tell: Tell
) -> Done:
    """Run the selected assets in this process. KeyboardInterrupt when the user ended the run."""
    import dagster as dg
    from dagster._core.errors import DagsterExecutionInterruptedError  # Dagster is pinned; nothing public names it
    from sqlalchemy.exc import OperationalError

    from curation_assets.build import build_defs
    from curation_assets.progress import told_while

    job = dg.define_asset_job(job_name, selection=selection)
    definitions = dg.Definitions.merge(build_defs(home), dg.Definitions(jobs=[job]))
    run_id = str(uuid.uuid4())
    log = home.root / "runs" / f"{name}.log"  # dbt's own lines: standard output is for the command's answer
    log.parent.mkdir(exist_ok=True)
    try:
        with (
            _printed_to(log),
            opened_history(home) as instance,
            told_while(instance, run_id, tell) as progress,
        ):
            result = definitions.resolve_job_def(job_name).execute_in_process(
                instance=instance,
                run_id=run_id,
                raise_on_error=False,
                tags={"dataset": name, **tags, **NEVER_RETRIED},
                run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
            )
    except (OSError, OperationalError) as error:
        why = str(error).splitlines()[0]
        raise CurationError(
            f"cannot keep the run's history in {home.dagster}: {why}", "make room or mend its permissions, then run again"
        ) from error
    if result.success:
        return Done(run_id, None, progress.cpu_s, did_all_work=True)
    told = progress.failures or [f"run {run_id} failed"]
    if any(DagsterExecutionInterruptedError.__name__ in failure for failure in told):
        raise KeyboardInterrupt
    if any(failure.startswith(f"{name}_models:") for failure in told):
        told = [*told, f"dbt's words are in {log}"]
    free_bytes = shutil.disk_usage(home.root).free
    if free_bytes < LOW_DISK_BYTES:
        told = [*told, f"the disk of {home.root} has {free_bytes / 1e6:,.0f} MB left: make room, then run again"]
    failed = {event.step_key for event in result.all_events if event.is_step_failure}
    return Done(run_id, "\n".join(told), progress.cpu_s, did_all_work=failed == {f"{name}_batches_accepted"})
