"""Orders of a document's sentences, the one to keep first at the front."""

from __future__ import annotations

import hashlib
import logging
import warnings
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from infoagent.grading.words import bare_words

DAMPING = 0.85
STEPS = 200
FEWEST = 3
"""TextRank needs that many sentences for its graph to say anything."""
DIGITS = 9
"""Of a score: two sentences that differ by rounding alone are a tie."""


def random_order(sentences: Sequence[str], document: str, seed: int) -> list[int]:
    """A permutation that depends on `seed` and the document's text alone, not on the question."""
    stamp = int.from_bytes(hashlib.sha256(document.encode()).digest()[:8], "little")
    return [int(i) for i in np.random.default_rng([seed, stamp]).permutation(len(sentences))]


def bm25_order(sentences: Sequence[str], query: str) -> list[int]:
    """By falling BM25 score; ties, and so all sentences that share no word with the query, in document order."""
    return _falling(bm25_scores(sentences, query))


def bm25_scores(sentences: Sequence[str], query: str) -> NDArray[np.float64]:
    """(sentences,) BM25 of each sentence against `query`, as class `BM25` says."""
    return BM25(sentences).scores(query)


class BM25:
    """An index of texts. The score of a text is what bm25s computes by default (the Lucene variant):

        Σ_w ln(1 + (N − n_w + ½) / (n_w + ½)) · f_w / (f_w + k1 · (1 − b + b · length / mean length))

    over the words w of the query, a repeated one each time; N texts, n_w of them with w, f_w times in this one,
    k1 = 1.5, b = 0.75. Words are runs of at least two letters, marks (vowel signs), digits or underscores in lower case,
    without bm25s's English stop words; no stemming; in scripts without spaces, what ICU takes for words. Computed in float32.
    Source: Lù, arXiv 2407.03618; Kamphuis et al., ECIR 2020.
    """

    def __init__(self, texts: Sequence[str]) -> None:
        # imported late: a third of a second that only this order needs
        import bm25s

        logging.getLogger("bm25s").setLevel(logging.WARNING)  # its import shows everything
        self._texts = len(texts)
        words = _words(list(texts))
        self._index = bm25s.BM25() if any(words) else None
        if self._index is not None:
            self._index.index(words, show_progress=False)

    def scores(self, query: str) -> NDArray[np.float64]:
        """(texts,) the score of each text; 0 where it shares no word with `query`."""
        wanted = _words([query])[0]
        if self._index is None:
            return np.zeros(self._texts)
        wanted = [word for word in wanted if word in self._index.vocab_dict]
        return np.asarray(self._index.get_scores(wanted), dtype=np.float64) if wanted else np.zeros(self._texts)

    @staticmethod
    def order(scores: NDArray[np.float64]) -> list[int]:
        """By falling score; ties in the order of the texts."""
        return _falling(scores)


def _words(texts: list[str]) -> list[list[str]]:
    """The words of each text; where a script has words apart and no marks, those of bm25s, whose tokenizer breaks हिन्दी at
    every vowel sign."""
    from bm25s.stopwords import STOPWORDS_EN

    stop = frozenset(STOPWORDS_EN)
    return [[w for w in bare_words(text.lower()) if len(w) > 1 and w not in stop and _says(w)] for text in texts]


def _says(word: str) -> bool:
    """Whether a run holds more than marks: the sign that makes a heart red is one."""
    return any(c.isalnum() or c == "_" for c in word)


def _line(sentence: str) -> str:
    """The words of a sentence, without punctuation."""
    return " ".join(filter(_says, bare_words(sentence.replace("_", " "))))


def textrank_order(sentences: Sequence[str]) -> list[int]:
    """By falling TextRank score; ties in document order, and everything in document order where there is no graph:
    fewer than 3 sentences, or none with a word that is not a stop word."""
    return _falling(np.asarray(textrank_scores(tuple(sentences))))


@lru_cache(maxsize=256)
def textrank_scores(sentences: tuple[str, ...]) -> tuple[float, ...]:
    """PageRank (damping 0.85) of each sentence in summa's graph; 0 where summa leaves the sentence out.

    The graph is summa's: a node for each distinct sentence (stemmed, without stop words and numbers), edges weighted
    by the words that two share over the sum of the log10 of their lengths (Mihalcea and Tarau 2004; Barrios et al.
    2016). The PageRank is a power iteration of its own: summa reads the first eigenvector that LAPACK returns, which
    is not always that of the largest eigenvalue (4 of 400 random texts of up to 25 sentences were ranked wrongly).
    Questions about one document share the result.
    """
    if len(sentences) < FEWEST:
        return (0.0,) * len(sentences)
    with warnings.catch_warnings():
        # summa's patterns are no raw strings; Python 3.12 warns of each when it compiles them
        warnings.simplefilter("ignore", SyntaxWarning)
        from summa.preprocessing.textcleaner import clean_text_by_sentences
        from summa.summarizer import get_graph

    # summa would split a line at a full stop; it drops punctuation anyway, so each line becomes one of its sentences
    lines = [_line(sentence) for sentence in sentences]
    node_of = {unit.text: unit.token for unit in clean_text_by_sentences("\n".join(lines))}
    graph = get_graph("\n".join(lines))
    position = {node: i for i, node in enumerate(graph.nodes())}
    weights = np.zeros((len(position), len(position)))
    for one, other in graph.edges():
        weights[position[one], position[other]] = graph.edge_weight((one, other))
    ranks = pagerank(weights)
    return tuple(float(ranks[position[node_of[line]]]) if line in node_of else 0.0 for line in lines)


def pagerank(weights: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n,) stationary shares of a walk that follows the (n, n) weights with probability 0.85, else jumps anywhere.

    Nodes without an edge are no part of the walk and get 0.
    """
    ranks = np.zeros(len(weights))
    linked = np.flatnonzero(weights.sum(axis=1) > 0)
    if not len(linked):
        return ranks
    inner = weights[np.ix_(linked, linked)]
    steps = inner / inner.sum(axis=1, keepdims=True)
    share = np.full(len(linked), 1 / len(linked))
    for _ in range(STEPS):
        share = DAMPING * (share @ steps) + (1 - DAMPING) / len(linked)
    ranks[linked] = share
    return ranks


def _falling(scores: NDArray[np.float64]) -> list[int]:
    return [int(i) for i in np.argsort(-np.round(scores, DIGITS), kind="stable")]
