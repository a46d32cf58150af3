"""What the assets of reviews show on their pages: counts, samples before and after, pictures. Reads; decides nothing."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import duckdb

from curation.fates import DECIDED, Current
from curation.snapshots.store import Snapshot
from curation_assets import keys
from curation_assets.display import table
from curation_assets.steps import Trained
from resources.home import Home
from resources.warehouse import reading

SAMPLES = 8


def of_warehouse(home: Home, published: Current) -> Mapping[dg.AssetKey, Mapping[str, Any]]:
    """Metadata of the dbt models, by asset key."""
    totals = {fate: sum(batch.fates[fate] for batch in published.batches) for fate in DECIDED}
    total = sum(totals.values())
    shares = {f"share_{fate}": count / total for fate, count in totals.items()} if total else {}
    with reading(home, "reviews") as connection:
        return {
            keys.INT_REVIEWS_CLEANED: {"dagster/row_count": total, "before_and_after": dg.MetadataValue.md(_cleaned_samples(connection))},
            keys.INT_REVIEWS_DECIDED: {"dagster/row_count": total, **totals, **shares, "samples": dg.MetadataValue.md(_decided_samples(connection))},
            keys.CURATED_REVIEWS: {"dagster/row_count": totals["kept"], "samples": dg.MetadataValue.md(_curated_samples(connection))},
            keys.REVIEW_FATES: {"dagster/row_count": total, **totals, **shares},
            keys.REVIEW_BATCHES: {"dagster/row_count": len(published.batches), "by_batch": dg.MetadataValue.md(_batch_table(published))},
        }


def _batch_table(published: Current) -> str:
    rows = [[batch.day, batch.source, *(batch.fates[fate] for fate in DECIDED)] for batch in published.batches[-60:]]
    return table(["day", "source", *(fate.replace("_", " ") for fate in DECIDED)], rows)


def _cleaned_samples(connection: duckdb.DuckDBPyConnection) -> str:
    rows = connection.execute(
        f"select record_id, text, clean_text from int_reviews_cleaned where lower(text) <> clean_text order by record_no desc limit {SAMPLES}"
    ).fetchall()
    return table(["record", "before", "after"], rows)


def _decided_samples(connection: duckdb.DuckDBPyConnection) -> str:
    rows = connection.execute(
        "select fate, rule, jaccard, a.clean_text, b.clean_text from int_reviews_decided d join int_reviews_cleaned a using (record_no) "
        "left join int_reviews_cleaned b on b.record_no = d.duplicate_of where fate not in ('kept', 'empty') "
        "qualify row_number() over (partition by fate order by d.record_no desc) <= 2 order by fate, d.record_no desc"
    ).fetchall()
    return table(["fate", "rule", "jaccard", "text", "repeats, or is replaced by"], rows)


def _curated_samples(connection: duckdb.DuckDBPyConnection) -> str:
    rows = connection.execute(
        f"select source, rating, copies, clean_text from curated_reviews order by copies desc, record_no desc limit {SAMPLES}"
    ).fetchall()
    return table(["source", "rating", "copies", "text"], rows)


def of_snapshot(written: Snapshot) -> dict[str, Any]:
    """Metadata of a snapshot: its manifest's figures, where it is, its class balance as a picture."""
    from curation.learning import plots

    manifest = written.manifest
    balance = {split: {label: manifest.rows_of(split=split, label=label) for label in manifest.labels} for split in manifest.counts}
    return {
        "dagster/row_count": manifest.rows,
        **manifest.as_metadata(),
        "is_new": written.is_new,
        "folder": dg.MetadataValue.path(str(written.folder)),
        "class_balance": dg.MetadataValue.md(plots.as_markdown_image(plots.class_balance(balance), "share of each class in each split")),
    }


def of_model(trained: Trained) -> dict[str, Any]:
    """Metadata of a model: figures with intervals, the confusion matrix, calibration, by source."""
    from curation.learning import plots

    judged = trained.evaluation
    by_source = [[part.value, part.rows, f"{part.accuracy.value:.3f}", f"{part.accuracy.low:.3f} to {part.accuracy.high:.3f}"] for part in judged.slices]
    by_class = [[part.label, part.support, part.precision.value, part.recall.value, part.f1.value] for part in judged.classes]
    return {
        "accuracy": judged.accuracy.value,
        "accuracy_95_percent_interval": f"{judged.accuracy.low:.3f} to {judged.accuracy.high:.3f}",
        "majority_baseline": judged.baseline_accuracy.value,
        "macro_f1": judged.macro_f1.value,
        "log_loss": judged.log_loss.value,
        "calibration_error": judged.calibration_error.value,
        "test_rows": judged.rows,
        "snapshot": trained.snapshot,
        "model_version": trained.version.version,
        "mlflow_run": trained.version.run_id,
        "confusion": dg.MetadataValue.md(plots.as_markdown_image(plots.confusion_matrix(judged), "confusion matrix")),
        "calibration": dg.MetadataValue.md(plots.as_markdown_image(plots.reliability_diagram(judged), "reliability diagram")),
        "by_source": dg.MetadataValue.md(table(["source", "rows", "accuracy", "95% interval"], by_source)),
        "by_class": dg.MetadataValue.md(table(["class", "rows", "precision", "recall", "f1"], by_class)),
    }
