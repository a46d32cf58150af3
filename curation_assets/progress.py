"""A run's progress in a terminal: one line a step, and why a step failed. Listens to Dagster's events; changes nothing."""

import contextlib
from collections.abc import Callable, Iterator

import dagster as dg
from dagster import DagsterEventType, EventLogEntry


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
    if event is None or event.event_type != DagsterEventType.STEP_FAILURE:
        return None
    data = event.step_failure_data
    if data.user_failure_data is not None and data.user_failure_data.description:
        return data.user_failure_data.description
    error = data.error
    while error is not None and error.cause is not None:
        error = error.cause
    return f"{event.step_key}: {error.message.strip() if error is not None else 'failed'}"


@contextlib.contextmanager
def told_while(instance: dg.DagsterInstance, run_id: str, tell: Callable[[str], None]) -> Iterator[list[str]]:
    """Tell each step of a run as it happens; yields the list that failures are added to."""
    failures: list[str] = []

    def listen(entry: EventLogEntry) -> None:
        line, failure = _line(entry), _failure(entry)
        if line is not None:
            tell(line)
        if failure is not None:
            failures.append(failure)

    instance.add_event_listener(run_id, listen)
    yield failures
