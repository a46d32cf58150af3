"""A frozen snapshot as an OpenLineage run event: the batches that went in, the snapshot that came out, its digest as a facet.

Pure: a manifest in, plain JSON out, after the specification 2-0-2 (openlineage.io/spec). It sends nothing; no person's text and no
subject is in it. Same manifest, same run: same event.
"""

import datetime
import uuid
from typing import Any

from curation.snapshots.manifest import Manifest

PRODUCER = "urn:curation-loop"
SCHEMA = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
FACETS = "https://openlineage.io/spec/facets"
RUNS = uuid.UUID("2f0c1d52-6a5e-5c0f-9c7e-5b7a0e1f7d11")  # of run ids derived from digests: sent twice, it is one run


def snapshot_event(manifest: Manifest, namespace: str, *, at: datetime.datetime) -> dict[str, Any]:
    """The COMPLETE event of the run that froze the snapshot. Dataset names: `<dataset>/raw/<source>/<day>`, `<dataset>/snapshot`."""
    return {
        "eventType": "COMPLETE",
        "eventTime": at.isoformat(),
        "producer": PRODUCER,
        "schemaURL": f"{SCHEMA}#/$defs/RunEvent",
        "run": {
            "runId": str(uuid.uuid5(RUNS, f"{namespace} {manifest.dataset} {manifest.version} {manifest.digest}")),
            "facets": {},
        },
        "job": {"namespace": namespace, "name": f"{manifest.dataset}.snapshot", "facets": {}},
        "inputs": [
            {"namespace": namespace, "name": f"{manifest.dataset}/raw/{batch.id}", "facets": {}, "inputFacets": {}}
            for batch in manifest.batches
        ],
        "outputs": [
            {
                "namespace": namespace,
                "name": f"{manifest.dataset}/snapshot",
                "facets": _facets(manifest),
                "outputFacets": {"outputStatistics": _facet("OutputStatisticsOutputDatasetFacet", rowCount=manifest.rows)},
            }
        ],
    }


def _facets(manifest: Manifest) -> dict[str, Any]:
    """What the snapshot is: its version, its columns, and the digest of its rows with the feedback that it consumed."""
    columns = [{"name": column.name, "type": column.type, "description": column.description} for column in manifest.columns]
    return {
        "version": _facet("DatasetVersionDatasetFacet", datasetVersion=manifest.version),
        "schema": _facet("SchemaDatasetFacet", fields=columns),
        "curation_digest": {
            "_producer": PRODUCER,
            "_schemaURL": f"{SCHEMA}#/$defs/DatasetFacet",  # a custom facet: the specification has none for a digest
            "algorithm": "SHA-256 of the sorted SHA-256 of the rows",
            "digest": manifest.digest,
            "consumedFeedbackSeq": manifest.consumed_feedback_seq,
        },
    }


def _facet(kind: str, **fields: Any) -> dict[str, Any]:
    return {"_producer": PRODUCER, "_schemaURL": f"{FACETS}/1-0-0/{kind}.json#/$defs/{kind}", **fields}
