"""The routes of /v1/feedback: take events in, and give an event back to who sent it.

Who may speak for whom is decided here; what a valid event is, by `curation.feedback.events`; what is durable, by the log.
"""

import asyncio
import datetime
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Annotated, Any, Literal
from uuid import UUID

import orjson
from fastapi import APIRouter, Depends, Request, Response
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, Field

from curation.feedback.events import ADJUDICATE, EVENTS_AT_MOST, Event, Kind, LabelsOf, parse_events
from curation.feedback.log import FeedbackLog
from feedback_service.committer import Committer
from feedback_service.guards import BODY_BYTES, Rates, json_body
from feedback_service.measures import Measures
from feedback_service.problems import MEDIA_TYPE, Problem, ProblemDetails
from feedback_service.sessions import COOKIE, CSRF_HEADER, Caller, Sessions
from feedback_service.tokens import Tokens

Bearer = Annotated[HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False, description="`curation token`"))]
CHANGES_NOTHING = frozenset({"GET", "HEAD"})


class Taken(BaseModel):
    """What became of a request's events; all of them are durable."""

    accepted: int = Field(description="Events that are new.")
    duplicates: int = Field(description="Events that were there already, with the same body; nothing changed.")
    seq: int = Field(description="The largest number that one of these events has in the log.")


class RecordedEvent(BaseModel):
    """One event as the log holds it."""

    seq: int
    event_id: UUID
    dataset: str
    prediction_id: str | None
    item_id: str
    kind: Kind
    label: str | None
    annotator: str
    source: str
    reason: str | None
    occurred_at: datetime.datetime
    received_at: datetime.datetime
    context: dict[str, Any] | None


@dataclass(frozen=True)
class Service:
    """The parts of one running service that its routes share."""

    log: FeedbackLog
    labels: LabelsOf
    tokens: Tokens
    sessions: Sessions
    rates: Rates
    committer: Committer
    measures: Measures
    clock: Callable[[], datetime.datetime]

    async def admitted(self, request: Request, bearer: Bearer) -> Caller | None:
        """Who calls, by token or by session; None where nobody needs to be known.

        Problem 401 without a valid token where one is needed, 403 for what no page of the session has sent, 429 when too many come.
        """
        if bearer:
            token = self.tokens.holder(bearer.credentials)
            caller = Caller(token.name, token.role) if token else None
        else:
            caller = self.sessions.caller(request.cookies.get(COOKIE))
        self.check_rate(request, caller)
        if caller is None and (bearer or self.tokens.are_required()):
            told = "the token is unknown" if bearer else "a token is needed"
            scheme = 'Bearer realm="curation", error="invalid_token"' if bearer else 'Bearer realm="curation"'
            fix = "send Authorization: Bearer TOKEN; an administrator makes one with: curation token create"
            raise Problem(401, told, fix, field="Authorization", headers={"WWW-Authenticate": scheme})
        if caller and not bearer and request.method not in CHANGES_NOTHING:
            self.sessions.check_is_of(caller, request.headers.get(CSRF_HEADER))
        return caller

    def check_rate(self, request: Request, caller: Caller | None) -> None:
        """Nothing while a client keeps its rate. Problem 429 else."""
        address = request.client.host if request.client else ""
        self.rates.check(f"token {caller.name}" if caller else f"address {address}", time.monotonic())


def routes(service: Service) -> APIRouter:
    """POST /v1/feedback and GET /v1/feedback/{event_id}."""
    router = APIRouter(prefix="/v1/feedback", tags=["feedback"])
    Holder = Annotated[Caller | None, Depends(service.admitted)]

    @router.post(
        "",
        status_code=201,
        summary="Take in one event, or a list that enters whole or not at all",
        response_description="Every event is durable; at least one is new.",
        responses={
            201: {"model": Taken},
            200: {"model": Taken, "description": "Every event was there already."},
            **refusals(401, 403, 408, 409, 413, 415, 421, 422, 429, 503),
        },
        openapi_extra={"requestBody": _body_schema(service.labels)},
    )
    async def post_feedback(request: Request, holder: Holder) -> Response:
        raw = await json_body(request)
        own_name = holder.name if holder and holder.role == "annotator" else None
        events = parse_events(raw, service.labels, now=service.clock(), annotator=own_name)
        if holder:
            _check_speaks_for(holder, events, is_list=raw.lstrip().startswith(b"["))
        appended = await service.committer.append(events, holder.name if holder else None)
        service.measures.accepted.inc(appended.accepted)
        service.measures.duplicates.inc(appended.duplicates)
        taken = {"accepted": appended.accepted, "duplicates": appended.duplicates, "seq": max(appended.seqs)}
        return Response(orjson.dumps(taken), 201 if appended.accepted else 200, media_type="application/json")

    @router.get(
        "/{event_id}",
        summary="One event as the log holds it",
        responses={200: {"model": RecordedEvent}, **refusals(401, 404, 421, 422, 429, 503)},
    )
    async def get_feedback(event_id: UUID, holder: Holder) -> Response:
        found = await asyncio.to_thread(service.log.find, str(event_id))
        is_readable = holder is None or holder.role == "admin" or (found is not None and found["received_as"] == holder.name)
        if found is None or found["kind"] is None or not is_readable:  # none, erased, a stranger's: an id tells nothing
            raise Problem(404, "there is no such event among those you sent", field="event_id")
        recorded = {name: found[name] for name in RecordedEvent.model_fields}
        recorded["context"] = orjson.loads(recorded["context"]) if recorded["context"] else None
        return Response(RecordedEvent.model_validate(recorded).model_dump_json(), media_type="application/json")

    return router


def _check_speaks_for(holder: Caller, events: Sequence[Event], *, is_list: bool) -> None:
    """An annotator speaks for itself, a capture token under its own source; an admin for anyone, and alone adjudicates.

    Problem 403 else.
    """
    if holder.role == "admin":
        return
    field: Literal["annotator", "source"] = "annotator" if holder.role == "annotator" else "source"
    for place, event in enumerate(events):
        if event.kind == ADJUDICATE:
            told = f"this {holder.role} token may not adjudicate"
            fix = "send kind label, or have somebody with an admin token decide"
            raise Problem(403, told, fix, field=f"[{place}].kind" if is_list else "kind")
        if getattr(event, field) != holder.name:
            told = f"this {holder.role} token speaks only for the {field} {holder.name}"
            raise Problem(403, told, f"send {field} {holder.name}", field=f"[{place}].{field}" if is_list else field)


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """What a route's OpenAPI says of its refusals. Inline: a `model` would have FastAPI promise application/json as well."""
    content = {MEDIA_TYPE: {"schema": ProblemDetails.model_json_schema()}}
    return {status: {"description": HTTPStatus(status).phrase, "content": content} for status in statuses}


def _body_schema(labels: LabelsOf) -> dict[str, Any]:
    """The request's schema: the body is read by our own strict parser, which FastAPI cannot see."""
    event = Event.model_json_schema()
    event["properties"]["dataset"]["enum"] = sorted(labels)
    event["properties"]["label"]["description"] = "; ".join(f"{name}: {', '.join(known)}" for name, known in labels.items())
    event["properties"]["annotator"]["description"] = "May be left out with an annotator's token, whose name it is."
    event["required"].remove("annotator")
    several = {"type": "array", "items": event, "minItems": 1, "maxItems": EVENTS_AT_MOST}
    return {
        "required": True,
        "description": f"At most {BODY_BYTES:,} bytes.",
        "content": {"application/json": {"schema": {"anyOf": [event, several]}}},
    }
