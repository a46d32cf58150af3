"""A small labelled text set that a model can learn, written by rule; no dataset of the project."""

import numpy as np
import pytest

from curation.learning.classifier import Examples

TELLING = {
    "negative": ["awful", "broken", "refund"],
    "neutral": ["average", "okay", "plain"],
    "positive": ["great", "lovely", "happy"],
}
FILLER = ["the", "box", "arrived", "on", "monday", "with", "a", "cable", "and", "blue", "case"]


@pytest.fixture(scope="session")
def examples() -> Examples:
    """300 texts of twelve words, one of which tells the class; every tenth label is wrong."""
    generator = np.random.default_rng(7)
    texts, labels = [], []
    for number in range(300):
        label = str(generator.choice(list(TELLING)))
        words = [*generator.choice(FILLER, 11), generator.choice(TELLING[label])]
        texts.append(" ".join(generator.permutation(words)))
        labels.append(str(generator.choice(list(TELLING))) if number % 10 == 0 else label)
    return Examples(texts, labels, [1.0] * len(texts))
