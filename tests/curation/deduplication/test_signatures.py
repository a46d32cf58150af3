"""Hashes and bands: the same for good, on every machine, and built from the words that people see."""

import unicodedata

import numpy as np
import pyarrow as pa
import pytest

from curation.deduplication import kernels, signatures

TEXT = "nine words are enough to have bands of hashes"


def bands_of(*texts: str) -> np.ndarray:
    """(texts, 20)"""
    bands, has_bands = signatures.band_hashes(pa.array(texts), np.arange(len(texts)))
    assert has_bands.all()
    return bands


def test_hashes_of_strings_are_the_same_for_good() -> None:
    found = signatures.hash_strings(pa.array(["", "a", "eight by", "more than eight", "über"]))
    assert found.tolist() == [0, -1126562373006209261, 410524777823593829, 941162770045776567, 1534159246668157972]


def test_bands_are_the_same_for_good() -> None:
    assert bands_of(TEXT)[0, :3].tolist() == [3617239047, 2188829362, 4250993517]


def test_a_slice_of_a_column_hashes_like_a_column_of_its_own() -> None:
    column = pa.array(["zero", "one", "two", "three"])
    sliced = pa.chunked_array([column[1:2], column[3:]])
    assert signatures.hash_strings(sliced).tolist() == signatures.hash_strings(pa.array(["one", "three"])).tolist()


def test_a_column_of_empty_strings_has_hashes() -> None:
    assert len(set(signatures.hash_strings(pa.array(["", ""])).tolist())) == 1


@pytest.mark.parametrize("same", [TEXT.replace(" ", ", "), "“" + TEXT + "”…", TEXT.replace("words", "words 👍🏽 ❤️"), TEXT + "。"])
def test_punctuation_and_emoji_are_no_words(same: str) -> None:
    assert (bands_of(TEXT) == bands_of(same)).all()


@pytest.mark.parametrize("other", ["größe", "слово", "हिन्दी", "한국어", "x2", "snake_case"])
def test_letters_marks_and_digits_of_any_script_belong_to_words(other: str) -> None:
    is_word = signatures.word_characters()
    assert all(is_word[ord(character)] for character in other)


def test_letters_and_digits_of_todays_unicode_belong_to_words_outside_the_blocks_of_symbols() -> None:
    is_word = signatures.word_characters()
    blocks = (*range(0x80, 0x2000), *range(0x2C00, 0x2E00), *range(0x3005, 0xFE00), *range(0xFE70, 0x1F000))
    letters = [code for code in blocks if unicodedata.category(chr(code)) in {"Lu", "Ll", "Lt", "Lo", "Nd"}]
    assert len(letters) > 60_000
    assert [f"{code:X}" for code in letters if not is_word[code]] == []


@pytest.mark.parametrize(
    ("text", "has_bands"), [("a b c d e f g", False), ("a b c d e f g h", True), ("a" * 11, False), ("a" * 12, True)]
)
def test_only_texts_long_enough_have_bands(text: str, has_bands: bool) -> None:
    assert signatures.band_hashes(pa.array([text]), np.arange(1))[1].tolist() == [has_bands]


def test_about_as_many_pairs_share_a_band_as_the_formula_says() -> None:
    generator = np.random.default_rng(3)
    texts = []
    for _pair in range(2000):
        words = [f"w{number}" for number in generator.integers(0, 10**6, 56)]
        texts += [" ".join(words), " ".join([*words[:-4], *(f"v{number}" for number in generator.integers(0, 10**6, 10))])]
    bands = bands_of(*texts).reshape(2000, 2, kernels.BANDS)  # 50 of 66 shingles shared
    share = (bands[:, 0] == bands[:, 1]).any(axis=1).mean()
    similarity = 50 / 66
    assert abs(share - (1 - (1 - similarity**6) ** 20)) < 0.01


def test_a_function_that_cannot_be_cached_is_compiled_all_the_same() -> None:
    namespace: dict[str, object] = {}
    exec("def twice(value):\n    return 2 * value", namespace)  # of no file, so numba finds no place for its cache
    assert kernels.compiled(namespace["twice"])(21) == 42
