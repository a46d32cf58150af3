"""Compiled loops over UTF-8 bytes: hashes, shingles, MinHash bands, and the decisions taken one row after the other.

All compiled code of the package lives in this one file, because numba's cache on disk notices a change of the file that holds
a function, not of the files it calls into. Importing it costs 1 CPU s (numba). No Arrow, no SQL, no names of fates.
"""

from collections.abc import Callable
from typing import Any

import numba
import numpy as np
from numba import uint32, uint64

BANDS = 20
ROWS_PER_BAND = 6
SMALLEST_WORDS = 8  # under eight words a single changed word halves the similarity: exact copies only
SMALLEST_CHARACTER_SHINGLES = 8
CHARACTERS_PER_SHINGLE = 5
FINGERPRINT_WORDS = 8  # 512 bits, one cache line
BUCKET_LIMIT = 250  # kept rows of a bucket that a row is compared with: 40,000 rows of one boilerplate took 67 CPU s at 1,000

KEPT, SPAM, EMPTY, EXACT, NEAR, SUPERSEDED = 0, 1, 2, 3, 4, 5

_PRIME = np.uint64(0x9E3779B97F4A7C15)
_WORD_SEED = np.uint64(0xCBF29CE484222325)
_FNV_PRIME = np.uint64(0x100000001B3)


def compiled(function: Callable[..., Any]) -> Any:
    """`function` compiled by numba and kept on disk; where no folder for the cache can be written, compiled in each process."""
    try:
        return numba.njit(cache=True, nogil=True)(function)
    except RuntimeError:  # "no locator available": neither beside the file nor in the user's cache folder
        return numba.njit(nogil=True)(function)


@compiled
def mix(value):  # type: ignore[no-untyped-def]
    """Finaliser of MurmurHash3 (Appleby, public domain): every bit of the input moves every bit of the output."""
    value ^= value >> uint64(33)
    value *= uint64(0xFF51AFD7ED558CCD)
    value ^= value >> uint64(33)
    value *= uint64(0xC4CEB9FE1A85EC53)
    return value ^ (value >> uint64(33))


@compiled
def hash_bytes(data, offsets, seed, out):  # type: ignore[no-untyped-def]
    """64-bit hash of each string; eight bytes at a time, little endian by construction."""
    for row in range(out.size):
        position, end = offsets[row], offsets[row + 1]
        value = mix(uint64(end - position) + seed)
        while position + 8 <= end:
            block = uint64(0)
            for byte in range(8):
                block |= uint64(data[position + byte]) << uint64(8 * byte)
            value = (value ^ block) * _PRIME
            value ^= value >> uint64(29)
            position += 8
        block = uint64(0)
        while position < end:
            block = (block << uint64(8)) | uint64(data[position])
            position += 1
        out[row] = mix(value ^ block)


@compiled
def first_met(hashes, met):  # type: ignore[no-untyped-def]
    """Mask of the hashes that were not in the set `met`, which they enter.

    `met`: zeros at first, their number a power of two and above that of all hashes to come.
    """
    mask = np.zeros(hashes.size, dtype=np.bool_)
    last = uint64(met.size - 1)
    for entry in range(hashes.size):
        value = uint64(hashes[entry]) | uint64(1)  # zero means free; one bit less of 64 costs nothing
        place = mix(value) & last
        while met[place] != 0 and met[place] != value:
            place = (place + uint64(1)) & last
        mask[entry] = met[place] == 0
        met[place] = value
    return mask


@compiled
def decode(data, position):  # type: ignore[no-untyped-def]
    """Code point at `position` (valid UTF-8) and the position after it."""
    first = uint32(data[position])
    if first < 0x80:
        return first, position + 1
    if first < 0xE0:
        return (first & uint32(0x1F)) << uint32(6) | uint32(data[position + 1]) & uint32(0x3F), position + 2
    second = uint32(data[position + 1]) & uint32(0x3F)
    third = uint32(data[position + 2]) & uint32(0x3F)
    if first < 0xF0:
        return (first & uint32(0x0F)) << uint32(12) | second << uint32(6) | third, position + 3
    fourth = uint32(data[position + 3]) & uint32(0x3F)
    return (first & uint32(0x07)) << uint32(18) | second << uint32(12) | third << uint32(6) | fourth, position + 4


