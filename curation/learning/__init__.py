"""Learning from snapshots: training, evaluation and the artefact that is scored."""
