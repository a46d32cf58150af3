"""A server on loopback that answers what a real Label Studio has answered (label_studio_exchange.json). No assertion."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

EXCHANGE = Path(__file__).with_name("label_studio_exchange.json")
ITEMS = 50
ACCESS = "recorded-access-token"
LEGACY, PERSONAL = "0123456789abcdef", "head.body.signature"
"""Tokens that the replaying server takes."""


def digest_of(body: bytes) -> str:
    """What is kept of a body that was sent."""
    return hashlib.sha256(body).hexdigest()


@dataclass
class Replay:
    """What the server does now: the phase whose answers it gives, and what it was asked, as (method, path, SHA-256 of the body)."""

    url: str
    project: int
    calls: list[dict[str, Any]]
    phase: str
    seen: list[tuple[str, str, str | None]] = field(default_factory=list)

    def answer(self, method: str, path: str, authorization: str | None) -> tuple[int, Any]:
        """(status, body) of the recorded call; 401 for another token, 404 for what was never asked."""
        if "token" not in path and authorization not in {f"Token {LEGACY}", f"Bearer {ACCESS}"}:
            return 401, {"detail": "Invalid token."}
        for call in self.calls:
            if (call["phase"], call["method"], call["path"]) == (self.phase, method, path):
                return call["status"], call["body"]
        return 404, {"detail": f"never asked in phase {self.phase}: {method} {path}"}


@contextmanager
def replaying(phase: str) -> Iterator[Replay]:
    """The server, until the block ends."""
    recorded = json.loads(EXCHANGE.read_text())

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            replay.seen.append((self.command, self.path, digest_of(body) if body else None))
            status, value = replay.answer(self.command, self.path, self.headers.get("Authorization"))
            content = json.dumps(value).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        replay = Replay(f"http://127.0.0.1:{server.server_port}", recorded["project"], recorded["calls"], phase)
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield replay
        finally:
            server.shutdown()
            thread.join()
