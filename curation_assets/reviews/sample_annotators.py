"""The demo's annotators: good ones, careless ones and one who means harm, answering a label queue over the feedback service's HTTP.

They know the truth of the made-up reviews and tell it as often as they are accurate. Deterministic: an answer depends on the seed and
the prediction alone. No file is read here, and nothing but `post` reaches the network.
"""

import contextlib
import http.client
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from curation.errors import CurationError
from curation.feedback.events import derived_event_id
from curation_assets.reviews.dataset import REVIEWS
from curation_assets.reviews.policy import REVIEWS_POLICY

ACCURACIES = {
    **dict.fromkeys(("anna", "bashir", "chiara", "dmitri"), 0.93),
    **dict.fromkeys(("ella", "felix"), 0.65),
    "gus": 0.15,
}
"""Each annotator's chance of telling the truth; below 1/3 is worse than guessing among three labels."""

CAPTURED_BY = "demo"
"""The events' source: whoever posts them with a capture token needs one of this name."""

SESSION = timedelta(minutes=30)
"""All answers are given within this time."""

_SPAM = "spam"
_SKIP_SHARE = 0.03
_AGREE_SHARE = 0.4  # of answers that equal the prediction: one click on it rather than on the label
_TRIES = 10
_LONGEST_WAIT_S = 10.0
_PATIENCE_S = 30.0  # for one answer of the service


class Asked(NamedTuple):
    """One item of the label queue with the label that the model gave it."""

    item_id: str
    prediction_id: str
    predicted: str


@dataclass(frozen=True)
class Posted:
    """What the service said about the events of all requests."""

    accepted: int
    duplicates: int


def answers(
    queue_items: Sequence[Asked], truth: Mapping[str, str], *, votes_per_item: int = 3, start: datetime, seed: int = 5
) -> list[dict[str, Any]]:
    """One event per item and annotator asked, ready to post, in order of `occurred_at` from `start` (aware) to SESSION later.

    `truth` is item_id -> label, or "spam" for what should leave the training rows. `votes_per_item` different people are drawn for
    each item; who cannot know, since `truth` lacks the item, skips it. The same arguments give the same ids, so that posting twice
    counts once. ValueError when more votes are wanted than there are people.
    """
    asked = [(item, name) for item in queue_items for name in _drawn(item, votes_per_item, seed)]
    step = SESSION / max(1, len(asked))
    return [
        _event(item, name, truth.get(item.item_id), place, start + place * step, seed) for place, (item, name) in enumerate(asked)
    ]


def _drawn(item: Asked, count: int, seed: int) -> list[str]:
    return Random(f"{seed}/{item.prediction_id}").sample(sorted(ACCURACIES), count)


def _event(item: Asked, annotator: str, truth: str | None, place: int, occurred_at: datetime, seed: int) -> dict[str, Any]:
    event: dict[str, Any] = {
        "dataset": REVIEWS.name,
        "prediction_id": item.prediction_id,
        "annotator": annotator,
        "source": CAPTURED_BY,
        "occurred_at": occurred_at.isoformat(),
        "context": {"page": f"/label/{REVIEWS.name}", "place": place},
        **_said(Random(f"{seed}/{annotator}/{item.prediction_id}"), item, ACCURACIES[annotator], truth),
    }
    return {"event_id": str(derived_event_id(event)), **event}


def _said(random: Random, item: Asked, accuracy: float, truth: str | None) -> dict[str, str]:
    """Kind of the answer, and its label or reason."""
    if truth is None or random.random() < _SKIP_SHARE:
        return {"kind": "skip", "reason": "cannot tell"}
    told = truth if random.random() < accuracy else random.choice([label for label in REVIEWS_POLICY.labels if label != truth])
    if told == _SPAM:
        return {"kind": "spam", "reason": "an advertisement"}
    if told == item.predicted and random.random() < _AGREE_SHARE:
        return {"kind": "agree"}
    return {"kind": "label", "label": told}


def post(url: str, token: str | None, events: Sequence[Mapping[str, Any]], batch: int = 50) -> Posted:
    """Send the events to the service at `url` (http://127.0.0.1:8600), `batch` a request, each whole or not at all.

    Waits and tries again when the service asks for it (429, 503 with Retry-After). CurationError when it refuses the events, when it
    asks to wait too often, or when nobody answers; what was sent before that stays sent.
    """
    accepted = duplicates = 0
    for first in range(0, len(events), batch):
        taken = _sent(url, token, json.dumps(list(events[first : first + batch])).encode())
        accepted += taken["accepted"]
        duplicates += taken["duplicates"]
    return Posted(accepted, duplicates)


def _sent(url: str, token: str | None, body: bytes) -> dict[str, int]:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    for _ in range(_TRIES):
        connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=_PATIENCE_S)
        try:
            with contextlib.closing(connection):
                connection.request("POST", "/v1/feedback", body, headers)
                answer = connection.getresponse()
                said = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise CurationError(f"no feedback service answers at {url}: {error}", "start it with: curation serve") from None
        if answer.status in (200, 201):
            taken: dict[str, int] = json.loads(said)
            return taken
        if answer.status not in (429, 503):
            problem = json.loads(said) if "json" in answer.headers.get_content_type() else {}
            raise CurationError(f"{url} answered {answer.status}: {problem.get('detail', answer.reason)}", problem.get("fix"))
        time.sleep(min(float(answer.headers.get("Retry-After", "1")), _LONGEST_WAIT_S))
    raise CurationError(
        f"{url} asked {_TRIES} times to come back later", "look at its /readyz; the disk may be full, or too many send at once"
    )
