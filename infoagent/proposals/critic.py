"""A unigram critic: a cheap guess of what a scorer would say, so that a model reads a few proposals and not hundreds.

    log p(z | x) = Σ over the words w of z of log ((n_w(x) + α) / (|x| + α V)),    α = ½

n_w(x): how often w stands in document x of |x| words, V: different words of all documents. MI is taken from these as from any
scorer's. Versions of one document differ in few words, so nearly all that it sees is whether those stand in z.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from infoagent.grading.words import bare_words

ALPHA = 0.5
LEAST_NATS = 0.1
"""A text below it says no word that any version changes."""
QUESTION_NATS = 0.5
"""For a text that says all words of the question: it tells what its fact is about."""


class UnigramCritic:
    """Scores texts of one document among its versions. `documents[0]` is the source."""

    def __init__(self, documents: Sequence[str], query: str) -> None:
        counts = [Counter(_words(document)) for document in documents]
        different = len(set().union(*counts))
        self._counts = counts
        self._floor = [c.total() + ALPHA * different for c in counts]
        self._query = set(_words(query))

    def mi_nats(self, text: str) -> float:
        """log K + log softmax over the documents of the unigram log-probabilities, at the source."""
        words = _words(text)
        log_probs = [
            sum(math.log((counts[w] + ALPHA) / floor) for w in words)
            for counts, floor in zip(self._counts, self._floor, strict=True)
        ]
        top = max(log_probs)
        total = top + math.log(sum(math.exp(value - top) for value in log_probs))
        return math.log(len(log_probs)) + log_probs[0] - total

    def worth_nats(self, text: str, price: float) -> float:
        """MI, plus what the words of the question are worth, minus price · words."""
        return self.mi_nats(text) + self.beside_nats(text, price)

    def beside_nats(self, text: str, price: float) -> float:
        """What the words of the question are worth, minus price · words."""
        words = _words(text)
        named = len(self._query.intersection(words)) / len(self._query) if self._query else 0.0
        return QUESTION_NATS * named - price * len(words)


def most_telling(texts: Sequence[str], critic: UnigramCritic, price: float, keep: int) -> list[int]:
    """Positions of the `keep` texts that a model should read: those that tell the document from its versions as far as words go
    (all, where none does), the best of each length."""
    mi = [critic.mi_nats(text) for text in texts]
    telling = [i for i in range(len(texts)) if mi[i] > LEAST_NATS] or list(range(len(texts)))
    worth = [mi[i] + critic.beside_nats(texts[i], price) for i in telling]
    return [telling[i] for i in best_by_length([texts[i] for i in telling], worth, keep)]


def best_by_length(texts: Sequence[str], worth: Sequence[float], keep: int) -> list[int]:
    """Positions of `keep` texts: turn by turn the best of each length (in doublings of its words), best first.

    Without the lengths all that stay would be one window, moved by a word.
    """
    shelves: dict[int, list[int]] = {}
    for i in sorted(range(len(texts)), key=lambda i: (-worth[i], len(texts[i]), i)):
        shelves.setdefault(math.ceil(math.log2(1 + len(_words(texts[i])))), []).append(i)
    kept: list[int] = []
    while len(kept) < min(keep, len(texts)):
        heads = [shelf.pop(0) for shelf in shelves.values() if shelf]
        kept += sorted(heads, key=lambda i: -worth[i])
    return kept[:keep]


def _words(text: str) -> list[str]:
    return [word.casefold() for word in bare_words(text)]
