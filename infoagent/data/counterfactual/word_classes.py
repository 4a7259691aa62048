"""How alike two words are used, from their neighbours in a pool of texts.

The function words and signs to the left and right of a word tell nouns from adjectives and adverbs (the _ of, is _ .)
without any tagger: likeness is the cosine of the two words' counts of such neighbours.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

FRAMES = 60
"""So many of the commonest words and signs serve as neighbours: beyond them are words of content."""
UNSEEN = 0.3
"""Likeness where one of the words is too rare to have a class."""
FEWEST = 3
"""Neighbours that a word must have had to have a class."""
_TOKEN = re.compile(r"[a-z'’-]+|[^\w\s]")


class WordClasses:
    """Neighbour counts of each word of some texts."""

    def __init__(self, texts: Iterable[str]) -> None:
        counts: Counter[str] = Counter()
        documents = [_TOKEN.findall(text.casefold()) for text in texts]
        for tokens in documents:
            counts.update(tokens)
        frames = {
            word: place for place, (word, _) in enumerate(sorted(counts.items(), key=lambda item: (-item[1], item[0]))[:FRAMES])
        }
        self._frames = frames
        self._left: dict[str, Counter[str]] = defaultdict(Counter)
        self._right: dict[str, Counter[str]] = defaultdict(Counter)
        for tokens in documents:
            for one, two in pairwise(tokens):
                if one in frames:
                    self._left[two][one] += 1
                if two in frames:
                    self._right[one][two] += 1

    def phrases(self, texts: Sequence[str]) -> Phrases:
        """The neighbours of phrases, to be compared with others: what their first words follow, what their last precede."""
        tokens = [_TOKEN.findall(text.casefold()) for text in texts]
        left = [self._left.get(found[0]) if found else None for found in tokens]
        right = [self._right.get(found[-1]) if found else None for found in tokens]
        return Phrases(self._ends(left), self._ends(right), np.array([bool(found) for found in tokens], dtype=bool))

    def likeness(self, one: str, others: Phrases) -> NDArray[np.float64]:
        """(P,) 0 to 1: do the phrases begin alike (what stands before them) and end alike (what stands behind them)?"""
        own = self.phrases([one])
        both = (others.left.cosines(own.left) + others.right.cosines(own.right)) / 2
        return np.where(others.has_words_P & own.has_words_P[0], both, UNSEEN)

    def _ends(self, neighbours: Sequence[Counter[str] | None]) -> _Ends:
        counts_PF = np.zeros((len(neighbours), len(self._frames)), dtype=np.int64)
        for row, found in zip(counts_PF, neighbours, strict=True):
            for word, count in (found or {}).items():
                row[self._frames[word]] = count
        return _Ends(counts_PF, counts_PF.sum(axis=1) >= FEWEST)


@dataclass(frozen=True)
class Phrases:
    """Neighbour counts of both ends of P phrases."""

    left: _Ends
    right: _Ends
    has_words_P: NDArray[np.bool_]


@dataclass(frozen=True)
class _Ends:
    """counts_PF: how often each of F frames stands beside the word at one end of each of P phrases."""

    counts_PF: NDArray[np.int64]
    known_P: NDArray[np.bool_]

    def cosines(self, other: _Ends) -> NDArray[np.float64]:
        """(P,) with the one phrase of `other`."""
        if not other.known_P[0]:
            return np.full(len(self.known_P), UNSEEN)
        squares_P = (self.counts_PF**2).sum(axis=1).astype(np.float64) * float((other.counts_PF**2).sum())
        cosines_P = (self.counts_PF @ other.counts_PF[0]) / np.sqrt(np.where(self.known_P, squares_P, 1.0))
        return np.where(self.known_P, cosines_P, UNSEEN)
