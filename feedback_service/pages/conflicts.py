"""The page `/label/<dataset>/conflicts`: items on which people differ, what each of them said side by side, and who decides.

What stands comes from `curation.feedback.recent`; a decision is an event of kind adjudicate and goes to /v1/feedback like any other.
"""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

import pyarrow.parquet as pq
from fastapi import APIRouter, Depends, Query
from starlette.responses import Response

from curation.feedback.curated import ANNOTATORS, CuratedFeedback
from curation.feedback.word_tables import Conflict, Vote
from feedback_service.pages.site import Site
from feedback_service.sessions import Caller

ON_A_PAGE = 10
FURTHEST = 10_000_000


@dataclass(frozen=True)
class Side:
    """One label of a conflict and those who say it."""

    label: str
    name: str
    votes: tuple[Vote, ...]


@dataclass(frozen=True)
class Shown:
    """A conflict as the page shows it. `mine`: the kind and label of the reader's own word, both "" where there is none."""

    conflict: Conflict
    number: int
    sides: tuple[Side, ...]
    mine: tuple[str, str]


@dataclass(frozen=True)
class Stretch:
    """Which part of the conflicts the page shows."""

    dataset: str
    start: int
    total: int
    has_decided: bool

    @property
    def earlier(self) -> str | None:
        """Address of the conflicts before; None where there are none."""
        return self.at(max(0, self.start - ON_A_PAGE)) if self.start else None

    @property
    def later(self) -> str | None:
        """Likewise of those after."""
        return self.at(self.start + ON_A_PAGE) if self.start + ON_A_PAGE < self.total else None

    def at(self, start: int) -> str:
        """Address of the page that begins there."""
        asked: dict[str, object] = {"from": start} if start else {}
        if self.has_decided:
            asked["decided"] = "true"
        return f"/label/{self.dataset}/conflicts" + (f"?{urlencode(asked)}" if asked else "")


def routes(site: Site) -> APIRouter:
    """GET /label/{dataset}/conflicts."""
    router = APIRouter(prefix="/label/{dataset}/conflicts")
    Visitor = Annotated[Caller, Depends(site.visitor)]
    looking = asyncio.Semaphore(1)  # threads that wait for one another here would be missing where people label

    @router.get("")
    async def get_page(
        dataset: str,
        caller: Visitor,
        start: Annotated[int, Query(alias="from", ge=0, le=FURTHEST)] = 0,
        decided: bool = False,
    ) -> Response:
        site.dataset(dataset)
        async with looking:
            return await asyncio.to_thread(shown, dataset, caller, start, decided)

    def shown(dataset: str, caller: Caller, start: int, decided: bool) -> Response:
        feedback, labelling = site.kept[dataset].recent, site.datasets[dataset].labelling
        found = feedback.conflicts(ON_A_PAGE, start, include_decided=decided)
        if start and start >= found.total:  # some were decided since that address was made
            start = max(0, (found.total - 1) // ON_A_PAGE * ON_A_PAGE)
            found = feedback.conflicts(ON_A_PAGE, start, include_decided=decided)
        names = {answer.label: answer.name for answer in labelling.keys}
        values: dict[str, Any] = {
            "page": labelling,
            "names": names,
            "stretch": Stretch(dataset, start, found.total, decided),
            "summary": feedback.summary(),
            "reliability": _reliability(site, dataset),
            "may_decide": caller.role == "admin",
            "shown": [
                Shown(conflict, start + place, _sides(conflict, names), _own_word(conflict, caller.name))
                for place, conflict in enumerate(found.rows, start=1)
            ],
        }
        return site.page(caller, "conflicts.html", dataset=dataset, **values)

    return router


def _sides(conflict: Conflict, names: Mapping[str, str]) -> tuple[Side, ...]:
    """The labels that somebody gave, those with most votes first."""
    by_label: dict[str, list[Vote]] = {}
    for vote in conflict.votes:
        by_label.setdefault(vote.label, []).append(vote)
    ranked = sorted(by_label, key=lambda label: (-len(by_label[label]), label))
    return tuple(Side(label, names.get(label, label), tuple(by_label[label])) for label in ranked)


def _own_word(conflict: Conflict, name: str) -> tuple[str, str]:
    """What an undo has to say again, or nothing, and then it withdraws."""
    if conflict.adjudication and conflict.adjudication.annotator == name:
        return "adjudicate", conflict.adjudication.label
    vote = next((vote for vote in conflict.votes if vote.annotator == name), None)
    return ("label", vote.label) if vote else ("", "")


def _reliability(site: Site, dataset: str) -> dict[str, float]:
    """Annotator -> expected share of right votes, as the last run found it."""
    path = CuratedFeedback(site.home.lake, dataset).file(ANNOTATORS)
    if path is None:
        return {}
    rows = pq.read_table(path, columns=["annotator", "reliability"])
    return dict(zip(rows["annotator"].to_pylist(), rows["reliability"].to_pylist(), strict=True))
