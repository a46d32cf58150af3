"""What two texts have in common, as numbers: 64-bit hashes, MinHash bands, and the letters that make a word.

Takes Arrow columns and hands their buffers to the compiled loops. Importing it loads numba (1 CPU s): import it where it is
used. Knows nothing of fates or databases.
"""

import functools
import unicodedata

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from curation.deduplication import kernels

_SYMBOLS_OF_LATER_UNICODE = ((0x2000, 0x2C00), (0x2E00, 0x2E80), (0x3000, 0x3005), (0xFE00, 0xFE70), (0x1F000, 0x20000))


@functools.cache
def word_characters() -> npt.NDArray[np.bool_]:
    """For each code point below 0x20000: does it belong to a word? Letters, marks, digits, underscore; no punctuation, no emoji.

    From the Unicode 3.2 tables, the only ones that are the same in every Python (they exist for IDNA). What was assigned later
    counts as a letter, save in the blocks that hold punctuation, symbols and emoji.
    """
    category = unicodedata.ucd_3_2_0.category
    of_words = np.fromiter((category(chr(code))[0] in "LMN" or category(chr(code)) == "Cn" for code in range(0x20000)), np.bool_)
    for first, end in _SYMBOLS_OF_LATER_UNICODE:
        for code in range(first, end):
            of_words[code] = category(chr(code))[0] in "LN"
    of_words[ord("_")] = True
    return of_words


@functools.cache
def _permutations() -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32]]:
    """Odd factors and summands of the 120 permutations x -> a x + b (mod 2**32), fixed for good: bands are remembered."""
    seeds = range(1, 2 * kernels.BANDS * kernels.ROWS_PER_BAND + 1)
    words = np.array([kernels.mix(np.uint64(seed)) for seed in seeds], dtype=np.uint64)
    halves = (words >> np.uint64(32)).astype(np.uint32).reshape(2, -1)
    return halves[0] | np.uint32(1), halves[1]


def string_buffers(column: pa.Array | pa.ChunkedArray) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """The UTF-8 bytes of a string column without nulls, and the n + 1 offsets at which its strings begin."""
    if isinstance(column, pa.ChunkedArray):
        column = column.combine_chunks()
    column = column.cast(pa.large_string())
    _validity, offsets, data = column.buffers()
    positions = np.frombuffer(offsets, dtype=np.int64)[column.offset : column.offset + len(column) + 1]
    return np.frombuffer(data, dtype=np.uint8) if data is not None and data.size else np.zeros(1, dtype=np.uint8), positions


def hash_strings(column: pa.Array | pa.ChunkedArray, seed: int = 0) -> npt.NDArray[np.int64]:
    """A 64-bit hash of each string; stable for good, on every machine. Two seeds give two independent hashes."""
    data, offsets = string_buffers(column)
    hashes = np.empty(len(column), dtype=np.uint64)
    kernels.hash_bytes(data, offsets, np.uint64(seed), hashes)
    return hashes.view(np.int64)


def band_hashes(
    column: pa.Array | pa.ChunkedArray, rows: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.bool_]]:
    """MinHash bands of the texts at `rows`: (len(rows), 20), and which of them have any.

    20 bands of 6 rows: a pair at Jaccard J shares a band with probability 1 - (1 - J**6)**20, which is .998 at .8 (Leskovec,
    Rajaraman, Ullman, Mining of Massive Datasets, 3.4).
    """
    data, offsets = string_buffers(column)
    bands = np.empty((rows.size, kernels.BANDS), dtype=np.uint32)
    has_bands = kernels.band_hashes((data, offsets), rows, word_characters(), _permutations(), bands)
    return bands, has_bands
