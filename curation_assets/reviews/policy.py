"""What reviews decide about training: labels from ratings, splits, sizes, and what their card says. One place, plain values."""

from curation.snapshots.manifest import CardTexts
from curation.training_rows import TrainingPolicy

REVIEWS_POLICY = TrainingPolicy(
    labels=("negative", "neutral", "positive"),
    label_sql="case when score <= 0.4 then 'negative' when score >= 0.6 then 'positive' else 'neutral' end",
)

REVIEWS_CARD = CardTexts(
    pretty_name="Curated reviews",
    description="Product and film reviews with a sentiment label derived from their stars; spam, empty texts and duplicates are out.",
    licence="unknown",
    language=("en",),
)
