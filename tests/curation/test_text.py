"""Characters: references, invisible ones, forms. Plain functions over strings, and the same over Arrow arrays."""

import unicodedata

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from curation.text import INVISIBLE, fold_characters, fold_each, unescape


@pytest.mark.parametrize(
    ("raw", "decoded"),
    [
        ("caf&eacute;", "café"),
        ("it&#39;s", "it's"),
        ("it&#x27;s", "it's"),
        ("&#x1F600;", "😀"),
        ("R&amp;D", "R&D"),
        ("caf&eacute au lait", "café au lait"),
        ("&lt3 and &lt;3", "<3 and <3"),
        ("&frac12 price", "½ price"),
        ("&nbspvery", " very"),
        ("&#39s", "'s"),
        ("&amp;eacute;", "é"),
        ("&amp;#39;", "'"),
        ("&#150;", "–"),  # what HTML says of C1 numbers
    ],
)
def test_references_are_decoded_named_numeric_without_semicolon_and_encoded_twice(raw: str, decoded: str) -> None:
    assert unescape(raw) == decoded


@pytest.mark.parametrize(
    "plain",
    [
        "AT&T",
        "pen&notebook",
        "R&Degree",
        "?a=1&copy=2&lang=en",
        "fish & chips",
        "&nosuchname;",
        "&",
        "&;",
        "&#;",
        "&#x;",
        "&#xG;",
    ],
)
def test_what_only_looks_like_a_reference_stays(plain: str) -> None:
    assert unescape(plain) == plain


def test_a_text_encoded_three_times_is_decoded_twice() -> None:
    assert unescape("&amp;amp;lt;") == "&lt;"


def test_numbers_that_are_no_character_become_the_replacement_character() -> None:
    assert unescape("&#xD800; &#1114112;") == "\ufffd \ufffd"


def test_a_number_of_five_thousand_digits_is_left_alone() -> None:
    endless = "&#" + "9" * 5000 + ";"
    assert unescape(endless) == endless


def test_invisible_characters_go_and_white_space_stays() -> None:
    assert fold_characters("a\u200bb\u00adc\ufeffd\u202ee\x00f\x07g\u2060h\u2764\ufe0f \t\n") == "abcdefgh\u2764 \t\n"


def test_a_reference_to_an_invisible_character_goes_too() -> None:
    assert fold_characters("a&shy;b&#8203;c&zwj;d") == "abcd"


def test_an_accent_joins_its_letter_across_an_invisible_character() -> None:
    assert fold_characters("cafe\u200b\u0301") == "café"


def test_upper_case_that_composes_only_in_lower_case_is_composed() -> None:
    assert fold_characters("J\u030c") == "\u01f0"


def test_compatibility_forms_are_one() -> None:
    assert fold_characters("\ufb01ne \uff21\uff22\uff23 \u2460 \u2026") == "fine abc 1 ..."


def test_no_character_turns_into_an_invisible_one_or_changes_again() -> None:
    for code in (*range(0xD800), *range(0xE000, 0x110000)):
        once = fold_characters(chr(code))
        assert INVISIBLE.isdisjoint(once), hex(code)
        assert fold_characters(once) == once, hex(code)


@given(st.text())
def test_any_text_folds_to_valid_nfkc(text: str) -> None:
    folded = fold_characters(text)
    assert unicodedata.is_normalized("NFKC", folded)
    assert INVISIBLE.isdisjoint(folded)
    folded.encode("utf-8")


@given(
    st.text(alphabet=st.characters(codec="utf-8").filter(lambda character: "&" not in unicodedata.normalize("NFKC", character)))
)
def test_folding_what_is_folded_changes_nothing(text: str) -> None:
    assert fold_characters(fold_characters(text)) == fold_characters(text)


def test_arrays_keep_their_length_and_their_nulls() -> None:
    texts = pa.chunked_array([["A&amp;B", None], [], ["\ufb01"]], pa.string())
    assert fold_each(texts).to_pylist() == ["a&b", None, "fi"]
