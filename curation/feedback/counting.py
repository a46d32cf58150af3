"""How many new labels have arrived for a dataset: counted in SQL on the drain's connection, before any retrain is asked for.

Only what happened above the watermark is looked at, with the history of the items it touched. No threshold, no decision.
"""

from dataclasses import dataclass

import duckdb

from curation.feedback.voting import label_parameters, latest, majorities, voted
from curation.training_rows import place_of


@dataclass(frozen=True)
class LabelCount:
    """What the events above a watermark have changed. Items are counted once each; `high_seq` is the dataset's newest event."""

    effective: int  # items whose majority is new, another or gone
    tied: int  # items whose last words are split evenly
    held_out: int  # items that would be effective, were they not of the test split
    unmatched: int  # items with an event whose prediction is not known
    events: int
    high_seq: int


def count_labels(
    connection: duckdb.DuckDBPyConnection, dataset: str, labels: tuple[str, ...], watermark: int, test_from: float
) -> LabelCount:
    """What the events of `dataset` with seq above `watermark` have changed, in table `feedback`.

    Effective is a matched item whose majority over its annotators' last words now differs from that over seq <= `watermark`,
    is not tied, and whose place in [0, 1) is below `test_from`: on items of the test split nothing trains. A tie has no
    majority, and neither has an item without votes; an adjudication is the majority (see `voting.majorities`).
    """
    bound = {"dataset": dataset, "watermark": watermark, "test_from": test_from} | label_parameters(labels)
    row = connection.execute(_counting(labels), bound).fetchone()
    assert row is not None
    return LabelCount(*row)


def _counting(labels: tuple[str, ...]) -> str:
    """The one statement. Within it an item's key stands for its id, and the drain has matched every event with its prediction."""
    now, before = (
        majorities(f"({voted(f'({latest(events)})', labels)})")
        for events in ("history", "(select * from history where seq <= $watermark)")
    )
    return f"""
        with recent as materialized (
            select seq, item_key, item_id, is_matched from feedback where seq > $watermark and dataset = $dataset
        ),
        touched as materialized (
            select item_key, any_value({place_of("item_id")}) as place from recent group by item_key
        ),
        history as materialized (
            select seq, $dataset as dataset, item_key as item_id, annotator, kind, label, occurred_at, is_matched, predicted_label
            from feedback semi join touched using (item_key) where seq is not null
        ),
        now as ({now}),
        before as ({before}),
        outcome as (
            select touched.place < $test_from as is_trainable, coalesce(now.is_tied, false) as is_tied,
                now.majority is distinct from before.majority as is_changed
            from touched
            left join now on now.item_id = touched.item_key
            left join before on before.item_id = touched.item_key
        )
        select
            (select count(*) from outcome where is_changed and not is_tied and is_trainable),
            (select count(*) from outcome where is_tied and is_trainable),
            (select count(*) from outcome where is_changed and not is_tied and not is_trainable),
            (select count(distinct item_key) from recent where not is_matched),
            (select count(*) from recent),
            (select greatest($watermark, coalesce(max(seq), 0)) from recent)"""
