"""What a request must pass before anybody reads it: Host, Origin, rate, content type and size; and the headers of every answer.

Knows no event and no token. There is no CORS: a page of another origin gets nothing.
"""

import asyncio
import math
from collections import OrderedDict
from collections.abc import Callable, Iterable
from urllib.parse import urlsplit

from fastapi import Request
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from feedback_service.problems import Problem, try_later

LOOPBACK_NAMES = ("localhost", "127.0.0.1", "::1")
BODY_BYTES = 1_000_000
BODY_S = 10.0
"""How long a client may take to send its megabyte: 0.1 MB/s, less than any line we expect, and no slow sender stays for ever."""
AT_ONCE = 256
"""Requests being answered at one time: at a megabyte each a quarter of a gigabyte."""
REMEMBERED = 10_000
"""Clients whose rate is known; who was forgotten starts with a full bucket."""
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
}


class Guard:
    """ASGI middleware around everything: refuses foreign hosts and origins, bounds what goes on at once, counts refusals."""

    def __init__(self, app: ASGIApp, hosts: Iterable[str], refused: Callable[[int], None]) -> None:
        self._app = app
        self._hosts = frozenset(host.strip("[]").lower() for host in (*LOOPBACK_NAMES, *hosts))
        self._refused = refused
        self._at_once = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a refusal at once; hand on what may pass."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        status = 500  # what the client gets when the app raises before it answers

        async def send_guarded(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                answered = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    answered.setdefault(name, value)  # a page has a policy of its own
            await send(message)

        self._at_once += 1
        try:
            problem = self._why_not(Headers(scope=scope))
            await (problem.response() if problem else self._app)(scope, receive, send_guarded)
        finally:
            self._at_once -= 1
            if status >= 400:
                self._refused(status)

    def _why_not(self, headers: Headers) -> Problem | None:
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._is_ours(f"//{hosts[0]}"):
            return Problem(421, "the Host header names no host of this service", "allow it with --allow-host NAME", field="Host")
        if any(not self._is_ours(origin) for origin in headers.getlist("origin")):
            return Problem(403, "pages of another origin may not call this service", "call it from a server", field="Origin")
        if self._at_once > AT_ONCE:
            return try_later(f"{AT_ONCE} requests are being answered", "send it again later")
        return None

    def _is_ours(self, address: str) -> bool:
        try:
            return (urlsplit(address).hostname or "") in self._hosts
        except ValueError:
            return False


class Rates:
    """A token bucket for each client: `per_s` requests a second, `burst` at once."""

    def __init__(self, per_s: float, burst: int) -> None:
        self._per_s = per_s
        self._burst = burst
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def check(self, client: str, at_s: float) -> None:
        """Take one from the client's bucket at a moment of a monotonic clock. Problem 429 with Retry-After where it is empty."""
        level, since_s = self._buckets.pop(client, (float(self._burst), at_s))
        level = min(self._burst, level + (at_s - since_s) * self._per_s)
        self._buckets[client] = (level - 1 if level >= 1 else level, at_s)
        if len(self._buckets) > REMEMBERED:
            self._buckets.popitem(last=False)
        if level < 1:
            wait_s = math.ceil((1 - level) / self._per_s)
            told = f"more than {self._per_s:g} requests a second"
            raise try_later(told, "send lists of up to 1,000 events", status=429, wait_s=wait_s)


async def json_body(request: Request) -> bytes:
    """The body as it came. Problem 415, 413 or 408 where it is no JSON by its header, too large, or too slow; counted as it arrives."""
    kind, _, parameters = request.headers.get("content-type", "").partition(";")
    has_other_encoding = parameters.strip().lower() not in {"", "charset=utf-8", 'charset="utf-8"'}
    if kind.strip().lower() != "application/json" or has_other_encoding or "content-encoding" in request.headers:
        raise Problem(415, "only application/json in UTF-8 is taken", "send Content-Type: application/json", field="Content-Type")
    if int(request.headers.get("content-length") or 0) > BODY_BYTES:  # a number: the parser has refused anything else
        raise _too_large()
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S):
            async for chunk in request.stream():
                body += chunk
                if len(body) > BODY_BYTES:
                    raise _too_large()
    except TimeoutError:
        told = f"the body took longer than {BODY_S:g} s"
        raise Problem(408, told, "send fewer events at once", headers={"Connection": "close"}) from None
    except ClientDisconnect:
        raise Problem(400, "the client went away") from None
    return bytes(body)


def _too_large() -> Problem:
    return Problem(413, f"the body is larger than {BODY_BYTES:,} bytes", "send the events in several requests")
