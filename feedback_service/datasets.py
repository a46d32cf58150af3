"""What the service must know of a dataset to take in feedback on it and to show its pages: handed over by whoever declares datasets."""

from pydantic import BaseModel, ConfigDict

from curation.labelling.page import LabellingPage


class ServedDataset(BaseModel):
    """One dataset as the service sees it. `assets` names its assets in Dagster by role, for links: champion, predictions, queue, ..."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: tuple[str, ...]
    labelling: LabellingPage
    test_from: float  # the place in [0, 1) from which on items are held out from training
    retrain_after: int  # new labels
    assets: dict[str, str]
