"""Where OpenLineage events go: to the receiver that OpenLineage's own variables name, or, by default, nowhere.

It sends what it is given and knows no snapshot. A receiver that is down costs a run at most `timeout_s` and never its success.
"""

import http.client
import json
import os
import queue
import threading
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from urllib.parse import urlsplit

from curation.errors import CurationError


@dataclass(frozen=True)
class Receiver:
    """An HTTP endpoint for run events, and the namespace that jobs and datasets are named in."""

    address: str
    namespace: str
    api_key: str | None
    timeout_s: float = 5.0  # as OpenLineage's own client

    @classmethod
    def configured(cls, environment: Mapping[str, str] = os.environ) -> Self | None:
        """The one that OPENLINEAGE_URL, _ENDPOINT, _API_KEY and _NAMESPACE name; None without an URL, or where OPENLINEAGE_DISABLED.

        CurationError where the URL is none.
        """
        url = environment.get("OPENLINEAGE_URL", "").strip()
        if not url or environment.get("OPENLINEAGE_DISABLED", "").lower() == "true":
            return None
        if urlsplit(url).scheme not in {"http", "https"} or not urlsplit(url).netloc:
            raise CurationError(f"OPENLINEAGE_URL {url!a} is no address", "write it as http://127.0.0.1:5000, or unset it")
        endpoint = environment.get("OPENLINEAGE_ENDPOINT", "api/v1/lineage").lstrip("/")
        namespace = environment.get("OPENLINEAGE_NAMESPACE", "curation")
        return cls(f"{url.rstrip('/')}/{endpoint}", namespace, environment.get("OPENLINEAGE_API_KEY") or None)

    def send(self, event: Mapping[str, Any]) -> str | None:
        """Post one event; why it was not taken, or None where it was. Never raises for what the receiver does, nor waits longer."""
        answers: queue.Queue[str | None] = queue.Queue()
        # urllib's timeout is one for each read, so an answer byte by byte, or a slow name server, needs another
        threading.Thread(target=lambda: answers.put(self._posted(event)), daemon=True).start()
        try:
            return answers.get(timeout=self.timeout_s)
        except queue.Empty:
            return f"{self.address}: no answer within {self.timeout_s:g} s"

    def _posted(self, event: Mapping[str, Any]) -> str | None:
        headers = {"Content-Type": "application/json"}
        if self.api_key:
            headers["Authorization"] = f"Bearer {self.api_key}"
        request = urllib.request.Request(self.address, json.dumps(event).encode(), headers)  # noqa: S310  http(s), see `configured`
        try:
            with urllib.request.urlopen(request, timeout=self.timeout_s):  # noqa: S310  the same
                return None
        except (OSError, http.client.HTTPException) as error:  # refused, timed out, a status of 400 and above, or no HTTP at all
            return f"{self.address}: {error}"
