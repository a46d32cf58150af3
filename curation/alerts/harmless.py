"""Data made safe to send: whatever stems from a record can become no mention, link, markup or line of its own in any receiver.

Our own words never pass through here; a receiver's own syntax is not known here, so what any of them reads as a sign is replaced.
"""

import re
import unicodedata

SHOWN_CHARACTERS = 120
READ_CHARACTERS = 1_000  # one character may unfold to 18 (U+FDFA), and a record's field may hold megabytes

SIGNS = str.maketrans(
    {
        "@": "(at)",  # mentions: @channel, @everyone, @here, addresses
        "<": "‹",  # Slack's <!channel>, <http://x|y>; Discord's <@1>; HTML
        ">": "›",
        "&": "+",  # entities: &lt;!channel&gt;
        "|": "¦",  # Slack's link text, Discord's spoilers, tables
        "*": "∗",
        "~": "∼",
        "`": "'",
        "[": "(",
        "]": ")",
        "#": "♯",  # headings, channels, issue numbers
        "\\": "∖",
        "/": "∕",  # addresses, and the commands of a bot
        "{": "(",
        "}": ")",
        "=": "˭",
        "$": "＄",
    }
)
COLON = re.compile(r":(?=\S)")  # http:, mailto:, :emoji:
DOT = re.compile(r"(?<=[^\W_])[.。・](?=[\w-])", re.UNICODE)  # example.com is a link without any scheme
DATA_FILE = re.compile(r"\.(?=(?:jsonl?|ndjson|csv|tsv|parquet|gz|zst)(?:\.(?:gz|zst))?$)")  # no domain ends so
KEPT_DOT = "\x00"
LONE_UNDERSCORE = re.compile(r"(?<![^\W_])_+|_+(?![^\W_])", re.UNICODE)  # within a word, as in item_id, none makes it italic
LEADING = re.compile(r"^[\s+\-–—!^%;,.]+|^(\d+)\.(?=\s)")  # lists, and the commands of a chat


def harmless(text: object, characters: int = SHOWN_CHARACTERS) -> str:
    """One line of at most `characters` that no chat, mail or web page takes for more than words; "?" where nothing is left.

    Compatibility forms are unfolded first (a fullwidth @ is an @), control, format and bidirectional characters go. A dot
    between word characters is written (.), as analysts of malware do, but for the endings of data files.
    """
    plain = unicodedata.normalize("NFKC", str(text)[:READ_CHARACTERS])
    shown = "".join(_shown(character) for character in plain)
    shown = " ".join(shown.split())
    shown = COLON.sub(": ", shown.translate(SIGNS))
    shown = DATA_FILE.sub(KEPT_DOT, shown)
    shown = DOT.sub("(.)", shown).replace(KEPT_DOT, ".")
    shown = LONE_UNDERSCORE.sub("-", shown)
    shown = LEADING.sub(r"\1", shown).strip()
    if len(shown) > characters:
        shown = shown[: characters - 1].rstrip() + "…"
    return shown or "?"


def _shown(character: str) -> str:
    category = unicodedata.category(character)
    if category in {"Cf", "Cs", "Cn", "Co", "Me"}:  # zero width, bidirectional, halves of pairs, unassigned, enclosing marks
        return ""
    return " " if category[0] in "CZ" else character
