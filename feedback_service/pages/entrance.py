"""The entrance: the list of datasets, signing in and signing out. Who may come in is decided by `feedback_service.sessions`."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, TypeVar
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Depends, Request
from fastapi.responses import RedirectResponse
from starlette.responses import Response

from curation.errors import CurationError
from curation.labelling.board import Standing
from curation.looks import Look, read_look
from curation.promotions import ModelReference, PromotionLog
from feedback_service.pages.site import Site
from feedback_service.problems import Problem
from feedback_service.sessions import COOKIE, LASTS, Caller

FORM_BYTES = 10_000
Known = TypeVar("Known")


@dataclass(frozen=True)
class InBrief:
    """How a dataset stands for one person; None for what is not there yet, or damaged: the page that shows it whole says why."""

    standing: Standing | None
    look: Look | None  # the retrain sensor's last
    champion: ModelReference | None


def routes(site: Site) -> APIRouter:
    """GET /, and /sign-in and /sign-out."""
    router = APIRouter()
    Visitor = Annotated[Caller, Depends(site.visitor)]

    @router.get("/")
    async def get_datasets(caller: Visitor) -> Response:
        told = {name: await asyncio.to_thread(in_brief, name, caller) for name in site.datasets}
        return site.page(caller, "datasets.html", told=told)

    def in_brief(name: str, caller: Caller) -> InBrief:
        return InBrief(
            _if_known(lambda: site.kept[name].board.standing(caller.name, now=site.service.clock())),
            _if_known(lambda: read_look(site.home.feedback_looks, name)),
            _if_known(lambda: PromotionLog(site.home.promotions, name).champion()),
        )

    @router.get("/sign-in")
    async def get_sign_in(request: Request, next: str = "/") -> Response:
        site.service.check_rate(request, None)
        return site.page(None, "sign_in.html", needs_token=site.service.tokens.are_required(), next=_inside(next), problem=None)

    @router.post("/sign-in")
    async def post_sign_in(request: Request) -> Response:
        site.service.check_rate(request, None)
        form = await _form(request)
        onwards = _inside(form.get("next", "/"))
        try:
            cookie = site.service.sessions.begin(form.get("who", "").strip())
        except Problem as problem:
            needs_token = site.service.tokens.are_required()
            status = problem.details.status
            return site.page(None, "sign_in.html", status, needs_token=needs_token, next=onwards, problem=problem.details)
        answer = RedirectResponse(onwards, 303)
        answer.set_cookie(
            COOKIE, cookie, max_age=int(LASTS.total_seconds()), httponly=True, samesite="lax", secure=site.is_secure
        )
        return answer

    @router.post("/sign-out")
    async def post_sign_out(request: Request, caller: Visitor) -> Response:
        form = await _form(request)
        site.service.sessions.check_is_of(caller, form.get("csrf"))
        answer = RedirectResponse(f"/sign-in?{urlencode({'next': _inside(form.get('next', '/'))})}", 303)
        answer.delete_cookie(COOKIE, httponly=True, samesite="lax", secure=site.is_secure)
        return answer

    return router


def _if_known(question: Callable[[], Known]) -> Known | None:
    try:
        return question()
    except CurationError:
        return None


def _inside(path: str) -> str:
    """`path` where it is one of ours, else the entrance: nobody is sent elsewhere by a link to this page."""
    is_ours = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if is_ours else "/"


async def _form(request: Request) -> dict[str, str]:
    """The first value of each field. Problem 413 or 408 for what no form of ours sends."""
    body = bytearray()
    try:
        async with asyncio.timeout(10):
            async for chunk in request.stream():
                body += chunk
                if len(body) > FORM_BYTES:
                    raise Problem(413, f"the form is larger than {FORM_BYTES:,} bytes")
    except TimeoutError:
        raise Problem(408, "the form took longer than 10 s") from None
    try:
        fields = parse_qs(body.decode(), strict_parsing=bool(body), max_num_fields=10)
    except ValueError:
        raise Problem(400, "this is no form of ours", "load the page again") from None
    return {name: values[0] for name, values in fields.items()}
