"""One writer for all requests: whoever waits while a commit is on its way joins the next one (group commit).

Answers only after COMMIT. Holds no HTTP; what the log refuses reaches everyone of the group, and the next group tries anew.
"""

import asyncio
import datetime
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from curation.feedback.events import Event
from curation.feedback.log import Appended, Conflict, FeedbackLog, LogBusy

QUEUE_EVENTS = 20_000
"""Events that may wait: about a second's work. More are better kept by the client, which knows to come back."""

FAILURE_S = 10.0


@dataclass(frozen=True)
class _Waiting:
    events: Sequence[Event]
    received_as: str | None
    outcome: "asyncio.Future[Appended]"


class Committer:
    """Takes lists of events from the event loop to the log's one thread. Made and used within a running loop."""

    def __init__(self, log: FeedbackLog, clock: Callable[[], datetime.datetime], committed: Callable[[float, int], None]) -> None:
        """`committed` hears of every successful commit: seconds, and the last new seq (0 where all were duplicates)."""
        self._log = log
        self._clock = clock
        self._committed = committed
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="feedback-log")
        self._waiting: list[_Waiting] = []
        self._working: asyncio.Task[None] | None = None
        self._failure: BaseException | None = None
        self._failed_at_s = 0.0

    @property
    def depth(self) -> int:
        """Events that wait for the next commit."""
        return sum(len(waiting.events) for waiting in self._waiting)

    async def append(self, events: Sequence[Event], received_as: str | None) -> Appended:
        """What became of one list, once it is durable. LogBusy where too much waits; Conflict, LogBusy, LogFull from the log."""
        if self.depth + len(events) > QUEUE_EVENTS:
            raise LogBusy(f"{self.depth:,} events are waiting to be written", "send them again later, with the same event_id")
        waiting = _Waiting(events, received_as, asyncio.get_running_loop().create_future())
        self._waiting.append(waiting)
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._commit_all())
        return await waiting.outcome

    def recent_failure(self) -> BaseException | None:
        """Why the last commit failed, where that is less than 10 s ago: who is told "not ready" sends nothing that could succeed."""
        return self._failure if time.monotonic() - self._failed_at_s < FAILURE_S else None

    async def close(self) -> None:
        """Finish what was taken."""
        if self._working is not None:
            await self._working
        self._thread.shutdown()

    async def _commit_all(self) -> None:
        while self._waiting:
            group, self._waiting = self._waiting, []
            started_s = time.perf_counter()
            appending = asyncio.get_running_loop().run_in_executor(self._thread, self._append, group)
            await asyncio.wait([appending])
            self._failure = appending.exception()
            outcomes: Sequence[Appended | BaseException]
            if self._failure is None:
                outcomes = appending.result()
                last_seq = max((outcome.last_seq or 0 for outcome in outcomes if isinstance(outcome, Appended)), default=0)
                self._committed(time.perf_counter() - started_s, last_seq)
            else:
                self._failed_at_s = time.monotonic()
                outcomes = [self._failure] * len(group)
            for waiting, outcome in zip(group, outcomes, strict=True):
                if waiting.outcome.done():  # its client went away
                    continue
                if isinstance(outcome, Appended):
                    waiting.outcome.set_result(outcome)
                else:
                    waiting.outcome.set_exception(outcome)

    def _append(self, group: Sequence[_Waiting]) -> list[Appended | Conflict]:
        lists = [waiting.events for waiting in group]
        return self._log.append(lists, now=self._clock(), received_as=[waiting.received_as for waiting in group])
