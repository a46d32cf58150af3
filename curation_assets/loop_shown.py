"""What the loop's assets show on their pages: counts to plot, tables to read, pictures. Reads; decides nothing."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dagster as dg
import duckdb
from pydantic import TypeAdapter

from curation.feedback.curated import ANNOTATORS, FEEDBACK, CuratedFeedback
from curation.feedback.drain import Drained
from curation.learning.gate import Verdict
from curation.learning.label_value import LabelValue
from curation.predictions import PredictionStore
from curation.promotions import Decision
from curation_assets.datasets import Declared
from curation_assets.display import picture, rounded, short_table, table
from curation_assets.loop import Asked, Curated, Predicted
from resources.home import Home

SHOWN = 8  # rows of a sample


def _asked(files: Sequence[Path], query: str) -> list[tuple[Any, ...]]:
    """Rows of `query` over `rows`, the given Parquet files."""
    with duckdb.connect(config={"autoinstall_known_extensions": "false", "autoload_known_extensions": "false"}) as connection:
        connection.read_parquet([str(file) for file in files], hive_partitioning=False).create_view("rows")
        return connection.execute(query).fetchall()


def of_drain(drained: Drained) -> dict[str, Any]:
    """What a drain brought into the feedback table."""
    return {
        "rows_drained": drained.rows,
        "adopted_rows": drained.adopted,
        "refused_rows": len(drained.refused),
        "rows_waiting": drained.waiting,
        "last_seq": drained.last_seq,
        **({"why_refused": dg.MetadataValue.text("\n".join(drained.refused))} if drained.refused else {}),
    }


def of_curated(home: Home, known: Declared, curated: Curated) -> dict[str, Any]:
    """Counts, agreement, annotators by reliability, and what they disagree about."""
    state, book = curated.state, CuratedFeedback(home.lake, known.dataset.name)
    shown: dict[str, Any] = {
        "dagster/row_count": state.words,
        "new_labels": curated.count.effective,
        "new_labels_tied": curated.count.tied,
        "since_seq": curated.watermark,
        "consumed_feedback_seq": state.seq,
        "events": state.events,
        "unmatched": state.unmatched,
        "items_labelled": state.items - state.undecided,
        "items_undecided": state.undecided,
        "items_that_may_train": state.trainable,
        "items_of_the_control_arm": state.control,
        "annotators": state.annotators,
        "resolved_by": state.method,
    }
    if state.alpha is not None:
        shown["krippendorff_alpha"] = rounded(state.alpha)
    annotators, feedback = book.file(ANNOTATORS), book.file(FEEDBACK)
    if state.words and annotators and feedback:
        rows = _asked(
            [annotators], "select annotator, reliability, votes, agreement from rows order by reliability desc, annotator"
        )
        shown["annotator_reliability"] = dg.MetadataValue.md(
            short_table(["annotator", "reliability", "votes", "agreement"], rows)
        )
        disputed = _asked(
            [feedback],
            "select any_value(text), string_agg(annotator || ': ' || vote, ', ' order by annotator) from rows where vote is not null"
            f" group by item_id having count(distinct vote) > 1 order by count(*) desc, item_id limit {SHOWN}",
        )
        shown["disagreements"] = dg.MetadataValue.md(short_table(["text", "votes"], disputed))
    return shown


def of_champion(instance: dg.DagsterInstance, decision: Decision) -> dict[str, Any]:
    """Who is champion since when, how the last decision went, and its comparison as a picture."""
    shown: dict[str, Any] = {
        "decision": decision.kind,
        "why": decision.why,
        "champion_version": decision.champion.version,
        "champion_snapshot": decision.champion.snapshot_version,
        "decision_number": decision.number,
        "consumed_feedback_seq": decision.consumed_feedback_seq,
    }
    verdict = _verdict(decision)
    if verdict:
        shown["differences"] = _differences(instance, verdict)
        shown["compared"] = dg.MetadataValue.md(short_table(PART_HEADER, _parts(verdict)))
    return shown


PART_HEADER = ("part", "rows", "champion", "challenger", "difference, points", "what follows")


def _verdict(decision: Decision) -> Verdict | None:
    """The gate's figures; None for the first champion, who met nobody."""
    return TypeAdapter(Verdict).validate_python(decision.figures) if decision.figures else None


def _differences(instance: dg.DagsterInstance, verdict: Verdict) -> dg.MarkdownMetadataValue:
    from curation.learning import plots

    return picture(instance, plots.verdict(verdict), "challenger minus champion in points of accuracy")


