"""`curation up` as tests and pictures need it: started on a free port, its words kept, its processes found. No assertion."""

import contextlib
import itertools
import json
import os
import queue
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil

from resources.home import REPOSITORY

PATIENCE_S = 180.0  # a start takes 10 s of an idle machine
SURVIVAL_S = 60.0  # what `up` started gets 5 s of grace and then SIGKILL; a busy machine buries the dead more slowly
FIRST_PORT = 10_000 + os.getpid() % 200 * 100
PORTS = itertools.cycle(range(FIRST_PORT, FIRST_PORT + 100, 2))
"""Of this process, and below those that the kernel gives to whoever asks for any: none is lost between choosing and binding it.

Every second one: `up` goes on to the next where its own is taken.
"""

LOCATION = 'repositoryName: "__repository__", repositoryLocationName: "curation_assets.definitions"'
LAUNCH = f"""mutation($job: String!, $tags: [ExecutionTag!]!) {{ launchRun(executionParams: {{
  selector: {{pipelineName: $job, {LOCATION}}}, executionMetadata: {{tags: $tags}}
}}) {{ __typename ... on LaunchRunSuccess {{ run {{ runId }} }} ... on PythonError {{ message }} }} }}"""
RANGE_TAGS = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"


@dataclass
class Up:
    """A running `up`: the addresses of its UI and its feedback service, and the lines that it printed until it served."""

    process: subprocess.Popen[str]
    address: str
    told: list[str]

    @property
    def feedback(self) -> str:
        """Where events are posted."""
        return next(found[1] for line in self.told if (found := re.search(r"feedback service: (http\S+)", line)))

    def launch(self, job: str, day: str | None = None) -> str:
        """Launch a job as the UI does, of partitioned assets for that day; the run's id."""
        tags = [{"key": tag, "value": day} for tag in RANGE_TAGS] if day else []
        answer = asked(self.address, LAUNCH, job=job, tags=tags)["launchRun"]
        if answer["__typename"] != "LaunchRunSuccess":
            raise RuntimeError(str(answer))
        return str(answer["run"]["runId"])


def asked(address: str, query: str, **variables: Any) -> Any:
    """What the UI at that address answers to a GraphQL query: its data."""
    body = json.dumps({"query": query, "variables": variables}).encode()
    request = urllib.request.Request(f"{address}/graphql", body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.loads(response.read())["data"]


def free_port() -> int:
    """A port that nobody listens on, and nobody else will."""
    for port in PORTS:
        with socket.socket() as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError("the ports never end")


@contextlib.contextmanager
def serving(home: Path, port: int | None = None) -> Iterator[Up]:
    """`up` on `home` until the block ends; in a group of its own, as a terminal would start it."""
    command = [sys.executable, "-m", "curation_assets.cli", "up", "--home", str(home), "--port", str(port or free_port())]
    command += ["--feedback-port", str(free_port())]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, start_new_session=True)
    try:
        yield Up(process, *_told_until_served(process))
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(PATIENCE_S)


def _told_until_served(process: subprocess.Popen[str]) -> tuple[str, list[str]]:
    lines: queue.Queue[str] = queue.Queue()
    assert process.stderr is not None
    threading.Thread(target=_keep, args=(process.stderr, lines), daemon=True).start()
    told: list[str] = []
    while True:
        told.append(lines.get(timeout=PATIENCE_S).strip())
        if found := re.search(r"Dagster UI: (http://127\.0\.0\.1:\d+)", told[-1]):
            return found[1], told


def _keep(pipe: IO[str], lines: "queue.Queue[str]") -> None:
    for line in pipe:
        lines.put(line)


def processes_on(home: Path) -> list[psutil.Process]:
    """Every live process whose environment names `home`, or that was started on it by name."""
    found = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            on_home = process.environ().get("CURATION_HOME") == str(home) or str(home) in process.cmdline()
            if on_home and process.pid != os.getpid() and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
    return found


def survivors(home: Path) -> list[list[str]]:
    """How those were started that are still alive on `home` when their time is over."""
    until_s = time.monotonic() + SURVIVAL_S
    while (found := processes_on(home)) and time.monotonic() < until_s:
        psutil.wait_procs(found, timeout=1.0)
    return [process.cmdline()[:6] for process in found]