@compiled
def word_shingles(data, start, end, is_word, out):  # type: ignore[no-untyped-def]
    """Hashes of the runs of three words, repeats included; their number, 0 when there are fewer than eight words."""
    words = 0
    before, last, current = uint64(0), uint64(0), _WORD_SEED
    within, position = False, start
    while position <= end:
        character, following = uint32(32), position + 1  # a blank after the end closes the last word
        if position < end:
            character = uint32(data[position])
            if character >= 0x80:
                character, following = decode(data, position)
        if is_word[character] if character < is_word.size else character < 0xE0000:
            current = (current ^ uint64(character)) * _FNV_PRIME
            within = True
        elif within:
            words += 1
            if words >= 3:
                out[words - 3] = mix((before * uint64(0x9DDFEA08EB382D69) + last) * _PRIME + current)
            before, last, current, within = last, current, _WORD_SEED, False
        position = following
    return words - 2 if words >= SMALLEST_WORDS else 0


@compiled
def character_shingles(data, start, end, out):  # type: ignore[no-untyped-def]
    """Hashes of the runs of five code points, repeats included; their number, 0 when there are fewer than eight runs."""
    count, position = 0, start
    window = np.zeros(CHARACTERS_PER_SHINGLE, dtype=np.uint32)
    while position < end:
        character, position = decode(data, position)
        for place in range(CHARACTERS_PER_SHINGLE - 1):
            window[place] = window[place + 1]
        window[CHARACTERS_PER_SHINGLE - 1] = character
        count += 1
        if count >= CHARACTERS_PER_SHINGLE:
            value = uint64(0)
            for place in range(CHARACTERS_PER_SHINGLE):
                value = (value + uint64(window[place])) * _PRIME
            out[count - CHARACTERS_PER_SHINGLE] = mix(value)
    shingles = count - CHARACTERS_PER_SHINGLE + 1
    return shingles if shingles >= SMALLEST_CHARACTER_SHINGLES else 0


@compiled
def shingles_of(data, start, end, is_word, out):  # type: ignore[no-untyped-def]
    """Shingle hashes of one text in `out`, and their number; `out` holds at least as many places as the text has bytes."""
    for position in range(start, end):
        if data[position] == 32:
            return word_shingles(data, start, end, is_word, out)
    return character_shingles(data, start, end, out)


@compiled
def longest(offsets, rows):  # type: ignore[no-untyped-def]
    """Length in bytes of the longest of the given strings, at least 8."""
    length = 8
    for row in rows:
        length = max(length, offsets[row + 1] - offsets[row])
    return length


@compiled
def band_hashes(strings, rows, is_word, permutations, bands):  # type: ignore[no-untyped-def]
    """Fill bands[i] for the i-th of `rows`; the result says which texts are long enough to have any."""
    data, offsets = strings
    factors, summands = permutations
    scratch = np.empty(longest(offsets, rows), dtype=np.uint64)
    smallest = np.empty(BANDS * ROWS_PER_BAND, dtype=np.uint32)
    has_bands = np.zeros(rows.size, dtype=np.bool_)
    for index in range(rows.size):
        count = shingles_of(data, offsets[rows[index]], offsets[rows[index] + 1], is_word, scratch)
        if count == 0:
            continue
        has_bands[index] = True
        smallest[:] = uint32(0xFFFFFFFF)
        for shingle in range(count):
            value = uint32(scratch[shingle] >> uint64(32))
            for permutation in range(BANDS * ROWS_PER_BAND):
                permuted = uint32(value * factors[permutation] + summands[permutation])
                smallest[permutation] = min(smallest[permutation], permuted)
        for band in range(BANDS):
            joined = uint64(band + 1)
            for row in range(ROWS_PER_BAND):
                joined = mix(joined * _PRIME + uint64(smallest[band * ROWS_PER_BAND + row]))
            bands[index, band] = uint32(joined >> uint64(32))
    return has_bands


