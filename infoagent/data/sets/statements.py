"""Documents made of statements: some that must stand in them, others as many as the length asks for, in a drawn order.

The same layout with another wording of one statement is the same document with one fact changed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from infoagent.data.sets.records import ATTEMPTS, SPLITS
from infoagent.types import InputError, Problem, ProblemSet


@dataclass(frozen=True)
class Layout:
    """Which statements stand in a document, in which order."""

    opening: str
    order: tuple[int, ...]

    def text(self, statements: Sequence[str]) -> str:
        return " ".join([self.opening, *(statements[i] for i in self.order)])


def draw_layout(
    rng: np.random.Generator, opening: str, statements: Sequence[str], needed: int, low: int, high: int
) -> Layout | None:
    """The first `needed` statements and drawn ones of the others, low to high words in all; None where this draw has no
    such number of words."""
    target = int(rng.integers(low, high + 1))
    chosen = list(range(needed))
    words = len(opening.split()) + sum(len(statements[i].split()) for i in chosen)
    for i in rng.permutation(len(statements) - needed) + needed:
        longer = words + len(statements[int(i)].split())
        if words < target and longer <= high:
            chosen.append(int(i))
            words = longer
    if not low <= words <= high:
        return None
    return Layout(opening, tuple(chosen[int(i)] for i in rng.permutation(len(chosen))))


def draw_problem(
    rng: np.random.Generator, attempt: Callable[[np.random.Generator], Problem | None], name: str, low: int, high: int
) -> Problem:
    """The first attempt that gives a problem. Raises InputError where none does: the words do not fit."""
    for _ in range(ATTEMPTS):
        problem = attempt(rng)
        if problem is not None:
            return problem
    raise InputError(
        f"data.min_words = {low}, data.max_words = {high}: no document of {name} came out so long in {ATTEMPTS} tries; "
        "it has 40 to 160 words, and needs some room between the two"
    )


def problem_set(
    name: str, revision: str, split: str, limit: int | None, sizes: dict[str, int], make: Callable[[str, int], Problem]
) -> ProblemSet:
    """`limit` problems of `split`, or its size; make(split, index) gives one, so fewer are a prefix of more."""
    splits = list(SPLITS) if split == "all" else [split]
    problems = [make(part, index) for part in splits for index in range(sizes[part] if limit is None else limit)]
    return ProblemSet(name, revision, split, tuple(problems if limit is None else problems[:limit]))
