"""What reviews decide: labels from ratings, splits, sizes, how people label them, what their card says. One place, plain values."""

from pathlib import Path

from curation.labelling.page import LabelKey, LabellingPage
from curation.loop_policy import LoopPolicy
from curation.snapshots.manifest import CardTexts
from curation.training_rows import TrainingPolicy

REVIEWS_POLICY = TrainingPolicy(
    labels=("negative", "neutral", "positive"),
    # A row without a rating has no score and no label of its own: null, and it trains nothing.
    label_sql="case when score <= 0.4 then 'negative' when score >= 0.6 then 'positive' when score is not null then 'neutral' end",
)

REVIEWS_LOOP = LoopPolicy(retrain_after=100)

REVIEWS_PAGE = LabellingPage(
    title="Reviews",
    guidelines="""\
How does the writer feel about what is reviewed? Judge the words in front of you, as most readers would.

- negative: they regret it, or warn others off.
- neutral: good and bad weigh the same, or only facts are told.
- positive: they are content, or recommend it.
- spam: no review at all: advertising, a wrong page, nonsense.

Irony counts as what it means. A complaint about delivery alone says nothing about the thing: it is neutral.

Skip what you cannot judge, such as a language that you do not read. A skip costs nothing; a guess does.""",
    keys=(
        LabelKey(label="negative", key="1", name="Negative"),
        LabelKey(label="neutral", key="2", name="Neutral"),
        LabelKey(label="positive", key="3", name="Positive"),
        LabelKey(label="spam", key="x", name="Spam"),
    ),
    fields={
        "title": "title",
        "text": "text",
        "source": "source",
        "date": "strftime(coalesce(reviewed_at, day), '%Y-%m-%d')",
        "rating": "rating",
        "language": "language",
    },
    item_template=Path(__file__).with_name("item.html"),
    hidden=("rating",),
    skip_reasons=("not sure", "not my language", "cannot be read"),
)

REVIEWS_CARD = CardTexts(
    pretty_name="Curated reviews",
    description="Product and film reviews with a sentiment label derived from their stars; spam, empty texts and duplicates are out.",
    licence="unknown",
    language=("en",),
)
