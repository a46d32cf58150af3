"""The page `/predictions/<dataset>`: what the models say of each item, filtered by the address, with what people say of that.

What is found comes from `curation.prediction_browser`, what was said from `curation.feedback.recent`; answers go to /v1/feedback.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any
from urllib.parse import urlencode

from fastapi import APIRouter, Depends, Request
from starlette.responses import Response

from curation.feedback.recent import RecentFeedback
from curation.prediction_browser import Choices, DayCount, Page, PredictionBrowser
from curation.prediction_filters import BANDS, UNRATED, FilterError, Filters
from curation.promotions import PromotionLog
from feedback_service.datasets import ServedDataset
from feedback_service.pages.day_chart import chart_of_days
from feedback_service.pages.site import Site
from feedback_service.problems import Problem
from feedback_service.sessions import Caller

TITLES = {
    "q": "Search the texts",
    "sort": "Order",
    "label": "Label",
    "model": "Model",
    "source": "Source",
    "language": "Language",
    "length": "Length",
    "rating": "Rating",
    "day_from": "From day",
    "day_to": "To day",
    "percent_from": "Confidence from, %",
    "percent_to": "Confidence to, %",
    "page": "Page",
}
"""What each part of the address is called on the page."""
IN_SIGHT = ("q", "sort")
SORTS = {"newest": "Newest first", "least_sure": "Least sure first", "most_sure": "Most sure first"}


@dataclass(frozen=True)
class Address:
    """The page's address: what was asked for, as it was typed."""

    dataset: str
    asked: Mapping[str, str]

    def with_page(self, page_no: int) -> str:
        """The same question, another page of the answer."""
        return f"/predictions/{self.dataset}?{urlencode({**self.asked, 'page': page_no})}"

    def of(self, prediction_id: str) -> str:
        """One prediction alone."""
        return f"/predictions/{self.dataset}/one?{urlencode({'prediction_id': prediction_id})}"

    @property
    def narrowing(self) -> int:
        """How many filters are set beside those always in sight."""
        return sum(name in Filters.model_fields and name not in IN_SIGHT for name in self.asked)


@dataclass(frozen=True)
class Menu:
    """One filter with its values: (value, text to show). `any` stands for none of them; `chosen` may be a value of the past."""

    name: str
    any: str
    values: tuple[tuple[str, str], ...]
    chosen: str


@dataclass(frozen=True)
class Share:
    """One label of all that was found: how many predictions, which share of them, and their mean confidence."""

    label: str
    predictions: int
    share: float
    confidence: float


@dataclass(frozen=True)
class Shared:
    """What the rows of a page share. `me`: whose page it is. `is_open`: they show everything at once."""

    me: str
    served: ServedDataset
    address: Address
    champion: int | None
    is_open: bool = False


@dataclass(frozen=True)
class Source:
    """Where the predictions of one dataset and what was said of them are read."""

    browser: PredictionBrowser
    promotions: PromotionLog
    feedback: RecentFeedback

    def champion(self) -> int | None:
        """The version of the champion; None before the first."""
        champion = self.promotions.champion()
        return champion.version if champion else None

    def found(self, asked: Mapping[str, str], champion: int | None) -> tuple[Page, int | None]:
        """The page asked for, and of which model: unless one is named the champion, or the newest where that has not predicted.

        FilterError names what cannot be understood.
        """
        page_no = asked.get("page", "1")
        if not (page_no.isascii() and page_no.isdecimal() and len(page_no) < 10):
            raise FilterError("page", f"is {page_no[:60]!a}", "give a number, from 1")
        filters = Filters.asked(asked)
        models = self.browser.models()
        if filters.model is None and models:
            filters = filters.model_copy(update={"model": champion if champion in models else models[0]})
        return self.browser.page(filters, int(page_no)), filters.model

    def said(self, item_ids: list[str]) -> dict[str, list[dict[str, Any]]]:
        """Item -> each annotator's last word on it (columns `WORDS` of the feedback), but for what was taken back."""
        words: dict[str, list[dict[str, Any]]] = {item_id: [] for item_id in item_ids}
        for word in self.feedback.words_of(item_ids).to_pylist():
            if word["kind"] != "withdraw":
                words[word["item_id"]].append(word)
        return words


