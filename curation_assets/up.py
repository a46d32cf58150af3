"""`curation up`: Dagster's UI and daemon on one CURATION_HOME, started together, ended together.

Which port, which address, what is said to the user. How everything is ended is `resources.guardian`.
"""

import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from filelock import FileLock, Timeout

from curation.errors import CurationError
from resources.home import REPOSITORY, Home

HOST = "127.0.0.1"
START_S = 180.0


def free_port(wanted: int, tell: Callable[[str], None]) -> int:
    """`wanted`, or the next free one of the 50 after it; a taken one is named."""
    for port in range(wanted, wanted + 50):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if not _taken(probe, port):
                return port
        tell(f"port {port} is taken; trying {port + 1}")
    raise CurationError(f"ports {wanted} to {wanted + 49} are all taken", "name another with --port")


def _taken(probe: socket.socket, port: int) -> bool:
    try:
        probe.bind((HOST, port))
    except OSError:
        return True
    return False


def answers(port: int) -> bool:
    """Whether the UI serves already."""
    try:
        with urllib.request.urlopen(f"http://{HOST}:{port}/server_info", timeout=2) as response:
            return bool(response.status == 200)
    except (urllib.error.URLError, OSError):
        return False


class Ended(Exception):
    """Someone asked `up` to end."""


def _end(number: int, frame: FrameType | None) -> None:
    raise Ended


def up(home: Home, wanted_port: int, tell: Callable[[str], None]) -> int:
    """Serve until Ctrl-C or SIGTERM; the exit code. Everything started is gone within 10 s of the end, also of a sudden one."""
    home.prepare()
    try:
        with FileLock(home.root / "locks" / "up.lock", timeout=0):
            return _up(home, wanted_port, tell)
    except Timeout:
        raise CurationError(
            f"another `up` serves {home.root} already", "use that one, or end it first: two would start every run twice"
        ) from None


def _up(home: Home, wanted_port: int, tell: Callable[[str], None]) -> int:
    os.environ.update(home.environment())
    _make_history(home)
    port = free_port(wanted_port, tell)
    log = home.dagster / "up.log"
    command = [sys.executable, "-m", "dagster", "dev", "-w", str(REPOSITORY / "workspace.yaml"), "-h", HOST, "-p", str(port)]
    with log.open("w") as output:
        guardian = subprocess.Popen(
            [sys.executable, "-m", "resources.guardian", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env={**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"},
        )
    try:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, _end)
        return _serve(guardian, port, log, home, tell)
    except Ended:
        tell("ending")
        return 0
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)
        if guardian.stdin:
            guardian.stdin.close()
        guardian.wait()


def _make_history(home: Home) -> None:
    """Create Dagster's SQLite files where there are none: the four processes of a first start would corrupt them by making them at once."""
    if (home.dagster / "schedules" / "schedules.db").exists():  # the last one made; importing Dagster costs 1.5 CPU s
        return
    from dagster import DagsterInstance

    with DagsterInstance.get():
        pass


def _serve(guardian: subprocess.Popen[bytes], port: int, log: Path, home: Home, tell: Callable[[str], None]) -> int:
    tell(f"starting Dagster on {home.root} (log: {log})")
    waited_s = 0.0
    while not answers(port):
        try:
            guardian.wait(timeout=0.5)
        except subprocess.TimeoutExpired:
            waited_s += 0.5
        if guardian.poll() is not None or waited_s > START_S:
            raise CurationError(
                f"Dagster did not start; its last words are in {log}", "read them, mend what they name, and start again"
            )
    tell(f"Dagster UI: http://{HOST}:{port}   (it has no login: keep it on loopback)")
    tell("Ctrl-C ends it")
    code = guardian.wait()
    tell(f"Dagster ended by itself; its last words are in {log}")
    return code or 1
