"""How the demo's made-up reviews are worded, and how a text is dirtied, copied and edited. Every draw comes from a seeded
generator that is passed in, so the same seed gives the same words.

Words stand in `sample_words`; which record gets which fault, and the files, are `sample`.
"""

import re
from dataclasses import dataclass
from random import Random

from curation_assets.reviews.sample_words import ADVERTISING, FAMILIES, GRAMMARS, Family

# How often a remark is pro, middling or con, by stars. Neighbours overlap, so that three stars are hard to tell, as in life.
_TONES = ("pro", "mid", "con")
_TONE_WEIGHTS = {
    1: (0.03, 0.07, 0.90),
    2: (0.09, 0.17, 0.74),
    3: (0.18, 0.63, 0.19),
    4: (0.75, 0.18, 0.07),
    5: (0.90, 0.07, 0.03),
}
_MISJUDGED_SHARE = 0.04  # people who take five stars for the worst, or click beside it
_HONEST_LINK_SHARE = 0.005  # a link alone must not make a review spam
_TYPO_SHARE = 0.07
_MOJIBAKE = ("cafÃ©", "donâ€™t", "Â£20", "naÃ¯ve", "itâ€™s", "\ufffd", "fÃ¼r")
_ZERO_WIDTH = ("\u200b", "\u200d", "\u2060", "\ufeff")
_SMALL_WORDS = ("again", "now", "still", "also", "maybe", "overall", "here", "today", "indeed", "anyway")
_SENTENCE_START = re.compile(r"(^|[.!] )(\w)")
_NEAR_JACCARD = 0.8  # from here on two texts are near duplicates


class Phrases(dict[str, str]):
    """Names in braces and what they stand for: what is not set is drawn from the grammar's list of that name."""

    def __init__(self, random: Random, lists: dict[str, tuple[str, ...]], aspects: tuple[str, ...] = ()) -> None:
        super().__init__()
        self._random = random
        self._lists = lists
        self._aspects = random.sample(aspects, len(aspects))
        self._next_aspect = 0

    def __missing__(self, name: str) -> str:
        if name == "aspect":  # in turn, so that a review does not contradict itself
            self._next_aspect += 1
            return self._aspects[self._next_aspect % len(self._aspects)]
        phrase = self._random.choice(self._lists[name])
        return phrase.format_map(self) if "{" in phrase else phrase


@dataclass(frozen=True)
class Wording:
    """One made-up review's words and what they are about."""

    family: Family
    language: str
    felt: int  # the stars that the words mean; of those given, a few are misjudged
    title: str
    text: str


def _phrases_about(random: Random, family: Family, language: str) -> Phrases:
    phrases = Phrases(random, GRAMMARS[language], family.aspects)
    phrases["product"] = family.names[language]
    phrases["product_code"] = family.code.lower()
    is_plural = family.is_plural
    phrases["it"], phrases["them"] = ("they", "them") if is_plural else ("it", "it")
    phrases["does"], phrases["was"], phrases["s"] = ("do", "were", "") if is_plural else ("does", "was", "s")
    return phrases


def write_wording(random: Random, rating: int, language: str) -> Wording:
    """A review of 1 to 5 stars about a random product; `language` is "en", "es" or "de"."""
    family = random.choice(FAMILIES)
    phrases = _phrases_about(random, family, language)
    felt = random.randint(1, 5) if random.random() < _MISJUDGED_SHARE else rating
    opinions = 1 + min(int(random.expovariate(0.38)), 7)
    tones = random.choices(_TONES, _TONE_WEIGHTS[felt], k=opinions)
    names = tones + ["fact"] * random.choices((1, 2, 3), (6, 5, 2))[0]
    random.shuffle(names)
    if language == "en" and random.random() < _HONEST_LINK_SHARE:
        names.append("honest_link")
    text = _joined(random, [phrases[name] for name in names])
    if random.random() < _TYPO_SHARE:
        text = with_typo(random, text)
    title = phrases[f"{random.choices(_TONES, _TONE_WEIGHTS[felt])[0]}_title"]
    return Wording(family, language, felt, title[0].upper() + title[1:], text)


def _joined(random: Random, remarks: list[str]) -> str:
    """Remarks as running text: full stops, now and then `and`, exclamation marks, or no capitals at all."""
    draw = random.random()
    stop = "! " if draw < 0.06 else ". "
    text = stop.join(remarks) + stop.strip()
    if draw > 0.92:
        return text.replace(". ", ", ") if draw > 0.97 else text.lower()
    return _SENTENCE_START.sub(lambda found: found[1] + found[2].upper(), text)


