{#-
  The rules that call a text spam. Role: from clean text (clean_text.sql) to the name of the first rule that matches, or null.
  Must not hold cleaning, nor lists of what one spammer wrote: a rule is a claim about spam that an honest review has no reason
  to meet, mostly an offer *and* the way to take it up within a few words. A link, an address or a number alone is no spam.
  What each rule catches and costs on labelled texts: `uv run python -m benchmarks.spam_rules`.
-#}

{%- macro spam_link() -%} https?:|www\.|[a-z0-9]\.(?:com|net|org|biz|info|xyz|top|club|shop|online|site|ru|tv|uk)\b {%- endmacro -%}

{#- What every rule below needs some of, as RE2; 5% of honest reviews have it, the others are spared the rules. -#}
{%- macro spam_evidence() -%}
  {{ spam_link() }}|[0-9]{4}|[$£€] ?[0-9]{1,3},[0-9]{3}|[0-9] ?ppm|[ :]@[a-z]|subscrib|\bsub ?(?:4|for) |check (?:out )?(?:my|our|this)|follow me
{%- endmacro -%}

{#- The name of the first rule that clean text meets, or null. Each rule is one alternation for RE2. `looked` is a column that
    holds needs_a_look(original), when the caller has it: without it the search for evidence reads every text once more. -#}
{%- macro spam_rule(text, looked=none) -%}
  {%- set link -%} (?:{{ spam_link() }}) {%- endset -%}
  {%- set action -%} (?:click|tap|visit|go to|sign up|order (?:now|today)|buy (?:now|today)|shop now|act now|apply|join|claim|download|hurry|get (?:your|yours)) {%- endset -%}
  {%- set offer -%} (?:free (?:gift|cash|money|entry|trial|samples?|ringtones?|iphone|ipad|membership|delivery)|(?:limited|special|exclusive)(?: time)? (?:offer|deal)|gift ?cards?|[0-9]+ ?% (?:off|discount)|(?:discount|promo|promotional|coupon) code|cheap(?:est)? (?:deals?|prices?|meds|pills)|(?:make|earn) (?:easy |extra |real |fast )?(?:money|cash)|work(?:ing)? from home|claim (?:your|ur|yr)|(?:win|won) (?:a |an |up to )?(?:free|prize|[$£€])) {%- endset -%}
  {%- set messenger -%} \b(?:whats ?app|telegram|wechat|viber|kik|skype|snapchat) {%- endset -%}
  {%- set phone -%} \+?[0-9][0-9 ().-]{5,}[0-9] {%- endset -%}
  {%- set ask -%} (?:call|txt|text|dial|ring|phone|reply|send|www\.|https?:) {%- endset -%}
  {%- set won -%} (?:\b(?:you|u|ur|your|yr|you''?ve)\b.{0,40}\b(?:won|win|winner|awarded|selected|chosen|entitled|credited)\b|\bclaim (?:your|ur|yr|the)\b|\b(?:prize|guaranteed|winner|unclaimed|un-?redeemed|reward|draw)\b) {%- endset -%}
  case
    {%- if looked %}
    when not {{ looked }} then null
    {%- endif %}
    when not regexp_matches({{ text }}, '{{ spam_evidence() }}') then null
    when regexp_matches({{ text }}, '\b{{ action }}\b.{0,60}{{ offer }}.{0,60}{{ link }}|{{ offer }}.{0,60}\b{{ action }}\b.{0,60}{{ link }}|{{ link }}\S*.{0,40}\b{{ action }}\b.{0,40}{{ offer }}')
      then 'offer_with_link'
    when regexp_matches({{ text }}, '{{ messenger }}[^a-z0-9@+]{0,4}(?:(?:me|us|on|at|to|number|no|id|via|user ?name|is|group|channel)[^a-z0-9@+]{1,3}){0,3}(?:{{ phone }}|@[a-z0-9_.]{3})')
      then 'messenger_contact'
    when regexp_matches({{ text }}, '\b(?:earn|make|making|earning|made)\b.{0,20}(?:[$£€] ?[0-9][0-9,.]*k?|[0-9][0-9,.]*k? ?(?:dollars|euros|pounds|usd|eur|gbp)).{0,6}\b(?:hour|hr|day|daily|week|weekly|wk|month|monthly)\b.{0,80}(?:from home|online|{{ link }}|@[a-z0-9]|{{ phone }})')
      then 'income_promise'
    when regexp_matches({{ text }}, '{{ won }}.{0,120}\b{{ ask }}.{0,40}[0-9]{5}|\b{{ ask }}.{0,40}[0-9]{5}.{0,80}{{ won }}')
      then 'prize_with_contact'
    when regexp_matches({{ text }}, '\b(?:txt|text|sms|reply|send)\b(?:[^a-z0-9]{1,4}[a-z0-9]+){0,4}[^a-z0-9]{1,4}(?:to|2)\b(?: no\.?:?| number)?[^a-z0-9]{1,2}(?:[03-9][0-9]{3}|[0-9]{5,6})\b')
      then 'text_to_short_code'
    when regexp_matches({{ text }}, '\b(?:call|ring|dial|phone|tel|chat|contact|now|on)\b.{0,40}\b09[0-9]{2}[ -]?[0-9]{3}[ -]?[0-9]{3,4}\b|\b0(?:87[0-9]|9[0-9]{2})[ -]?[0-9]{3}[ -]?[0-9]{3,4}.{0,80}[0-9] ?p(?:pm|/| ?per)|\b1?[ -]?900[ -][0-9]{3}[ -][0-9]{4}\b')
      then 'premium_number'
    when regexp_matches({{ text }}, '(?:[0-9] ?p ?(?:/|per|pr|a)? ?(?:msg|message|txt|text|min|wk|week|tone|sms)|[0-9] ?ppm|[£$€] ?[0-9.,]+ ?(?:/|per|pw) ?(?:msg|message|txt|text|wk|week|tone)|\b(?:txt|send|text|reply) stop\b|\bstop\b.{0,12}to [0-9]{4,6}|\bopt ?out\b|\bunsub).{0,160}(?:[0-9]{5}|www\.|\b1[68]\+|stop)|(?:[0-9]{5}|www\.|free ?msg).{0,160}(?:[0-9] ?p ?(?:/|per|pr|a)? ?(?:msg|message|txt|text|min|wk|week|tone|sms)|[0-9] ?ppm|[£$€] ?[0-9.,]+ ?(?:/|per|pw) ?(?:msg|message|txt|text|wk|week|tone)|\b(?:txt|send|text|reply) stop\b|\bopt ?out\b|\bunsub)')
      then 'paid_message_terms'
    when regexp_matches({{ text }}, '\bsubscri(?:be|bing)\b.{0,25}\b(?:my|our)\b.{0,20}\bchannel|\bsubscribe (?:to (?:me|us|my|our)|me)\b|\bsub(?:scribe)? ?(?:4|for) ?sub|\b(?:i''?ll|i will) sub(?:scribe)? (?:back|to you)|\bcheck (?:out )?(?:my|our) (?:[a-z-]+ ){0,2}(?:channel|page|website|web site|site|instagram|facebook|twitter|playlist|music|covers?|vids|videos)\b|\bfollow me (?:on|at|@)|^check out this (?:video|playlist) on youtube.{0,20}$')
      then 'self_promotion'
    when regexp_matches({{ text }}, '^[^a-z0-9\x{80}-\x{10ffff}]*(?:(?:https?:|www\.)\S+ ?)+$')
      then 'link_without_words'
    else null
  end
{%- endmacro -%}
