"""The search for candidates stays cheap where thousands share a bucket, and loses nobody it must compare."""

import numpy as np

from curation.deduplication import candidates, kernels


def crowded(size: int) -> candidates.SharedBuckets:
    """One bucket of `size` texts."""
    return candidates.SharedBuckets(np.arange(size), np.arange(size, dtype=np.uint32), np.zeros(size, dtype=np.uint32))


def test_of_a_crowded_bucket_the_first_kept_records_are_left_and_the_new_ones() -> None:
    size = 3 * kernels.BUCKET_LIMIT
    is_new = np.arange(size) == size - 1
    holder = np.arange(size)[::-1].copy()
    left = candidates.without_the_far(crowded(size), is_new, holder, at_risk=5)
    assert sorted(holder[left.text[left.text != size - 1]]) == list(range(1, kernels.BUCKET_LIMIT + 6))
    assert size - 1 in left.text


def test_texts_that_no_kept_record_holds_are_dropped() -> None:
    left = candidates.without_the_far(crowded(3), np.array([True, False, False]), np.array([-1, -1, 9]), at_risk=0)
    assert left.text.tolist() == [0, 2]


def test_a_repeated_value_is_told_from_single_ones() -> None:
    assert candidates.is_repeated(np.array([5, 1, 5, 2])).tolist() == [True, False, True, False]
    assert candidates.is_repeated(np.array([], dtype=np.int64)).tolist() == []


def test_buckets_are_listed_by_the_hash_of_a_text() -> None:
    shared = candidates.SharedBuckets(np.array([10, 20]), np.array([1, 0, 1], np.uint32), np.array([0, 1, 1], np.uint32))
    begin, end, bucket = candidates.by_text(shared, np.array([20, 15, 10]))
    assert [bucket[first:last].tolist() for first, last in zip(begin, end, strict=True)] == [[0, 1], [], [1]]
