"""The labelling page: its frame, and the items and the progress that its script asks for.

Who gets which item is decided by `curation.labelling.board`; answers go to /v1/feedback like any other event.
"""

import asyncio
import dataclasses
from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Depends, Request
from jinja2 import Template
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.responses import Response

from curation.labelling.board import Task
from curation.labelling.page import LabellingPage
from curation.looks import Look, read_look
from feedback_service.guards import json_body
from feedback_service.pages.site import Site
from feedback_service.problems import Problem
from feedback_service.sessions import Caller

AHEAD_AT_MOST = 20
"""Items one tab may hold: enough for a minute of outage, few enough that colleagues are not kept from the rest."""

TABS = 10
"""A tab holds at most a tenth of what is open, so that a short queue feeds ten people at once."""

HANDS = 3
"""Of one person all tabs together hold as much as three, so that nobody keeps a queue to themselves with thirty."""


class Asked(BaseModel):
    """What a tab asks for: as many items in all, of which it shows or holds some."""

    model_config = ConfigDict(extra="forbid")

    tab: str = Field(pattern=r"^[a-z0-9-]{1,40}$")
    wanted: int = Field(ge=0, le=AHEAD_AT_MOST)
    holding: list[Annotated[str, Field(max_length=1_000)]] = Field(default_factory=list, max_length=AHEAD_AT_MOST + 1)


def routes(site: Site) -> APIRouter:
    """GET /label/{dataset}, POST /label/{dataset}/items."""
    router = APIRouter(prefix="/label/{dataset}")
    Visitor = Annotated[Caller, Depends(site.visitor)]
    Speaker = Annotated[Caller, Depends(site.speaker)]
    templates = {name: site.item_template(served) for name, served in site.datasets.items()}

    @router.get("")
    async def get_page(dataset: str, caller: Visitor) -> Response:
        page = site.dataset(dataset).labelling
        return site.page(caller, "label.html", dataset=dataset, page=page, guidelines=blocks(page.guidelines))

    @router.post("/items")
    async def post_items(dataset: str, request: Request, caller: Speaker) -> Response:
        site.dataset(dataset)
        asked = _asked(await json_body(request))
        return Response(await asyncio.to_thread(answered, dataset, caller, asked), media_type="application/json")

    def answered(dataset: str, caller: Caller, asked: Asked) -> bytes:
        board, now = site.kept[dataset].board, site.service.clock()
        holder = f"{caller.name}/{asked.tab}"
        standing = board.standing(caller.name, now=now)
        share = min(AHEAD_AT_MOST, max(2, standing.open // TABS))
        wanted = min(asked.wanted, share)
        tasks = board.lease(caller.name, holder, wanted=wanted, holding=asked.holding, now=now, in_all=HANDS * share)
        look = read_look(site.home.feedback_looks, dataset)
        return orjson.dumps({
            "tasks": [shown(task, site.datasets[dataset].labelling, templates[dataset]) for task in tasks],
            "standing": dataclasses.asdict(standing),
            "sensor": _told(look) if look else None,
            "retrain_after": site.datasets[dataset].retrain_after,
        })  # fmt: skip

    return router


def _asked(raw: bytes) -> Asked:
    try:
        return Asked.model_validate_json(raw)
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or None
        raise Problem(422, first["msg"].lower(), "load the page again", field=field) from None


def shown(task: Task, page: LabellingPage, template: Template) -> dict[str, Any]:
    """A task as the script shows it: the item as escaped markup, and apart what is not to be seen before the answer."""
    fields = {name: task.fields.get(name) for name in page.fields}
    return {
        "item_id": task.item_id,
        "prediction_id": task.prediction_id,
        "reason": task.reason,
        "queue": task.queue,
        "markup": template.render(item=fields | dict.fromkeys(page.hidden)),
        "hidden": {name: fields[name] for name in page.hidden if fields[name] is not None},
        "guess": task.guess,
        "confidence": task.confidence,
    }


def _told(look: Look) -> dict[str, Any]:
    return look.model_dump(mode="json", include={"message", "effective", "threshold", "alarm", "at"})


def blocks(text: str) -> list[tuple[str, list[str]]]:
    """Paragraphs and lists of a plain text, in order: ("paragraph", [its text]) or ("list", its entries)."""
    found: list[tuple[str, list[str]]] = []
    for block in text.strip().split("\n\n"):
        lines = block.splitlines()
        if all(line.startswith("- ") for line in lines):
            found.append(("list", [line.removeprefix("- ") for line in lines]))
        else:
            found.append(("paragraph", [" ".join(lines)]))
    return found
