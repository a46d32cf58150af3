"""Sorts the rows of a batch in bounded memory: beyond it in sorted runs on disk, merged by keys that stay in memory (24 bytes a row).

Knows the columns it sorts by and nothing else of what a row means.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from pyarrow import ipc

HELD_BYTES = 640 * 1024 * 1024  # 1,000,000 reviews stay in memory; writing them to disk and back cost 3 of 12 CPU s
RUN_BYTES = 96 * 1024 * 1024  # 5,000,000 reviews make 28 runs
SPILL_ROWS = 2048  # read back at a time from each run, about 1 MB
Keys = tuple[npt.NDArray[Any], ...]
Positions = npt.NDArray[np.intp]


class SortedRows:
    """Rows that come in any order and leave in that of their keys; equal keys keep the order in which they came."""

    def __init__(self, folder: Path, *, held_bytes: int = HELD_BYTES, run_bytes: int = RUN_BYTES) -> None:
        self._folder = folder
        self._limit_bytes = held_bytes
        self._run_bytes = run_bytes
        self._held: list[_Held] = []
        self._held_bytes = 0
        self._runs: list[_Run] = []
        self.count = 0

    def add(self, batch: pa.RecordBatch, keys: Keys) -> None:
        """Rows and their keys, the most significant first, each an array of numbers."""
        if batch.num_rows == 0:
            return
        self._held.append(_Held(pa.Table.from_batches([batch]), keys))
        self._held_bytes += batch.nbytes
        self.count += batch.num_rows
        if self._held_bytes > self._limit_bytes:
            self._spill()

    def blocks(self, rows: int) -> Iterator[pa.Table]:
        """All rows in order, in tables of `rows` (the last one shorter)."""
        pieces: list[_Held | _Run] = [*self._runs, *self._held]
        if not pieces:
            return
        order = _order([piece.keys for piece in pieces])
        starts = np.cumsum([0, *(len(piece.keys[0]) for piece in pieces)])
        for first in range(0, self.count, rows):
            positions = order[first : first + rows]
            ascending = np.sort(positions)
            bounds = np.searchsorted(ascending, starts)
            taken = [
                piece.take(ascending[low:high] - start)
                for piece, start, low, high in zip(pieces, starts, bounds, bounds[1:], strict=False)
                if low < high
            ]
            table = pa.concat_tables(taken).combine_chunks()
            yield table if _is_ascending(positions) else table.take(pa.array(np.searchsorted(ascending, positions)))

    def _spill(self) -> None:
        """Write what is held to disk, as sorted runs."""
        while self._held:
            group = [self._held.pop(0)]
            while self._held and sum(held.table.nbytes for held in group) < self._run_bytes:
                group.append(self._held.pop(0))
            order = _order([held.keys for held in group])
            keys = tuple(np.concatenate(parts)[order] for parts in zip(*(held.keys for held in group), strict=True))
            table = pa.concat_tables([held.table for held in group]).combine_chunks().take(pa.array(order))
            self._runs.append(_Run(table, keys, self._folder / f"run{len(self._runs)}.arrow"))
        self._held_bytes = 0


class _Held:
    """Rows in memory, as they came."""

    def __init__(self, table: pa.Table, keys: Keys) -> None:
        self.table = table
        self.keys = keys

    def take(self, positions: Positions) -> pa.Table:
        """The rows at these positions, which ascend."""
        first, last = int(positions[0]), int(positions[-1])
        if last - first + 1 == len(positions):
            return self.table.slice(first, len(positions))
        return self.table.take(pa.array(positions))


class _Run:
    """A sorted run on disk. What is taken from it are always its next rows, for both it and the blocks are sorted."""

    def __init__(self, table: pa.Table, keys: Keys, path: Path) -> None:
        self.keys = keys
        with ipc.new_file(str(path), table.schema) as writer:
            writer.write_table(table, max_chunksize=SPILL_ROWS)
        self._file = ipc.open_file(pa.OSFile(str(path)))  # not mapped into memory: mapped pages count as ours
        self._next_batch = 0
        self._held = table.schema.empty_table()

    def take(self, positions: Positions) -> pa.Table:
        """The next rows, as many as there are positions."""
        count = len(positions)
        held = [self._held]
        missing = count - self._held.num_rows
        while missing > 0:
            batch = pa.Table.from_batches([self._file.get_batch(self._next_batch)])
            self._next_batch += 1
            held.append(batch)
            missing -= batch.num_rows
        table = pa.concat_tables(held)
        self._held = table.slice(count)
        return table.slice(0, count)


def _order(parts: list[Keys]) -> Positions:
    columns = [np.concatenate(column) for column in zip(*parts, strict=True)]
    return np.lexsort(columns[::-1])


def _is_ascending(positions: Positions) -> bool:
    return bool(np.all(positions[1:] > positions[:-1]))
