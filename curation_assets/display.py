"""How numbers and samples are shown on an asset's page: markdown, escaped, short. No figures are computed here."""

from collections.abc import Iterable, Sequence


def cell(value: object, width: int = 120) -> str:
    """One table cell: no markup of the value survives, long texts are cut."""
    text = "" if value is None else f"{value:.4g}" if isinstance(value, float) else str(value)
    text = text if len(text) <= width else text[: width - 1] + "…"
    for character, escaped in (("\\", "\\\\"), ("|", "\\|"), ("<", "&lt;"), ("`", "'"), ("[", "\\["), ("\n", " "), ("\r", " ")):
        text = text.replace(character, escaped)
    return text


def table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    """A markdown table."""
    lines = [" | ".join(header), " | ".join("---" for _ in header)]
    lines += [" | ".join(cell(value) for value in row) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)
