"""What a dataset decides about its feedback loop: when to retrain, what to ask people, how rows weigh, when a challenger takes over.

Plain values in one place; the rules that they feed stand in `curation.feedback` and `curation.learning`.
"""

from pydantic import BaseModel, ConfigDict, Field

from curation.drift.policy import DriftPolicy
from curation.learning.gate import GatePolicy
from curation.learning.selection import QueuePolicy
from curation.learning.weighting import SamplingPolicy


class LoopPolicy(BaseModel):
    """The defaults suit a dataset of some ten thousand rows and a handful of annotators."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    retrain_after: int = Field(default=100, ge=1)  # new labels, counted as `curation.feedback.counting` does
    minimum_matched_share: float = Field(default=0.5, ge=0, le=1)  # of last words; below it something sends us foreign feedback
    control_labels: int = Field(default=1000, ge=1)  # the newest of the control arm that a challenger is judged on
    queue: QueuePolicy = QueuePolicy()
    sampling: SamplingPolicy = SamplingPolicy()
    gate: GatePolicy = GatePolicy()
    drift: DriftPolicy = DriftPolicy()
