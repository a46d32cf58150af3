"""Refusals as RFC 9457 problem+json: which status an error of ours has, and what its body says.

Knows no route. The body names the field and the fix, never a person's text.
"""

from collections.abc import Mapping
from http import HTTPStatus

import orjson
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import BaseModel, Field
from starlette.exceptions import HTTPException
from starlette.responses import Response

from curation.feedback.events import EventError
from curation.feedback.log import Conflict, LogBusy, LogFull

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


async def _answer_problem(_: Request, error: Exception) -> Response:
    assert isinstance(error, Problem)
    return error.response()


async def _answer_bad_event(_: Request, error: Exception) -> Response:
    assert isinstance(error, EventError)
    return Problem(422, error.message, error.fix, field=error.field).response()


async def _answer_conflict(_: Request, error: Exception) -> Response:
    assert isinstance(error, Conflict)
    return Problem(409, error.message, error.fix, event_id=error.event_id).response()


async def _answer_not_now(_: Request, error: Exception) -> Response:
    """The log's own words name its path, which is no client's business."""
    told = "the disk is full" if isinstance(error, LogFull) else "too much is being written just now"
    return try_later(f"{told}: nothing of this request was kept", "send it again later, with the same event_id").response()


async def _answer_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    detail = f"nothing is served at {request.url.path!a}" if error.status_code == 404 else str(error.detail)
    return Problem(error.status_code, detail, "see /openapi.json", headers=error.headers).response()


async def _answer_invalid(_: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    return Problem(422, first["msg"], "see /openapi.json", field=".".join(map(str, first["loc"][1:]))).response()


async def _answer_bug(_: Request, __: Exception) -> Response:
    return Problem(500, "the service failed", "the traceback is in its log").response()


def install(app: FastAPI) -> None:
    """Make every refusal of `app` a problem, also those of the framework and of our own mistakes."""
    app.add_exception_handler(Problem, _answer_problem)
    app.add_exception_handler(EventError, _answer_bad_event)
    app.add_exception_handler(Conflict, _answer_conflict)
    app.add_exception_handler(LogBusy, _answer_not_now)
    app.add_exception_handler(LogFull, _answer_not_now)
    app.add_exception_handler(HTTPException, _answer_http)
    app.add_exception_handler(RequestValidationError, _answer_invalid)
    app.add_exception_handler(Exception, _answer_bug)
