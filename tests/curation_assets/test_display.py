"""What stands on an asset's page: no markup or link of a value survives, tables fit, pictures are served from beside the run logs."""

from pathlib import Path

import dagster as dg
import pytest

from curation_assets.display import IN_PLACE_CHARACTERS, around_difference, cell, picture, short_table, table
from resources.home import Home

PNG = b"\x89PNG not really"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("a | b <b>", "a \\| b &lt;b>"),
        ("fish &amp; chips", "fish &amp;amp; chips"),
        ("*loud* [x](y)", "\\*loud\\* \\[x\\](y)"),
        ("two\nlines\u200b", "two\\\\nlines\\\\u200b"),
        ("see https://spam.example or me@spam.example", "see https:\u2060//spam.example or me@\u2060spam.example"),
        (0.123456, "0.1235"),
        (None, ""),
        ("x" * 200, "x" * 119 + "…"),
    ],
)
def test_a_value_keeps_no_markup_no_link_and_no_invisible_character(value: object, shown: str) -> None:
    assert cell(value) == shown


def test_a_short_table_has_as_many_of_the_first_rows_as_the_ui_shows_in_place() -> None:
    rows = [[number, "emoji 🙂" * 6] for number in range(100)]
    short = short_table(["number", "text"], rows)
    assert len(short.encode("utf-16-le")) // 2 <= IN_PLACE_CHARACTERS < len(table(["number", "text"], rows))
    assert table(["number", "text"], rows).startswith(short)
    assert short.count("\n") > 5


def test_the_parts_shown_of_two_texts_hold_their_difference() -> None:
    before, after = around_difference("Same " * 60 + "<b>start", "same " * 60 + "start", width=40)
    assert before == "…Same Same Same Same <b>start"
    assert after == "…same same same same start"


def test_a_picture_lies_once_beside_the_run_logs_and_within_the_text_where_nothing_is_kept(tmp_path: Path) -> None:
    home = Home(tmp_path).prepare()
    with dg.DagsterInstance.from_config(str(home.dagster)) as instance:
        shown = [picture(instance, PNG, "a matrix").value for _ in range(2)]
    stored = list(home.dagster.rglob("*.png"))
    assert [path.read_bytes() for path in stored] == [PNG]
    assert shown == [f"![a matrix](/logs/pictures/{stored[0].stem}/png)"] * 2
    with dg.DagsterInstance.ephemeral() as instance:
        assert str(picture(instance, PNG, "a matrix").value).startswith("![a matrix](data:image/png;base64,")
