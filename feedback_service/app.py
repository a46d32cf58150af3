"""The FastAPI application: its routes, health and metrics, put together. Opens no file and no port of its own.

No page of it loads anything from elsewhere, so FastAPI's own /docs and /redoc, which use a CDN, are off.
"""

import asyncio
import contextlib
import datetime
import os
import shutil
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from curation.feedback.log import FeedbackLog
from curation.feedback.segments import covering_segments
from feedback_service import capture, problems
from feedback_service.committer import Committer
from feedback_service.datasets import ServedDataset
from feedback_service.guards import Guard, Rates
from feedback_service.measures import Measures
from feedback_service.pages import conflicts, entrance, health, labelling, predictions
from feedback_service.pages.site import Site
from feedback_service.pages.site import install as install_pages
from feedback_service.problems import try_later
from feedback_service.sessions import Caller, Sessions
from feedback_service.settings import Settings
from feedback_service.tokens import Tokens
from resources.home import Home

PAGES = [entrance.routes, labelling.routes, predictions.routes, health.routes, conflicts.routes]
DISK_BYTES = 16 * 1024 * 1024
"""Free space below which the log is about to refuse: a dozen of the largest requests."""
WARM_S = 15.0
"""Between looks whether a run has left something new: 2 ms each where it has not."""


class Readiness(BaseModel):
    """Where the log and the table made of it stand."""

    log_seq: int
    table_seq: int
    table_lag: int


def create_app(
    settings: Settings,
    home: Home,
    log: FeedbackLog,
    datasets: Mapping[str, ServedDataset],
    tokens: Tokens,
    clock: Callable[[], datetime.datetime],
) -> FastAPI:
    """The service over an open log, which it neither opens nor closes."""
    measures = Measures()
    committer = Committer(log, clock, measures.committed)
    measures.watch_depth(lambda: committer.depth)
    rates = Rates(settings.requests_per_s, settings.burst)
    sessions = Sessions(home.session_key(), tokens, clock)
    labels = {name: dataset.labels for name, dataset in datasets.items()}
    service = capture.Service(log, labels, tokens, sessions, rates, committer, measures, clock)
    site = Site(
        service,
        home,
        datasets,
        is_secure=bool(settings.certificate) or settings.is_behind_proxy,
        dagster_url=str(settings.dagster_url) if settings.dagster_url else None,
        mlflow_url=str(settings.mlflow_url) if settings.mlflow_url else None,
    )

    @contextlib.asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        head = await asyncio.to_thread(log.head)
        measures.reached(head.seq)
        warming = asyncio.create_task(keep_warm(site))
        yield
        warming.cancel()
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
    problems.install(app, site.problem)
    app.include_router(capture.routes(service))
    install_pages(app, PAGES, site)

    @app.get("/healthz", tags=["health"], summary="The process answers")
    async def get_healthz() -> dict[str, str]:
        return {"status": "ok"}

    @app.get("/readyz", tags=["health"], summary="The log can be written", responses=capture.refusals(503))
    async def get_readyz() -> Readiness:
        if why := why_not_writable(log.path, committer.recent_failure()):
            raise try_later(why, "free some space, or mend the permissions")
        log_seq = (await asyncio.to_thread(log.head)).seq
        written = covering_segments(home.feedback_segments)
        table_seq = written[-1].last if written else 0
        return Readiness(log_seq=log_seq, table_seq=table_seq, table_lag=log_seq - table_seq)

    @app.get("/metrics", tags=["health"], summary="Prometheus metrics", response_class=Response)
    async def get_metrics(_: Annotated[Caller | None, Depends(service.admitted)]) -> Response:
        return Response(measures.page(), media_type=CONTENT_TYPE_LATEST)

    return app


async def keep_warm(site: Site) -> None:
    """Read what pages keep in memory beside the first requests, and again after every run, before somebody waits for it."""
    while True:
        for kept in site.kept.values():
            await asyncio.to_thread(kept.warm_up, site.service.clock())
        await asyncio.sleep(WARM_S)


def why_not_writable(log: Path, failure: BaseException | None) -> str | None:
    """Why the log cannot grow just now, as far as can be known without writing to it; None when it can."""
    if failure is not None:
        return "the last commit failed"
    if not (os.access(log, os.W_OK) and os.access(log.parent, os.W_OK)):
        return "the log may not be written"
    if shutil.disk_usage(log.parent).free < DISK_BYTES:
        return "the disk is full"
    return None
