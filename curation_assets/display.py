"""How numbers, samples and pictures are shown on an asset's page: markdown, escaped, short. No figures are computed here.

Dagster's UI shows markdown under 1,000 characters in place and puts anything longer behind a click, so a picture is a file beside
the run logs, which the UI serves, and a table that should be seen at once holds as many rows as fit.
"""

import hashlib
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

import dagster as dg
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager  # Dagster is pinned; nothing public names it

from curation.files import written_whole

IN_PLACE_CHARACTERS = 999

_ESCAPED = str.maketrans(
    {character: f"\\{character}" for character in "\\|`*_~[]#"} | {"&": "&amp;", "<": "&lt;", "@": "@\u2060"}
)
_JOINED = (("://", ":\u2060//"), ("www.", "www\u2060."))  # a word joiner: the UI turns addresses into links, also those of spam


def cell(value: object, width: int = 120) -> str:
    """One table cell: no markup, link or invisible character of the value survives; long texts are cut."""
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else _visible(str(value))
    text = text if len(text) <= width else text[: width - 1] + "…"
    text = text.translate(_ESCAPED)
    for address, broken in _JOINED:
        text = text.replace(address, broken)
    return text


def _visible(text: str) -> str:
    return "".join(
        character.encode("unicode_escape").decode() if unicodedata.category(character) in {"Cc", "Cf", "Zl", "Zp"} else character
        for character in text
    )


def around_difference(before: str, after: str, width: int = 84) -> tuple[str, str]:
    """The parts of two texts that lie around their first difference, letter case aside."""
    shorter = min(len(before), len(after))
    first = next((place for place in range(shorter) if before[place].lower() != after[place].lower()), shorter)
    start = max(0, first - width // 2)
    return _part(before, start, width), _part(after, start, width)


def _part(text: str, start: int, width: int) -> str:
    return ("…" if start else "") + text[start : start + width] + ("…" if start + width < len(text) else "")


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table."""
    return "\n".join([*_head(header), *(_line(row) for row in rows)])


def short_table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table with as many of the first rows as the UI shows in place."""
    lines = _head(header)
    used = len("\n".join(lines))
    for row in rows:
        line = _line(row)
        used += 1 + len(line.encode("utf-16-le")) // 2  # as the UI counts
        if used > IN_PLACE_CHARACTERS:
            break
        lines.append(line)
    return "\n".join(lines)


def _head(header: Sequence[str]) -> list[str]:
    return [f"| {' | '.join(header)} |", f"| {' | '.join('---' for _ in header)} |"]


def _line(row: Sequence[object]) -> str:
    return f"| {' | '.join(cell(value) for value in row)} |"


def rounded(share: float) -> float:
    """A rate as the UI should list and plot it: four decimals."""
    return round(share, 4)


def picture(instance: dg.DagsterInstance, png: bytes, description: str) -> dg.MarkdownMetadataValue:
    """A picture shown in place: served by the UI from beside its run logs, or within the text where the instance keeps no files."""
    from curation.learning.plots import as_markdown_image

    logs = instance.compute_log_manager
    if not isinstance(logs, LocalComputeLogManager):
        return dg.MetadataValue.md(as_markdown_image(png, description))
    name = hashlib.sha256(png).hexdigest()[:32]
    path = Path(logs.get_captured_local_path(["pictures", name], "png"))
    if not path.exists():
        with written_whole(path) as temporary:
            temporary.write_bytes(png)
    return dg.MetadataValue.md(f"![{description}](/logs/pictures/{name}/png)")
