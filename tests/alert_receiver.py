"""A real receiver of alerts on loopback: it takes JSON letters over HTTP, fails, hangs, and comes back, as told."""

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from curation.alerts.telling import Letter


class Receiver:
    """What came, and how it answers: 200 (`ok`), 500 (`fails`), never (`hangs`). `before_answer` is called with each request."""

    def __init__(self) -> None:
        self.mode = "ok"
        self.taken: list[dict[str, Any]] = []
        self.requests = 0
        self.beats = 0
        self.over = threading.Event()
        self.before_answer: Callable[[int], None] = lambda number: None
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                told = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                receiver.requests += 1
                if receiver.mode == "hangs":
                    receiver.over.wait()
                    return
                if receiver.mode == "fails":
                    self.send_error(500)
                    return
                receiver.taken.append(told)
                receiver.before_answer(receiver.requests)
                self._well()

            def do_GET(self) -> None:
                receiver.beats += 1
                if receiver.mode == "hangs":
                    receiver.over.wait()
                    return
                self._well()

            def _well(self) -> None:
                self.send_response(200)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                """Tests read what was taken instead."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.port = int(self.server.server_address[1])

    @property
    def url(self) -> str:
        """As a person configures it."""
        return f"json://127.0.0.1:{self.port}/alerts"

    @property
    def titles(self) -> list[str]:
        """The first lines of all letters taken, in order."""
        return [told["title"] for told in self.taken]

    def send(self, letters: Sequence[Letter]) -> Mapping[tuple[str, int], str | None]:
        """Letters to this receiver, as `post` sends them."""
        return post(self.port, letters)


def post(port: int, letters: Sequence[Letter]) -> Mapping[tuple[str, int], str | None]:
    """Send letters over plain HTTP up to the first that fails, without a process for each tick: for tests of a thousand ticks."""
    answers: dict[tuple[str, int], str | None] = {}
    for letter in letters:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
        with contextlib.closing(connection):
            connection.request("POST", "/alerts", json.dumps({"title": letter.title, "message": letter.body}))
            status = connection.getresponse().status
        answers[letter.url, letter.number] = None if status == 200 else f"status {status}"
        if status != 200:
            break
    return answers


@contextlib.contextmanager
def receiving() -> Iterator[Receiver]:
    """A receiver that serves until the block ends."""
    receiver = Receiver()
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()
