"""What the assets of reviews show on their pages: counts, samples before and after, pictures. Reads; decides nothing."""

from collections.abc import Mapping
from typing import Any

import dagster as dg
import duckdb

from curation.fates import DECIDED, Current
from curation.snapshots.store import Snapshot
from curation_assets import keys
from curation_assets.display import around_difference, picture, rounded, short_table, table
from curation_assets.steps import Trained
from resources.home import Home
from resources.warehouse import reading

OTHER = {"spam": "", "exact duplicate": "repeats", "near duplicate": "repeats", "superseded": "replaced by"}
SAMPLES = 6  # of each sort, behind a click; one or two of each stand on the page
NEWEST = "record_no in (select record_no from int_reviews_decided order by record_no desc limit 20000)"
"""Where samples are drawn from: reading the texts of a million rows to show eight would cost more than cleaning a day."""


def of_warehouse(home: Home, published: Current) -> Mapping[dg.AssetKey, Mapping[str, Any]]:
    """Metadata of the dbt models, by asset key."""
    totals = {fate: sum(batch.fates[fate] for batch in published.batches) for fate in DECIDED}
    total = sum(totals.values())
    shares = {f"share_{fate}": rounded(count / total) for fate, count in totals.items()} if total else {}
    with reading(home, "reviews") as connection:
        return {
            keys.INT_REVIEWS_CLEANED: {"dagster/row_count": total, **_samples_before_and_after(connection)},
            keys.INT_REVIEWS_DECIDED: {"dagster/row_count": total, **totals, **shares, **_decided_samples(connection)},
            keys.CURATED_REVIEWS: {
                "dagster/row_count": totals["kept"],
                "samples": dg.MetadataValue.md(_curated_samples(connection)),
            },
            keys.REVIEW_FATES: {"dagster/row_count": total, **totals, **shares},
            keys.REVIEW_BATCHES: {"dagster/row_count": len(published.batches), **_by_batch(published)},
        }


def _by_batch(published: Current) -> dict[str, Any]:
    rows = [[batch.day, batch.source, *(batch.fates[fate] for fate in DECIDED)] for batch in reversed(published.batches)]
    header = ["day", "source", *(fate.split("_")[0] for fate in DECIDED)]
    return {
        "newest_batches": dg.MetadataValue.md(short_table(header, rows)),
        "all_batches": dg.MetadataValue.md(table(header, rows[:400])),
    }


