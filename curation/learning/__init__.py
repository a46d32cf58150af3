"""Learning from snapshots: training, evaluation and the artefact that is scored; and one label from the votes of several."""

from curation.learning.resolution import Resolution, resolve

__all__ = ["Resolution", "resolve"]
