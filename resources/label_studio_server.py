"""One project of a Label Studio server, over its HTTP API: its interface, its people, its export, and new tasks.

The token comes from the caller and goes nowhere but into the Authorization header of this server; redirects are not followed.
What tasks and annotations mean is for `curation.labelling`.
"""

import contextlib
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import urlsplit

import orjson

from curation.errors import CurationError

if TYPE_CHECKING:
    from requests import PreparedRequest, Response, Session

CONNECT_S, ANSWER_S = 10.0, 300.0  # an export of 100,000 tasks is made before its first byte comes
ANSWER_BYTES_AT_MOST = 64 * 1024 * 1024
EXPORT_BYTES_AT_MOST = 2 * 1024**3
TASKS_AT_ONCE = 200  # in one request, which Label Studio takes whole or not at all
_JWT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+")
_VISIBLE = re.compile(r"[\x21-\x7e]+")


class LabelStudioProject:
    """A project of the server at `url` (http or https). `token`: a legacy token, or a personal access token, which is a JWT."""

    def __init__(self, url: str, project: int, token: str) -> None:
        """CurationError for a URL or a token that cannot be one; nothing is sent yet."""
        import requests

        self.url = _checked_url(url)
        self.project = project
        if not _VISIBLE.fullmatch(token):
            raise CurationError(
                "the token is empty, or holds what no token holds", "copy it from Label Studio: Account & Settings"
            )
        self._refresh = token if _JWT.fullmatch(token) else None
        self._authorization = None if self._refresh else f"Token {token}"
        self._session: Session = requests.Session()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._session.close()

    def choices(self) -> dict[str, tuple[str, tuple[str, ...]]]:
        """Name of each control of its labelling interface -> (the object it is about, its labels)."""
        parsed = self._json("GET", f"/api/projects/{self.project}/").get("parsed_label_config")
        controls = parsed.items() if isinstance(parsed, dict) else ()
        return {
            name: (str((control.get("to_name") or [""])[0]), tuple(control.get("labels") or ()))
            for name, control in controls
            if isinstance(control, dict)
        }

    def people(self) -> dict[int, str]:
        """User id -> e-mail address, of everyone in the organization."""
        users = self._json("GET", "/api/users/")
        rows = users.get("results") if isinstance(users, dict) else users
        if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
            raise self._odd("its list of users is none")
        return {row["id"]: row["email"] for row in rows if isinstance(row.get("id"), int) and isinstance(row.get("email"), str)}

    def export_to(self, path: Path, *, bytes_at_most: int = EXPORT_BYTES_AT_MOST) -> None:
        """Write the project's JSON export to `path`, tasks without annotations too."""
        size = 0
        query = {"exportType": "JSON", "download_all_tasks": "true"}
        with self._answer("GET", f"/api/projects/{self.project}/export", query=query) as answer, path.open("wb") as file:
            for block in answer.iter_content(1024 * 1024):
                size += len(block)
                if size > bytes_at_most:
                    raise self._odd(f"its export has more than {bytes_at_most:,} bytes")
                file.write(block)

    def add(self, tasks: Sequence[bytes]) -> None:
        """Add tasks (JSON objects), all or none, at most TASKS_AT_ONCE. Nothing is sent twice: a lost answer is an error."""
        body = b"[" + b",".join(tasks) + b"]"
        told = self._json("POST", f"/api/projects/{self.project}/import", body)
        if told.get("task_count") != len(tasks):
            raise self._odd(f"it took in {told.get('task_count')} of {len(tasks)} tasks")

    def _json(self, method: str, path: str, body: bytes | None = None, *, is_refreshing: bool = False) -> Any:
        with self._answer(method, path, body, is_refreshing=is_refreshing) as answer:
            content = b""
            for block in answer.iter_content(64 * 1024):
                content += block
                if len(content) > ANSWER_BYTES_AT_MOST:
                    raise self._odd(f"its answer has more than {ANSWER_BYTES_AT_MOST:,} bytes")
        try:
            return orjson.loads(content)
        except orjson.JSONDecodeError:
            raise self._odd(f"{path} is no JSON") from None

    @contextlib.contextmanager
    def _answer(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        query: Mapping[str, str] | None = None,
        is_refreshing: bool = False,
    ) -> "Iterator[Response]":
        """A good answer, its body still to be read. An access token that has expired (5 minutes) is renewed once."""
        import requests

        try:
            answer = self._sent(method, path, body, query, is_refreshing)
            if answer.status_code == requests.codes.unauthorized and self._refresh and not is_refreshing:
                answer.close()
                self._authorization = None
                answer = self._sent(method, path, body, query, is_refreshing)
            with answer:
                self._check(answer, path)
                yield answer
        except requests.RequestException as error:
            kind = "does not answer in time" if isinstance(error, requests.Timeout) else "cannot be reached"
            raise CurationError(
                f"{self.url} {kind} ({type(error).__name__} at {path})", "check --url, and that it runs"
            ) from None

    def _sent(
        self, method: str, path: str, body: bytes | None, query: Mapping[str, str] | None, is_refreshing: bool
    ) -> "Response":
        if self._refresh and self._authorization is None and not is_refreshing:
            refresh = orjson.dumps({"refresh": self._refresh})
            access = self._json("POST", "/api/token/refresh/", refresh, is_refreshing=True).get("access")
            if not isinstance(access, str) or not _VISIBLE.fullmatch(access):
                raise self._odd("it gave no access token")
            self._authorization = f"Bearer {access}"
        return self._session.request(
            method,
            f"{self.url}{path}",
            params=query,
            data=body,
            headers={"Content-Type": "application/json"} if body is not None else {},
            auth=self._authorized,
            timeout=(CONNECT_S, ANSWER_S),
            allow_redirects=False,
            stream=True,
        )

    def _authorized(self, request: "PreparedRequest") -> "PreparedRequest":
        """A callable, because requests would otherwise take what ~/.netrc holds for the host."""
        if self._authorization:
            request.headers["Authorization"] = self._authorization
        return request

    def _check(self, answer: "Response", path: str) -> None:
        status = answer.status_code
        if status in {401, 403}:
            raise CurationError(
                f"{self.url} refuses the token ({status} at {path})",
                "check that LABEL_STUDIO_TOKEN is a current token of a user who may see the project",
            )
        if answer.is_redirect:
            where = urlsplit(answer.headers.get("Location", ""))
            raise CurationError(
                f"{self.url} leads elsewhere: {where.scheme}://{where.netloc}", "give that address as --url, if you trust it"
            )
        if status == 404:
            raise CurationError(
                f"{self.url} has no project {self.project} ({path})", "take the number from the project's address"
            )
        if not answer.ok:
            detail = answer.raw.read(500, decode_content=True).decode("utf-8", "replace")
            raise CurationError(f"{self.url} answers {status} to {path}: {detail}", "see what Label Studio says, then try again")

    def _odd(self, problem: str) -> CurationError:
        return CurationError(f"{self.url} does not answer like Label Studio: {problem}", "check --url and --project")


def _checked_url(url: str) -> str:
    """The address without a slash at its end; CurationError unless it is http(s)://host[:port][/path] and nothing more."""
    try:
        parts = urlsplit(url)
        is_sound = parts.scheme in {"http", "https"} and bool(parts.hostname) and parts.port != 0
    except ValueError:
        parts, is_sound = urlsplit(""), False
    if not is_sound or parts.username or parts.password or parts.query or parts.fragment or not _VISIBLE.fullmatch(url):
        raise CurationError(f"{url!r} is no address of a server", "write it as https://label-studio.example.org")
    return url.rstrip("/")
