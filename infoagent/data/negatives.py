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

import numpy as np

from infoagent.data.counterfactuals import counterfactuals
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


def draw_negatives(problems: Sequence[Problem], counts: Counts, seed: int) -> list[tuple[Negative, ...]]:
    """For each problem `counts` negatives, in the order of NEGATIVE_KINDS, all different from its own document.

    The draw of a problem depends on its id, the seed and the pool, not on its place in the list. Raises InputError
    where the data cannot give as many as asked for, with how many it has.
    """
    # one entry per text: a duplicate of the source as its own negative would hide its information
    pool: dict[str, Problem] = {}
    for problem in problems:
        pool.setdefault(problem.document, problem)
    texts = list(pool)
    by_group: dict[str, list[str]] = defaultdict(list)
    by_whole: dict[str, list[str]] = defaultdict(list)
    for text, problem in pool.items():
        if problem.group is not None:
            by_group[problem.group].append(text)
        if problem.part_of is not None:
            by_whole[problem.part_of].append(text)

    drawn: list[tuple[Negative, ...]] = []
    short: dict[NegativeKind, tuple[int, str]] = {}
    for problem in problems:
        rng = np.random.default_rng([seed, int.from_bytes(hashlib.sha256(problem.id.encode()).digest()[:8], "little")])
        chosen: list[Negative] = []
        used = {problem.document}
        candidates: dict[NegativeKind, list[Negative]] = {
            "random": [Negative("random", text) for text in texts],
            "topic": [Negative("topic", text) for text in by_group.get(problem.group or "", [])],
            "sibling": [Negative("sibling", text) for text in by_whole.get(problem.part_of or "", [])],
            "counterfactual": list(counterfactuals(problem)) if counts.counterfactual else [],
        }
        # hard kinds first: a document that is both of the topic and of the set counts as the harder one
        for kind in reversed(NEGATIVE_KINDS):
            wanted = counts.of(kind)
            if not wanted:
                continue
            usable = [n for n in candidates[kind] if n.document not in used]
            if len(usable) < wanted:
                if kind not in short or len(usable) < short[kind][0]:
                    short[kind] = (len(usable), problem.id)
                continue
            # counterfactuals keep their order, so that fewer of them are a prefix of more of them
            order = range(wanted) if kind == "counterfactual" else rng.permutation(len(usable))[:wanted]
            picked = [usable[int(i)] for i in order]
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
    "counterfactual": "counterfactual documents (an answer that stands in the document, and choices)",
}
