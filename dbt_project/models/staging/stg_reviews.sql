-- One row per raw review, as the contract let it in.
select
    record_no, record_id, review_uid, content_hash, source, day, file, line,
    native_id, user_id, item_id, rating, rating_min, rating_max, title, text, reviewed_at, helpful_votes, extra, seq
from {{ source('raw', 'reviews') }}
