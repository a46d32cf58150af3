"""What the service counts of itself, for /metrics (Prometheus). A registry of its own: two apps in one process never meet."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

COMMIT_BUCKETS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


class Measures:
    """Counters of one running service."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        self.accepted = Counter("feedback_events_accepted", "Events committed for the first time.", registry=self._registry)
        self.duplicates = Counter("feedback_events_duplicate", "Events that were in the log already.", registry=self._registry)
        self._refused = Counter("feedback_requests_refused", "Requests refused.", ["status"], registry=self._registry)
        self._depth = Gauge("feedback_queue_depth", "Events waiting for the next commit.", registry=self._registry)
        self._last_seq = Gauge("feedback_last_seq", "The newest seq of the log.", registry=self._registry)
        self._commit_s = Histogram(
            "feedback_commit_seconds", "One group commit.", buckets=COMMIT_BUCKETS_S, registry=self._registry
        )

    def watch_depth(self, depth: Callable[[], float]) -> None:
        """Ask `depth` whenever the page is read."""
        self._depth.set_function(depth)

    def committed(self, seconds: float, last_seq: int) -> None:
        """One commit succeeded; `last_seq` is 0 where it brought nothing new."""
        self._commit_s.observe(seconds)
        self.reached(last_seq)

    def reached(self, last_seq: int) -> None:
        """The log is known to hold this seq."""
        if last_seq:
            self._last_seq.set(last_seq)

    def refused(self, status: int) -> None:
        """One request ended in a status of 400 or more."""
        self._refused.labels(str(status)).inc()

    def page(self) -> bytes:
        """The text exposition format, version 0.0.4."""
        return generate_latest(self._registry)
