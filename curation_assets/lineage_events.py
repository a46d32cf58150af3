"""Telling others of a new snapshot: one OpenLineage event where OPENLINEAGE_URL names a receiver. A run never fails for it."""

import datetime
from collections.abc import Mapping

from curation.errors import CurationError
from curation.lineage.openlineage import snapshot_event
from curation.snapshots.store import Snapshot
from resources.openlineage_receiver import Receiver


def tell_others(snapshot: Snapshot, environment: Mapping[str, str], *, now: datetime.datetime) -> str | None:
    """Send the event of a snapshot that is new; what went wrong, for the run's log. None where it was taken or nobody wants it."""
    if not snapshot.is_new:
        return None
    try:
        receiver = Receiver.configured(environment)
    except CurationError as error:
        return f"no OpenLineage event was sent: {error}"
    if receiver is None:
        return None
    refused = receiver.send(snapshot_event(snapshot.manifest, receiver.namespace, at=now))
    return f"the OpenLineage event of {snapshot.manifest.version} was not taken: {refused}" if refused else None
