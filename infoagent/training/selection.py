"""Which samples of a group teach: the best ones (expert iteration), or pairs of a better and a worse one (preference).

Shape legend: N samples of all problems together, in the order in which they were drawn. `groups_N` says which samples
answer the same problem; a reward compares samples of one group only, because documents differ in how much they hold.
NaN is the reward of a sample that the scorer failed on: such a sample is neither chosen nor part of a mean.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

Pair = tuple[int, int]


def best_of_n(
    rewards: ArrayLike,
    groups: ArrayLike,
    lengths: ArrayLike,
    gated: ArrayLike,
    texts: Sequence[str],
    *,
    top: int | None = None,
    quantile: float | None = None,
    min_gain_nats: float = 0.05,
    min_reward_nats: float | None = None,
) -> NDArray[np.intp]:
    """Positions of the samples to imitate, in rising order.

    Of each group, either the `top` best samples or those at or above the `quantile` of the group's rewards; and of
    these only the ones whose reward is at least `min_gain_nats` above the mean of the group, so that a group whose
    samples are worth the same teaches nothing, and at least `min_reward_nats`. A sample that is alone in its group has no mean to
    beat: it is taken where it has that least reward, and never without one. Gated samples count in mean and quantile
    and are never chosen. Equal rewards: the shorter sample goes first, then the earlier one; a text that stands in a
    group twice is taken once.

    Raises ValueError for lengths that differ, both or neither of `top` and `quantile`, or a number out of its range.
    """
    rewards_N, groups_N, lengths_N, gated_N = (np.asarray(a) for a in (rewards, groups, lengths, gated))
    _check_lengths(len(texts), rewards_N, groups_N, lengths_N, gated_N)
    if (top is None) == (quantile is None):
        raise ValueError("give either top or quantile")
    if top is not None and top < 1:
        raise ValueError(f"top = {top}: must be at least 1")
    if quantile is not None and not 0 <= quantile <= 1:
        raise ValueError(f"quantile = {quantile}: must be between 0 and 1")
    if not min_gain_nats > 0:
        raise ValueError(f"min_gain_nats = {min_gain_nats}: must be above 0, or groups without signal would teach")
    chosen: list[int] = []
    for members in _groups(rewards_N, groups_N):
        values = rewards_N[members]
        floor = values.mean() + min_gain_nats
        if len(members) == 1 and min_reward_nats is not None:
            floor = min_reward_nats
        if quantile is not None:
            floor = max(floor, np.quantile(values, quantile))
        if min_reward_nats is not None:
            floor = max(floor, min_reward_nats)
        seen: set[str] = set()
        for i in _best_first(members, rewards_N, lengths_N):
            if top is not None and len(seen) == top:
                break
            if rewards_N[i] >= floor and not gated_N[i] and texts[i] not in seen:
                seen.add(texts[i])
                chosen.append(i)
    return np.array(sorted(chosen), dtype=np.intp)


def half_doublings(tokens: int) -> int:
    """Texts of like length: round(2 · log2(tokens)), so that 7 to 9 tokens are together, 10 to 13, 14 to 19, 20 to 26."""
    return round(2 * math.log2(max(1, tokens)))


def pairs_by_margin(
    rewards: ArrayLike,
    groups: ArrayLike,
    lengths: ArrayLike,
    gated: ArrayLike,
    texts: Sequence[str],
    *,
    margin_nats: float,
    per_problem: int,
    all_pairs: bool = False,
) -> list[Pair]:
    """(chosen, rejected) positions whose rewards differ by at least `margin_nats`, group by group.

    `all_pairs`: the pairs of a group with the widest margins; otherwise the best sample with the worst, the second
    best with the second worst, and so on. At most `per_problem` pairs of a group, no pair twice by its texts, none of
    equal texts. A gated sample may be the rejected one, never the chosen one. Equal rewards and margins: as in
    `best_of_n`, the shorter sample is the better one, then the earlier one.

    Raises ValueError for lengths that differ or a number out of its range.
    """
    rewards_N, groups_N, lengths_N, gated_N = (np.asarray(a) for a in (rewards, groups, lengths, gated))
    _check_lengths(len(texts), rewards_N, groups_N, lengths_N, gated_N)
    if not margin_nats > 0:
        raise ValueError(f"margin_nats = {margin_nats}: must be above 0, a pair of equals has no better one")
    if per_problem < 1:
        raise ValueError(f"per_problem = {per_problem}: must be at least 1")
    pairs: list[Pair] = []
    for members in _groups(rewards_N, groups_N):
        order = _best_first(members, rewards_N, lengths_N)
        if all_pairs:
            ranks = [(a, b) for a in range(len(order)) for b in range(a + 1, len(order))]
            ranks.sort(key=lambda r: (rewards_N[order[r[1]]] - rewards_N[order[r[0]]], r))
        else:
            ranks = [(a, len(order) - 1 - a) for a in range(len(order) // 2)]
        seen: set[tuple[str, str]] = set()
        for a, b in ranks:
            better, worse = order[a], order[b]
            wide = rewards_N[better] - rewards_N[worse] >= margin_nats
            texts_of = (texts[better], texts[worse])
            if wide and not gated_N[better] and texts_of[0] != texts_of[1] and texts_of not in seen:
                seen.add(texts_of)
                pairs.append((better, worse))
            if len(seen) == per_problem:
                break
    return pairs


def _check_lengths(number: int, *arrays: NDArray[np.generic]) -> None:
    shapes = [array.shape for array in arrays]
    if any(shape != (number,) for shape in shapes):
        raise ValueError(f"rewards, groups, lengths and gated must hold one value for each of {number} texts: {shapes}")


def _groups(rewards_N: NDArray[np.float64], groups_N: NDArray[np.generic]) -> list[NDArray[np.intp]]:
    """Positions of the samples with a reward, group by group, in the order of each group's first sample."""
    known = np.flatnonzero(~np.isnan(rewards_N))
    _, first, which = np.unique(groups_N[known], return_index=True, return_inverse=True)
    return [known[which == g] for g in np.argsort(first)]


def _best_first(members: NDArray[np.intp], rewards_N: NDArray[np.float64], lengths_N: NDArray[np.generic]) -> list[int]:
    return [int(i) for i in members[np.lexsort((members, lengths_N[members], -rewards_N[members]))]]
