"""The FastAPI application: the API, the pages and what watches over them, put together. Opens no file and no port of its own.

No page of it loads anything from elsewhere, so FastAPI's own /docs and /redoc, which use a CDN, are off.
"""

import asyncio
import contextlib
import datetime
from collections.abc import AsyncIterator, Callable, Collection, Mapping

from fastapi import FastAPI

from curation.feedback.log import FeedbackLog
from curation.feedback.pairs import PREFERENCES
from feedback_service import capture, operations, problems
from feedback_service.committer import Committer
from feedback_service.datasets import ServedDataset
from feedback_service.guards import Guard, Rates
from feedback_service.measures import Measures
from feedback_service.pages import conflicts, entrance, explain, health, labelling, predictions
from feedback_service.pages.site import Site
from feedback_service.pages.site import install as install_pages
from feedback_service.sessions import Sessions
from feedback_service.settings import Settings
from feedback_service.tokens import Tokens
from resources.home import Home

PAGES = [entrance.routes, labelling.routes, predictions.routes, explain.routes, health.routes, conflicts.routes]
WARM_S = 5.0
"""Between looks whether a run has left something new: 2 ms each where it has not."""


def create_app(
    settings: Settings,
    home: Home,
    log: FeedbackLog,
    datasets: Mapping[str, ServedDataset],
    tokens: Tokens,
    clock: Callable[[], datetime.datetime],
    prompts: Collection[str] = (),
) -> FastAPI:
    """The service over an open log, which it neither opens nor closes. `prompts`: datasets of prompts, which have no pages."""
    measures = Measures()
    committer = Committer(log, clock, measures.committed)
    measures.watch_depth(lambda: committer.depth)
    rates = Rates(settings.requests_per_s, settings.burst)
    sessions = Sessions(home.session_key(), tokens, clock)
    labels = {name: dataset.labels for name, dataset in datasets.items()} | dict.fromkeys(prompts, PREFERENCES)
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
    app.include_router(operations.routes(service, home))
    install_pages(app, PAGES, site)
    return app


async def keep_warm(site: Site) -> None:
    """Read what pages keep in memory beside the first requests, and again after every run, before somebody waits for it."""
    while True:
        for kept in site.kept.values():
            await asyncio.to_thread(kept.warm_up, site.service.clock())
        await asyncio.sleep(WARM_S)
