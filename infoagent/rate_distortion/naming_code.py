"""What naming facts can reach: the codes that say some values of each fact and leave the others unsaid.

For each fact a code fixes the set S of values that are said; a value outside of S is met with silence. Who knows the
code learns the value where it is said, and from silence that it is one of the others:

    nats   = −Σ_{v ∈ S} p_v log p_v − q log q        q = 1 − Σ_{v ∈ S} p_v, the probability of silence
    tokens =  Σ_{v ∈ S} p_v · cost_v

A code that maximises nats − price · tokens does so fact by fact, so the frontier over all prices is put together from
those of the facts. It is concave and piecewise linear: a point between two codes is reached by taking turns.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations, pairwise

import numpy as np
from scipy.special import xlogy

from infoagent.rate_distortion.shannon_limit import check_distribution

MOST_VALUES = 16


@dataclass(frozen=True)
class NamedFact:
    """A fact: the probability of each value and how many tokens it takes to say it."""

    probabilities: tuple[float, ...]
    costs: tuple[float, ...]

    def __post_init__(self) -> None:
        check_distribution(self.probabilities)
        if len(self.costs) != len(self.probabilities):
            raise ValueError(f"{len(self.probabilities)} values but {len(self.costs)} costs")
        if any(not (np.isfinite(cost) and cost > 0) for cost in self.costs):
            raise ValueError(f"costs {self.costs}: a word takes more than 0 tokens")
        if len(self.probabilities) > MOST_VALUES:
            raise ValueError(f"{len(self.probabilities)} values: all sets of at most {MOST_VALUES} can be tried")


@dataclass(frozen=True)
class NamingPoint:
    """A code and what it reaches. `said[f]` are the indices of the values of fact f that it says."""

    tokens: float
    nats: float
    said: tuple[tuple[int, ...], ...]


def code_point(facts: Sequence[NamedFact], said: Sequence[Sequence[int]]) -> NamingPoint:
    """What one code reaches."""
    points = [_fact_point(fact, tuple(values)) for fact, values in zip(facts, said, strict=True)]
    return NamingPoint(sum(p.tokens for p in points), sum(p.nats for p in points), tuple(p.said[0] for p in points))


def _fact_point(fact: NamedFact, said: tuple[int, ...]) -> NamingPoint:
    p_S = np.array([fact.probabilities[v] for v in said])
    silence = min(1.0, sum(p for v, p in enumerate(fact.probabilities) if v not in said))
    tokens = sum(fact.probabilities[v] * fact.costs[v] for v in said)
    return NamingPoint(float(tokens), float(-xlogy(p_S, p_S).sum() - xlogy(silence, silence)), (said,))


def naming_frontier(facts: Sequence[NamedFact]) -> list[NamingPoint]:
    """The corners of the frontier, from saying nothing to telling everything.

    Between corner i and i + 1 the price is the slope: (nats_{i+1} − nats_i) / (tokens_{i+1} − tokens_i).
    """
    steps = []
    corners = [_fact_frontier(fact) for fact in facts]
    for index, front in enumerate(corners):
        for before, after in pairwise(front):
            steps.append(((after.nats - before.nats) / (after.tokens - before.tokens), index, before, after))
    said = [front[0].said[0] for front in corners]
    found = [code_point(facts, said)]
    # the dearest price first; within a fact the slopes fall already, and a stable sort keeps their order
    for _, index, _, after in sorted(steps, key=lambda step: -step[0]):
        said[index] = after.said[0]
        found.append(code_point(facts, said))
    return found


def best_code(facts: Sequence[NamedFact], price: float) -> NamingPoint:
    """The code with the most nats − price · tokens; of equal ones that with the fewest tokens."""
    return max(naming_frontier(facts), key=lambda point: (point.nats - price * point.tokens, -point.tokens))


def _fact_frontier(fact: NamedFact) -> list[NamingPoint]:
    """Corners of the concave hull over every set of said values, by rising tokens."""
    values = range(len(fact.probabilities))
    points = [_fact_point(fact, said) for size in range(len(values) + 1) for said in combinations(values, size)]
    front: list[NamingPoint] = []
    for point in sorted(points, key=lambda point: (point.tokens, -point.nats)):
        if front and point.nats <= front[-1].nats + 1e-12:  # costs more and tells no more
            continue
        while len(front) > 1 and _slope(front[-2], front[-1]) <= _slope(front[-1], point):
            front.pop()
        front.append(point)
    return front


def _slope(left: NamingPoint, right: NamingPoint) -> float:
    return (right.nats - left.nats) / (right.tokens - left.tokens)
