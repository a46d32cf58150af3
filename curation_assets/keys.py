"""Asset keys and group names as constants, so that no string literal stands anywhere else."""

import dagster as dg

RAW_REVIEWS = dg.AssetKey("raw_reviews")
STG_REVIEWS = dg.AssetKey("stg_reviews")
INT_REVIEWS_CLEANED = dg.AssetKey("int_reviews_cleaned")
INT_REVIEWS_DECIDED = dg.AssetKey("int_reviews_decided")
CURATED_REVIEWS = dg.AssetKey("curated_reviews")
REVIEW_FATES = dg.AssetKey("review_fates")
REVIEW_BATCHES = dg.AssetKey("review_batches")
REVIEW_SNAPSHOT = dg.AssetKey("review_training_snapshot")
SENTIMENT_MODEL = dg.AssetKey("sentiment_model")
FEEDBACK = dg.AssetKey("feedback")
CURATED_REVIEW_FEEDBACK = dg.AssetKey("curated_review_feedback")
SENTIMENT_CHAMPION = dg.AssetKey("sentiment_champion")
REVIEW_PREDICTIONS = dg.AssetKey("review_predictions")
REVIEW_LABEL_QUEUE = dg.AssetKey("review_label_queue")
REVIEW_LABEL_VALUE = dg.AssetKey("review_label_value")

OWNERS = ("team:data-curation",)
