"""One writer for a whole run: a file lock a dataset, held from before the first step until after the last.

Dagster's pool queues runs that its daemon starts; this lock also holds for `execute_in_process` and for other machines' shells.
"""

import contextlib
import json
import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from filelock import FileLock, Timeout

from curation.errors import CurationError

WAIT_S = 1800.0


def _holder(path: Path) -> str:
    try:
        told = json.loads(path.read_text())
        return f"run {told['run']}, PID {told['pid']}"
    except (OSError, ValueError, KeyError):
        return "another process"


@contextlib.contextmanager
def sole_writer(lock: Path, run: str, wait_s: float = WAIT_S) -> Iterator[None]:
    """Hold `lock` for the block; who finds it taken says who holds it, waits, and gives up after `wait_s` seconds."""
    told = lock.with_suffix(".holder")
    held = FileLock(lock)
    deadline = time.monotonic() + wait_s
    try:
        held.acquire(timeout=0)
    except Timeout:
        print(f"waiting for {_holder(told)}, which is writing {lock.stem} (up to {wait_s:.0f} s)", file=sys.stderr, flush=True)
        try:
            held.acquire(timeout=max(0.0, deadline - time.monotonic()))
        except Timeout:
            raise CurationError(
                f"{lock.stem} is still being written by {_holder(told)} after {wait_s:.0f} s",
                "let it end, or wait longer with --wait SECONDS",
            ) from None
    try:
        told.write_text(json.dumps({"run": run, "pid": os.getpid()}))
        yield
    finally:
        told.unlink(missing_ok=True)
        held.release()
