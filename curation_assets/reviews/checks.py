"""Facts across the assets of reviews, with their numbers: what blocks, what warns. Value rules are in dbt, frame shapes in pandera."""

from typing import Any

import dagster as dg

from curation.fates import COUNTS
from curation.ingestion.inspection import batch_id
from curation.ingestion.ledger import Ledger
from curation.snapshots.store import SnapshotStore
from curation_assets import keys
from curation_assets.counts import counts_by_batch
from curation_assets.display import rounded, table
from curation_assets.loop_assets import loop_checks
from curation_assets.raw import raw_checks
from curation_assets.reviews.assets import KNOWN, LOOP
from curation_assets.reviews.dataset import REVIEWS, SOURCES
from curation_assets.reviews.policy import REVIEWS_POLICY
from curation_assets.snapshot_frames import leaks_between_splits, shape_failures
from curation_assets.steps import model_told
from resources.home import Home

MINIMUM_EFFECTIVE_SHARE = 0.5


@dg.asset_check(
    asset=keys.REVIEW_BATCHES, blocking=True, description="For every batch: in = malformed + contract + all other fates."
)
def every_record_accounted_for(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
    """Blocks the snapshot: a record that is nowhere was lost."""
    entries = list(Ledger(home.lake, REVIEWS.name).latest().values())
    counted = list(zip(entries, counts_by_batch(home, REVIEWS.name, entries), strict=True))
    wrong = [
        [batch_id(entry), *counts.values()]
        for entry, counts in counted
        if counts["in"] != sum(counts[name] for name in COUNTS[1:])
    ]
    metadata: dict[str, Any] = {
        "batches": len(entries),
        "records": sum(counts["in"] for _, counts in counted),
        "batches_out_of_balance": len(wrong),
    }
    if wrong:
        metadata["out_of_balance"] = dg.MetadataValue.md(table(["batch", *COUNTS], wrong))
    return dg.AssetCheckResult(passed=not wrong, metadata=metadata)


@dg.asset_check(asset=keys.REVIEW_SNAPSHOT, blocking=True, description="No cluster of copies lies in two splits.")
def no_leak_between_splits(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
    """Blocks training: a test row that was trained on proves nothing."""
    folder = SnapshotStore(home.snapshots).folder(REVIEWS.name)
    clusters, leaking = leaks_between_splits(folder)
    return dg.AssetCheckResult(passed=leaking == 0, metadata={"clusters": clusters, "clusters_in_two_splits": leaking})


@dg.asset_check(asset=keys.REVIEW_SNAPSHOT, blocking=True, description="Enough rows to train and to judge on.")
def enough_rows(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
    """Blocks training on a handful of rows."""
    rows = SnapshotStore(home.snapshots).manifest(REVIEWS.name).rows
    return dg.AssetCheckResult(
        passed=rows >= REVIEWS_POLICY.minimum_rows, metadata={"rows": rows, "minimum_rows": REVIEWS_POLICY.minimum_rows}
    )


@dg.asset_check(
    asset=keys.REVIEW_SNAPSHOT,
    blocking=True,
    description="Columns, types and values of the Parquet parts are those declared (pandera).",
)
def rows_have_the_declared_shape(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
    """Blocks training on rows that do not look like training rows."""
    store = SnapshotStore(home.snapshots)
    rows, failures = shape_failures(store.folder(REVIEWS.name), store.manifest(REVIEWS.name))
    metadata: dict[str, Any] = {"rows": rows, "failure_cases": len(failures)}
    if failures:
        metadata["failures"] = dg.MetadataValue.md(table(["column", "check", "case"], failures[:20]))
    return dg.AssetCheckResult(passed=not failures, metadata=metadata)


@dg.asset_check(asset=keys.REVIEW_SNAPSHOT, description="Every class has its share of the rows; a small one is a warning.")
def classes_are_balanced(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
    """Warns: a rare class is learned badly, and that is to be known, not to be stopped."""
    manifest = SnapshotStore(home.snapshots).manifest(REVIEWS.name)
    shares = {label: manifest.rows_of(label=label) / manifest.rows for label in manifest.labels}
    return dg.AssetCheckResult(
        passed=min(shares.values()) >= REVIEWS_POLICY.minimum_class_share,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={
            **{f"share_{label}": rounded(share) for label, share in shares.items()},
            "minimum_class_share": REVIEWS_POLICY.minimum_class_share,
        },
    )


@dg.asset_check(
    asset=keys.SENTIMENT_MODEL, description="The effective sample size of the weighted rows is at least half of them."
)
def weights_leave_enough_rows(home: dg.ResourceParam[Home]) -> dg.AssetCheckResult:
    """Warns: a model that leans on few heavy rows repeats their mistakes."""
    told = model_told(home, REVIEWS.name)
    share = told["sampling"]["effective_sample_size"] / told["sampling"]["rows"] if told else 1.0
    return dg.AssetCheckResult(
        passed=share >= MINIMUM_EFFECTIVE_SHARE,
        severity=dg.AssetCheckSeverity.WARN,
        metadata={"effective_share": rounded(share), "minimum_share": MINIMUM_EFFECTIVE_SHARE},
    )


def build_checks(home: Home) -> list[dg.AssetChecksDefinition]:
    """All checks of reviews that are not dbt tests."""
    return [
        *raw_checks(
            REVIEWS,
            keys.RAW_REVIEWS,
            SOURCES,
            [keys.REVIEW_BATCHES, keys.REVIEW_SNAPSHOT, keys.SENTIMENT_MODEL, keys.REVIEW_LABEL_QUEUE],
            home,
        ),
        every_record_accounted_for,
        no_leak_between_splits,
        enough_rows,
        rows_have_the_declared_shape,
        classes_are_balanced,
        weights_leave_enough_rows,
        *loop_checks(KNOWN, LOOP),
    ]
