"""Services that never outlive who started them: a small process between `curation up` and what it starts.

`up` holds the writing end of the guardian's standard input. When `up` ends, by Ctrl-C, SIGTERM or its own death, that pipe closes, and
the guardian ends every process below it: first SIGTERM, after GRACE_S SIGKILL. Run as `python -m resources.guardian COMMAND...`.
"""

import os
import signal
import subprocess
import sys
import threading

import psutil

GRACE_S = 5.0


def end_all_below(process: psutil.Process) -> None:
    """End `process`'s descendants: politely, then for good. Two looks, since a process may start another while it ends."""
    for _ in range(2):
        alive = process.children(recursive=True)
        for child in alive:
            _send(child, signal.SIGTERM)
        _, stubborn = psutil.wait_procs(alive, timeout=GRACE_S)
        for child in stubborn:
            _send(child, signal.SIGKILL)
        psutil.wait_procs(stubborn, timeout=1.0)


def _send(process: psutil.Process, number: signal.Signals) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def main(command: list[str]) -> int:
    """Run `command` in a session of its own until it ends or standard input closes; exit as it did, 0 when told to end."""
    service = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)  # only the pipe ends a guardian: a terminal's Ctrl-C reaches the whole group
    told_to_end = threading.Event()

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            continue
        told_to_end.set()
        end_all_below(psutil.Process())

    threading.Thread(target=watch, daemon=True).start()
    code = service.wait()
    if told_to_end.is_set():
        psutil.wait_procs(psutil.Process().children(recursive=True), timeout=2 * GRACE_S)
        return 0
    end_all_below(psutil.Process())
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