@compiled
def shared_entries(hashes, is_relevant, counts):  # type: ignore[no-untyped-def]
    """Mask of the entries that may share their hash with a relevant entry other than themselves; errs by a few too many.

    `counts`: zeroed bytes, their number a power of two, one for each value of the hash's highest bits.
    """
    shift = uint32(32)
    size = counts.size
    while size > 1:
        size >>= 1
        shift -= uint32(1)
    for entry in range(hashes.size):
        if is_relevant[entry]:
            place = hashes[entry] >> shift
            counts[place] = min(counts[place] + 1, 2)
    for entry in range(hashes.size):
        if not is_relevant[entry] and counts[hashes[entry] >> shift] > 0:
            counts[hashes[entry] >> shift] = 2
    mask = np.empty(hashes.size, dtype=np.bool_)
    for entry in range(hashes.size):
        mask[entry] = counts[hashes[entry] >> shift] == 2
    return mask


@compiled
def fingerprints(data, offsets, is_word, sizes, bits):  # type: ignore[no-untyped-def]
    """Per text: number of its shingles with repeats, and 512 bits in which every shingle sets one."""
    scratch = np.empty(longest(offsets, np.arange(sizes.size)), dtype=np.uint64)
    for text in range(sizes.size):
        sizes[text] = shingles_of(data, offsets[text], offsets[text + 1], is_word, scratch)
        for shingle in range(sizes[text]):
            bit = scratch[shingle] & uint64(511)
            bits[text, bit >> uint64(6)] |= uint64(1) << (bit & uint64(63))


@compiled
def bits_set(value):  # type: ignore[no-untyped-def]
    """Number of bits set in 64 (Wilkes, Wheeler and Gill 1951, side by side)."""
    value -= (value >> uint64(1)) & uint64(0x5555555555555555)
    value = (value & uint64(0x3333333333333333)) + ((value >> uint64(2)) & uint64(0x3333333333333333))
    value = (value + (value >> uint64(4))) & uint64(0x0F0F0F0F0F0F0F0F)
    return (value * uint64(0x0101010101010101)) >> uint64(56)


@compiled
def may_be_near(first, second, sizes, bits):  # type: ignore[no-untyped-def]
    """False only when Jaccard is certainly below 0.8.

    J >= 4/5 means that at most a ninth of |A| + |B| shingles are on one side only, and each bit that differs stands for at
    least one of those. Sizes count repeats, which only loosens the bound.
    """
    differing = uint64(0)
    for word in range(FINGERPRINT_WORDS):
        differing += bits_set(bits[first, word] ^ bits[second, word])
    return 9 * differing <= uint64(sizes[first] + sizes[second])


@compiled
def distinct_sorted(values, count):  # type: ignore[no-untyped-def]
    """Sort the first `count` values in place, repeats dropped; how many are left."""
    values[:count].sort()
    left = 0
    for place in range(count):
        if place == 0 or values[place] != values[left - 1]:
            values[left] = values[place]
            left += 1
    return left


@compiled
def common(first, first_count, second, second_count):  # type: ignore[no-untyped-def]
    """How many values two sorted sets share."""
    shared, left, right = 0, 0, 0
    while left < first_count and right < second_count:
        if first[left] == second[right]:
            shared += 1
            left += 1
            right += 1
        elif first[left] < second[right]:
            left += 1
        else:
            right += 1
    return shared


