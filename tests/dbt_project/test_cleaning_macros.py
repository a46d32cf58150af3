"""The macros of clean_text.sql and spam_rule.sql, rendered by plain Jinja and run by DuckDB on hand-made and on real texts."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.spam_rules import SETS, cleaning_macros, connect, judge

MACROS = cleaning_macros()


@pytest.fixture(scope="module")
def connection() -> duckdb.DuckDBPyConnection:
    return connect()


def ask(connection: duckdb.DuckDBPyConnection, expression: str, text: str | None) -> Any:
    """The value of an SQL expression over one row with a column `text`."""
    row = connection.execute(f"select {expression} from (select ?::varchar as text)", [text]).fetchone()
    assert row is not None
    return row[0]


def clean(connection: duckdb.DuckDBPyConnection, text: str | None) -> Any:
    return ask(connection, MACROS.clean_text("text"), text)


def rule(connection: duckdb.DuckDBPyConnection, text: str) -> Any:
    return ask(connection, MACROS.spam_rule(f"({MACROS.clean_text('text')})"), text)


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Great <b>Phone</b>!", "great phone !"),
        ("one<br />two<BR>three", "one two three"),
        ('see <a href="https://x.example/?a=1&amp;b=2" target=_blank>this</a>', "see this"),
        ("<img alt='a > b' src=x>picture", "picture"),
        ('<a href="http://x.example>broken quote</a>', "broken quote"),
        ("<input disabled>typed", "typed"),
        ("<p>para<p>graph</p>", "para graph"),
        ("<o:p></o:p>from a word processor", "from a word processor"),
        ("before<!-- a <b> c -->after", "before after"),
        ("a<script type='x'>var b = 1 < 2;</script>b<style>p {}</style>c", "a b c"),
        ("<!DOCTYPE html>text", "text"),
        ("&lt;br /&gt;twice encoded&amp;lt;br /&amp;gt;", "twice encoded"),
        ("cut short <br /", "cut short"),
        ('cut short <a href="http://exam', "cut short"),
        ("cut short</p", "cut short"),
    ],
)
def test_tags_go(connection: duckdb.DuckDBPyConnection, raw: str, expected: str) -> None:
    assert clean(connection, raw) == expected


@pytest.mark.parametrize(
    "plain",
    [
        "a < b",
        "i <3 this",
        "</3",
        "x<y and y>z",
        "5 < 6 > 4",
        "a<b and b>c",
        "<john@example.com>",
        "<http://example.com/a>",
        "<.<",
    ],
)
def test_less_than_is_not_a_tag(connection: duckdb.DuckDBPyConnection, plain: str) -> None:
    assert clean(connection, plain) == plain


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Caf&eacute; &amp;amp; R&amp;D it&#39;s", "café & r&d it's"),
        ("  two   spaces\t\n\r\nand\u00a0more\u2028lines\u3000 ", "two spaces and more lines"),
        ("dash\x96dash, next\x85line", "dash dash, next line"),
        ("zero\u200bwidth \ufeffmark", "zerowidth mark"),
        ("\uff1cb\uff1ewide tags", "wide tags"),
        ("ALL Caps", "all caps"),
        ("plain text stays", "plain text stays"),
        ("<br />\u200b&nbsp;", ""),
        ("", ""),
    ],
)
def test_characters_and_white_space_are_made_equal(connection: duckdb.DuckDBPyConnection, raw: str, expected: str) -> None:
    assert clean(connection, raw) == expected


def test_no_text_has_no_clean_text(connection: duckdb.DuckDBPyConnection) -> None:
    assert clean(connection, None) is None


PIECES = st.sampled_from(
    [
        "<b>",
        "</b>",
        "<br />",
        " < ",
        "<3",
        "x<y",
        "<!-- c -->",
        " ",
        "  ",
        "\n",
        "\u00a0",
        "\u200b",
        "É",
        "e\u0301",
        "J\u030c",
        "\x85",
        "ﬁ",
        "a",
    ]
)


@given(text=st.lists(PIECES).map("".join) | st.text().filter(lambda text: "&" not in text))
def test_cleaning_never_raises_and_cleaning_again_changes_little(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    once = clean(connection, text)
    assert once == once.strip(" ")
    assert "  " not in once
    if "<" not in once and "&" not in once:
        assert clean(connection, once) == once


def test_every_text_that_needs_no_look_is_only_lower_cased(connection: duckdb.DuckDBPyConnection) -> None:
    for text in ("Plain Text.", "It's 5 > 4, isn't it?", "1 2 3"):
        assert ask(connection, MACROS.needs_a_look("text"), text) is False
        assert clean(connection, text) == text.lower()


def test_looking_once_gives_what_looking_each_time_gives(connection: duckdb.DuckDBPyConnection) -> None:
    texts = [
        "Plain",
        "cafÃ©",
        "Subscribe to my channel",
        "a <b>b</b>",
        "telegram @someone",
        "BUY NOW limited offer www.x.biz",
        "5 apples",
    ]
    connection.execute("create or replace temp table texts as select unnest(?) as text", [texts])
    looked = f"(select text, {MACROS.needs_a_look('text')} as looked from texts)"
    each = [
        connection.execute(
            f"select clean, {MACROS.has_mojibake('text', once)}, {MACROS.spam_rule('clean', once)}"
            f" from (select *, {MACROS.clean_text('text', once)} as clean from {looked}) order by text"
        ).fetchall()
        for once in ("looked", None)
    ]
    assert each[0] == each[1]
    assert len(each[0]) == len(texts)


@pytest.mark.parametrize("text", ["cafÃ© Ã¼ber", "itâ€™s", "5Â£", "ï»¿text", "dash\x96dash", "Ð¿Ñ€Ð¸Ð²ÐµÑ‚", "ðŸ˜€"])
def test_mojibake_is_flagged_and_left_as_it_is(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert ask(connection, MACROS.has_mojibake("text"), text) is True


@pytest.mark.parametrize(
    "text", ["café über", "it’s", "£5", "NÃO, INFORMAÇÃO", "привет", "日本語 한국어", "garçon « oui »", "plain"]
)
def test_other_languages_are_not_mojibake(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert ask(connection, MACROS.has_mojibake("text"), text) is False


@pytest.mark.parametrize(("text", "expected"), [("caf\ufffd", True), ("café", False), ("plain", False)])
def test_lost_bytes_are_flagged(connection: duckdb.DuckDBPyConnection, text: str, expected: bool) -> None:
    assert ask(connection, MACROS.has_replacement_character("text"), text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Click here to claim your FREE gift http://promo.example/win", "offer_with_link"),
        ("BUY <b>NOW</b>!!! limited offer, visit www.example.biz", "offer_with_link"),
        ("Message me on What\u200bsApp +1 555 012 3456 for more", "messenger_contact"),
        ("write to telegram: @somebody", "messenger_contact"),
        ("I make $5,000 per week working from home, you can too", "income_promise"),
        ("You have won a guaranteed prize! Call 0800 123 45678 to claim", "prize_with_contact"),
        ("Txt WIN to 80123 now", "text_to_short_code"),
        ("lonely? call me on 09061234567", "premium_number"),
        ("New tones every week, 150p/msg. Reply STOP 80123", "paid_message_terms"),
        ("Please subscribe to my YouTube channel!", "self_promotion"),
        ("https://video.example/watch?v=1", "link_without_words"),
    ],
)
def test_spam_is_named_by_its_rule(connection: duckdb.DuckDBPyConnection, text: str, expected: str) -> None:
    assert rule(connection, text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "Works well. The manual is at https://www.example.com/manual?id=7",
        "mail me at user123456@mail5.example.org if you want photos",
        "Call customer service at 1-800-555-1234, they replaced it for free",
        "I bought it now that the limited offer ended. Great price, 20% off!",
        "WhatsApp and Telegram run fine on this phone, bought in 2014",
        "My husband makes $5000 a month and still calls it expensive",
        "The click when you press here is loud; I won it in a raffle",
        "Sent it back to 90210 and got a refund of $1200",
        "I am not going to subscribe again. Check the size chart first.",
        "Film from 1999, seen at 8pm, stop reading if you want no spoilers",
        "To file a warranty claim call 18005551234",
    ],
)
def test_honest_reviews_stay(connection: duckdb.DuckDBPyConnection, text: str) -> None:
    assert rule(connection, text) is None


@pytest.mark.real_data
@pytest.mark.parametrize("name", sorted(SETS))
def test_the_rules_cost_one_honest_text_in_a_thousand_at_most(real_data: Path, name: str) -> None:
    result = judge(SETS[name](real_data))
    removed = sum(count["honest"] for count in result["rules"].values())
    assert removed <= 0.001 * result["honest"]


@pytest.mark.real_data
def test_the_rules_catch_a_third_of_the_spam_in_messages(real_data: Path) -> None:
    result = judge(SETS["sms_spam_uci"](real_data))
    assert sum(count["spam"] for count in result["rules"].values()) >= 0.30 * result["spam"] > 200


def test_dbt_gives_the_function_to_every_cursor_it_opens() -> None:
    from dbt.adapters.duckdb.plugins import BasePlugin

    plugin = BasePlugin.create("resources.dbt_plugin")
    with duckdb.connect() as connection:
        plugin.configure_connection(connection)
        assert connection.cursor().execute("select fold_characters('A&amp;B')").fetchone() == ("a&b",)
