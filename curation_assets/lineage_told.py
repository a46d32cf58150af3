"""How `curation explain` and `curation impact` print what they found: a story back to the raw record, and counts with steps.

Text only; every line is made harmless, so that no record's text or name can steer a terminal. No figure is computed here.
"""

from collections.abc import Iterable

from curation.lineage.explaining import Explanation
from curation.lineage.impact import Impact
from curation.lineage.models import TracedModel
from curation.lineage.telling import STANDINGS, label_sentence, model_sentence, row_sentence, turn_sentence
from curation_assets.tables import counted, harmless

LINE_CHARACTERS = 400
SHOWN_AT_MOST = 20
"""Rows and labels that the text lists; JSON has all of them."""


def explanation_text(told: Explanation) -> str:
    """The story for a terminal."""
    prediction, model, snapshot = told.prediction, told.model, told.snapshot
    lines = [
        f"prediction  {harmless(prediction.label)}, {prediction.confidence:.1%} sure, at {prediction.predicted_at:%Y-%m-%d %H:%M} UTC",
        f"            {harmless(prediction.prediction_id, 400)}",
        f'            "{harmless(prediction.text)}"',
        f"model       {model_sentence(model, told.champion_version)}",
    ]
    lines += [f"            {turn.at:%Y-%m-%d %H:%M} {harmless(turn_sentence(turn), 300)}" for turn in model.turns]
    if snapshot.is_intact:
        lines.append(
            f"snapshot    {snapshot.version}: {snapshot.rows:,} rows of {counted(snapshot.batches or 0, 'batch', 'batches')}, "
            f"{snapshot.train_rows:,} to train on; labels up to event {snapshot.consumed_feedback_seq}"
        )
    else:
        lines.append(f"snapshot    {snapshot.version}: cannot be read any more")
    lines.append(f"            digest {snapshot.digest or 'unknown'}")
    lines += _listed("rows", [row_sentence(row) for row in told.rows] or [told.why_no_rows or "Not known any more."])
    lines += _listed("labels", [label_sentence(word) for word in told.labels] or ["Nobody has said anything about them."])
    if (record := told.record) is not None:
        fate = record.fate.replace("_", " ") + (f" of {record.duplicate_of}" if record.duplicate_of else "")
        copies = f"; stands for {counted(record.copies, 'copy', 'copies')}" if record.copies else ""
        lines.append(f"record      {harmless(record.batch)}/{harmless(record.file)}, line {record.line}: {fate}{copies}")
        lines.append(f"            native id {harmless(record.native_id)}; file SHA-256 {record.file_sha256 or 'not on file'}")
    lines += _listed("missing", told.missing)
    return "\n".join(harmless(line, LINE_CHARACTERS) for line in lines)


def impact_text(told: Impact, home: str = "") -> str:
    """What depends on the thing, and the steps of a repair; `home` is appended to each command."""
    lines = [f"{told.kind} {harmless(told.value, 200)}: {summary(told)}"]
    lines += _listed(
        "arrived",
        [
            f"{harmless(one.batch)}/{harmless(one.file)}, line {one.line}: {one.fate.replace('_', ' ')}"
            + (f" of {harmless(one.duplicate_of)}" if one.duplicate_of else "")
            for one in told.deliveries
        ],
    )
    for holding in told.holdings:
        labels = f", {counted(holding.labels, 'label', 'labels')} consumed" if holding.labels is not None else ""
        newest = " (the newest)" if holding.is_latest else ""
        lines.append(f"snapshot    {holding.version}{newest}: {counted(holding.rows, 'row', 'rows')}{labels}")
    for model in told.models:
        lines.append(f"model       {_model_line(model)}")
    for lost in told.lost:
        lines.append(f"unknown     {lost.version}: {lost.why}; whether it held any of this cannot be told")
    for model in told.perhaps:
        lines.append(f"perhaps     {_model_line(model)}")
    for number, step in enumerate(told.steps, start=1):
        lines.append(f"{'repair' if number == 1 else '':<12}{number}. {step.what}")
        lines.append(f"               makes anew: {'; '.join(step.remakes)}")
        if step.command:
            lines.append(f"               uv run {step.command}{home}")
    if told.holdings and not told.steps:
        lines.append(
            "repair      nothing is left to do: all is taken back, and neither a live model nor the newest snapshot has learned it"
        )
    return "\n".join(harmless(line, LINE_CHARACTERS) for line in lines)


def summary(told: Impact) -> str:
    """One line of counts: "212 labels, 2 snapshots, 3 models, 1 live (champion), 1,204 predictions"."""
    parts = [counted(told.labels, "label", "labels")] if told.labels is not None else []
    parts.append(counted(len(told.holdings), "snapshot", "snapshots"))
    parts.append(counted(len(told.models), "model", "models"))
    is_live = "champion" in told.live
    parts.append("1 live (champion)" if is_live else "none live")
    parts.append(counted(told.predictions, "prediction", "predictions"))
    if told.perhaps:
        parts.append(f"and perhaps {counted(len(told.perhaps), 'model', 'models')} more, whose snapshot is gone")
    return ", ".join(parts)


def _model_line(model: TracedModel) -> str:
    aliases = f" [{', '.join(model.aliases)}]" if model.aliases else ""
    made = counted(model.predictions, "prediction", "predictions")
    return f"version {model.version}{aliases} on {model.snapshot_version}: {STANDINGS[model.standing]}; {made}"


def _listed(name: str, sentences: Iterable[str]) -> list[str]:
    """A block of sentences under one name, the long tail counted."""
    told = list(sentences)
    shown = told[:SHOWN_AT_MOST] + (
        [f"and {len(told) - SHOWN_AT_MOST:,} more: --json has all"] if len(told) > SHOWN_AT_MOST else []
    )
    return [f"{name if number == 0 else '':<12}{sentence}" for number, sentence in enumerate(shown)]
