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


def _below(service: int) -> list[psutil.Process]:
    """Every process that descends from this one or belongs to the service's session, which orphans never leave."""
    found = psutil.Process().children(recursive=True)
    for number in set(psutil.pids()) - {process.pid for process in found}:
        try:
            if os.getsid(number) == service:
                found.append(psutil.Process(number))
        except (OSError, psutil.NoSuchProcess):
            continue
    return found


def end_all_below(service: int) -> None:
    """End the processes of a service, politely, then for good: at most GRACE_S + 2 seconds."""
    alive = _below(service)
    _send(alive, signal.SIGTERM)
    _, stubborn = psutil.wait_procs(alive, timeout=GRACE_S)
    for _ in range(2):  # one that is ending may have started another
        stubborn = [*stubborn, *_below(service)]
        _send(stubborn, signal.SIGKILL)
        _, stubborn = psutil.wait_procs(stubborn, timeout=1.0)


def _send(processes: list[psutil.Process], number: signal.Signals) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def main(command: list[str]) -> int:
    """Run `command` in a session of its own until it ends or standard input closes; exit as it did, 0 when told to end."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        # Only the pipe ends a guardian: a terminal's Ctrl-C reaches the whole group. Not SIG_IGN, which the service would inherit.
        signal.signal(number, lambda *_: None)
    service = subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True)
    told_to_end = threading.Event()

    def watch() -> None:
        while os.read(sys.stdin.fileno(), 1024):
            continue
        told_to_end.set()
        end_all_below(service.pid)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    code = service.wait()
    if told_to_end.is_set():
        watcher.join()
        return 0
    end_all_below(service.pid)
    return code


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