def _samples_before_and_after(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    rows = connection.execute(
        "select what, record_id, text, clean_text, row_number() over (partition by what order by record_no desc) as place from ("
        " select *, case when has_mojibake then 'mojibake' when contains(text, '<') then 'tags' when contains(text, '&') then 'entities'"
        " when strlen(text) <> length(text) then 'characters' else 'white space' end as what"
        f" from int_reviews_cleaned where {NEWEST} and lower(text) <> clean_text and clean_text <> '')"
        f" qualify place <= {SAMPLES} order by place, what"
    ).fetchall()
    parts = [(what, record, *around_difference(before, after)) for what, record, before, after, _ in rows]
    pairs = [row for what, _, before, after in parts for row in ((f"{what}: before", before), ("after", after))]
    return {
        "before_and_after": dg.MetadataValue.md(short_table(["", "text"], pairs)),
        "more_before_and_after": dg.MetadataValue.md(table(["what", "record", "before", "after"], sorted(parts))),
    }


def _decided_samples(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    rows = connection.execute(
        "with picked as materialized (select *, row_number() over (partition by fate order by record_no desc) as place"
        f" from int_reviews_decided where {NEWEST} and fate not in ('kept', 'empty') qualify place <= {SAMPLES})"
        " select fate, coalesce(rule, round(jaccard, 2)::varchar), a.record_id, a.clean_text, coalesce(b.clean_text, ''), place"
        " from picked join int_reviews_cleaned a using (record_no)"
        " left join int_reviews_cleaned b on b.record_no = picked.duplicate_of order by place, fate"
    ).fetchall()
    parts = [(fate.replace("_", " "), why, record, *around_difference(text, other)) for fate, why, record, text, other, _ in rows]
    in_order = [part for fate in OTHER for part in parts if part[0] == fate]
    pairs = [
        row for fate, why, _, text, other in parts for row in ((f"{fate} {why or ''}", text), (OTHER[fate], other)) if row[1]
    ]
    return {
        "samples": dg.MetadataValue.md(short_table(["fate", "text"], pairs)),
        "more_samples": dg.MetadataValue.md(table(["fate", "rule or jaccard", "record", "text", "other text"], in_order)),
    }


def _curated_samples(connection: duckdb.DuckDBPyConnection) -> str:
    rows = connection.execute(
        "select source, rating, copies, clean_text from curated_reviews where record_no in ("
        " select duplicate_of from int_reviews_decided where fate in ('exact_duplicate', 'near_duplicate')"
        f" group by 1 order by count(*) desc, 1 desc limit {3 * SAMPLES}) order by copies desc, record_no desc limit {SAMPLES}"
    ).fetchall()
    return short_table(["source", "rating", "copies", "text"], rows)


def of_snapshot(instance: dg.DagsterInstance, written: Snapshot) -> dict[str, Any]:
    """Metadata of a snapshot: its manifest's figures, where it is, its class balance as a picture."""
    from curation.learning import plots

    manifest = written.manifest
    balance = {
        split: {label: manifest.rows_of(split=split, label=label) for label in manifest.labels} for split in manifest.counts
    }
    return {
        "dagster/row_count": manifest.rows,
        "version": manifest.version,
        "is_new": written.is_new,
        "class_balance": picture(instance, plots.class_balance(balance), "share of each class in each split"),
        **manifest.as_metadata(),
        "folder": dg.MetadataValue.path(str(written.folder)),
    }


def of_model(instance: dg.DagsterInstance, trained: Trained) -> dict[str, Any]:
    """Metadata of a model: figures with intervals, the confusion matrix, calibration, by source."""
    from curation.learning import plots

    judged = trained.evaluation
    by_source = [
        [part.value, part.rows, part.accuracy.value, f"{part.accuracy.low:.3f} to {part.accuracy.high:.3f}"]
        for part in judged.slices
    ]
    by_class = [[part.label, part.support, part.precision.value, part.recall.value, part.f1.value] for part in judged.classes]
    return {
        "accuracy": rounded(judged.accuracy.value),
        "accuracy_95_percent_interval": f"{judged.accuracy.low:.3f} to {judged.accuracy.high:.3f}",
        "majority_baseline": rounded(judged.baseline_accuracy.value),
        "confusion_matrix": picture(instance, plots.confusion_matrix(judged), "confusion matrix"),
        "by_class": dg.MetadataValue.md(table(["class", "rows", "precision", "recall", "f1"], by_class)),
        "by_source": dg.MetadataValue.md(table(["source", "rows", "accuracy", "95% interval"], by_source)),
        "effective_sample_size": round(trained.sampled.effective_sample_size),
        "effective_share": rounded(trained.sampled.effective_share),
        "weights": dg.MetadataValue.md(_weights(trained)),
        "calibration": picture(instance, plots.reliability_diagram(judged), "reliability diagram"),
        "macro_f1": rounded(judged.macro_f1.value),
        "log_loss": rounded(judged.log_loss.value),
        "calibration_error": rounded(judged.calibration_error.value),
        "test_rows": judged.rows,
        "snapshot": trained.snapshot,
        "model_version": trained.version.version,
        "mlflow_run": trained.version.run_id,
    }


def _weights(trained: Trained) -> str:
    """What rows of each origin, class and age count, and the policy behind it."""
    header = ["", "rows", "mean weight", "share of rows", "share of weight"]
    rows = [
        [f"{group.group} {group.value}", group.rows, group.mean_weight, group.share_of_rows, group.share_of_weight]
        for group in trained.sampled.groups
    ]
    return short_table(header, rows)
