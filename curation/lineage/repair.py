"""What it takes to undo what one thing has taught: the steps in order, what each re-makes, and the command.

Pure: facts in, steps out. It repairs nothing; a step that only a person can take has no command.
"""

import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from curation.lineage.models import TracedModel
from curation.lineage.records import Delivery


@dataclass(frozen=True)
class Step:
    """One step. `command` is without `uv run` and home; None where hands are needed. `remakes`: what is other than before, in order."""

    what: str
    command: str | None
    remakes: tuple[str, ...]


def repair(
    dataset: str,
    kind: str,
    value: str,
    arrived: Sequence[Delivery],
    *,
    words: int,
    snapshots: Sequence[str],
    is_in_latest: bool,
    models: Sequence[TracedModel],
    way_back: int | None,
) -> tuple[Step, ...]:
    """The steps, none where nothing is left of it to mend.

    `words`: items on which a label, a verdict or a decision of the annotator stands. `is_in_latest`: the newest snapshot has some of
    it. `way_back`: the former champion's version, where it has learned none of it.
    """
    live = next((model for model in models if "champion" in model.aliases), None)
    is_taken_back = kind == "annotator" and not words
    is_learned = live is not None or is_in_latest
    if not (is_learned if is_taken_back else words or snapshots):
        return ()
    steps = []
    if live is not None and way_back is not None:
        steps.append(
            Step(
                f"Until the repair is through, let version {way_back} predict, which has learned none of it.",
                f"curation rollback {dataset} --reason {shlex.quote(f'repair after {kind} {value}')}",
                (f"champion: version {way_back} for version {live.version}",),
            )
        )
    if not is_taken_back:
        steps.append(_at_the_cause(dataset, kind, value, arrived, words))
    steps += _downstream(dataset, kind, snapshots, models)
    return tuple(steps)


def _at_the_cause(dataset: str, kind: str, value: str, arrived: Sequence[Delivery], words: int) -> Step:
    match kind:
        case "annotator":
            count = f"{words:,} {'item' if words == 1 else 'items'}"
            return Step(
                f"Take back what {value} has said: one line for each of {count} with kind withdraw, the item_id and annotator {value}; "
                "or decide the items yourself, under Conflicts.",
                f"curation feedback import withdrawn.jsonl --dataset {dataset}",
                ("feedback log: new events, nothing is erased",),
            )
        case "review":
            places = "; ".join(f"landing/{dataset}/{one.batch}/{one.file}, line {one.line}" for one in arrived) or "landing"
            return Step(f"Mend the record, or take it out, where it came in: {places}.", None, ("landing file",))
        case "batch":
            return Step(
                f"Replace the files in landing/{dataset}/{value} by good ones of the same names.", None, ("landing files",)
            )
        case _:
            return Step(
                f"Replace the files of all days in landing/{dataset}/{value} by good ones of the same names; "
                f"what its contract in sources.yaml lets through that it should not, tell it.",
                None,
                ("landing files", "contract"),
            )


def _downstream(dataset: str, kind: str, snapshots: Sequence[str], models: Sequence[TracedModel]) -> list[Step]:
    """Everything made from the cause, in the order in which it is made; earlier versions stay as they are, for the record."""
    newest = f"a new snapshot beside {', '.join(snapshots)}" if snapshots else "a new snapshot"
    again = "" if kind == "annotator" else " It takes at least one label that the champion has not learned from: give some first."
    curated = (
        "curated feedback"
        if kind == "annotator"
        else "raw rows of the batches, the curated table, fates, predictions on rows that changed"
    )
    steps = []
    if kind != "annotator":
        steps.append(Step("Take the batches in again.", f"curation run {dataset}", (curated, newest)))
    if models:
        told = ", ".join(str(model.version) for model in models)
        steps.append(
            Step(
                f"Train a model without it, in place of {told}, and let the gate judge it.{again}",
                f"curation run {dataset} --retrain",
                (
                    *((curated, newest) if kind == "annotator" else ()),
                    "a model and its verdict",
                    "all predictions",
                    "the label queue",
                ),
            )
        )
    elif kind == "annotator":
        steps.append(Step("Resolve the labels again.", f"curation run {dataset}", (curated, newest)))
    return steps
