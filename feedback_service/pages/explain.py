"""The page `/explain/<prediction_id>`: the story of one prediction, from the model back to the raw record that taught it.

What is known comes from `curation.lineage`; here it becomes chapters of a page. Holds no rule of lineage.
"""

import asyncio
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Depends
from starlette.responses import Response

from curation.feedback.events import EventError, parts_of
from curation.lineage.explaining import Explanation, NotPredicted, explain
from curation.lineage.models import Standing
from curation.lineage.places import Places, Traced
from curation.lineage.telling import STANDINGS, turn_sentence
from feedback_service.pages.site import Site
from feedback_service.problems import Problem
from feedback_service.sessions import Caller

TONES: dict[Standing, str] = {
    "champion": "good",
    "replaced": "plain",
    "rolled_back": "bad",
    "refused": "bad",
    "undecided": "warn",
}


@dataclass(frozen=True)
class Thread:
    """The story in one sentence, and how its model stands, as a tone and in words."""

    sentence: str
    tone: str
    standing: str


def routes(site: Site) -> APIRouter:
    """GET /explain/{prediction_id}."""
    router = APIRouter()
    Visitor = Annotated[Caller, Depends(site.visitor)]
    home = site.home
    places = Places(home.lake, home.feedback_segments, home.predictions, home.promotions, home.mlflow, home.snapshots)
    traced = {name: Traced(places, name, served.labels, served.test_from) for name, served in site.datasets.items()}
    looking = asyncio.Semaphore(1)  # threads that wait for one another here would be missing where people label

    @router.get("/explain/{prediction_id:path}")
    async def get_explanation(prediction_id: str, caller: Visitor) -> Response:
        try:
            dataset, _, _ = parts_of(prediction_id)
        except EventError as error:
            raise Problem(404, "there is no such prediction", error.message, field="prediction_id") from None
        site.dataset(dataset)
        async with looking:
            return await asyncio.to_thread(shown, dataset, prediction_id, caller)

    def shown(dataset: str, prediction_id: str, caller: Caller) -> Response:
        try:
            told = explain(traced[dataset], prediction_id)
        except NotPredicted as error:
            raise Problem(404, error.message, error.fix, field="prediction_id") from None
        served = site.datasets[dataset]
        return site.page(
            caller, "explain.html", dataset=dataset, told=told, thread=thread_of(told), served=served, turn_sentence=turn_sentence
        )

    return router


def thread_of(told: Explanation) -> Thread:
    """The story's thread: who said so, taught by how many labels of how many people, from which record."""
    people = {word.annotator for word in told.labels if word.is_consumed}
    own = next((row for row in told.rows if row.is_item), None)
    if not told.snapshot.is_intact:
        taught = "which learned from a snapshot that cannot be read any more"
    elif own is None:
        taught = "which has not learned from this item"
    elif not own.trains:
        taught = f"which has not learned from this item: it is in the {own.split} split"
    elif own.label_origin == "human":
        taught = (
            f"which learned this item as {own.label} on the word of {len(people)} {'person' if len(people) == 1 else 'people'}"
        )
    else:
        taught = f"which learned this item as {own.label} from its own record"
    sentence = f"Version {told.model.version}, {taught}, says {told.prediction.label}, {told.prediction.confidence:.0%} sure."
    return Thread(sentence, TONES[told.model.standing], STANDINGS[told.model.standing])
