{# Rows whose value lies outside [low, high]. An enforced contract coerces numbers silently, so values are tested. #}
{% test within(model, column_name, low, high) %}
select {{ column_name }} from {{ model }} where {{ column_name }} not between {{ low }} and {{ high }}
{% endtest %}
