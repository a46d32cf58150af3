{# (A developer's file may be pointed at another home: there the epoch names the home too.)
   Incremental models add what is new by ledger number. Where rows were taken back, or the code changed, adding is not enough:
   then the epoch differs and the model is built anew from the whole ledger, in ledger order. Each model's epoch is committed with it. #}

{% macro current_epoch() %}
  {% if not execute %}{{ return('') }}{% endif %}
  {% set removals = run_query("select count(*) from glob('" ~ lake() ~ "/ledger/*/seq=*/removed.parquet')").columns[0].values()[0] %}
  {{ return(var('code_version') ~ '/' ~ removals ~ ('/' ~ lake() if target.name == 'dev' else '')) }}
{% endmacro %}

{% macro record_epoch() %}insert or replace into {{ this.schema }}.model_epochs values ('{{ this.identifier }}', '{{ current_epoch() }}'){% endmacro %}

{# dbt-duckdb 1.11 leaves the table behind through which an incremental Python model is written. #}
{% macro drop_python_leftovers() %}
  {% if execute %}
    {% for name in run_query("select table_name from duckdb_tables() where starts_with(table_name, '" ~ this.identifier ~ "__dbt_tmp')").columns[0].values() %}
      drop table "{{ name }}";
    {% endfor %}
  {% endif %}
{% endmacro %}

{% macro should_full_refresh() %}
  {% if flags.FULL_REFRESH or not execute or config.get('materialized') != 'incremental' %}{{ return(flags.FULL_REFRESH) }}{% endif %}
  {% if load_relation(this) is none %}{{ return(false) }}{% endif %}
  {% set epochs = run_query("select epoch from " ~ this.schema ~ ".model_epochs where model = '" ~ this.identifier ~ "'").columns[0].values() %}
  {{ return((epochs | list) != [current_epoch()]) }}
{% endmacro %}

{# The last ledger number that this model holds; 0 where it starts anew. A literal, so that DuckDB opens newer files only. #}
{% macro last_seq() %}
  {% if not execute or not is_incremental() %}{{ return(0) }}{% endif %}
  {{ return(run_query('select coalesce(max(record_no) >> 32, 0) from ' ~ this).columns[0].values()[0]) }}
{% endmacro %}
