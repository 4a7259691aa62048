"""What every scorer offers, wherever its model runs: sums of the columns that it computes, each pair once.

Shape legend: K prefixes, C continuations, L tokens of one continuation.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence

import numpy as np
from numpy.typing import NDArray

TokenLogProbs = NDArray[np.float32]


class ColumnScorer(ABC):
    """log p(continuation | prefix) in nats. `remember`: `score` keeps so many values, for a frozen model whose pairs
    recur, as those of a small source do."""

    concurrency = 1
    """Calls that may be under way at once, from as many threads."""

    def __init__(self, remember: int = 0) -> None:
        self.remember = remember
        self._known: dict[tuple[tuple[int, ...], tuple[int, ...]], float] = {}
        self.prefix_tokens = 0
        """Prefix tokens that went through the model so far (shared ones once)."""
        self.continuation_tokens = 0

    def score(self, prefixes: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """log_probs_CK[c, k] = log p(continuation c | prefix k), nats.

        Raises ValueError for an empty prefix or continuation, FloatingPointError where the model returns NaN.
        """
        # equal prefixes and equal continuations are computed once
        distinct_D = list(dict.fromkeys(tuple(prefix) for prefix in prefixes))
        strings_S = list(dict.fromkeys(tuple(continuation) for continuation in continuations))
        if len(self._known) > self.remember:
            self._known = {}
        found = self._known if self.remember else {}
        wanted = [[s for s, string in enumerate(strings_S) if (prefix, string) not in found] for prefix in distinct_D]
        for k, columns in self.score_tokens(distinct_D, strings_S, wanted):
            for s, column in zip(wanted[k], columns, strict=True):
                found[distinct_D[k], strings_S[s]] = float(column.sum(dtype=np.float64))
        return np.array([[found[tuple(prefix), tuple(c)] for prefix in prefixes] for c in continuations])

    @abstractmethod
    def score_tokens(
        self,
        prefixes: Sequence[Sequence[int]],
        continuations: Sequence[Sequence[int]],
        wanted: Sequence[Sequence[int]] | None = None,
    ) -> Iterator[tuple[int, list[TokenLogProbs]]]:
        """Column by column as they are done: (k, for each continuation the (L,) log-probabilities of its tokens).

        `wanted[k]` names the continuations to score under prefix k (default: all); a prefix that none is wanted of
        is not visited.
        """


def check_tokens(prefixes: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]) -> None:
    """Raise ValueError for an empty prefix or continuation."""
    if not len(continuations) or any(len(c) == 0 for c in continuations):
        raise ValueError("a continuation without tokens has no log-probability; gate empty compressions before scoring")
    if not len(prefixes) or any(len(p) == 0 for p in prefixes):
        raise ValueError("a prefix must hold at least one token")
