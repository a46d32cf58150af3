"""Which records may be copies of which: found by sorting hashes, so that only those few are compared one by one.

Works on arrays of hashes and on the remembered bands. Errs by a few too many, never by one too few; decides nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from curation.deduplication import kernels
from curation.deduplication.history import BandHistory

Hashes = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class SharedBuckets:
    """Texts that share a band: entry i says that the text `text[i]` (a place in `text_hashes`) lies in `bucket[i]`."""

    text_hashes: Hashes  # ascending, without repeats
    text: npt.NDArray[np.uint32]
    bucket: npt.NDArray[np.uint32]

    @property
    def bucket_count(self) -> int:
        """Buckets are numbered from 0."""
        return int(self.bucket.max()) + 1 if self.bucket.size else 0


def is_among(values: Hashes, wanted: Hashes) -> Mask:
    """For each of `values`: is it among `wanted`?"""
    if wanted.size == 0:
        return np.zeros(values.size, dtype=np.bool_)
    wanted = np.sort(wanted)
    places = np.minimum(np.searchsorted(wanted, values), wanted.size - 1)
    return np.asarray(wanted[places] == values)


def is_repeated(values: Hashes) -> Mask:
    """For each of `values`: does it occur more than once?"""
    ordered = np.sort(values)
    return is_among(values, np.unique(ordered[1:][ordered[1:] == ordered[:-1]]))


def shared_buckets(history: BandHistory, is_relevant: Mask) -> SharedBuckets:
    """Every bucket (a band and its hash) with at least two texts, one of them relevant; `is_relevant` goes by text_no."""
    text_nos: list[npt.NDArray[np.uint32]] = []
    buckets: list[npt.NDArray[np.uint32]] = []
    first_bucket = 0
    for band in range(kernels.BANDS if is_relevant.any() else 0):
        numbers, found, count = _shared_in_band(*history.band(band), is_relevant)
        text_nos.append(numbers)
        buckets.append(found + np.uint32(first_bucket))
        first_bucket += count
    nothing = np.empty(0, dtype=np.uint32)
    entry_text = np.concatenate([nothing, *text_nos])
    is_shared = np.zeros(is_relevant.size, dtype=np.bool_)
    is_shared[entry_text] = True
    distinct = np.flatnonzero(is_shared).astype(np.uint32)
    hashes = history.hashes_of(distinct)
    order = np.argsort(hashes)
    place = np.zeros(is_relevant.size, dtype=np.uint32)
    place[distinct[order]] = np.arange(order.size)
    return SharedBuckets(hashes[order], place[entry_text], np.concatenate([nothing, *buckets]))


def _shared_in_band(
    hashes: npt.NDArray[np.uint32], text_nos: npt.NDArray[np.uint32], is_relevant: Mask
) -> tuple[npt.NDArray[np.uint32], npt.NDArray[np.uint32], int]:
    """text_no and bucket of each entry of a shared bucket, and the number of buckets."""
    relevant = is_relevant[text_nos]
    # 16 places for each relevant hash leave 6% of the others to be sorted in vain; 2**26 bytes at most
    places = 1 << min(26, max(12, 4 + int(np.count_nonzero(relevant)).bit_length()))
    mask = kernels.shared_entries(hashes, relevant, np.zeros(places, dtype=np.uint8))
    packed = np.sort(hashes[mask].astype(np.uint64) << np.uint64(32) | text_nos[mask])
    numbers = packed.astype(np.uint32)  # the lower half
    if numbers.size == 0:
        return numbers, numbers, 0
    values = packed >> np.uint64(32)
    starts = np.flatnonzero(np.concatenate([[True], values[1:] != values[:-1]]))
    sizes = np.diff(np.append(starts, values.size))
    is_shared = (sizes > 1) & (np.add.reduceat(is_relevant[numbers], starts, dtype=np.int64) > 0)
    members = np.repeat(is_shared, sizes)
    bucket = np.repeat((np.cumsum(is_shared) - 1).astype(np.uint32), sizes)
    return numbers[members], bucket[members], int(np.count_nonzero(is_shared))


def without_the_far(shared: SharedBuckets, is_new: Mask, holder: npt.NDArray[np.int64], at_risk: int) -> SharedBuckets:
    """`shared` less the earlier texts that no new record will be compared with.

    `is_new` and `holder` go by the places of `text_hashes`: does a new record have the text, and which earlier kept record
    (-1: none). A record is compared with the first BUCKET_LIMIT kept ones of a bucket, and at most `at_risk` of those before
    can be superseded meanwhile; so a boilerplate that a million earlier records share costs no more than one that 1,000 share.
    """
    entry_holder = np.where(is_new[shared.text], np.int64(-1), holder[shared.text])
    counts = is_new[shared.text] | (entry_holder >= 0)
    text, bucket, entry_holder = shared.text[counts], shared.bucket[counts], entry_holder[counts]
    order = np.lexsort((entry_holder, bucket))
    ordered = bucket[order]
    is_earlier = entry_holder[order] >= 0
    before: Hashes = np.cumsum(is_earlier) - is_earlier
    rank = before - before[np.searchsorted(ordered, ordered)]
    near = order[~is_earlier | (rank < kernels.BUCKET_LIMIT + at_risk)]
    return SharedBuckets(shared.text_hashes, text[near], bucket[near])


def by_text(shared: SharedBuckets, text_hashes: Hashes) -> tuple[Any, Any, Any]:
    """(begin, end, bucket): the buckets of the text with hash text_hashes[i] are bucket[begin[i]:end[i]]."""
    packed = shared.text.astype(np.uint64) << np.uint64(32) | shared.bucket
    packed.sort()
    bounds = np.concatenate([[0], np.cumsum(np.bincount(shared.text, minlength=shared.text_hashes.size))])
    if shared.text_hashes.size == 0:
        nothing = np.zeros(text_hashes.size, dtype=np.int64)
        return nothing, nothing, np.empty(0, dtype=np.int32)
    place = np.minimum(np.searchsorted(shared.text_hashes, text_hashes), shared.text_hashes.size - 1)
    is_shared = shared.text_hashes[place] == text_hashes
    begin, end = np.where(is_shared, bounds[place], 0), np.where(is_shared, bounds[place + 1], 0)
    return begin, end, packed.astype(np.uint32).view(np.int32)
