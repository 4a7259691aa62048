"""Negatives: the documents that stand beside the source in the estimate, drawn once and by seed.

Which negatives are taken decides what the number measures: among random documents a name is enough, among
counterfactual ones only the fact itself. They are drawn before training, a fixed number for each problem, so that
the reward does not depend on the batch or on the number of processes.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import numpy as np

from infoagent.data.counterfactuals import Lexicon, counterfactuals
from infoagent.types import NEGATIVE_KINDS, InputError, Negative, NegativeKind, Problem


@dataclass(frozen=True)
class Counts:
    """How many negatives of each kind."""

    random: int = 0
    topic: int = 0
    sibling: int = 0
    counterfactual: int = 0

    def of(self, kind: NegativeKind) -> int:
        return int(getattr(self, kind))

    @property
    def total(self) -> int:
        return sum(self.of(kind) for kind in NEGATIVE_KINDS)


class _Shelf:
    """Texts with their places, so that a draw costs the same however many stand there."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.place: dict[str, int] = {}

    def add(self, text: str) -> None:
        self.place[text] = len(self.texts)
        self.texts.append(text)


def _draw(shelf: _Shelf, used: set[str], wanted: int, rng: np.random.Generator) -> list[str]:
    """`wanted` texts of the shelf in a drawn order, none of the used ones; fewer where there are not so many."""
    taken = sorted(shelf.place[text] for text in used if text in shelf.place)
    free = len(shelf.texts) - len(taken)
    if free < wanted:
        return [text for text in shelf.texts if text not in used]
    drawn = []
    for number in rng.permutation(free)[:wanted]:
        place = int(number)
        for gap in taken:  # the number counts free places only
            place += gap <= place
        drawn.append(shelf.texts[place])
    return drawn


def draw_negatives(problems: Sequence[Problem], counts: Counts, seed: int) -> list[tuple[Negative, ...]]:
    """For each problem `counts` negatives, in the order of NEGATIVE_KINDS, all different from its own document.

    The draw of a problem depends on its id, the seed and the pool, not on its place in the list. Raises InputError
    where the data cannot give as many as asked for, with how many it has.
    """
    # one entry per text: a duplicate of the source as its own negative would hide its information
    pool: dict[str, Problem] = {}
    for problem in problems:
        pool.setdefault(problem.document, problem)
    everything = _Shelf()
    by_group: dict[str | None, _Shelf] = defaultdict(_Shelf)
    by_whole: dict[str | None, _Shelf] = defaultdict(_Shelf)
    for text, problem in pool.items():
        everything.add(text)
        if problem.group is not None:
            by_group[problem.group].add(text)
        if problem.part_of is not None:
            by_whole[problem.part_of].add(text)

    def shelf_of(kind: NegativeKind, problem: Problem) -> _Shelf:
        if kind == "random":
            return everything
        return by_group[problem.group] if kind == "topic" else by_whole[problem.part_of]

    lexicon = Lexicon.from_problems(problems) if counts.counterfactual else None
    drawn: list[tuple[Negative, ...]] = []
    short: dict[NegativeKind, tuple[int, str]] = {}
    for problem in problems:
        identity = int.from_bytes(hashlib.sha256(problem.id.encode()).digest()[:8], "little")
        rng = np.random.default_rng([seed, identity])
        # its own stream: how many values an edit draws must not move the draw of the other kinds
        edits = counterfactuals(problem, lexicon, np.random.default_rng([seed, identity, 1]))
        chosen: list[Negative] = []
        used = {problem.document}
        # hard kinds first: a document that is both of the topic and of the set counts as the harder one
        for kind in reversed(NEGATIVE_KINDS):
            wanted = counts.of(kind)
            if not wanted:
                continue
            if kind == "counterfactual":  # in their order, so that fewer of them are a prefix of more of them
                picked = list(islice(edits, wanted))
            else:
                picked = [Negative(kind, text) for text in _draw(shelf_of(kind, problem), used, wanted, rng)]
            if len(picked) < wanted:
                if kind not in short or len(picked) < short[kind][0]:
                    short[kind] = (len(picked), problem.id)
                continue
            used.update(n.document for n in picked)
            chosen = picked + chosen
        drawn.append(tuple(chosen))
    if short:
        raise InputError(
            [
                f"negatives.{kind} = {counts.of(kind)}: problem {identity!r} has only {number}; "
                f"lower negatives.{kind} to {number} or bring more {_SOURCE[kind]}"
                for kind, (number, identity) in short.items()
            ]
        )
    return drawn


_SOURCE: dict[NegativeKind, str] = {
    "random": "documents",
    "topic": "documents of the same group",
    "sibling": "parts of the same text (data with `part_of`, such as passages)",
    "counterfactual": "counterfactual documents (an answer that stands in the document, choices, more documents to take values from)",
}
