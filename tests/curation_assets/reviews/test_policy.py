"""What reviews decide: labels from scores, and none where nobody gave stars."""

import duckdb

from curation_assets.reviews.policy import REVIEWS_POLICY


def test_the_label_follows_from_the_score_and_a_review_without_stars_has_none() -> None:
    scores = [0.0, 0.25, 0.4, 0.5, 0.6, 0.75, 1.0, None]
    with duckdb.connect() as connection:
        labels = [
            connection.execute(f"select {REVIEWS_POLICY.label_sql} from (select ?::double as score)", [score]).fetchall()[0][0]
            for score in scores
        ]
    assert labels == ["negative"] * 3 + ["neutral"] + ["positive"] * 3 + [None]
