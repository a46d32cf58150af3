"""Dagster's run launcher that also tells whether a run's process is alive, so that run monitoring marks a dead run failed.

Dagster's own cannot tell: a run that was killed by hand, or together with its code server, stayed "started" for ever, and the
sensor waited for its end. Named by dagster.yaml; it launches nothing differently. Runs are on this machine.
"""

import psutil
from dagster import DagsterEventType, DagsterRun
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus  # Dagster is pinned

CLOCK_S = 60.0
"""A process starts before it reports; one that started this much later has only taken over its number."""


class WatchfulRunLauncher(DefaultRunLauncher):
    """`DefaultRunLauncher` with a health check: run monitoring asks it every two minutes about every started run."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Yes."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """FAILED when the process that last said it executes the run is gone; RUNNING otherwise, also before any has said so."""
        for entry in reversed(self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)):
            told = entry.dagster_event.engine_event_data.metadata.get("pid") if entry.dagster_event else None
            if told is not None:
                pid = int(str(told.value))
                if is_alive(pid, entry.timestamp):
                    break
                return CheckRunHealthResult(WorkerStatus.FAILED, f"its process {pid} is gone")
        return CheckRunHealthResult(WorkerStatus.RUNNING)


def is_alive(pid: int, seen_at: float) -> bool:
    """Whether the process that had this number at `seen_at` (Unix time, s) still runs."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= seen_at + CLOCK_S
    except psutil.NoSuchProcess:
        return False
