"""`curation up` from outside: what it says, and that nothing it started outlives it."""

import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from curation.errors import CurationError
from curation_assets.up import answers, up
from curation_assets.up import free_port as first_free
from resources.home import REPOSITORY, Home, today
from tests.deliveries import deliver, review
from tests.serving import LOCATION, PATIENCE_S, SURVIVAL_S, Up, asked, free_port, processes_on, serving, survivors

pytestmark = pytest.mark.slow

SCHEDULES = f"""{{ schedulesOrError(repositorySelector: {{{LOCATION}}}) {{
  ... on Schedules {{ results {{ name scheduleState {{ status }} }} }} }} }}"""


def page(address: str) -> str:
    with urllib.request.urlopen(address) as response:
        return str(response.read().decode())


def start_a_run(served: Up, home: Path) -> psutil.Process:
    """Launch the daily job; its dbt child, once there is one."""
    served.launch("reviews_daily", today().isoformat())
    for _ in range(int(PATIENCE_S / 0.2)):
        for process in processes_on(home):
            if any(part.endswith("/dbt") for part in process.cmdline()):
                return process
        with pytest.raises(subprocess.TimeoutExpired):
            served.process.wait(0.2)
    raise AssertionError(f"no dbt process within {PATIENCE_S:.0f} s")


def test_ctrl_c_ends_all_that_up_started_with_a_run_and_its_dbt_and_up_said_where_it_was_and_that_it_has_no_login(
    tmp_path: Path,
) -> None:
    deliver(tmp_path, today(), [review(number) for number in range(60)])
    with socket.socket() as taken:
        port = free_port()
        taken.bind(("127.0.0.1", port))
        taken.listen()
        with serving(tmp_path, port) as served:
            told = "\n".join(served.told)
            assert f"port {port} is taken; trying {port + 1}" in told
            assert served.address != f"http://127.0.0.1:{port}"
            assert "no login" in told and "loopback" in told
            assert '"telemetryEnabled": false' in page(served.address)
            assert page(served.feedback.replace("/v1/feedback", "/readyz"))
            assert any("serve" in process.cmdline() for process in processes_on(tmp_path))
            with pytest.raises(CurationError, match="another `up` serves"):
                up(Home(tmp_path), free_port(), free_port(), print)
            dbt = start_a_run(served, tmp_path)
            assert dbt in processes_on(tmp_path)
            for _ in range(2):  # as a terminal does it, for somebody impatient
                os.killpg(served.process.pid, signal.SIGINT)
            assert served.process.wait(SURVIVAL_S) == 0
            assert survivors(tmp_path) == []


def test_a_port_that_is_promised_to_another_service_is_passed_over() -> None:
    port, told = free_port(), []
    assert first_free(port, told.append, promised=port) == port + 1
    assert told == [f"port {port} is taken; trying {port + 1}"]


def test_its_own_death_leaves_no_run_and_no_dbt_behind(tmp_path: Path) -> None:
    deliver(tmp_path, today(), [review(number) for number in range(60)])
    with serving(tmp_path) as served:
        dbt = start_a_run(served, tmp_path)
        assert dbt in processes_on(tmp_path)
        served.process.kill()
        assert survivors(tmp_path) == []


def test_plain_dagster_dev_starts_quietly_and_says_that_its_history_is_temporary(tmp_path: Path) -> None:
    port, words = free_port(), tmp_path / "words"
    environment = {name: value for name, value in os.environ.items() if name != "DAGSTER_HOME"} | {
        "CURATION_HOME": str(tmp_path / "home")
    }
    command = [sys.executable, "-m", "dagster", "dev", "-h", "127.0.0.1", "-p", str(port)]
    with words.open("w") as output:
        guardian = subprocess.Popen(
            [sys.executable, "-m", "resources.guardian", *command],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=REPOSITORY,
            env=environment,
        )
    try:
        for _ in range(int(PATIENCE_S / 0.2)):
            if answers(port):
                break
            with pytest.raises(subprocess.TimeoutExpired):
                guardian.wait(0.2)
        assert '"telemetryEnabled": false' in page(f"http://127.0.0.1:{port}")
        found = asked(f"http://127.0.0.1:{port}", SCHEDULES)["schedulesOrError"]["results"]
        assert {schedule["scheduleState"]["status"] for schedule in found} == {"RUNNING"}
        assert "temporary directory" in words.read_text()
    finally:
        guardian.communicate(timeout=SURVIVAL_S)
