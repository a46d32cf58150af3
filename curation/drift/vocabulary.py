"""Which words texts use: in how many texts of a sample each word stands, and which words became more or less frequent than chance.

Texts are counted, not words, because texts are independent of each other and the words within one are not. What separates words is
anything but letters and digits, so scripts without spaces are compared by their phrases.
"""

from typing import NamedTuple

import duckdb
import numpy as np
from pydantic import BaseModel, ConfigDict

from curation.drift.effects import exact_p, word_effects

TEXTS_READ = 20_000  # enough to see a word move by one text in a hundred; a million would take 20 times as long
CHARACTERS_READ = 1_000
WORD_CHARACTERS = 30
LEAST_TEXTS = 20  # of both samples together; a rarer word cannot differ beyond chance
LEAST_KEPT = 5  # texts: a rarer word decides nothing, and may name someone
WORDS_KEPT = 100_000
WORDS_NAMED = 3


class Words(BaseModel):
    """In how many of `texts` sampled texts each word stands; a reference leaves out those of fewer than LEAST_KEPT."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    texts: int
    counts: dict[str, int]


class WordDrift(NamedTuple):
    """The largest effect of a single word, how often chance does that to any of the words, and the words that moved furthest."""

    effect: float
    null_p: float
    moved: list[tuple[str, float, float]]  # word, share of texts in the reference, share now


def words_of(connection: duckdb.DuckDBPyConnection, relation: str, text: str, key: str, least_texts: int = 1) -> Words:
    """The words of at most TEXTS_READ texts of `relation`, the same ones every time. `text`, `key`: SQL expressions.

    `least_texts`: words of fewer are left out, which only a reference may do: in a small day a count of 4 is not nearly none.
    """
    connection.execute(
        f"create or replace temp table texts_read as select left({text}, {CHARACTERS_READ}) as text from {relation} "
        f"where {text} is not null order by hash({key}) limit {TEXTS_READ}"
    )
    row = connection.execute("select count(*) from texts_read").fetchone()
    counted = connection.execute(
        f"select left(word, {WORD_CHARACTERS}) as word, count(*) from (select unnest(list_distinct("
        r"regexp_extract_all(lower(text), '[\p{L}\p{N}]+'))) as word from texts_read) "
        f"group by all having count(*) >= {least_texts} order by count(*) desc, word limit {WORDS_KEPT}"
    ).fetchall()
    connection.execute("drop table texts_read")
    return Words(texts=row[0] if row else 0, counts=dict(counted))


def compared_words(reference: Words, day: Words, least_effect: float, rate: float) -> WordDrift:
    """How the vocabulary moved. Both samples must have texts.

    The words judged are chosen by their count in both samples together, which says nothing of how they divide: so their number
    is all that the probability must be multiplied by.
    """
    both = {word: reference.counts.get(word, 0) + day.counts.get(word, 0) for word in reference.counts.keys() | day.counts.keys()}
    words = sorted(word for word, count in both.items() if count >= LEAST_TEXTS)
    if not words:
        return WordDrift(0.0, 1.0, [])
    before = np.array([reference.counts.get(word, 0) for word in words], float)
    after = np.array([day.counts.get(word, 0) for word in words], float)
    p = np.minimum(1.0, exact_p(before, after, reference.texts, day.texts) * len(words))
    effects = word_effects(before, after, reference.texts, day.texts)
    matters = (p < rate) & (effects >= least_effect)
    order = [place for place in np.argsort(-effects, kind="stable") if matters[place]]
    furthest = order[0] if order else int(np.argmin(p))
    moved = [(words[place], before[place] / reference.texts, after[place] / day.texts) for place in order[:WORDS_NAMED]]
    return WordDrift(float(effects[furthest]), float(p[furthest]), moved)
