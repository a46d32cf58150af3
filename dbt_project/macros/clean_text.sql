{#-
  Clean text and its flags. Role: the rules that turn a review as it came into the text that is compared, counted and learned
  from; the original stays in its own column. Must not hold what a text is worth (spam_rule.sql) nor references to models.
  Plain Jinja and DuckDB's SQL; `fold_characters` is curation/text.py's, registered by resources/dbt_plugin.py.
  Every step refers to its input once: DuckDB inlines, so a guard around each step would evaluate the former steps again.
-#}

{#- False for 76% of reviews: printable ASCII without markup, reference, double space or evidence of spam, whose clean text is
    its lower case, which has no flag and meets no spam rule. One search of .09 CPU s for 100,000 reviews stands for one each in
    clean_text, has_mojibake and spam_rule: compute it as a column once and hand it to them as `looked`. -#}
{%- macro needs_a_look(column) -%}
  regexp_matches({{ column }}, '(?i)[<&]|[^ -~]|  |^ | $|{{ spam_evidence() }}')
{%- endmacro -%}

{#- Lower case, and by Python what SQL cannot do: references decoded, invisible characters out, NFKC. -#}
{%- macro folded_characters(column) -%}
  case when regexp_matches({{ column }}, '[^\t-\r -%''-~]') then fold_characters({{ column }}) else lower({{ column }}) end
{%- endmacro -%}

{#- Comments, scripts, styles, tags, declarations; each becomes a space, so that `one<br />two` stays two words. A tag is a name
    right behind `<` and then nothing, boolean attributes or `attribute=`: `a < b`, `<3` and `x<y and y>z` are text. -#}
{%- macro without_tags(lower_case_text) -%}
  regexp_replace({{ lower_case_text }}, '(?s)<!--.*?-->'
    || '|<(?:script|style)\b[^<>]*>.*?</(?:script|style)\s*>'
    || '|</?[a-z][a-z0-9:-]*(?:\s+(?:async|autoplay|checked|controls|defer|disabled|hidden|loop|muted|nowrap|readonly|required|selected))*(?:\s+[a-z_:@][a-z0-9_.:-]*\s*=(?:(?:"[^"<]*"|''[^''<]*''|[^<>"''])*|[^<>]*))?\s*/?\s*>'
    || '|<[!?][a-z\[][^<>]*>', ' ', 'g')
{%- endmacro -%}

{#- The tag that a text cut short ends with: `<br /`, `</p`, `<a href="http://exam`. -#}
{%- macro without_cut_tag(text) -%}
  regexp_replace({{ text }}, '<(?:br\s*/?|/[a-z][a-z0-9]*|[a-z][a-z0-9]*(?:\s+[a-z][a-z0-9-]*=(?:"[^"<>]*"|"[^"\s<>]*|''[^''<>]*''|''[^''\s<>]*|[^"''\s<>]+))+)\s*$', '')
{%- endmacro -%}

{#- White space of any kind to one space, none at the ends; C1 controls too, for in IMDB's 25,000 reviews 2,505 of them stand
    for a dash or an ellipsis, many between two words. -#}
{%- macro folded_white_space(text) -%}
  regexp_replace(regexp_replace({{ text }}, '[ \t-\r\x{80}-\x{9f}\x{1680}\x{2028}\x{2029}]{2,}|[\t-\r\x{80}-\x{9f}\x{1680}\x{2028}\x{2029}]', ' ', 'g'), '^ | $', '', 'g')
{%- endmacro -%}

{#- The clean text of a column. Characters come before tags, so that `&lt;br /&gt;` is the tag it was. Cleaning clean text changes
    nothing, unless it spells a reference or holds tags within tags. -#}
{%- macro clean_text(column, looked=none) -%}
  case when {{ looked or needs_a_look(column) }}
    then {{ folded_white_space(without_cut_tag(without_tags(folded_characters(column)))) }}
    else lower({{ column }}) end
{%- endmacro -%}

{#- Whether text looks like UTF-8 read as Latin-1 or Windows-1252 (the é that became Ã©, the apostrophe that became â€™), or
    holds C1 controls (Windows-1252 read as Latin-1). Flagged on the original; what it was is not guessed. -#}
{%- macro has_mojibake(column, looked=none) -%}
  {%- set tail -%} [\x{80}-\x{bf}€‚ƒ„…†‡ˆ‰Š‹ŒŽ‘’“”•–—˜™š›œžŸ] {%- endset -%}
  case
    {%- if looked %}
    when not {{ looked }} then false
    {%- endif %}
    when strlen({{ column }}) = length({{ column }}) then false
    else regexp_matches({{ column }}, '[\x{80}-\x{84}\x{86}-\x{9f}]|â€|ï¿½|ï»¿|ðŸ|Â[\x{a1}-\x{bf}]|[a-z]?Ã[\x{a1}-\x{bf}€‚ƒ„…†‡ˆ‰Š‹Œ˜™š›œžŸ]|[a-z]Ã[\x{a0}‘’“”•–—]|(?:[ÐÑ]{{ tail }}){2}|(?:[ãäåæçèéêëìí]{{ tail }}{{ tail }}){2}')
  end
{%- endmacro -%}

{#- Whether text holds U+FFFD, the mark of bytes that were lost before they came here; ask the clean text, which also shows
    those that were written as a reference. -#}
{%- macro has_replacement_character(text) -%}
  contains({{ text }}, chr(65533))
{%- endmacro -%}
