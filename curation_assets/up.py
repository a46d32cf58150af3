"""`curation up`: Dagster's UI and daemon and the feedback service on one CURATION_HOME, started together, ended together.

Which port, which address, what is said to the user. How everything is ended is `resources.guardian`.
"""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from curation.errors import CurationError
from resources.history import make_history
from resources.home import REPOSITORY, Home

HOST = "127.0.0.1"
START_S = 180.0


def free_port(wanted: int, tell: Callable[[str], None], promised: int | None = None) -> int:
    """`wanted`, or the next free one of the 50 after it; a taken one is named. `promised` is free, but somebody else's."""
    for port in range(wanted, wanted + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if port != promised and not _taken(probe, port):
                return port
        tell(f"port {port} is taken; trying {port + 1}")
    raise CurationError(f"ports {wanted} to {wanted + 49} are all taken", "name another with --port")


def _taken(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind((HOST, port))
    except OSError:
        return True
    return False


def answers(port: int, path: str = "server_info") -> bool:
    """Whether the UI serves already; with another path, whether that service does."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/{path}", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Ended(Exception):
    """Someone asked `up` to end."""


def _end(number: int, frame: FrameType | None) -> None:
    _hear_no_more()
    raise Ended


def _hear_no_more() -> None:
    """Who presses Ctrl-C twice ends it once."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)


def up(home: Home, wanted_port: int, wanted_feedback_port: int, tell: Callable[[str], None]) -> int:
    """Serve until Ctrl-C or SIGTERM; the exit code. Everything started is gone within 10 s of the end, also of a sudden one."""
    home.prepare()
    try:
        with FileLock(home.root / "locks" / "up.lock", timeout=0):
            return _up(home, wanted_port, wanted_feedback_port, tell)
    except Timeout:
        raise CurationError(
            f"another `up` serves {home.root} already", "use that one, or end it first: two would start every run twice"
        ) from None


@dataclass(frozen=True)
class Service:
    """What is started: its name for people, its command, the port and path at which it answers, and where its words go."""

    name: str
    command: list[str]
    port: int
    path: str
    log: Path


def _up(home: Home, wanted_port: int, wanted_feedback_port: int, tell: Callable[[str], None]) -> int:
    os.environ.update(home.environment())
    make_history(home)
    port = free_port(wanted_port, tell)
    feedback_port = free_port(wanted_feedback_port, tell, promised=port)
    dagster = ["dagster", "dev", "-w", str(REPOSITORY / "workspace.yaml"), "-h", HOST, "-p", str(port)]
    feedback = ["curation_assets.cli", "serve", "--host", HOST, "--port", str(feedback_port), "--home", str(home.root)]
    feedback += ["--dagster-url", f"http://{HOST}:{port}"]
    os.environ.setdefault("CURATION_DAGSTER_URL", f"http://{HOST}:{port}")  # alerts link to it; a proxy's address goes before
    services = [
        Service("feedback service", feedback, feedback_port, "healthz", home.feedback_log.parent / "serve.log"),
        Service("Dagster", dagster, port, "server_info", home.dagster / "up.log"),
    ]
    guardians: list[subprocess.Popen[bytes]] = []
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _end)
        for service in services:
            tell(f"starting {service.name} on {home.root} (log: {service.log})")
            guardians.append(_guarded(service))
        return _serve(services, guardians, tell)
    except Ended:
        tell("ending")
        return 0
    finally:
        _hear_no_more()
        for guardian in guardians:
            if guardian.stdin:
                guardian.stdin.close()
        for guardian in guardians:
            guardian.wait()


def _guarded(service: Service) -> subprocess.Popen[bytes]:
    with service.log.open("w") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "resources.guardian", sys.executable, "-m", *service.command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"},
        )


def _serve(services: list[Service], guardians: list[subprocess.Popen[bytes]], tell: Callable[[str], None]) -> int:
    started = time.monotonic()
    for service in services:
        while not answers(service.port, service.path):
            for other, guardian in zip(services, guardians, strict=True):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    guardian.wait(timeout=0.25)
                if guardian.poll() is not None or time.monotonic() - started > START_S:
                    told = f"{other.name} did not start; its last words are in {other.log}"
                    raise CurationError(told, "read them, mend what they name, and start again")
    feedback, dagster = services
    tell(f"feedback service: http://{HOST}:{feedback.port}/v1/feedback   (metrics: /metrics, schema: /openapi.json)")
    tell(f"labelling, predictions, health: http://{HOST}:{feedback.port}/")
    tell(f"Dagster UI: http://{HOST}:{dagster.port}   (it has no login: keep it on loopback)")
    tell("Ctrl-C ends both")
    while True:
        for service, guardian in zip(services, guardians, strict=True):
            with contextlib.suppress(subprocess.TimeoutExpired):
                code = guardian.wait(timeout=0.5)
                tell(f"{service.name} ended by itself; its last words are in {service.log}")
                return code or 1
