"""The nine counts of every batch, put together from the ledger (at the door) and the published fates (after it)."""

from collections.abc import Sequence

from curation.fates import COUNTS, FateBook
from curation.ingestion.ledger import Entry
from resources.home import Home


def counts_by_batch(home: Home, dataset: str, entries: Sequence[Entry]) -> list[dict[str, int]]:
    """For each entry, the counts named in COUNTS, in that order; a fate not yet decided counts as 0."""
    current = FateBook(home.lake, dataset).current()
    fates = {(batch.source, batch.day): batch.fates for batch in current.batches} if current else {}
    return [
        {"in": entry.counts.records_in, "malformed": entry.counts.malformed, "contract": entry.counts.contract}
        | {name: fates.get((entry.source, entry.day), {}).get(name, 0) for name in COUNTS[3:]}
        for entry in entries
    ]
