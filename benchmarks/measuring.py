"""CPU seconds and memory of a command with all the processes it starts, and tables of what was measured. No benchmark of its own."""

import os
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Cost:
    """What a command cost: CPU seconds of the whole tree, the largest process in MB, and its standard output."""

    cpu_s: float
    largest_process_mb: int
    output: str


def measured(command: Sequence[str], *, cwd: Path, environment: Mapping[str, str] | None = None) -> Cost:
    """Run a command to its end. RuntimeError with its last words where it fails."""
    with tempfile.TemporaryFile("w+") as output, tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(command, stdout=output, stderr=errors, cwd=cwd, env={**os.environ, **(environment or {})})
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        output.seek(0)
        errors.seek(0)
        said, complained = output.read(), errors.read()
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} exited {process.returncode}:\n{said[-2000:]}\n{complained[-2000:]}")
    return Cost(used.ru_utime + used.ru_stime, used.ru_maxrss // 1024, said)


def printed(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """A markdown table."""
    lines = [
        header,
        ["---"] * len(header),
        *[[f"{value:.2f}" if isinstance(value, float) else str(value) for value in row] for row in rows],
    ]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
