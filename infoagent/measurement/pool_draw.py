"""Which documents a pool is made of, and which counterfactual versions stand beside them. Imports no model and no torch."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np

from infoagent.data.identity import identities
from infoagent.data.negatives import Counts, NegativeDraw, find_negatives
from infoagent.recipes import InformationRecipe
from infoagent.types import InputError, Negative, Problem, ProblemSet


@dataclass(frozen=True)
class DrawnPool:
    """One problem for each document, and its counterfactual documents."""

    problems: list[Problem]
    counterfactuals: list[tuple[Negative, ...]]
    left_out: dict[str, int]
    """Problems in whose place another one was taken, by cause."""
    short: dict[str, int]
    """Problems with fewer counterfactual documents than asked for, by cause."""

    @property
    def lines(self) -> list[str]:
        """What was left out or is short, a line for each cause."""
        told = [f"left out, {cause}: {number} problems" for cause, number in self.left_out.items()]
        return told + [f"{cause}: {number} of {len(self.problems)} documents" for cause, number in self.short.items()]


def left_out_lines(data: ProblemSet, pool: DrawnPool) -> list[str]:
    """What is not measured or is short, a line for each cause: what reading the data left out, then what the pool did."""
    return [*(f"left out, {cause}: {number} problems" for cause, number in data.left_out.items()), *pool.lines]


def choose_pool(
    recipe: InformationRecipe,
    problems: Sequence[Problem],
    fitted: Callable[[list[Problem]], list[Problem]] = list,
    quiet: bool = False,
) -> DrawnPool:
    """The pool of a recipe; `fitted` makes documents fit a context. A problem with too few counterfactual documents makes
    room for another one on its document, else for another document, where the recipe leaves it out. Raises InputError."""
    counts = Counts(counterfactual=recipe.counterfactuals, missing=recipe.missing)
    causes: Counter[str] = Counter()
    without: set[str] = set()
    while True:
        pool = fitted(draw_pool(problems, recipe.documents, recipe.pool, recipe.seed, without))
        drawn = counterfactuals_of(pool, counts, recipe.seed, quiet)
        if not drawn.causes:
            return DrawnPool(pool, drawn.negatives, dict(causes), dict(drawn.short))
        causes.update(drawn.left_out)
        without |= {pool[place].id for place in drawn.causes}


def counterfactuals_of(pool: Sequence[Problem], counts: Counts, seed: int, quiet: bool = False) -> NegativeDraw:
    """The counterfactual documents of a pool. Raises InputError by the names that these settings have where a pool is drawn."""
    return find_negatives(pool, counts, seed, quiet, setting="counterfactuals")


def draw_pool(problems: Sequence[Problem], documents: int, pool: str, seed: int, without: Collection[str] = ()) -> list[Problem]:
    """One problem for each of `documents` different documents, drawn by seed; with "topics" whole topics in turn. Problems
    with an id in `without` are not taken, and their absence moves no other draw."""
    rng = np.random.default_rng(seed)
    names = identities(p.document for p in problems)
    first: dict[str, Problem] = {}
    for i in rng.permutation(len(problems)):
        if problems[int(i)].id not in without:
            first.setdefault(names[int(i)], problems[int(i)])
    if len(first) < documents:
        lacking = f" ({len(without)} problems left out have too few counterfactual documents)" if without else ""
        raise InputError(
            f"documents = {documents}: the data has only {len(first)} different documents{lacking}; "
            f"set documents to at most {len(first)}, or take another split or a higher data.limit"
        )
    drawn = list(first.values())
    if pool == "topics":
        rank = {group: i for i, group in enumerate(dict.fromkeys(p.group for p in drawn))}
        drawn.sort(key=lambda p: rank[p.group])
    return drawn[:documents]


def refuse_repeated(documents: dict[str, str]) -> None:
    """Raise InputError where two documents of the pool are one: false negatives of each other."""
    ids: dict[str, list[str]] = defaultdict(list)
    for identity, name in zip(documents, identities(documents.values()), strict=True):
        ids[name].append(identity)
    twice = [found for found in ids.values() if len(found) > 1]
    if twice:
        raise InputError(
            [
                f"documents {', '.join(map(repr, found))} are the same text: each would stand as a false negative of the "
                "other and take up to log 2 nats; keep one of them"
                for found in twice[:10]
            ]
        )
