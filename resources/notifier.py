"""Sends letters to receivers by URL (Apprise), in a child process with a hard end: no receiver can hold the caller longer.

The child reads its letters from standard input, since a URL holds secrets and command lines are public, and tells of each as it is
done. Decides nothing: what is sent again, and when, is `curation.alerts`. Run as `python -m resources.notifier`.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from curation.alerts.book import receiver_key
from curation.alerts.telling import Letter
from curation.errors import CurationError

if TYPE_CHECKING:
    import apprise

LIMIT_S = 5.0  # for all receivers together, each has a thread; importing Apprise takes 0.3 s of it
CALL_S = 2.0  # to connect, and to be answered: Apprise's own limits, for each letter
HEARTBEAT_S = 2.0
NO_RECEIVER = "no receiver of this kind, or its URL is incomplete"
SEVERAL = "it names several recipients; give each a URL of its own, else those who took a message would get it again and again"
NOT_TAKEN = "the receiver did not take it"
ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class AlertSettings:
    """Who is told, and how much: from the environment, since URLs hold secrets."""

    urls: tuple[str, ...] = ()
    with_texts: bool = False
    heartbeat_url: str | None = None
    dagster_url: str | None = None

    @classmethod
    def read(cls) -> "AlertSettings":
        """CURATION_ALERT_URLS (spaces between), CURATION_ALERT_TEXTS=1, CURATION_HEARTBEAT_URL, CURATION_DAGSTER_URL."""
        return cls(
            urls=tuple(os.environ.get("CURATION_ALERT_URLS", "").split()),
            with_texts=os.environ.get("CURATION_ALERT_TEXTS") == "1",
            heartbeat_url=os.environ.get("CURATION_HEARTBEAT_URL") or None,
            dagster_url=os.environ.get("CURATION_DAGSTER_URL") or None,
        )


class Notifier:
    """Letters to receivers, and a beat to an outside monitor, in at most `limit_s` seconds."""

    def __init__(self, limit_s: float = LIMIT_S) -> None:
        self._limit_s = limit_s

    def send(self, letters: Sequence[Letter]) -> dict[tuple[str, int], str | None]:
        """By URL and number: None where the receiver took it, else why not. Letters that hung have no answer. Never raises."""
        asked = [{"url": one.url, "number": one.number, "title": one.title, "body": one.body} for one in letters]
        answers = self._child({"letters": asked}) if letters else []
        return {(letters[told["place"]].url, letters[told["place"]].number): told["why"] for told in answers}

    def beat(self, url: str) -> bool:
        """Whether a GET of the monitor's URL was answered well."""
        return any(told.get("beat") for told in self._child({"beat": url}))

    def _child(self, asked: Mapping[str, Any]) -> list[dict[str, Any]]:
        """The lines that the child has told by the time it ends, or is ended."""
        child = subprocess.Popen(
            [sys.executable, "-m", "resources.notifier", str(self._limit_s)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            cwd=ROOT,
            start_new_session=True,
        )
        given = json.dumps(asked).encode()
        try:
            told, _ = child.communicate(given, timeout=self._limit_s)
        except subprocess.TimeoutExpired:
            child.kill()
            told, _ = child.communicate()
        return [json.loads(line) for line in told.splitlines() if line.endswith(b"}")]


def try_receivers(settings: AlertSettings, owners: Collection[str]) -> dict[str, str | None]:
    """By the name of each configured receiver, why a test letter was not taken, None where it was. CurationError where there is none."""
    if not settings.urls:
        raise CurationError(
            "there is no receiver to test", "set CURATION_ALERT_URLS, such as json://127.0.0.1:9000/; docs/alerts.md has more"
        )
    body = f"what: a test, nothing is wrong\nowner: {', '.join(owners)}"
    letters = [Letter(url, 0, "[alert test] curation", body) for url in dict.fromkeys(settings.urls)]
    answers = Notifier().send(letters)
    return {
        f"{one.url.split(':', 1)[0]} {receiver_key(one.url)}": answers.get((one.url, 0), "no answer in time") for one in letters
    }


def _serve(letters: Iterable[tuple[int, Mapping[str, Any]]], telling: threading.Lock) -> None:
    """Send one receiver's letters in order, up to the first that fails; tell of each on standard output."""
    import apprise

    target: apprise.Apprise | None = None
    for place, letter in letters:
        if target is None:
            target = apprise.Apprise(asset=apprise.AppriseAsset(app_id="curation", image_url_mask="", image_url_logo=""))
            why = _wrong_with(letter["url"], target)
            if why is not None:
                _tell({"place": place, "why": why}, telling)
                return
        is_taken = target.notify(title=letter["title"], body=letter["body"], body_format=apprise.NotifyFormat.TEXT)
        _tell({"place": place, "why": None if is_taken else NOT_TAKEN}, telling)
        if not is_taken:
            return


def _wrong_with(url: str, target: "apprise.Apprise") -> str | None:
    """Make `target` this URL's receiver; why that cannot be, None where it is done."""
    if not target.add(_completed(url)):
        return NO_RECEIVER
    receiver = target[0]
    if len(receiver) > 1:
        return SEVERAL
    receiver.request_rate_per_sec = 0  # mail would pause 5.5 s after each letter; ours is the book's, ten a minute
    return None


def _completed(url: str) -> str:
    """The URL with our limits on connecting and on answering, and as plain text, unless it says otherwise."""
    given = url if "?" in url else f"{url}?"
    for name, value in {"cto": CALL_S, "rto": CALL_S, "format": "text"}.items():
        if f"{name}=" not in given:
            given += f"&{name}={value}"
    return given


def _tell(line: Mapping[str, Any], telling: threading.Lock) -> None:
    with telling:
        print(json.dumps(line), flush=True)


def _beat(url: str) -> None:
    if url.startswith(("http://", "https://")):
        with urllib.request.urlopen(url, timeout=HEARTBEAT_S) as response:  # noqa: S310  # its scheme was just checked
            print(json.dumps({"beat": response.status < 400}), flush=True)


def main() -> None:
    """Do what standard input asks, and be gone when time is up, also when who started it is not there to end it."""
    signal.setitimer(signal.ITIMER_REAL, float(sys.argv[1]))
    asked = json.load(sys.stdin)
    if "beat" in asked:
        _beat(asked["beat"])
        return
    by_url: dict[str, list[tuple[int, Mapping[str, Any]]]] = {}
    for place, letter in enumerate(asked["letters"]):
        by_url.setdefault(letter["url"], []).append((place, letter))
    telling = threading.Lock()
    threads = [threading.Thread(target=_serve, args=(letters, telling), daemon=True) for letters in by_url.values()]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os._exit(0)  # whatever a receiver's library has left running


if __name__ == "__main__":
    main()
