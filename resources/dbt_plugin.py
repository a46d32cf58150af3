"""dbt-duckdb's plugin: gives every connection that dbt opens the functions of `curation.text` that the macros call.

profiles.yml names it (`plugins: [{module: resources.dbt_plugin}]`). It registers; what the functions do is the library's.
"""

from typing import TYPE_CHECKING

from dbt.adapters.duckdb.plugins import BasePlugin

from curation import text

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


class Plugin(BasePlugin):
    """Found by dbt-duckdb under this name."""

    def configure_connection(self, conn: "DuckDBPyConnection") -> None:
        """Once for each database that dbt opens: its cursors share the catalogue and with it the functions."""
        text.register(conn)
