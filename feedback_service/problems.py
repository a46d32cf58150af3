"""Refusals as RFC 9457 problem+json: which status an error of ours has, and what its body says.

Knows no route. The body names the field and the fix, never a person's text.
"""

from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from curation.errors import CurationError
from curation.feedback.events import EventError
from curation.feedback.log import Conflict, LogBusy, LogFull
from curation.feedback.recent import StillReading

MEDIA_TYPE = "application/problem+json"
RETRY_AFTER_S = 2
"""What a 503 asks for: longer than a commit under load (0.1 s), short enough for a client that waits."""


class ProblemDetails(BaseModel):
    """The body of every refusal (RFC 9457); `field`, `fix` and `event_id` are ours."""

    type: str = "about:blank"
    title: str = Field(description="The status in words.")
    status: int
    detail: str
    field: str | None = Field(default=None, description='The field refused, such as "label", or "[3].label" within a list.')
    fix: str | None = Field(default=None, description="What to do next.")
    event_id: str | None = Field(default=None, description="With 409: the id that was taken for another body.")


class Problem(Exception):
    """A refusal on its way to the client."""

    def __init__(
        self,
        status: int,
        detail: str,
        fix: str | None = None,
        *,
        field: str | None = None,
        event_id: str | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        title = HTTPStatus(status).phrase
        self.details = ProblemDetails(title=title, status=status, detail=detail, field=field, fix=fix, event_id=event_id)
        self.headers = dict(headers or {})

    def response(self) -> Response:
        """The refusal as bytes; absent members stay out."""
        body = orjson.dumps(self.details.model_dump(exclude_none=True))
        return Response(body, self.details.status, self.headers, MEDIA_TYPE)


def try_later(detail: str, fix: str | None, status: int = 503, wait_s: int = RETRY_AFTER_S) -> Problem:
    """A refusal that says when to come back."""
    return Problem(status, detail, fix, headers={"Retry-After": str(wait_s)})


def _of_log(error: LogBusy | LogFull) -> Problem:
    """The log's own words name its path, which is no client's business."""
    told = "the disk is full" if isinstance(error, LogFull) else "too much is being written just now"
    return try_later(f"{told}: nothing of this request was kept", "send it again later, with the same event_id")


def _of_reading(error: StillReading) -> Problem:
    """A browser asks again by itself, so that whoever waits sees the page as soon as it is there."""
    wait = str(RETRY_AFTER_S)
    told = f"{error.message}: the service has just started"
    return Problem(503, told, "the page comes by itself in a few seconds", headers={"Retry-After": wait, "Refresh": wait})


def _of_http(error: HTTPException) -> Problem:
    detail = "nothing is served at this address" if error.status_code == 404 else str(error.detail)
    return Problem(error.status_code, detail, "see /openapi.json", headers=error.headers)


def _of_invalid(error: RequestValidationError) -> Problem:
    first = error.errors()[0]
    return Problem(422, first["msg"], "see /openapi.json", field=".".join(map(str, first["loc"][1:])))


OF: dict[type[Exception], Callable[[Any], Problem]] = {
    Problem: lambda problem: problem,
    EventError: lambda error: Problem(422, error.message, error.fix, field=error.field),
    Conflict: lambda error: Problem(409, error.message, error.fix, event_id=error.event_id),
    LogBusy: _of_log,
    LogFull: _of_log,
    StillReading: _of_reading,
    CurationError: lambda error: Problem(500, error.message, error.fix),
    HTTPException: _of_http,
    RequestValidationError: _of_invalid,
    Exception: lambda _: Problem(500, "the service failed", "the traceback is in its log"),
}
"""What each error is to a client; the most specific type counts."""


def install(app: FastAPI, answer: Callable[[Request, Problem], Response]) -> None:
    """Make every refusal of `app` a problem that `answer` tells, also those of the framework and of our own mistakes."""

    def answering(to_problem: Callable[[Any], Problem]) -> Callable[[Request, Exception], Awaitable[Response]]:
        async def handler(request: Request, error: Exception) -> Response:
            return answer(request, to_problem(error))

        return handler

    for kind, to_problem in OF.items():
        app.add_exception_handler(kind, answering(to_problem))
