-- One row per kept review: the first accepted of its copies, with their number and the median of their ratings.
with copies as (
    select
        decided.duplicate_of as record_no,
        count(*) as copies,
        list((cleaned.rating - cleaned.rating_min) / (cleaned.rating_max - cleaned.rating_min)) as scores
    from {{ ref('int_reviews_decided') }} as decided
    inner join {{ ref('int_reviews_cleaned') }} as cleaned using (record_no)
    where decided.fate in ('exact_duplicate', 'near_duplicate')
    group by 1
),

kept as (
    select
        cleaned.*,
        coalesce(copies.copies, 0) as copies,
        list_median(list_append(copies.scores, (cleaned.rating - cleaned.rating_min) / (cleaned.rating_max - cleaned.rating_min))) as median_score
    from {{ ref('int_reviews_cleaned') }} as cleaned
    inner join {{ ref('int_reviews_decided') }} as decided using (record_no)
    left join copies using (record_no)
    where decided.fate = 'kept'
)

select
    review_uid, record_no, record_id, source, day, file, line, native_id, user_id, item_id,
    title, text, clean_text,
    case when copies = 0 then rating else round(rating_min + median_score * (rating_max - rating_min), 6) end as rating,
    case when copies = 0 then (rating - rating_min) / (rating_max - rating_min) else median_score end as score,
    copies, reviewed_at, helpful_votes, extra, has_mojibake, has_replacement_character
from kept
