"""What a review is: the canonical fields that every source maps into. No paths, no rules, no Dagster."""

from pathlib import Path

from curation.dataset import Dataset, Field

REVIEWS = Dataset(
    name="reviews",
    key="review_uid",
    ordered_by="reviewed_at",
    subject="user_id",
    fields=(
        Field(name="native_id", type="string", description="The review's id at its source; absent where the source gives none."),
        Field(name="user_id", type="string", description="Who wrote it, as the source names them."),
        Field(name="item_id", type="string", description="What it is about."),
        Field(name="rating", type="rating", required=True, description="The stars, on the source's own scale."),
        Field(name="title", type="string", description="Headline, original."),
        Field(name="text", type="string", required=True, description="The review, original."),
        Field(name="reviewed_at", type="timestamp", description="When it was written, UTC."),
        Field(name="helpful_votes", type="integer", description="How many readers found it helpful."),
    ),
)

SOURCES = Path(__file__).with_name("sources.yaml")
"""The declared sources of reviews."""
