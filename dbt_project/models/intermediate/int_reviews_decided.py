"""One row per raw review with its fate. The deciding is `curation.deduplication`; here is only what dbt must know."""


def model(dbt, session):
    from curation.deduplication.decisions import decide

    dbt.config(
        materialized="incremental",
        incremental_strategy="delete+insert",
        unique_key="record_no",
    )
    return decide(
        session,
        dbt.ref("int_reviews_cleaned"),
        key="review_uid",
        decided=str(dbt.this) if dbt.is_incremental else None,
        bands=f'"{dbt.this.schema}"."near_duplicate_bands"',
    )
