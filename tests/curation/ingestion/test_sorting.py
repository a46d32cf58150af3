"""Sorting rows within bounded memory gives one order, wherever the rows were kept meanwhile."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from curation.ingestion.sorting import SortedRows


@pytest.mark.parametrize("held_bytes", [0, 2000, 10**9])
def test_rows_are_sorted_alike_in_memory_and_on_disk(tmp_path: Path, held_bytes: int) -> None:
    numbers = np.random.default_rng(3)
    rows = SortedRows(tmp_path, held_bytes=held_bytes, run_bytes=1500)
    expected = []
    for place in range(30):
        first, second = numbers.integers(0, 5, 20), numbers.integers(0, 3, 20)
        texts = [f"{place}.{row}" for row in range(20)]
        expected += list(zip(first.tolist(), second.tolist(), texts, strict=True))
        rows.add(pa.record_batch({"text": texts}), (first, second))
    blocks = list(rows.blocks(64))
    assert [block.num_rows for block in blocks] == [64] * 9 + [24]
    assert [text for block in blocks for text in block["text"].to_pylist()] == [
        text for *_, text in sorted(expected, key=lambda row: row[:2])
    ]
    assert bool(list(tmp_path.iterdir())) == (held_bytes < 10**9)
