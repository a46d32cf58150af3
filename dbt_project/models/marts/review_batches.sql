-- One row per batch: how many of its records that met the contract had which fate.
select
    cleaned.source,
    cleaned.day,
    count(*) filter (decided.fate = 'spam') as spam,
    count(*) filter (decided.fate = 'empty') as empty,
    count(*) filter (decided.fate = 'exact_duplicate') as exact_duplicate,
    count(*) filter (decided.fate = 'near_duplicate') as near_duplicate,
    count(*) filter (decided.fate = 'superseded') as superseded,
    count(*) filter (decided.fate = 'kept') as kept
from {{ ref('int_reviews_decided') }} as decided
inner join {{ ref('int_reviews_cleaned') }} as cleaned using (record_no)
group by all
