"""One row per raw review with its fate. The deciding is `curation.deduplication`; here is only what dbt must know."""

from curation.deduplication.decisions import decide


def model(dbt, session):
    dbt.config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="record_no",
        pre_hook="select 1",  # opens the transaction in which the bands and the decisions are committed together
    )
    return decide(
        session,
        dbt.ref("int_reviews_cleaned"),
        key="review_uid",
        decided=str(dbt.this) if dbt.is_incremental else None,
        bands=f'"{dbt.this.schema}"."near_duplicate_bands"',
    )
