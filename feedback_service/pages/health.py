"""The page `/loop/<dataset>`: four questions about a dataset's loop, each answered in a sentence, with the figures behind it.

What is known comes from `curation.health`, how it looks from `health_panels`.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from curation.health.loop import LoopHealth, Places
from feedback_service.pages.health_panels import Links, panels
from feedback_service.pages.site import Site
from feedback_service.sessions import Caller


def routes(site: Site) -> APIRouter:
    """GET /loop/{dataset}."""
    router = APIRouter()
    Visitor = Annotated[Caller, Depends(site.visitor)]
    home = site.home
    places = Places(home.lake, home.feedback_segments, home.promotions, home.mlflow, home.feedback_looks, home.alerts)
    loops = {
        name: LoopHealth(places, name, served.labels, site.service.log, site.kept[name].recent)
        for name, served in site.datasets.items()
    }

    looking = asyncio.Semaphore(1)  # threads that wait for one another here would be missing where people label

    @router.get("/loop/{dataset}")
    async def get_health(dataset: str, caller: Visitor) -> Response:
        served = site.dataset(dataset)
        async with looking:
            health = await asyncio.to_thread(loops[dataset].look, site.service.clock())
        assets = {role: (name, site.dagster(name)) for role, name in served.assets.items()}
        shown = panels(health, Links(dataset, site.mlflow_url, assets))
        return site.page(caller, "health.html", dataset=dataset, panels=shown)

    return router
