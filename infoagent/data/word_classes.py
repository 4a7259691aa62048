"""How alike two words are used, from their neighbours in a pool of texts.

The function words and signs to the left and right of a word tell nouns from adjectives and adverbs (the _ of, is _ .)
without any tagger: likeness is the cosine of the two words' counts of such neighbours.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable
from itertools import pairwise
from math import sqrt

FRAMES = 60
"""So many of the commonest words and signs serve as neighbours: beyond them are words of content."""
UNSEEN = 0.3
"""Likeness where one of the words is too rare to have a class."""
_TOKEN = re.compile(r"[a-z'’-]+|[^\w\s]")


class WordClasses:
    """Neighbour counts of each word of some texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        counts: Counter[str] = Counter()
        documents = [_TOKEN.findall(text.casefold()) for text in texts]
        for tokens in documents:
            counts.update(tokens)
        frames = {word for word, _ in sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:FRAMES]}
        self._left: dict[str, Counter[str]] = defaultdict(Counter)
        self._right: dict[str, Counter[str]] = defaultdict(Counter)
        for tokens in documents:
            for one, two in pairwise(tokens):
                if one in frames:
                    self._left[two][one] += 1
                if two in frames:
                    self._right[one][two] += 1

    def phrase_likeness(self, one: str, other: str) -> float:
        """0 to 1: do the phrases begin alike (what stands before them) and end alike (what stands behind them)?"""
        first, second = _TOKEN.findall(one.casefold()), _TOKEN.findall(other.casefold())
        if not first or not second:
            return UNSEEN
        left = _cosine(self._left.get(first[0]), self._left.get(second[0]))
        right = _cosine(self._right.get(first[-1]), self._right.get(second[-1]))
        return (left + right) / 2


def _cosine(one: Counter[str] | None, other: Counter[str] | None) -> float:
    if one is None or other is None or min(sum(one.values()), sum(other.values())) < 3:
        return UNSEEN
    product = sum(count * other[word] for word, count in one.items() if word in other)
    return product / sqrt(sum(c * c for c in one.values()) * sum(c * c for c in other.values()))