def routes(site: Site) -> APIRouter:
    """GET /predictions/{dataset} and /predictions/{dataset}/one."""
    router = APIRouter(prefix="/predictions/{dataset}")
    Visitor = Annotated[Caller, Depends(site.visitor)]
    sources = {
        name: Source(kept.predictions, PromotionLog(site.home.promotions, name), kept.recent) for name, kept in site.kept.items()
    }
    looking = asyncio.Semaphore(1)  # threads that wait for one another here would be missing where people label

    @router.get("")
    async def get_page(dataset: str, request: Request, caller: Visitor) -> Response:
        site.dataset(dataset)
        asked = {name: text for name, text in request.query_params.items() if text.strip()}
        async with looking:
            return await asyncio.to_thread(shown, dataset, asked, caller)

    @router.get("/one")
    async def get_one(dataset: str, prediction_id: str, caller: Visitor) -> Response:
        site.dataset(dataset)
        async with looking:
            return await asyncio.to_thread(shown_alone, dataset, prediction_id, caller)

    def shown(dataset: str, asked: Mapping[str, str], caller: Caller) -> Response:
        source, served = sources[dataset], site.datasets[dataset]
        address = Address(dataset, {name: text for name, text in asked.items() if name in Filters.model_fields})
        champion = source.champion()
        page, model, refused = None, None, None
        try:
            page, model = source.found(asked, champion)
        except FilterError as error:
            refused = error
        choices = source.browser.choices(model)
        values: dict[str, Any] = {
            "shared": Shared(caller.name, served, address, champion),
            "choices": choices,
            "menus": _menus(choices, champion, address.asked),
            "titles": TITLES,
            "sorts": SORTS,
            "shares": _shares(page.days) if page else (),
            "model": model,
            "refused": refused,
            "page": page,
            "chart": chart_of_days(page.days, served.labels) if page else "",
            "said": source.said([row.item_id for row in page.rows]) if page else {},
        }
        return site.page(caller, "predictions.html", 422 if refused else 200, dataset=dataset, **values)

    def shown_alone(dataset: str, prediction_id: str, caller: Caller) -> Response:
        source = sources[dataset]
        prediction = source.browser.one(prediction_id)
        if prediction is None:
            told = "there is no such prediction"
            raise Problem(404, told, f"look for it among /predictions/{dataset}", field="prediction_id")
        shared = Shared(caller.name, site.datasets[dataset], Address(dataset, {}), source.champion(), is_open=True)
        values: dict[str, Any] = {"shared": shared, "prediction": prediction, "said": source.said([prediction.item_id])}
        return site.page(caller, "prediction.html", dataset=dataset, **values)

    return router


def _shares(days: Iterable[DayCount]) -> list[Share]:
    """One row per label among these counts, the most frequent first."""
    by_label: dict[str, list[DayCount]] = {}
    for counted in days:
        by_label.setdefault(counted.label, []).append(counted)
    predictions = {label: sum(counted.predictions for counted in some) for label, some in by_label.items()}
    sure = {label: sum(counted.confidence * counted.predictions for counted in some) for label, some in by_label.items()}
    total = sum(predictions.values())
    ranked = sorted(predictions, key=lambda label: (-predictions[label], label))
    return [Share(label, predictions[label], predictions[label] / total, sure[label] / predictions[label]) for label in ranked]


def _menus(choices: Choices, champion: int | None, asked: Mapping[str, str]) -> list[Menu]:
    models = [(str(model), f"{model}, the champion" if model == champion else str(model)) for model in choices.models]
    ratings = [(f"{rating:g}", f"{rating:g}") for rating in choices.ratings]
    if choices.has_unrated:
        ratings.append((UNRATED, "not rated"))
    default = "the champion" if champion in choices.models else "the newest"
    return [
        _menu("label", _same(choices.labels), asked),
        _menu("model", models, asked, default),
        _menu("source", _same(choices.sources), asked),
        _menu("language", _same(choices.languages), asked),
        _menu("length", _same(BANDS), asked),
        _menu("rating", ratings, asked),
    ]


def _same(values: Iterable[str]) -> list[tuple[str, str]]:
    return [(value, value) for value in values]


def _menu(name: str, values: list[tuple[str, str]], asked: Mapping[str, str], default: str = "any") -> Menu:
    chosen = asked.get(name, "")
    if chosen and chosen not in dict(values):
        values = [*values, (chosen, chosen)]  # it is in force, so it is shown, though nothing has it any more
    return Menu(name, default, tuple(values), chosen)
