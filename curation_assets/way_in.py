"""A record's way in, as `curation why` tells it: from the published fates, the quarantine, and what no run has judged yet.

Apart from `status`, which imports most of the project: this needs neither snapshots nor the loop.
"""

from typing import Any

from curation.errors import CurationError
from curation.fates import FateBook
from curation.ingestion.inspection import quarantined, undecided
from curation.ingestion.ledger import Ledger
from curation_assets.datasets import declared
from resources.home import Home


def way_in(home: Home, name: str, identity: str) -> list[dict[str, Any]]:
    """Every delivery of a record, oldest first, with file, line and fate; CurationError when nothing is known of it."""
    known = declared(name)
    ledger = Ledger(home.lake, name)
    identity = identity.encode("utf-8", "replace").decode()  # bytes of a command line that are no UTF-8 name nothing
    told = FateBook(home.lake, name).of(identity, known.dataset.key)
    told += quarantined(ledger, identity)
    published = FateBook(home.lake, name).current()
    told += undecided(ledger, known.dataset.key, identity, published.seq if published else 0)
    if not told:
        shown = f"{identity if identity.isprintable() else ascii(identity):.100}"
        raise CurationError(
            f"{shown} is in no batch of {name}",
            "give a native id or a uid as delivered; `curation status` lists what is still pending",
        )
    return sorted(told, key=lambda record: (str(record["day"]), str(record["file"]), int(record["line"])))
