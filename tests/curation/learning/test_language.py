"""The script slice: the script of most letters, honest about what has none, and quick on many texts."""

import time

import polars as pl
import pytest

from curation.learning.language import CHARACTERS_READ, script_of


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("Works great, 10/10!", "latin"),
        ("Çok güzel, Đà Nẵng", "latin"),
        ("Отличный телефон", "cyrillic"),
        ("Πολύ καλό", "greek"),
        ("정말 재미있어요 ㅋㅋ", "hangul"),
        ("这个手机很好用", "han"),
        ("これはとても良い映画です", "kana"),
        ("東京大学附属病院に勤務", "kana"),
        ("スーパー", "kana"),
        ("هاتف رائع", "arabic"),
        ("טלפון מצוין", "hebrew"),
        ("बहुत अच्छा फोन", "devanagari"),
        ("ดีมาก", "thai"),
        ("ძალიან კარგი", "other"),
        ("12.50 € !!! 👍", "none"),
        ("", "none"),
        (None, "none"),
        ("iPhone 很好很好很好很好", "han"),
        ("Samsung Galaxy отличный", "latin"),
        ("これは good phone, really good", "latin"),
    ],
)
def test_a_text_is_told_by_the_script_of_most_of_its_letters(text: str | None, script: str) -> None:
    assert script_of(pl.Series("text", [text], dtype=pl.String)).to_list() == [script]


def test_texts_keep_their_order_and_number() -> None:
    texts = pl.Series("text", ["abc", "где", None, "abc", "12", "좋아요", "où"])
    told = script_of(texts)
    assert told.to_list() == ["latin", "cyrillic", "none", "latin", "none", "hangul", "latin"]
    assert (told.name, told.dtype) == ("text", pl.String)
    assert script_of(texts.head(0)).to_list() == []
    assert script_of(pl.Series("text", [None, None])).to_list() == ["none", "none"]


def test_only_the_opening_is_read() -> None:
    assert script_of(pl.Series(["a" * CHARACTERS_READ + "б" * 5000])).to_list() == ["latin"]


def test_a_hundred_thousand_texts_in_several_scripts_take_less_than_a_second_of_cpu() -> None:
    texts = pl.Series(["great phone, would buy again", "정말 재미있어요 ㅋㅋ", "отличный телефон", "très bien"] * 25_000)
    started_s = time.process_time()
    told = script_of(texts)
    assert time.process_time() - started_s < 1.0
    assert told.value_counts().sort("count", descending=True)["count"].to_list() == [50_000, 25_000, 25_000]
