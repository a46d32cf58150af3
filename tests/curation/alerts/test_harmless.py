"""Nothing that stems from a record becomes a mention, a link, markup or a line of its own in any receiver."""

import html.parser
import re
import unicodedata

import markdown  # type: ignore[import-untyped]  # it has none
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from curation.alerts.harmless import SHOWN_CHARACTERS, harmless

HOSTILE = [
    "@channel",
    "@everyone look",
    "＠here",
    "<!channel>",
    "&lt;!channel&gt;",
    "<@U012AB3CD>",
    "<@&1234>",
    "<#C024BE7LR>",
    "<http://evil.example|your bank>",
    "http://evil.example/login",
    "hTTps://evil.example",
    "evil.com",
    "www。evil。com",
    "ｅｖｉｌ．ｃｏｍ",
    "192.168.0.1/x",
    "mailto:a@b.example",
    "javascript:alert(1)",
    "[click](http://evil.example)",
    "![x](//evil.example/x.png)",
    "`rm -rf`",
    "**bold** _it_ ~~gone~~ ||spoiler||",
    "# heading",
    "- item",
    "1. item",
    "> quote",
    "/remind all",
    "!deploy",
    "a\nnext: curl evil.example",
    "a\r\nBcc: all@example.com",
    "a\u2028next: x",
    "\u202egnp.exe",
    "e\u200bv\u200bi\u200bl.com",
    "\x1b[31mred\x07",
    ":smile:",
    "<img src=x onerror=alert(1)>",
    "{{7*7}} ${x}",
    "\ud800",
    "ﷺ" * 500,
]
MENTIONS = re.compile(r"@|<[@!#]|[<>&|`*~\[\]\\]")  # Slack, Discord, Teams, Mattermost, Telegram, Matrix
LINKS = re.compile(r"[a-z][a-z0-9+-]*:\S|//|\bwww\.|[^\W_][.。・][^\W\d_]{2,}(?<!json)(?<!jsonl)(?<!gz)(?<!csv)", re.IGNORECASE)


class Tags(html.parser.HTMLParser):
    """Every tag of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)


def tags_of(page: str) -> list[str]:
    parser = Tags()
    parser.feed(page)
    return parser.seen


def check(text: str) -> None:
    shown = harmless(text)
    assert 0 < len(shown) <= SHOWN_CHARACTERS
    assert not MENTIONS.search(shown), shown
    assert not LINKS.search(shown), shown
    assert all(unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Zl", "Zp"} for character in shown)
    assert tags_of(markdown.markdown(f"field: {shown}")) == ["p"], "as a mail program or a chat renders markdown"
    assert tags_of(f"field: {shown}") == [], "as a page takes it without escaping"
    assert tags_of(markdown.markdown(shown)) == ["p"], "even on a line of its own"


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_a_hostile_text_is_only_words_afterwards(number: int) -> None:
    check(HOSTILE[number])


PIECES = st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20), st.sampled_from("@<>|.:/_*~`#[]()&\\\n\u202e。"))


@given(st.lists(PIECES, max_size=8).map("".join))
@example("a._b.com")
@example("_ _x_ __y__")
@example("x.gz.evil.com")
def test_no_mixture_of_hostile_texts_becomes_more_than_words(text: str) -> None:
    check(text)


def test_an_ordinary_file_and_an_ordinary_field_can_be_read_and_copied() -> None:
    names = ["reviews-2026_11_23.jsonl", "part 7.json.gz", "item_id", "star rating", "Größe", "評価"]
    assert [harmless(name) for name in names] == names


def test_what_is_left_of_nothing_is_a_question_mark_and_what_is_long_is_cut() -> None:
    assert harmless("\u202e\u200b\n") == "?"
    assert harmless("word " * 100).endswith("…")
    assert len(harmless("x" * 10_000_000)) == SHOWN_CHARACTERS
