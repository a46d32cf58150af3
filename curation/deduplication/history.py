"""What the near-duplicate search remembers between runs: one table of bands, in the database of the model it serves.

One row per distinct text that was ever compared; which row holds a text, and whether it still stands, is asked of the decided
table. Written on the caller's connection and in its transaction, so that bands and decisions are committed together or not at
all. No decisions here.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.deduplication.kernels import BANDS

BAND_COLUMNS = tuple(f"band_{band:02d}" for band in range(BANDS))


class BandHistory:
    """The table `table` (a quoted name): text_no, a dense number; text_hash; one 32-bit hash a band."""

    def __init__(self, session: Any, table: str, *, start_afresh: bool) -> None:
        """Use the table, made when absent; `start_afresh` drops what it held.

        Raises ValueError when `session` has no transaction open: its bands would be committed without the decisions.
        """
        _require_transaction(session)
        self._session, self._table = session, table
        if start_afresh:
            session.execute(f"drop table if exists {table}")
        columns = ", ".join(f"{name} uinteger not null" for name in BAND_COLUMNS)
        session.execute(f"create table if not exists {table} (text_no uinteger not null, text_hash bigint not null, {columns})")
        self._size_before = self.size = int(session.execute(f"select coalesce(max(text_no) + 1, 0) from {table}").fetchone()[0])

    def known(self, text_hashes: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.uint32]]:
        """(text_hash, text_no) of those of the given texts that were remembered before this run."""
        if self._size_before == 0:
            return np.empty(0, dtype=np.int64), np.empty(0, dtype=np.uint32)
        query = f"select text_hash, text_no from {self._table} where text_no < {self._size_before}"
        found = select_among(self._session, query, "text_hash", text_hashes)
        return found["text_hash"].to_numpy(), found["text_no"].to_numpy()

    def hashes_of(self, text_nos: npt.NDArray[np.uint32]) -> npt.NDArray[np.int64]:
        """text_hash of each of the given numbers, which ascend."""
        query = f"select text_no, text_hash from {self._table}"
        found = select_among(self._session, query, "text_no", text_nos).sort_by("text_no")
        return np.asarray(found["text_hash"].to_numpy(), dtype=np.int64)

    def append(self, text_hashes: npt.NDArray[np.int64], bands: npt.NDArray[np.uint32]) -> None:
        """Remember new texts, numbered on from the last; `bands` is (len(text_hashes), 20)."""
        numbers = np.arange(self.size, self.size + text_hashes.size, dtype=np.uint32)
        columns = {name: np.ascontiguousarray(bands[:, band]) for band, name in enumerate(BAND_COLUMNS)}
        self._session.register("new_bands", pa.table({"text_no": numbers, "text_hash": text_hashes, **columns}))
        self._session.execute(f"insert into {self._table} select * from new_bands")
        self._session.unregister("new_bands")
        self.size += text_hashes.size

    def band(self, band: int) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
        """One band of every text: (hash, text_no), in no order."""
        found = self._session.execute(f"select {BAND_COLUMNS[band]} as hash, text_no from {self._table}").to_arrow_table()
        return found["hash"].to_numpy(), found["text_no"].to_numpy()


def select_among(session: Any, query: str, column: str, values: npt.NDArray[Any]) -> pa.Table:
    """The rows of `query` whose `column` is among `values`."""
    session.register("wanted", pa.table({"value": values}))
    found = session.execute(f"from ({query}) where {column} in (select value from wanted)").to_arrow_table()
    session.unregister("wanted")
    return found


def _require_transaction(session: Any) -> None:
    """Within one transaction two statements see the same number; each has its own when every statement commits by itself."""
    first, second = (session.execute("select txid_current()").fetchone()[0] for _ in range(2))
    if first != second:
        raise ValueError("decisions need an open transaction on the session, or a kill could separate them from their bands")
