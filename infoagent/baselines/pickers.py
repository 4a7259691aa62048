"""Extractive compressors (sentence selection) in one table: a row for each kind, from which everything else follows.

A new one is a function that orders sentences, in a file of its own, and a row here: recipes then take it, the grid runs it,
its FLOPs and its break-even are counted, and rounds, research, stress tests, proxies and reports know it. A kind without
a row is refused by recipes, and by whatever adds up costs.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from infoagent.baselines import llmlingua2
from infoagent.baselines.oracle import holding_sentences, oracle_order
from infoagent.data.ranking import bm25_order, random_order, textrank_order
from infoagent.types import InputError, Problem

Order = Callable[[Sequence[str], Problem, int], Sequence[int]]
"""(sentences, problem, seed) → the places of all sentences, the one to keep first at the front."""
DropWords = Callable[[str, int, Callable[[str], int]], str]
"""(document, tokens, what counts tokens) → its words with some left out; it meets the tokens roughly."""


@dataclass(frozen=True)
class Picker:
    """A compressor that writes nothing of its own. It has an `order`, or else it drops words."""

    kind: str
    """Its name in recipes and records."""
    order: Order | None
    asks: bool
    """It looks at the question, so that it compresses anew for each of them."""
    free: bool
    """It runs no model: its FLOPs are counted as none. Otherwise they are unknown."""
    told: bool = False
    """It knows the answer, which no compressor in use does: a bound, and no rival."""
    from_end: bool = False
    """Of a sentence that is too long it keeps the end."""
    drop_words: DropWords | None = None
    ready: Callable[[], object] | None = None
    """Raises InputError where it cannot work on this machine."""
    usable: Callable[[Sequence[str], Problem], object] | None = None
    """Raises InputError for a problem that it cannot compress."""

    def __post_init__(self) -> None:
        assert (self.order is None) != (self.drop_words is None), f"{self.kind}: either order or drop_words"


def _first(sentences: Sequence[str], problem: Problem, seed: int) -> Sequence[int]:
    return range(len(sentences))


def _last(sentences: Sequence[str], problem: Problem, seed: int) -> Sequence[int]:
    return range(len(sentences))[::-1]


PICKERS: dict[str, Picker] = {
    p.kind: p
    for p in (
        Picker("lead", _first, asks=False, free=True),
        Picker("tail", _last, asks=False, free=True, from_end=True),
        Picker("random-sentences", lambda found, problem, seed: random_order(found, problem.document, seed), asks=False, free=True),
        Picker("bm25", lambda found, problem, seed: bm25_order(found, problem.query), asks=True, free=True),
        Picker("textrank", lambda found, problem, seed: textrank_order(found), asks=False, free=True),
        Picker(
            "oracle",
            lambda found, problem, seed: oracle_order(found, problem),
            asks=True,
            free=True,
            told=True,
            usable=holding_sentences,
        ),
        Picker("llmlingua2", None, asks=False, free=False, drop_words=llmlingua2.drop_words, ready=llmlingua2.check_package),
    )
}


def picker_of(kind: str) -> Picker:
    """Raises InputError for a kind that has no row."""
    if kind not in PICKERS:
        raise InputError(unknown(kind))
    return PICKERS[kind]


def unknown(kind: str) -> str:
    """What is said of a kind that has no row."""
    return f"baseline: kind {kind!r} is unknown; allowed: {', '.join(PICKERS)}"
