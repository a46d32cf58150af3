"""Records what `curation labels poll` and a real Label Studio say to each other, for the tests that replay it. See docs/labelling.md.

    python -m tests.curation.labelling.record_label_studio URL TOKEN SECOND_TOKEN PERSONAL_ACCESS_TOKEN

The legacy tokens of two users who answer, and the personal access token of any. None of them is written down.
"""

import http.client
import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from curation.labelling.label_studio import label_config
from tests.curation.labelling.elsewhere import page, queue_of
from tests.curation.labelling.replay import ACCESS, EXCHANGE, ITEMS, digest_of


class Server:
    """The real server: plain calls with a token."""

    def __init__(self, url: str, token: str) -> None:
        parts = urlsplit(url)
        self.host, self.port, self.token = str(parts.hostname), parts.port or 80, token

    def call(self, method: str, path: str, body: bytes | None, authorization: str | None) -> tuple[int, str, bytes]:
        """(status, content type, body) of one request."""
        connection = http.client.HTTPConnection(self.host, self.port, timeout=120)
        headers = {"Content-Type": "application/json"} | ({"Authorization": authorization} if authorization else {})
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        content = answer.read()
        connection.close()
        return answer.status, str(answer.getheader("Content-Type")), content

    def said(self, method: str, path: str, value: Any = None) -> Any:
        """The JSON answer to a request in the token's name; RuntimeError unless it is a good one."""
        body = None if value is None else json.dumps(value).encode()
        status, _, content = self.call(method, path, body, f"Token {self.token}")
        if status >= 300:
            raise RuntimeError(f"{status} {method} {path}: {content[:500]!r}")
        return json.loads(content or b"null")


@contextmanager
def recording(server: Server, phase: list[str], calls: list[dict[str, Any]]) -> Iterator[str]:
    """The URL of a proxy that writes down what passes, under the phase that is named at the time."""

    class Proxy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            size = int(self.headers.get("Content-Length") or 0)
            body = self.rfile.read(size) if size else None
            status, kind, content = server.call(self.command, self.path, body, self.headers.get("Authorization"))
            calls.append(
                {
                    "phase": phase[0],
                    "method": self.command,
                    "path": self.path,
                    "scheme": (self.headers.get("Authorization") or "none").split()[0],
                    "sent_sha256": digest_of(body) if body and "token" not in self.path else None,
                    "status": status,
                    "type": kind,
                    "body": {"access": ACCESS} if "token" in self.path else json.loads(content),
                }
            )
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_GET

        def log_message(self, *_: Any) -> None: ...

    proxy = ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    thread = threading.Thread(target=proxy.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{proxy.server_port}"
    finally:
        proxy.shutdown()
        thread.join()
        proxy.server_close()


def annotate(server: Server, second: Server, project: int) -> list[int]:
    """Twenty answers of two people: labels, spam and skips; the ids of the annotations."""
    tasks = server.said("GET", f"/api/tasks/?project={project}&page_size=100")["tasks"]
    made = []
    for number, task in enumerate(sorted(tasks, key=lambda task: int(task["id"]))[:20]):
        choice = ("negative", "neutral", "positive", "spam")[number % 4]
        region = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": [choice]}}
        answer = {"result": [region], "lead_time": 1.5 + number} if number % 7 else {"result": [], "was_cancelled": True}
        who = second if number % 3 == 0 else server
        made.append(who.said("POST", f"/api/tasks/{task['id']}/annotations/", answer)["id"])
    return made


def main(url: str, token: str, second_token: str, personal: str) -> None:
    """Make a project, push, answer, poll twice, change an answer, poll; write the exchange to EXCHANGE."""
    server, second = Server(url, token), Server(url, second_token)
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder) / "home"
        queue_of(home / "lake" / "label_queue", ITEMS)
        config = label_config(page(Path(folder) / "item.html"))
        project = server.said("POST", "/api/projects/", {"title": "reviews", "label_config": config})["id"]
        calls: list[dict[str, Any]] = []
        phase = ["pushed"]
        with recording(server, phase, calls) as proxy:

            def poll(credential: str, *more: str) -> None:
                command = ["labels", "poll", "reviews", "--url", proxy, "--project", str(project), "--home", str(home), *more]
                environment = {**os.environ, "LABEL_STUDIO_TOKEN": credential}
                subprocess.run([sys.executable, "-m", "curation_assets.cli", *command], check=True, env=environment)

            poll(personal, "--push")
            made = annotate(server, second, project)
            phase[0] = "answered"
            poll(token, "--push")
            region = {"from_name": "label", "to_name": "text", "type": "choices", "value": {"choices": ["neutral"]}}
            server.said("PATCH", f"/api/annotations/{made[2]}/", {"result": [region]})
            phase[0] = "changed"
            poll(token)
    version = server.said("GET", "/api/version")["release"]
    lines = ",\n".join(json.dumps(call, sort_keys=True) for call in calls)
    EXCHANGE.write_text(f'{{"label_studio": "{version}", "project": {project}, "calls": [\n{lines}\n]}}\n')


if __name__ == "__main__":
    main(*sys.argv[1:])
