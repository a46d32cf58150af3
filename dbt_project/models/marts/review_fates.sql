-- One row per raw review that met the contract: what became of it, and because of which record or rule.
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
left join {{ ref('int_reviews_cleaned') }} as other on other.record_no = decided.duplicate_of