def _parts(verdict: Verdict) -> list[list[object]]:
    parts = [verdict.overall, *([verdict.control] if verdict.control else []), *verdict.slices]
    return [
        [
            part.name,
            part.rows,
            part.champion_accuracy,
            part.challenger_accuracy,
            f"{part.difference_points.value:+.2f} ± {part.half_width_points:.2f}",
            part.why,
        ]
        for part in parts
    ]


def of_verdict(instance: dg.DagsterInstance, decision: Decision) -> dict[str, Any]:
    """The gate's figures to plot, the whole table, and the rows behind a refusal."""
    shown: dict[str, Any] = {"decision": decision.kind}
    verdict = _verdict(decision)
    if verdict is None:
        return shown
    shown["differences"] = _differences(instance, verdict)
    shown["compared"] = dg.MetadataValue.md(table(PART_HEADER, _parts(verdict)))
    shown |= {name: rounded(value) for name, value in verdict.as_metrics().items() if "/" not in name}
    if verdict.rows_behind:
        shown["rows_behind_the_refusal"] = dg.MetadataValue.text("\n".join(verdict.rows_behind))
    return shown


def of_predictions(home: Home, known: Declared, predicted: Predicted) -> dict[str, Any]:
    """Counts by label, and the items that the champion is least sure of."""
    parts = PredictionStore(home.predictions, known.dataset.name).parts(predicted.model_version)
    shown: dict[str, Any] = {
        "dagster/row_count": predicted.rows,
        "new_rows": predicted.added,
        "curated_rows": predicted.curated,
        "model_version": predicted.model_version,
    }
    if not parts:
        return shown
    for label, share, confidence in _asked(
        parts,
        "select label, count(*) / sum(count(*)) over (), avg(list_max(map_values(probabilities))) from rows group by label order by label",
    ):
        shown |= {f"share_{label}": rounded(share), f"confidence_{label}": rounded(confidence)}
    by_source = _asked(parts, "select source, count(*), avg(margin) from rows group by source order by source")
    shown["by_source"] = dg.MetadataValue.md(table(["source", "rows", "mean margin"], by_source))
    unsure = _asked(parts, f"select label, margin, source, text from rows order by margin, prediction_id limit {SHOWN}")
    shown["least_sure"] = dg.MetadataValue.md(short_table(["label", "margin", "source", "text"], unsure))
    return shown


def of_queue(known: Declared, asked: Asked) -> dict[str, Any]:
    """Entries by reason, and some of each."""
    total, wanted = sum(asked.by_reason.values()), known.loop.queue.size
    shown: dict[str, Any] = {"dagster/row_count": total, "is_new": asked.is_new}
    if total < wanted:
        shown["why_short"] = (
            f"{total} of {wanted}: the control arm must keep its share, and there are not enough items left on one side, "
            "in the test split that were never asked for, or in the train split without an answer"
        )
    shown |= {f"asked_{reason}": count for reason, count in asked.by_reason.items()}
    shown["control_share"] = rounded(asked.by_reason.get("control", 0) / total) if total else 0.0
    if asked.path is not None:
        rows = _asked(
            [asked.path],
            "select reason, probability, item_id from rows qualify row_number() over (partition by reason order by rank) <= 3"
            " order by reason, rank",
        )
        shown["samples"] = dg.MetadataValue.md(short_table(["reason", "probability", "item"], rows))
        shown["file"] = dg.MetadataValue.path(str(asked.path))
    return shown


def of_label_value(instance: dg.DagsterInstance, value: LabelValue) -> dict[str, Any]:
    """The sentence, the counts it rests on, and both arms as a picture and a table."""
    shown: dict[str, Any] = {
        "why": value.why,
        "labels_of_the_control_arm": value.judged_on,
        "labels_that_the_queue_chose": value.chosen_labels,
        "missing_of_the_control_arm": value.missing,
        "missing_that_the_queue_chose": value.missing_chosen,
        "random_labels_matched": value.matched,
        "base_rows": value.base_rows,
    }
    if value.saved is not None:
        shown |= {"saved": value.saved.value, "saved_low": value.saved.low, "saved_high": value.saved.high}
    if value.points:
        from curation.learning import plots

        shown["accuracy_by_labels"] = picture(instance, plots.label_value(value), "accuracy against labels used, by arm")
        rows = [
            [
                point.arm,
                point.labels,
                point.accuracy.value,
                f"{point.accuracy.low:.3f} to {point.accuracy.high:.3f}",
                point.test_accuracy.value,
            ]
            for point in value.points
        ]
        header = ["arm", "labels", "accuracy on the control arm", "95%", "on the frozen test"]
        shown["points"] = dg.MetadataValue.md(short_table(header, rows))
    return shown
