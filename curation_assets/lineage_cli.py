"""`curation explain` and `curation impact`: where a prediction came from, and what depends on a record, person, source or batch. Thin."""

import dataclasses
from typing import TYPE_CHECKING, Annotated, cast

import typer

from curation.errors import CurationError
from curation_assets.commands import DatasetArgument, HomeOption, JsonOption, answer, home_flag
from resources.home import Home

if TYPE_CHECKING:
    from curation.lineage.impact import Kind
    from curation.lineage.places import Traced


def explain(
    prediction_id: Annotated[
        str, typer.Argument(metavar="PREDICTION_ID", help="As predictions, the queue and the pages give it.")
    ],
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """Where a prediction came from: model, verdict, snapshot, the rows and labels that taught it, the raw record with file and line."""
    from curation.feedback.events import parts_of
    from curation.lineage.explaining import explain as explained
    from curation_assets.lineage_told import explanation_text

    dataset, _, _ = parts_of(prediction_id)
    told = explained(traced(Home.find(home).checked(), dataset), prediction_id)
    answer(dataclasses.asdict(told), as_json, explanation_text(told))


def impact(
    dataset: DatasetArgument,
    review: Annotated[str | None, typer.Option(help="A record: its native id, or its uid.")] = None,
    annotator: Annotated[str | None, typer.Option(help="Somebody who labels, by name.")] = None,
    source: Annotated[str | None, typer.Option(help="A source.")] = None,
    batch: Annotated[str | None, typer.Option(help="One source's delivery of a day, SOURCE/YYYY-MM-DD.")] = None,
    home: HomeOption = None,
    as_json: JsonOption = False,
) -> None:
    """What depends on a record, an annotator, a source or a batch: snapshots, models, what is live, predictions; and how to repair it."""
    from curation.lineage.impact import impact as found
    from curation_assets.datasets import declared
    from curation_assets.lineage_told import impact_text, summary

    options = {"review": review, "annotator": annotator, "source": source, "batch": batch}
    given = {kind: value for kind, value in options.items() if value is not None}
    if len(given) != 1:
        named = " and ".join(f"--{kind}" for kind in given) or "none"
        raise CurationError(
            f"impact is about one thing, {named} given", f"give one of {', '.join(f'--{kind}' for kind in options)}"
        )
    ((kind, value),) = given.items()
    known = declared(dataset)
    told = found(traced(Home.find(home).checked(), dataset), known.dataset.key, cast("Kind", kind), value)
    value_of = dataclasses.asdict(told) | {"summary": summary(told), "live": told.live}
    answer(value_of, as_json, impact_text(told, home_flag(home)))


def traced(home: Home, dataset: str) -> "Traced":
    """A declared dataset of a home, ready to be traced; CurationError where there is no such dataset."""
    from curation.lineage.places import Places, Traced
    from curation_assets.datasets import declared

    known = declared(dataset)
    places = Places(home.lake, home.feedback_segments, home.predictions, home.promotions, home.mlflow, home.snapshots)
    return Traced(places, dataset, known.policy.labels, known.policy.test_from)