@compiled
def nearest_kept(node, text_of, texts, buckets, work):  # type: ignore[no-untyped-def]
    """The kept node with the smallest number whose shingles verify at Jaccard 0.8 or more, and that Jaccard; -1 when none."""
    data, offsets, is_word, sizes, bits = texts
    state, tested, scratch = work
    begins, ends, of_text, head, tail, members, following = buckets
    text = text_of[node]
    best, best_jaccard, own_count = np.int64(-1), 0.0, 0
    for entry in range(begins[text], ends[text]):
        bucket = of_text[entry]
        previous, place, seen = np.int64(-1), head[bucket], 0
        while place >= 0 and seen < BUCKET_LIMIT:
            candidate = members[place]
            if best >= 0 and candidate >= best:
                break
            if state[candidate] != KEPT:  # superseded meanwhile: unlinked, so that it is passed only once
                if previous < 0:
                    head[bucket] = following[place]
                else:
                    following[previous] = following[place]
                if following[place] < 0:
                    tail[bucket] = previous
                place = following[place]
                continue
            seen += 1
            previous, place = place, following[place]
            if tested[candidate] == node:
                continue
            tested[candidate] = node
            other = text_of[candidate]
            if not may_be_near(text, other, sizes, bits):
                continue
            if own_count == 0:
                own_count = shingles_of(data, offsets[text], offsets[text + 1], is_word, scratch[0])
                own_count = distinct_sorted(scratch[0], own_count)
            count = shingles_of(data, offsets[other], offsets[other + 1], is_word, scratch[1])
            count = distinct_sorted(scratch[1], count)
            shared = common(scratch[0], own_count, scratch[1], count)
            if 9 * shared >= 4 * (own_count + count):
                best, best_jaccard = candidate, shared / (own_count + count - shared)
                break
    return best, best_jaccard


@compiled
def enter(node, text, buckets, used):  # type: ignore[no-untyped-def]
    """Append a kept node to every bucket of its text; the number of places used from then on."""
    begins, ends, of_text, head, tail, members, following = buckets
    for entry in range(begins[text], ends[text]):
        bucket = of_text[entry]
        members[used], following[used] = node, -1
        if head[bucket] < 0:
            head[bucket] = used
        else:
            following[tail[bucket]] = used
        tail[bucket] = used
        used += 1
    return used


@compiled
def decide_in_order(strings, first_new, texts, buckets, outcome):  # type: ignore[no-untyped-def]
    """Decide nodes `first_new` and later, in order, given the states of those before; fills the arrays of `outcome`.

    `state` of a new node comes in as KEPT (to be decided), SPAM or EMPTY by its own text.
    """
    key_of, content_of, text_of = strings
    state, duplicate_of, jaccard, is_version = outcome
    current = np.full(key_of.max() + 1, -1, dtype=np.int64)
    owner = np.full(text_of.max() + 1, -1, dtype=np.int64)
    tested = np.full(key_of.size, -1, dtype=np.int64)
    _data, offsets, _is_word, _sizes, _bits = texts
    scratch = np.empty((2, longest(offsets, np.arange(offsets.size - 1))), dtype=np.uint64)
    used = 0
    for node in range(key_of.size):
        key, text = key_of[node], text_of[node]
        if node >= first_new:
            version = current[key]
            if version >= 0 and content_of[version] == content_of[node]:
                state[node], duplicate_of[node], is_version[node] = EXACT, version, False
                continue
            if version >= 0 and state[version] == KEPT:
                state[version], duplicate_of[version] = SUPERSEDED, node
                owner[text_of[version]] = -1
        current[key] = node
        if state[node] != KEPT:
            continue
        if node >= first_new:
            if owner[text] >= 0:
                state[node], duplicate_of[node] = EXACT, owner[text]
                continue
            near, similarity = nearest_kept(node, text_of, texts, buckets, (state, tested, scratch))
            if near >= 0:
                state[node], duplicate_of[node], jaccard[node] = NEAR, near, similarity
                continue
        owner[text] = node
        used = enter(node, text, buckets, used)
