{# Raw Parquet as relations: one view a dataset below schema `raw`, typed and empty where nothing has landed yet. #}

{% macro lake() %}{{ return(env_var('CURATION_HOME', 'data') ~ '/lake') }}{% endmacro %}

{% macro register_raw() %}
  {% if execute %}
    {% do run_query('create schema if not exists raw') %}
    {# Before any model's transaction: a Python model writes through a connection of its own, which that would not see. #}
    {% do run_query('create table if not exists ' ~ target.schema ~ '.model_epochs (model varchar primary key, epoch varchar)') %}
    {% for source in graph.sources.values() if source.source_name == 'raw' %}
      {% do run_query('create or replace view raw.' ~ source.name ~ ' as ' ~ raw_rows(source)) %}
    {% endfor %}
  {% endif %}
{% endmacro %}

{% macro raw_rows(source) %}
  {% set folder = lake() ~ '/ledger/' ~ source.name ~ '/seq=*' %}
  {% if has_files(folder ~ '/raw.parquet') %}
    {% set rows %}
      select * from read_parquet('{{ folder }}/raw.parquet', hive_partitioning = true, hive_types = {'seq': bigint})
      {% if has_files(folder ~ '/removed.parquet') %}
      where record_no not in (select record_no from read_parquet('{{ folder }}/removed.parquet'))
      {% endif %}
    {% endset %}
  {% else %}
    {% do log('No raw ' ~ source.name ~ ' below ' ~ lake() ~ ' yet: models are built empty. `uv run curation demo` makes some.', info=True) %}
    {% set rows %}
      select {% for column in source.columns.values() %}cast(null as {{ column.data_type }}) as {{ column.name }}{{ ', ' if not loop.last }}{% endfor %} where false
    {% endset %}
  {% endif %}
  {{ return(rows) }}
{% endmacro %}

{% macro has_files(pattern) %}
  {{ return(run_query("select count(*) from glob('" ~ pattern ~ "')").columns[0].values()[0] > 0) }}
{% endmacro %}
