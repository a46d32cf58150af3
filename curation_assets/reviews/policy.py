"""What reviews decide about training: labels from ratings, splits, sizes, and what their card says. One place, plain values."""

from curation.loop_policy import LoopPolicy
from curation.snapshots.manifest import CardTexts
from curation.training_rows import TrainingPolicy

REVIEWS_POLICY = TrainingPolicy(
    labels=("negative", "neutral", "positive"),
    # A row without a rating has no score and no label of its own: null, and it trains nothing.
    label_sql="case when score <= 0.4 then 'negative' when score >= 0.6 then 'positive' when score is not null then 'neutral' end",
)

REVIEWS_LOOP = LoopPolicy(retrain_after=100)

REVIEWS_CARD = CardTexts(
    pretty_name="Curated reviews",
    description="Product and film reviews with a sentiment label derived from their stars; spam, empty texts and duplicates are out.",
    licence="unknown",
    language=("en",),
)
