"""Values bound to SQL without pandas. DuckDB imports it (0.3 s) to look at the first Python value that it is handed, or at the first
table of Arrow; NumPy's arrays it takes as they are. For commands, which start anew for every question.
"""

import re
from collections.abc import Mapping, Sequence

import duckdb
import numpy as np

PARAMETER = re.compile(r"""'[^']*'|"[^"]*"|\$(\w+)""")
"""A parameter, after whatever is quoted: a path may hold a dollar."""


def execute_bound(
    connection: duckdb.DuckDBPyConnection, query: str, values: Mapping[str, str | int | float | Sequence[str]]
) -> duckdb.DuckDBPyConnection:
    """The connection with the query executed: each `$name` in it is `values[name]`, a varchar[] where that is several texts.

    The values become variables of the connection. NumPy drops NULs at the end of a text.
    """
    for name, value in values.items():
        if isinstance(value, int | float):
            column, taken = np.array([value]), "any_value(value)"
        elif isinstance(value, str):
            column, taken = np.array([value]), "any_value(value::varchar)"
        else:
            column, taken = np.array(value, dtype=np.str_), "list(value::varchar)"
        connection.register("bound", {"value": column})
        connection.execute(f"set variable {name} = (select {taken} from bound)")
    return connection.execute(
        PARAMETER.sub(lambda found: f"getvariable('{found[1]}')" if found[1] in values else found[0], query)
    )
