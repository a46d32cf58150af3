-- One row per raw review that met the contract: what became of it, and because of which record or rule.
with others as (
    -- Only what is referred to: joining all rows to all rows would hold every id twice in memory.
    select record_no, record_id
    from {{ ref('int_reviews_cleaned') }}
    where record_no in (select duplicate_of from {{ ref('int_reviews_decided') }} where duplicate_of is not null)
)

select
    decided.record_no,
    cleaned.record_id,
    cleaned.review_uid,
    cleaned.native_id,
    cleaned.source,
    cleaned.day,
    cleaned.file,
    cleaned.line,
    decided.fate,
    decided.rule,
    other.record_id as duplicate_of,
    decided.jaccard,
    greatest(decided.record_no, case when decided.fate = 'superseded' then decided.duplicate_of else 0 end) >> 32 as decided_at_seq
from {{ ref('int_reviews_decided') }} as decided
inner join {{ ref('int_reviews_cleaned') }} as cleaned using (record_no)
left join others as other on other.record_no = decided.duplicate_of
