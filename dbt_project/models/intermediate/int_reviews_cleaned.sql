-- One row per raw review with its clean text, what is odd about it, and the spam rule it matched.
{{ config(materialized='incremental', incremental_strategy='append') }}

with looked as (
    -- One search for anything that could need work; four of five texts need none.
    select * exclude (seq), {{ needs_a_look('text') }} as looked
    from {{ ref('stg_reviews') }}
    where seq > {{ last_seq() }}
),

cleaned as (
    select *, {{ clean_text('text', 'looked') }} as clean_text
    from looked
)

select
    * exclude (looked),
    {{ has_mojibake('text', 'looked') }} as has_mojibake,
    {{ has_replacement_character('clean_text') }} as has_replacement_character,
    clean_text = '' as is_empty,
    {{ spam_rule('clean_text', 'looked') }} as spam_rule
from cleaned
