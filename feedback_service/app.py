"""The FastAPI application: its routes, health and metrics, put together. Opens no file and no port of its own.

No page of it loads anything from elsewhere, so FastAPI's own /docs and /redoc, which use a CDN, are off.
"""

import asyncio
import contextlib
import datetime
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from curation.feedback.events import LabelsOf
from curation.feedback.log import FeedbackLog
from curation.feedback.segments import covering_segments
from feedback_service import capture, problems
from feedback_service.committer import Committer
from feedback_service.guards import Guard, Rates
from feedback_service.measures import Measures
from feedback_service.problems import try_later
from feedback_service.settings import Settings
from feedback_service.tokens import Token, Tokens

DISK_BYTES = 16 * 1024 * 1024
"""Free space below which the log is about to refuse: a dozen of the largest requests."""


class Readiness(BaseModel):
    """Where the log and the table made of it stand."""

    log_seq: int
    table_seq: int
    table_lag: int


def create_app(
    settings: Settings,
    log: FeedbackLog,
    segments: Path,
    labels: LabelsOf,
    tokens: Tokens,
    clock: Callable[[], datetime.datetime],
) -> FastAPI:
    """The service over an open log, which it neither opens nor closes; `segments` tell how far the table is."""
    measures = Measures()
    committer = Committer(log, clock, measures.committed)
    measures.watch_depth(lambda: committer.depth)
    rates = Rates(settings.requests_per_s, settings.burst)
    service = capture.Service(log, labels, tokens, rates, committer, measures, clock)

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        head = await asyncio.to_thread(log.head)
        measures.reached(head.seq)
        yield
        await committer.close()

    app = FastAPI(
        title="Feedback",
        version="1",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        description="What people and products say about predictions. Refusals are problem+json (RFC 9457).",
    )
    app.add_middleware(Guard, hosts=(settings.host, *settings.allow_hosts), refused=measures.refused)
    problems.install(app)
    app.include_router(capture.routes(service))

    @app.get("/healthz", tags=["health"], summary="The process answers")
    async def get_healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="The log can be written", responses=capture.refusals(503))
    async def get_readyz() -> Readiness:
        if why := why_not_writable(log.path, committer.recent_failure()):
            raise try_later(why, "free some space, or mend the permissions")
        log_seq = (await asyncio.to_thread(log.head)).seq
        written = covering_segments(segments)
        table_seq = written[-1].last if written else 0
        return Readiness(log_seq=log_seq, table_seq=table_seq, table_lag=log_seq - table_seq)

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics", response_class=Response)
    async def get_metrics(_: Annotated[Token | None, Depends(service.admitted)]) -> Response:
        return Response(measures.page(), media_type=CONTENT_TYPE_LATEST)

    return app


def why_not_writable(log: Path, failure: BaseException | None) -> str | None:
    """Why the log cannot grow just now, as far as can be known without writing to it; None when it can."""
    if failure is not None:
        return "the last commit failed"
    if not (os.access(log, os.W_OK) and os.access(log.parent, os.W_OK)):
        return "the log may not be written"
    if shutil.disk_usage(log.parent).free < DISK_BYTES:
        return "the disk is full"
    return None
