"""A coarse slice of texts by the script of their letters, for seeing whether a model serves some readers worse than others.

It tells scripts, not languages: English, Turkish and romanised Hindi are all "latin". Nothing is filtered or trained by it.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import polars as pl

LETTERS = {
    "latin": r"\p{Latin}",
    "cyrillic": r"\p{Cyrillic}",
    "greek": r"\p{Greek}",
    "hangul": r"\p{Hangul}",
    "han": r"\p{Han}",
    "kana": r"\p{Hiragana}\p{Katakana}ー",  # Unicode files the long-vowel mark under no script
    "arabic": r"\p{Arabic}",
    "hebrew": r"\p{Hebrew}",
    "devanagari": r"\p{Devanagari}",
    "thai": r"\p{Thai}",
}
"""Script to its characters, as members of a regular expression's class; of equally frequent scripts the first is told."""
CHARACTERS_READ = 500
KANA_SHARE = 0.1
"""Japanese writes Han letters among its kana: from this many kana per Han letter on, the Han letters count as kana."""


def script_of(texts: "pl.Series") -> "pl.Series":
    """One script per text, in order: a name of `LETTERS`, "other" for letters of another script, "none" without letters or null.

    The script with most letters among the first 500 characters. Only the difference between scripts is seen: every language in
    Latin letters is "latin", Russian and Bulgarian are "cyrillic"; Japanese is told from Chinese by its kana alone.
    """
    import polars as pl

    text = pl.col("text")
    opening = texts.alias("text").to_frame().select(text.fill_null("").str.head(CHARACTERS_READ))
    is_ascii = opening.select(text.str.len_bytes() == text.str.len_chars()).to_series()
    has_latin = pl.when(text.str.contains("[A-Za-z]")).then(pl.lit("latin")).otherwise(pl.lit("none"))
    plain = opening.select(language=has_latin).to_series()  # all there is to ask of ASCII, at a tenth of the counts' cost
    script = _most_frequent_script(opening.filter(~is_ascii))
    places = is_ascii.not_().arg_true()
    return plain.scatter(places, script).alias(texts.name)


def _most_frequent_script(opening: "pl.DataFrame") -> "pl.Series":
    import polars as pl

    text = pl.col("text")
    counts = [text.str.count_matches(f"[{members}]").cast(pl.Float64).alias(name) for name, members in LETTERS.items()]
    other = text.str.count_matches(rf"[\p{{L}}--[{''.join(LETTERS.values())}]]").cast(pl.Float64).alias("other")
    counted = opening.select(*counts, other)
    is_japanese = (pl.col("kana") > 0) & (pl.col("kana") >= KANA_SHARE * pl.col("han"))
    counted = counted.with_columns(
        kana=pl.when(is_japanese).then(pl.col("kana") + pl.col("han")).otherwise("kana"),
        han=pl.when(is_japanese).then(0.0).otherwise("han"),
    )
    names = [*LETTERS, "other"]
    most = pl.max_horizontal(names)
    told = pl.coalesce(*(pl.when(pl.col(name) == most).then(pl.lit(name)) for name in names))
    return counted.select(language=pl.when(most == 0).then(pl.lit("none")).otherwise(told)).to_series()
