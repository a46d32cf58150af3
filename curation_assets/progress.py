"""A run's progress in a terminal: one line a step, why a step failed, what a step cost. Listens to Dagster's events; changes nothing."""

import contextlib
import resource
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import dagster as dg
from dagster import DagsterEventType, EventLogEntry
from dagster_shared.error import SerializableErrorInfo

from curation.errors import CurationError


def _line(entry: EventLogEntry) -> str | None:
    event = entry.dagster_event
    if event is None:
        return None
    if event.event_type == DagsterEventType.STEP_START:
        return f"  {event.step_key} ..."
    if event.event_type == DagsterEventType.STEP_SUCCESS:
        return f"  {event.step_key} done in {event.step_success_data.duration_ms / 1000:.1f} s"
    if event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION and not event.asset_check_evaluation_data.passed:
        evaluation = event.asset_check_evaluation_data
        return f"  check {evaluation.check_name} of {evaluation.asset_key.to_user_string()}: {evaluation.severity.value}"
    return None


def _failure(entry: EventLogEntry) -> str | None:
    event = entry.dagster_event
    if event is not None and event.event_type == DagsterEventType.RESOURCE_INIT_FAILURE:  # such as a lock that was not let go
        return _told(event.engine_event_data.error)
    if event is None or event.event_type != DagsterEventType.STEP_FAILURE:
        return None
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    return f"{event.step_key}: {_told(data.error)}"


def _told(error: SerializableErrorInfo | None) -> str:
    """The first of our own errors, without its class; else the cause of all. What caused ours is for its traceback."""
    ours = {kind.__name__: f"{kind.__module__}.{kind.__name__}: " for kind in (CurationError, *CurationError.__subclasses__())}
    while error is not None and error.cause is not None and error.cls_name not in ours:
        error = error.cause
    return "failed" if error is None else error.message.strip().removeprefix(ours.get(error.cls_name or "", ""))


@dataclass
class Progress:
    """What a listener gathers: why steps failed, and the CPU seconds of each step with the processes it started."""

    failures: list[str] = field(default_factory=list)
    cpu_s: dict[str, float] = field(default_factory=dict)


def _cpu_s() -> float:
    used = (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    return sum(one.ru_utime + one.ru_stime for one in used)


@contextlib.contextmanager
def told_while(instance: dg.DagsterInstance, run_id: str, tell: Callable[[str], None]) -> Iterator[Progress]:
    """Tell each step of an in-process run as it happens; yields what is gathered on the way."""
    progress, started = Progress(), {}

    def listen(entry: EventLogEntry) -> None:
        line, failure = _line(entry), _failure(entry)
        if line is not None:
            tell(line)
        if failure is not None:
            progress.failures.append(failure)
        event = entry.dagster_event
        if event is not None and event.step_key and event.event_type == DagsterEventType.STEP_START:
            started[event.step_key] = _cpu_s()
        if event is not None and event.step_key in started and event.event_type == DagsterEventType.STEP_SUCCESS:
            progress.cpu_s[event.step_key] = round(_cpu_s() - started[event.step_key], 2)

    instance.add_event_listener(run_id, listen)
    yield progress
