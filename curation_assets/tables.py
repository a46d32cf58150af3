"""How the command line prints what commands return. Text in, text out; no figures are computed here."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from curation_assets.runs import RunReport

SHORT = {"malformed": "malformed", "exact_duplicate": "exact", "near_duplicate": "near"}
FIRST_STEP = "next: uv run curation sources draft NAME FILE --dataset {0} --write{1}; or see the demo: uv run curation demo"
HIDDEN = re.compile(r"[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]")
"""Characters that could move the cursor or turn the text around: a record's text must not steer a terminal."""


def harmless(text: object, width: int = 100) -> str:
    """A person's text, safe to print and cut to `width`."""
    cleaned = HIDDEN.sub("·", str(text))
    return cleaned if len(cleaned) <= width else cleaned[: width - 1] + "…"


def counted(count: int, one: str, many: str) -> str:
    """`1 batch`, `2 batches`."""
    return f"{count:,} {one if count == 1 else many}"


def grid(header: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Columns aligned: numbers to the right, all else to the left."""
    shown = [[f"{value:,}" if isinstance(value, int) else harmless(value) for value in row] for row in rows]
    widths = [max(len(header[i]), *(len(row[i]) for row in shown)) if shown else len(header[i]) for i in range(len(header))]
    numeric = [bool(rows) and all(isinstance(row[i], int) for row in rows) for i in range(len(header))]

    def line(values: Sequence[str]) -> str:
        return "  ".join(
            value.rjust(width) if right else value.ljust(width)
            for value, width, right in zip(values, widths, numeric, strict=True)
        ).rstrip()

    return "\n".join([line(header), line(["-" * width for width in widths]), *(line(row) for row in shown)])


def counts_grid(batches: Sequence[dict[str, Any]], total: dict[str, int], by_day: bool = False) -> str:
    """The nine counts by batch (or by day, over its sources) with their `total`, whose order is that of the columns."""
    if by_day:
        days: dict[str, dict[str, int]] = {}
        for batch in batches:
            sums = days.setdefault(batch["day"], dict.fromkeys(total, 0))
            for name in total:
                sums[name] += batch[name]
        rows = [[day, *(sums[name] for name in total)] for day, sums in sorted(days.items())]
        return grid(["day", *(SHORT.get(name, name) for name in total)], [*rows, ["total", *total.values()]])
    rows = [[batch["day"], batch["source"], *(batch[name] for name in total), batch.get("state", "")] for batch in batches]
    return grid(["day", "source", *(SHORT.get(name, name) for name in total), ""], [*rows, ["total", "", *total.values(), ""]])


def snapshot_line(snapshot: dict[str, Any] | None) -> str:
    """One line about a snapshot."""
    if snapshot is None:
        return "snapshot: none yet"
    return f"snapshot: {snapshot['version']} ({snapshot['state']}), {snapshot['rows']:,} rows, {snapshot['path']}"


def model_line(model: dict[str, Any] | None) -> str:
    """One line about a model, with its interval and the majority baseline."""
    if model is None:
        return "model: none yet"
    metrics = model["metrics"]
    return (
        f"model: version {model['version']} ({model['state']}) on {model['snapshot_version']}: accuracy {metrics['accuracy']:.3f} "
        f"({metrics['accuracy_low']:.3f} to {metrics['accuracy_high']:.3f}), macro F1 {metrics['macro_f1']:.3f}; "
        f"always the largest class: {metrics['baseline_accuracy']:.3f}"
    )


def champion_line(champion: dict[str, Any] | None) -> str:
    """One line about who predicts, and the last decision."""
    if champion is None:
        return "champion: none yet"
    state = f" ({champion['state']})" if "state" in champion else ""
    return (
        f"champion: model {champion['model_version']} on {champion['snapshot_version']}{state}; "
        f"decision {champion['version']}, {champion['decision'].replace('_', ' ')} {champion['at'][:16]}"
    )


def queue_line(queue: dict[str, Any] | None) -> str:
    """One line about what people are asked to label."""
    if queue is None:
        return "label queue: none yet"
    parts = ", ".join(f"{count:,} {reason.replace('_', ' ')}" for reason, count in queue["by_reason"].items())
    return f"label queue: {parts or 'empty'}"


def feedback_line(feedback: dict[str, Any]) -> str:
    """One line about how far feedback has come."""
    if not feedback["events"]:
        return "feedback: none yet; send some to the feedback service, or: uv run curation feedback import FILE"
    return (
        f"feedback: {counted(feedback['events'], 'event', 'events')}, newest {feedback['newest'][:19]}; curated up to event "
        f"{feedback['curated_to_seq']:,}: {counted(feedback['labels_that_may_train'], 'label', 'labels')} to train on, "
        f"{feedback['control_labels']:,} of the control arm, {feedback['unmatched']:,} unmatched; "
        f"a retrain takes {feedback['retrain_after']:,} new ones"
    )


def of_run(report: "RunReport", home_flag: str) -> str:
    """The result of `curation run`."""
    moved = [batch for batch in report.batches if batch["state"] != "unchanged"]
    unchanged = len(report.batches) - len(moved)
    lines = [counts_grid(moved or report.batches[-10:], report.total)] if report.batches else []
    if not (report.batches or report.snapshot):
        lines.append("no batch has been accepted yet")
    if unchanged:
        lines.append(f"{counted(unchanged, 'batch', 'batches')} unchanged; the total is over all {len(report.batches)}")
    lines += [snapshot_line(report.snapshot), model_line(report.model), champion_line(report.champion), queue_line(report.queue)]
    if report.champion and report.champion["state"] == "new":
        lines.append(report.champion["why"])
    lines += [f"note: {notice}" for notice in report.notices]
    lines += [f"PROBLEM: {problem}" for problem in report.problems]
    lines += [f"REFUSED: {entry['message']}" for entry in report.refused]
    told = {*report.problems, *(entry["message"] for entry in report.refused)}
    if unsaid := [line for line in (report.failure or "").splitlines() if line not in told]:
        lines.append("\n".join([f"FAILED: {unsaid[0]}", *unsaid[1:]]))
    if not report.succeeded:
        lines.append(f"next: mend what is named above, then uv run curation run {report.dataset}{home_flag}")
    else:
        lines.append(
            f"next: uv run curation up{home_flag}"
            if report.batches or report.snapshot
            else FIRST_STEP.format(report.dataset, home_flag)
        )
    return "\n".join(lines)


def of_quarantine(found: Sequence[dict[str, Any]]) -> str:
    """The result of `curation quarantine`."""
    if not found:
        return "quarantine is empty"
    lines = []
    for group in found:
        field = f" {group['field']}" if group["field"] else ""
        lines.append(
            f"{group['rule']}{field}: {counted(group['records'], 'record', 'records')} in {counted(group['batches'], 'batch', 'batches')}"
        )
        lines += [
            f"    {sample['record_id']}  {harmless(sample['reason'], 80)}\n        {harmless(sample['raw'], 110)}"
            for sample in group["samples"]
        ]
    return "\n".join(lines)


def of_status(found: dict[str, Any], home_flag: str) -> str:
    """The result of `curation status`."""
    from curation.fates import COUNTS

    total = {name: sum(batch[name] for batch in found["batches"]) for name in COUNTS}
    lines = [f"{found['dataset']} in {found['home']}"]
    lines.append(counts_grid(found["batches"][-14:], total) if found["batches"] else "no batch has been accepted yet")
    if len(found["batches"]) > 14:
        lines.append(f"the newest 14 of {len(found['batches'])} batches; the total is over all")
    lines.append(
        f"pending: {counted(len(found['pending']), 'batch', 'batches')}"
        + "".join(f"\n  {batch['source']} {batch['day']}: {batch['why']}" for batch in found["pending"][:10])
    )
    lines += [f"freshness: {state['told']}" for state in found["freshness"]]
    lines += [f"REFUSED: {entry['message']}" for entry in found["refused"]]
    lines += [f"note: {notice}" for notice in found["notices"]]
    lines += [f"PROBLEM: {problem}" for problem in found["problems"]]
    snapshot, model = found["snapshot"], found["model"]
    lines.append(
        f"snapshot: {snapshot['version']}, {snapshot['rows']:,} rows, {snapshot['path']}" if snapshot else "snapshot: none yet"
    )
    lines.append(
        f"model: version {model['version']} on {model['snapshot_version']}, accuracy {model['metrics']['accuracy']:.3f}"
        if model
        else "model: none yet"
    )
    lines += [champion_line(found["champion"]), feedback_line(found["feedback"]), queue_line(found["queue"])]
    lines += of_alerts(found["alerts"])
    if found["pending"]:
        lines.append(f"next: uv run curation run {found['dataset']}{home_flag}")
    elif not found["batches"] and not found["refused"]:
        lines.append(FIRST_STEP.format(found["dataset"], home_flag))
    return "\n".join(lines)


def of_alerts(found: dict[str, Any]) -> list[str]:
    """The lines of `alerts_told` in `curation status` and `curation alerts list`."""
    if found["looked_at"] is None:
        return ["alerts: the alerter has never looked; it does while curation up runs"]
    waiting = sum(receiver["waiting"] for receiver in found["receivers"])
    receivers = (
        f"{len(found['receivers'])} receivers, {waiting} messages wait" if found["receivers"] else "no receiver but the log"
    )
    lines = [f"alerts: {len(found['open'])} open, {receivers}, last look {found['looked_at']}"]
    for one in found["open"]:
        place = f", {one['file']} line {one['line']}" if one["file"] else ""
        lines.append(f"  ALERT {one['id']} since {one['since']}: {one['title']}: {one['told']}{place}; next: {one['next']}")
    return lines + [f"  PROBLEM: {told}" for told in found["problems"]]


def of_way_in(identity: str, found: Sequence[dict[str, Any]]) -> str:
    """The result of `curation why`."""
    lines = [f"{harmless(identity)}: {counted(len(found), 'delivery', 'deliveries')}"]
    for record in found:
        why = next((f" ({record[name]})" for name in ("rule", "reason") if record.get(name)), "")
        other = f" of {record['duplicate_of']}" if record.get("duplicate_of") and record["fate"] != "superseded" else ""
        other = f" by {record['duplicate_of']}" if record["fate"] == "superseded" else other
        similar = f", Jaccard {record['jaccard']:.3f}" if record.get("jaccard") else ""
        lines.append(f"  {record['record_id']}: {record['fate'].replace('_', ' ')}{other}{similar}{harmless(why)}")
    return "\n".join(lines)


def of_verification(found: dict[str, Any]) -> str:
    """The result of `curation verify`."""
    if found["intact"]:
        versions = counted(len(found["versions"]), "snapshot", "snapshots")
        beside = f"the {found['beside']} of {found['dataset']}"
        return f"intact: {counted(found['files'], 'file', 'files')} of {versions}, and {beside}, match what was recorded"
    return "\n".join(
        [
            *found["findings"],
            f"{counted(len(found['findings']), 'finding', 'findings')}; restore what is named from a backup or with `dvc pull`",
        ]
    )


def of_difference(found: dict[str, Any]) -> str:
    """The result of `curation diff`."""
    lines = [f"{found['dataset']} {found['a']} ({found['rows_a']:,} rows) -> {found['b']} ({found['rows_b']:,} rows)"]
    lines.append(
        ", ".join(f"{found[name]:,} {name}" for name in ("added", "removed", "relabelled", "reweighted", "moved", "changed"))
    )
    for title, name in (
        ("added from", "added_from"),
        ("removed because", "removed_because"),
        ("relabelled", "relabelled_as"),
        ("changed", "changed_columns"),
    ):
        lines += [f"  {title} {what}: {rows:,}" for what, rows in sorted(found[name].items(), key=lambda item: -item[1])]
    for kind, samples in found["samples"].items():
        lines += [f"  {kind}, such as {_sampled(sample)}" for sample in samples[:2]]
    return "\n".join(lines)


def _sampled(sample: dict[str, Any]) -> str:
    row = sample["after"] or sample["before"] or {}
    why = f" ({sample['reason']}{' of ' + sample['duplicate_of'] if sample['duplicate_of'] else ''})" if sample["reason"] else ""
    return f"{sample['key'][:12]}… {harmless(row.get('label'))}: {harmless(row.get('text'), 70)}{why}"
