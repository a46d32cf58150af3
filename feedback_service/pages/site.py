"""What all pages share: who is looking, how a template becomes an answer, where assets live in Dagster, how a refusal looks to people.

Holds no page of its own. Every page comes from here whole: no script, style, font or picture from elsewhere, none inline.
"""

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from curation.errors import CurationError
from curation.labelling.leases import Leases
from feedback_service.capture import Service
from feedback_service.datasets import ServedDataset
from feedback_service.pages.kept import Kept
from feedback_service.problems import Problem
from feedback_service.sessions import COOKIE, CSRF_HEADER, Caller
from resources.home import Home

FOLDER = Path(__file__).parent
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'",
    # With no-referrer a browser sends `Origin: null` along with a form, which looks like another origin's.
    "Referrer-Policy": "same-origin",
}


class SignInFirst(Exception):
    """A page was asked for by nobody we know; `path` is where to go once that has changed."""

    def __init__(self, path: str) -> None:
        super().__init__(path)
        self.path = path


@dataclass(frozen=True)
class Site:
    """The parts of one running service that its pages share."""

    service: Service
    home: Home
    datasets: Mapping[str, ServedDataset]
    is_secure: bool  # browsers reach it by TLS, so cookies may insist on it
    dagster_url: str | None = None
    mlflow_url: str | None = None
    kept: Mapping[str, Kept] = field(init=False)  # by dataset
    _templates: Environment = field(init=False, repr=False)

    def __post_init__(self) -> None:
        templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"),
            autoescape=True,
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        templates.globals |= {"dagster": self.dagster, "datasets": self.datasets}
        object.__setattr__(self, "_templates", templates)
        log, leases = self.service.log, Leases(self.home.feedback_leases)
        kept = {name: Kept.of(self.home, log, leases, name, served) for name, served in self.datasets.items()}
        object.__setattr__(self, "kept", kept)

    def dataset(self, name: str) -> ServedDataset:
        """The dataset of that name. Problem 404 names those there are."""
        if name not in self.datasets:
            raise Problem(404, f"there is no dataset {name!a}", f"one of: {', '.join(sorted(self.datasets))}", field="dataset")
        return self.datasets[name]

    def item_template(self, dataset: ServedDataset) -> Template:
        """How one item of a dataset looks: it gets `item`, and escapes what it shows."""
        return self._templates.from_string(dataset.labelling.item_template.read_text(encoding="utf-8"))

    def dagster(self, asset: str) -> str | None:
        """Where an asset's page in Dagster is; None where nobody said where Dagster is."""
        return f"{self.dagster_url.rstrip('/')}/assets/{quote(asset)}" if self.dagster_url else None

    async def visitor(self, request: Request) -> Caller:
        """Who looks at a page. SignInFirst where that is unknown, Problem 429 when they come too often."""
        caller = self.service.sessions.caller(request.cookies.get(COOKIE))
        self.service.check_rate(request, caller)
        if caller is None:
            onwards = request.url.path + (f"?{request.url.query}" if request.url.query else "")
            raise SignInFirst(onwards if request.method in {"GET", "HEAD"} else "/")  # a form cannot be sent again
        return caller

    async def speaker(self, request: Request) -> Caller:
        """Whose page's script calls. Problem 401 without a session, 403 for a change that no page of it has sent."""
        caller = self.service.sessions.caller(request.cookies.get(COOKIE))
        self.service.check_rate(request, caller)
        if caller is None:
            raise Problem(
                401, "your session has ended", "sign in again; what you have answered is kept in this browser until then"
            )
        if request.method not in {"GET", "HEAD"}:
            self.service.sessions.check_is_of(caller, request.headers.get(CSRF_HEADER))
        return caller

    def page(self, caller: Caller | None, template: str, status: int = 200, **values: Any) -> Response:
        """A template as a whole page. It gets `caller`, `now`, `datasets`, `dagster(asset)`, `dataset` (its name, "" for none), `values`."""
        rendered = self._templates.get_template(template).render(
            **{"caller": caller, "dataset": "", "now": self.service.clock(), **values}
        )
        return HTMLResponse(rendered, status, HEADERS)

    def problem(self, request: Request, problem: Problem) -> Response:
        """A refusal: to people a page, to programs problem+json."""
        if "text/html" not in request.headers.get("accept", ""):
            return problem.response()
        caller = None
        with suppress(CurationError):  # what cannot be read may be the tokens themselves
            caller = self.service.sessions.caller(request.cookies.get(COOKIE))
        answer = self.page(caller, "problem.html", problem.details.status, problem=problem.details)
        answer.headers.update(problem.headers)
        return answer


class Static(StaticFiles):
    """Scripts and styles; a browser asks whether its copy is still good, so a page never runs with a former version's script."""

    def file_response(self, *args: Any, **kwargs: Any) -> Response:
        """One file, or 304."""
        answer = super().file_response(*args, **kwargs)
        answer.headers["Cache-Control"] = "no-cache"
        return answer


def install(app: FastAPI, routes: Sequence[Callable[[Site], APIRouter]], site: Site) -> None:
    """Add the pages to an application."""
    for of_page in routes:
        app.include_router(of_page(site), include_in_schema=False)
    app.mount("/static", Static(directory=FOLDER / "static"), name="static")
    app.add_exception_handler(SignInFirst, _to_sign_in)


async def _to_sign_in(_: Request, error: Exception) -> Response:
    assert isinstance(error, SignInFirst)
    return RedirectResponse(f"/sign-in?{urlencode({'next': error.path})}", 303)
