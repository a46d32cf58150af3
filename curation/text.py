"""What SQL cannot do to the characters of a text: decode HTML references, drop what is invisible, NFKC.

`fold_characters` is the step that dbt_project/macros/clean_text.sql calls as a function of DuckDB, over Arrow arrays; the
rules for tags, white space, flags and spam are SQL and stand in the macros. Nothing here knows of dbt.
"""

import html
import re
from html.entities import html5
from typing import TYPE_CHECKING
from unicodedata import normalize

import pyarrow as pa

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

# Numbers are bounded, for html.unescape raises ValueError at more than 4,300 digits. A name without its semicolon and
# before `=` is a parameter of an address (`?a=1&copy=2`), not a copyright sign.
REFERENCE = re.compile(
    r"&(?:#[0-9]{1,10}+(?![0-9]);?|#[xX][0-9a-fA-F]{1,8}+(?![0-9a-fA-F]);?|(?P<name>[A-Za-z][A-Za-z0-9]{1,31}+(?:;|(?!=))))"
)
DIGITS = "0123456789"
# C0 controls but white space, DEL, and Unicode's Default_Ignorable_Code_Point: soft hyphen, joiners, direction marks and
# overrides, byte order mark, variation selectors, fillers, tags.
INVISIBLE_RANGES = (
    (0x00, 0x08), (0x0E, 0x1F), (0x7F, 0x7F), (0xAD, 0xAD), (0x34F, 0x34F), (0x61C, 0x61C), (0x115F, 0x1160), (0x17B4, 0x17B5),
    (0x180B, 0x180F), (0x200B, 0x200F), (0x202A, 0x202E), (0x2060, 0x206F), (0x3164, 0x3164), (0xFE00, 0xFE0F), (0xFEFF, 0xFEFF),
    (0xFFA0, 0xFFA0), (0xFFF0, 0xFFFB), (0x1BCA0, 0x1BCA3), (0x1D173, 0x1D17A), (0xE0000, 0xE0FFF),
)  # fmt: skip
WITHOUT_INVISIBLE = {code: None for first, last in INVISIBLE_RANGES for code in range(first, last + 1)}
INVISIBLE = frozenset(map(chr, WITHOUT_INVISIBLE))


def _referred(match: re.Match[str]) -> str:
    """What one character reference stands for; the reference itself when it stands for nothing."""
    name = match["name"]
    if name is None:
        return html.unescape(match[0])
    if name in html5:
        return html5[name]
    letters = name.rstrip(DIGITS)  # `&lt3` is `<3`; `&frac12` was found above
    if letters in html5:
        return html5[letters] + name[len(letters) :]
    if name.startswith("nbsp"):  # the one that pages glue to the next word: `&nbspvery`
        return " " + name.removeprefix("nbsp")
    return match[0]


def unescape(text: str) -> str:
    """`text` with its HTML character references decoded, and decoded once more where they had been encoded twice.

    Named, decimal and hexadecimal, with and without the semicolon. Unlike html.unescape, a name without semicolon must be
    the whole word: `pen&notebook` is not `pen¬ebook`. Never raises; a number that is no character becomes U+FFFD.
    """
    for _ in range(2):
        if "&" not in text:
            break
        text = REFERENCE.sub(_referred, text)
    return text


def fold_characters(text: str) -> str:
    """`text` unescaped, without invisible characters, NFKC and in lower case; white space and tags are left as they are.

    NFKC comes before lower case and after it, because lower case may join what upper case keeps apart (J and a caron).
    The forms are the interpreter's; Unicode promises that they never change for a character it has assigned.
    """
    if "&" in text:
        text = unescape(text)
    if text.isascii():
        return (text if text.isprintable() else text.translate(WITHOUT_INVISIBLE)).lower()
    visible = text if INVISIBLE.isdisjoint(text) else text.translate(WITHOUT_INVISIBLE)
    return normalize("NFKC", normalize("NFKC", visible).lower())


def fold_each(texts: pa.ChunkedArray) -> pa.Array:
    """`fold_characters` of every string; as many strings as came in, null stays null."""
    return pa.array([text if text is None else fold_characters(text) for text in texts.to_pylist()], pa.string())


def register(connection: "DuckDBPyConnection") -> None:
    """Offer `fold_characters(text)` to SQL on this connection and every cursor of it.

    One function and not one a step: DuckDB's call of Python costs 0.6 ms a chunk, .1 CPU s for two more over 100,000 rows.
    """
    from duckdb.func import PythonUDFType
    from duckdb.sqltypes import VARCHAR

    connection.create_function("fold_characters", fold_each, [VARCHAR], VARCHAR, type=PythonUDFType.ARROW)
