"""Which points no other point beats."""

from __future__ import annotations

from collections.abc import Sequence


def pareto_front(rate: Sequence[float], value: Sequence[float]) -> list[int]:
    """Indices of the points with no other of at most their rate and at least their value, by rising rate.

    Of equal points the first is kept.
    """
    if len(rate) != len(value):
        raise ValueError(f"{len(rate)} rates but {len(value)} values")
    front: list[int] = []
    for i in sorted(range(len(rate)), key=lambda i: (rate[i], -value[i], i)):
        if not front or value[i] > value[front[-1]]:
            front.append(i)
    return front
