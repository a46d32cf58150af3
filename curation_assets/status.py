"""What commands tell of a home without a run: status, a difference, a verification. Plain values, no printing.

Reads what runs have published, so it answers while a run is in progress.
"""

from collections.abc import Mapping
from typing import Any

from curation.alerts.telling import alerts_told
from curation.fates import FateBook
from curation.feedback.curated import CuratedFeedback
from curation.feedback.log import Head
from curation.feedback.segments import segment_files
from curation.freshness import freshness
from curation.ingestion.inspection import ledger_findings
from curation.ingestion.intake import pending
from curation.ingestion.ledger import Ledger
from curation.ingestion.sources import load_sources
from curation.promotions import PromotionLog
from curation.snapshots.store import SnapshotStore
from curation_assets.counts import counts_by_batch
from curation_assets.datasets import PROMPTS, Declared, declared
from curation_assets.loop import champion_told, feedback_log, queue_told
from curation_assets.steps import model_told
from resources.home import Home, now, today


def status_of(home: Home, name: str) -> dict[str, Any]:
    """Pending and accepted batches, refusals, freshness by source, the latest snapshot and the last model of a dataset."""
    known = declared(name)
    ledger, sources = Ledger(home.lake, name), load_sources(known.sources, known.dataset)
    waiting = pending(known.dataset, sources, home.landing, ledger, today=today())
    entries = sorted(ledger.latest().values(), key=lambda entry: (entry.day, entry.source))
    counts = counts_by_batch(home, name, entries)
    store, model = SnapshotStore(home.snapshots), model_told(home, name)
    latest = store.latest(name)
    return {
        "dataset": name,
        "home": str(home.root),
        "pending": [{"source": batch.source, "day": batch.day.isoformat(), "why": batch.why} for batch in waiting.batches],
        "problems": [f"{problem.message}; {problem.fix}" for problem in waiting.problems],
        "notices": waiting.notices,
        "refused": [
            {"source": entry.source, "day": entry.day.isoformat(), "message": entry.message}
            for entry in ledger.refused().values()
        ],
        "batches": [
            {"source": entry.source, "day": entry.day.isoformat(), **counted}
            for entry, counted in zip(entries, counts, strict=True)
        ],
        "freshness": [
            {"source": state.source, "newest_day": state.newest_day.isoformat(), "is_late": state.is_late, "told": state.told}
            for state in freshness(ledger, sources, now())
        ],
        "snapshot": store.manifest(name).as_metadata() | {"path": str(store.folder(name))} if latest else None,
        "model": {k: v for k, v in model.items() if k != "evaluation"} if model else None,
        "champion": champion_told(home, name),
        "queue": queue_told(home, name),
        "feedback": feedback_told(home, known),
        "alerts": alerts_told(home.alerts, name, now()),
    }


def difference(home: Home, name: str, a: str, b: str) -> dict[str, Any]:
    """What changed from snapshot `a` to `b` of a dataset, and why."""
    from curation.snapshots.difference import diff

    known, book = declared(name), FateBook(home.lake, name)
    return diff(SnapshotStore(home.snapshots), name, a, b, fates=lambda keys: book.last_of(keys, known.dataset.key)).model_dump(
        mode="json"
    )


def verified(home: Home, name: str) -> dict[str, Any]:
    """Every version of the dataset and every ledger entry held against what was recorded; `intact` when nothing differs."""
    from curation.snapshots.verification import verify_dataset

    if name in PROMPTS:
        return verified_preferences(home, name)
    declared(name)
    judged = verify_dataset(SnapshotStore(home.snapshots), name)
    findings = [
        f"{problem.file}: {problem.what}: expected {problem.expected}, found {problem.found}" for problem in judged.problems
    ]
    findings += ledger_findings(Ledger(home.lake, name), home.landing, name)
    findings += feedback_findings(home, name)
    return {
        "dataset": name,
        "versions": judged.versions,
        "files": judged.files,
        "bytes": judged.bytes,
        "intact": not findings,
        "findings": findings,
        "beside": "ledger",
    }


def verified_preferences(home: Home, name: str) -> dict[str, Any]:
    """Every export of a dataset of prompts held against its manifest, and the feedback log as they remember it; as `verified`."""
    from curation.labelling.preference_exports import PreferenceExports

    exports = PreferenceExports(home.snapshots, name).verify()
    findings = [*exports.findings, *log_findings(home, exports.heads)]
    return {
        "dataset": name,
        "versions": [f"{manifest.form} {manifest.version}" for manifest in exports.manifests],
        "files": sum(len(manifest.files) + 1 for manifest in exports.manifests),
        "bytes": sum(file.bytes for manifest in exports.manifests for file in manifest.files.values()),
        "intact": not findings,
        "findings": findings,
        "beside": "feedback log",
    }


def feedback_findings(home: Home, name: str) -> list[str]:
    """What is wrong with the promotion log, and with the feedback log as every snapshot and decision of the dataset remembers it."""
    promotions, store = PromotionLog(home.promotions, name), SnapshotStore(home.snapshots)
    heads = {who: Head(seq, chain) for who, (seq, chain) in promotions.heads().items()}
    for version in store.versions(name):
        manifest = store.manifest(name, version)
        if manifest.consumed_feedback_head:
            heads[f"snapshot {name} {version}"] = Head(manifest.consumed_feedback_seq, manifest.consumed_feedback_head)
    return promotions.verify() + log_findings(home, heads)


def log_findings(home: Home, heads: Mapping[str, Head]) -> list[str]:
    """What is wrong with the feedback log, as `heads` remember it."""
    if home.feedback_log.exists():
        with feedback_log(home) as log:
            return log.verify(heads)
    remembered = max((head.seq for head in heads.values()), default=0)
    gone = f"{home.feedback_log} is gone, and {remembered:,} events with it; restore it from your backup"
    return [gone] if remembered else []


def feedback_told(home: Home, known: Declared) -> dict[str, Any]:
    """How far feedback has come: events in the log, in the table's segments and in the curated feedback, and the last look's count."""
    state = CuratedFeedback(home.lake, known.dataset.name).current()
    covered = segment_files(home.feedback_segments)
    told: dict[str, Any] = {
        "events": 0,
        "newest": None,
        "drained_to_seq": int(covered[-1].stem.split("-")[1]) if covered else 0,
        "curated_to_seq": state.seq if state else 0,
        "labels_that_may_train": state.trainable if state else 0,
        "control_labels": state.control if state else 0,
        "unmatched": state.unmatched if state else 0,
        "retrain_after": known.loop.retrain_after,
    }
    if home.feedback_log.exists():
        with feedback_log(home) as log:
            newest = log.last_received_at()
            told |= {"events": log.head().seq, "newest": newest.isoformat() if newest else None}
    return told