def write_advertising(random: Random, kind: str) -> str:
    """One spam text of a kind in SPAM_KINDS; two in five begin like an honest review."""
    phrases = Phrases(random, ADVERTISING)
    text = phrases[kind].strip()
    if random.random() < 0.4:
        family = random.choice(FAMILIES)
        opening = _phrases_about(random, family, "en")["pro"]
        text = f"{opening[0].upper()}{opening[1:]}. {text}"
    return text


def with_typo(random: Random, text: str) -> str:
    """The text with one or two slips of the finger: two letters swapped, one doubled or one lost."""
    words = text.split(" ")
    for _ in range(random.choice((1, 1, 2))):
        place = random.randrange(len(words))
        word = words[place]
        if len(word) > 4:
            at = random.randrange(1, len(word) - 2)
            slip = random.randrange(3)
            middle = (word[at + 1] + word[at], word[at] * 2 + word[at + 1], word[at + 1])[slip]
            words[place] = word[:at] + middle + word[at + 2 :]
    return " ".join(words)


def with_html(random: Random, text: str) -> str:
    """The text in markup that a browser shows as the same words with the same spaces."""
    words = text.split(" ")
    for _ in range(random.randint(1, 3)):
        place = random.randrange(len(words))
        word = words[place]
        words[place] = random.choice(
            (
                f"<b>{word}</b>",
                f"{word} <br /><br />",
                f'<a href="https://shop.example/p?a=1&amp;b=2">{word}</a>',
                f"<em>{word}</em>",
            )
        )
    marked = " ".join(words)
    return f"<p>{marked}</p>" if random.random() < 0.4 else marked


def with_entities(random: Random, text: str) -> str:
    """The text with HTML entities: named, numeric, without semicolon, doubly encoded. Words may be quoted or joined by `&`."""
    words = text.split(" ")
    place = random.randrange(len(words))
    words[place] = random.choice(
        (f"&quot;{words[place]}&quot;", f"&#8220;{words[place]}&#8221;", f"{words[place]}&nbsp;", f"{words[place]}&hellip;")
    )
    words.insert(
        random.randrange(len(words)),
        random.choice(("&amp;", "&amp;amp;", "&lt;3", "&#128077;", "&#x1F600;", "&pound;20", "caf&eacute;", "&amp ")),
    )
    return " ".join(words)


def with_mojibake(random: Random, text: str) -> str:
    """The text with a word that went through the wrong encoding, or U+FFFD where one was lost."""
    words = text.split(" ")
    words.insert(random.randrange(len(words)), random.choice(_MOJIBAKE))
    return " ".join(words)


def with_zero_width(random: Random, text: str) -> str:
    """The text with one to three characters that nobody sees."""
    for _ in range(random.randint(1, 3)):
        at = random.randrange(len(text))
        text = text[:at] + random.choice(_ZERO_WIDTH) + text[at:]
    return text


def disguised(random: Random, text: str) -> str:
    """Other bytes that clean to the same text: markup, non-breaking spaces, white space, case, unseen characters, ligatures."""
    kind = random.randrange(5)
    if kind == 0 and text.upper().lower() == text.lower():
        return text.upper()
    if kind == 1:
        return with_zero_width(random, text)
    if kind == 2:
        return "  " + text.replace(" ", "&nbsp;", 2).replace(" ", "   ", 1).replace(" ", "\n", 1) + "\t"
    if kind == 3 and "fi" in text:
        return text.replace("fi", "\ufb01")
    return with_html(random, text)


def jaccard(first: str, second: str) -> float:
    """Share of word 3-shingles in common, the lower of two readings: words as split at white space, or letters and digits."""
    return min(_overlap(pattern.findall(first.lower()), pattern.findall(second.lower())) for pattern in (_WORDS, _LETTERS))


_WORDS = re.compile(r"\S+")
_LETTERS = re.compile(r"\w+")


def _overlap(first: list[str], second: list[str]) -> float:
    left, right = ({tuple(words[at : at + 3]) for at in range(len(words) - 2)} for words in (first, second))
    return len(left & right) / len(left | right)


def edited(random: Random, text: str) -> str:
    """The text with a few words replaced, added or left out, at a Jaccard of 0.8 up to below 1; it needs ten words or more."""
    most = max(1, len(text.split(" ")) // 12)
    for edits in range(random.randint(1, most), 0, -1):
        words = text.split(" ")
        for _ in range(edits):
            place = random.randrange(len(words))
            small = random.choice(_SMALL_WORDS)
            words[place : place + 1] = random.choice(([], [small], [small], [words[place], small]))
        candidate = " ".join(words)
        if _NEAR_JACCARD <= jaccard(text, candidate) < 1:
            return candidate
    return f"{text} {random.choice(_SMALL_WORDS).capitalize()}."
