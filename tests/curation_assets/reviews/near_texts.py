"""Near duplicates among a few thousand texts, short and slow on purpose; the pipeline's own search is tested elsewhere."""

import re
from collections import Counter, defaultdict


def near_pairs(texts: dict[str, str]) -> dict[str, set[str]]:
    """Of each name the names before it whose text has a word-3-shingle Jaccard of 0.8 or more, found by rare shingles."""
    shingles = {name: _shingles(text) for name, text in texts.items()}
    frequency = Counter(shingle for found in shingles.values() for shingle in found)
    names_with: dict[tuple[str, ...], list[str]] = defaultdict(list)
    near: dict[str, set[str]] = {}
    for name, found in shingles.items():
        rarest = sorted(found, key=lambda shingle: (frequency[shingle], shingle))[: len(found) - -(-len(found) * 4 // 5) + 1]
        candidates = {other for shingle in rarest for other in names_with[shingle]}
        near[name] = {other for other in candidates if len(found & shingles[other]) >= 0.8 * len(found | shingles[other])}
        for shingle in rarest:
            names_with[shingle].append(name)
    return near


def _shingles(text: str) -> set[tuple[str, ...]]:
    words = re.findall(r"\w+", text)
    return {tuple(words[at : at + 3]) for at in range(len(words) - 2)}
