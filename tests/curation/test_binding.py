"""Values bound without pandas: they come out as they went in, whatever they hold, and nothing quoted in the query is touched."""

import subprocess
import sys

import duckdb
import pytest

from curation.binding import execute_bound


@pytest.mark.parametrize("value", ["", 'it\'s "so"; drop table t --', "$other", "a\0b", "né 日本 🎈", 7, 2**40, -0.5])
def test_a_value_comes_out_as_it_went_in(value: str | float) -> None:
    with duckdb.connect() as connection:
        assert execute_bound(connection, "select $value, $other", {"value": value, "other": "x"}).fetchall() == [(value, "x")]


def test_several_texts_are_a_list_and_none_are_no_rows() -> None:
    query = "select word from (values ('a'), ('b'), ('c')) as words(word) where word in (select unnest($wanted)) order by 1"
    with duckdb.connect() as connection:
        assert execute_bound(connection, query, {"wanted": ["c", "a", "c"]}).fetchall() == [("a",), ("c",)]
        assert execute_bound(connection, query, {"wanted": []}).fetchall() == []


def test_a_dollar_within_quotes_is_no_parameter_and_a_table_may_be_made() -> None:
    with duckdb.connect() as connection:
        execute_bound(connection, """create table t as select 'it''s $value' as "$value", $value as b""", {"value": "x"})
        assert connection.execute("""select "$value", b from t""").fetchall() == [("it's $value", "x")]


def test_a_parameter_without_a_value_is_refused() -> None:
    with duckdb.connect() as connection, pytest.raises(duckdb.InvalidInputException, match="missing"):
        execute_bound(connection, "select $value, $missing", {"value": "x"})


def test_pandas_is_not_imported() -> None:
    script = (
        "import sys, duckdb; from curation.binding import execute_bound; "
        "told = execute_bound(duckdb.connect(), 'select $a, $b, $c, now()', {'a': 'x', 'b': 1, 'c': ['y']}).fetchall(); "
        "print('pandas' in sys.modules, told[0][:3])"
    )
    told = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True, timeout=60).stdout
    assert told == "False ('x', 1, ['y'])\n"
