"""The datasets this project has, by name: what a command needs to know of each. Definitions are in their own folders."""

import difflib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from curation.dataset import Dataset, PromptDataset
from curation.errors import CurationError
from curation.feedback.pairs import PREFERENCES
from curation.files import valid_name
from curation.ingestion.sources import Source, load_sources
from curation.labelling.page import LabellingPage
from curation.learning.classifier import TrainingSettings
from curation.loop_policy import LoopPolicy
from curation.snapshots.manifest import CardTexts
from curation.training_rows import TrainingPolicy
from curation_assets.reviews.dataset import REVIEWS, SOURCES
from curation_assets.reviews.policy import REVIEWS_CARD, REVIEWS_LOOP, REVIEWS_PAGE, REVIEWS_POLICY

if TYPE_CHECKING:
    from feedback_service.datasets import ServedDataset


@dataclass(frozen=True)
class Declared:
    """A dataset with its sources file, the names of its marts, its policies, its labelling page and its card."""

    dataset: Dataset
    sources: Path
    curated: str
    fates: str
    batches: str
    feedback: str
    snapshot: str
    model: str
    champion: str
    predictions: str
    queue: str
    label_value: str
    policy: TrainingPolicy
    training: TrainingSettings
    loop: LoopPolicy
    labelling: LabellingPage
    card: CardTexts

    def __post_init__(self) -> None:
        self.labelling.check_labels(self.dataset.name, self.policy.labels)

    @property
    def marts(self) -> tuple[str, str, str]:
        """The public tables that dbt ends with."""
        return self.curated, self.fates, self.batches


DATASETS = {
    REVIEWS.name: Declared(
        dataset=REVIEWS,
        sources=SOURCES,
        curated="curated_reviews",
        fates="review_fates",
        batches="review_batches",
        feedback="curated_review_feedback",
        snapshot="review_training_snapshot",
        model="sentiment_model",
        champion="sentiment_champion",
        predictions="review_predictions",
        queue="review_label_queue",
        label_value="review_label_value",
        policy=REVIEWS_POLICY,
        training=TrainingSettings(),
        loop=REVIEWS_LOOP,
        labelling=REVIEWS_PAGE,
        card=REVIEWS_CARD,
    )
}


PROMPTS = {known.name: known for known in (PromptDataset(name="assistant"),)}
"""Datasets of prompts and answers: judged by preference, exported for TRL, trained on elsewhere."""


def labels_by_dataset() -> dict[str, tuple[str, ...]]:
    """What may be said of each dataset's items; of prompts, of pairs of answers."""
    return {name: known.policy.labels for name, known in DATASETS.items()} | dict.fromkeys(PROMPTS, PREFERENCES)


def served_datasets() -> "dict[str, ServedDataset]":
    """What the feedback service must know of each dataset."""
    from feedback_service.datasets import ServedDataset

    return {
        name: ServedDataset(
            labels=known.policy.labels,
            labelling=known.labelling,
            test_from=known.policy.test_from,
            retrain_after=known.loop.retrain_after,
            assets={
                "curated": known.curated,
                "feedback": known.feedback,
                "snapshot": known.snapshot,
                "model": known.model,
                "champion": known.champion,
                "predictions": known.predictions,
                "queue": known.queue,
                "label_value": known.label_value,
            },
        )
        for name, known in DATASETS.items()
    }


def declared(name: str) -> Declared:
    """The dataset of that name; CurationError names those there are."""
    if name not in DATASETS:
        what = f"{name!r} is a dataset of prompts and answers" if name in PROMPTS else f"there is no dataset {name!r}"
        raise CurationError(what, f"one of: {', '.join(sorted(DATASETS))}")
    return DATASETS[name]


def declared_prompts(name: str) -> PromptDataset:
    """The dataset of prompts of that name; CurationError names those there are."""
    if name not in PROMPTS:
        what = "is no dataset of prompts and answers" if name in DATASETS else "is no dataset"
        raise CurationError(
            f"{name!r} {what}", f"one of: {', '.join(sorted(PROMPTS))}; docs/preferences.md says how to declare one"
        )
    return PROMPTS[name]


def declared_source(known: Declared, name: str) -> Source:
    """The source of that name; CurationError names the nearest one, or how to declare it."""
    sources = load_sources(known.sources, known.dataset)
    if valid_name(name, "source") not in sources:
        near = difflib.get_close_matches(name, sources, n=1)
        meant = f"did you mean {near[0]}? Else declare it" if near else "declare it"
        raise CurationError(
            f"{known.dataset.name} has no source {name!r}; there are {', '.join(sorted(sources))}",
            f"{meant}: curation sources draft {name} FILE --write",
        )
    return sources[name]
