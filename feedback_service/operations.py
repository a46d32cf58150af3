"""What watches over the service asks here: is it alive, can it take events in, what has it done. Shows no person and no event."""

import asyncio
import os
import shutil
from pathlib import Path
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from prometheus_client import CONTENT_TYPE_LATEST
from pydantic import BaseModel

from curation.feedback.segments import covering_segments
from feedback_service.capture import Service, refusals
from feedback_service.problems import try_later
from feedback_service.sessions import Caller
from resources.home import Home

DISK_BYTES = 16 * 1024 * 1024
"""Free space below which the log is about to refuse: a dozen of the largest requests."""


class Readiness(BaseModel):
    """Where the log and the table made of it stand."""

    log_seq: int
    table_seq: int
    table_lag: int


def routes(service: Service, home: Home) -> APIRouter:
    """GET /healthz, /readyz, /metrics."""
    router = APIRouter(tags=["health"])

    @router.get("/healthz", summary="The process answers")
    async def get_healthz() -> dict[str, str]:
        return {"status": "ok"}

    @router.get("/readyz", summary="The log can be written", responses=refusals(503))
    async def get_readyz() -> Readiness:
        if why := why_not_writable(service.log.path, service.committer.recent_failure()):
            raise try_later(why, "free some space, or mend the permissions")
        log_seq = (await asyncio.to_thread(service.log.head)).seq
        written = covering_segments(home.feedback_segments)
        table_seq = written[-1].last if written else 0
        return Readiness(log_seq=log_seq, table_seq=table_seq, table_lag=log_seq - table_seq)

    @router.get("/metrics", summary="Prometheus metrics", response_class=Response)
    async def get_metrics(_: Annotated[Caller | None, Depends(service.admitted)]) -> Response:
        return Response(service.measures.page(), media_type=CONTENT_TYPE_LATEST)

    return router


def why_not_writable(log: Path, failure: BaseException | None) -> str | None:
    """Why the log cannot grow just now, as far as can be known without writing to it; None when it can."""
    if failure is not None:
        return "the last commit failed"
    if not (os.access(log, os.W_OK) and os.access(log.parent, os.W_OK)):
        return "the log may not be written"
    if shutil.disk_usage(log.parent).free < DISK_BYTES:
        return "the disk is full"
    return None
