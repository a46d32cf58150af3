"""Real receivers of alerts on loopback: one takes JSON over HTTP, one is a mail server; they fail, hang, and come back, as told."""

import contextlib
import email.policy
import http.client
import json
import socketserver
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, TypeVar

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


class MailServer:
    """What mail came, with whom each was for. Who is `gone` is refused, who is `full` as well, but later; `stuck` is never answered."""

    def __init__(self) -> None:
        self.taken: list[tuple[list[str], EmailMessage]] = []
        self.over = threading.Event()
        mails = self

        class Handler(socketserver.StreamRequestHandler):
            def handle(self) -> None:
                recipients: list[str] = []
                self._say("220 ready")
                while line := self.rfile.readline().decode().strip():
                    verb = line[:4].upper()
                    if verb == "RCPT":
                        recipients.append(line.partition("<")[2].partition("@")[0])
                    if "stuck" in recipients:
                        mails.over.wait()
                        return
                    if verb == "DATA" and "full" not in recipients:
                        self._say("354 go on")
                        mails.taken.append((recipients, self._mail()))
                        recipients = []
                    if verb == "DATA" and recipients:
                        self._say("451 no room")
                    else:
                        self._say("550 no such user" if "gone" in recipients else "250 well")

            def _mail(self) -> EmailMessage:
                lines = []
                while (line := self.rfile.readline()) != b".\r\n":
                    lines.append(line.removeprefix(b"."))
                return email.message_from_bytes(b"".join(lines), EmailMessage, policy=email.policy.SMTP)

            def _say(self, answer: str) -> None:
                self.wfile.write(f"{answer}\r\n".encode())

        self.server = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    def url(self, *names: str, **options: object) -> str:
        """As a person configures it, for the recipients of these names."""
        to = ",".join(f"{name}@example.org" for name in names)
        rest = "".join(f"&{name}={value}" for name, value in options.items())
        return f"mailto://127.0.0.1:{self.server.server_address[1]}/?mode=insecure&from=curation@example.org&to={to}{rest}"


AnyServer = TypeVar("AnyServer", Receiver, MailServer)


@contextlib.contextmanager
def serving_letters(receiver: AnyServer) -> Iterator[AnyServer]:
    """It serves until the block ends."""
    thread = threading.Thread(target=receiver.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield receiver
    finally:
        receiver.over.set()
        receiver.server.shutdown()
        receiver.server.server_close()
        thread.join()


def receiving() -> contextlib.AbstractContextManager[Receiver]:
    """A receiver that serves until the block ends."""
    return serving_letters(Receiver())


def receiving_mail() -> contextlib.AbstractContextManager[MailServer]:
    """A mail server that serves until the block ends."""
    return serving_letters(MailServer())
