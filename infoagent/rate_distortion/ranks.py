"""Do two measures put compressions, and compressors, in the same order? Rank correlations with intervals over documents.

Shape legend: N rows (a compression each), D documents, B resamples, P points (compressors).

  rows     Spearman's ρ and Kendall's τ-b over all compressions as they are
  points   the same over the means of compressors; few points, and their choice is no sample

Documents are drawn with all their rows, ranks and means are taken anew in each resample.
Source: Spearman 1904; Kendall 1945 (ties).
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import kendalltau, rankdata

from infoagent.rate_distortion.resampling import (
    FEWEST_CLUSTERS,
    Interval,
    Refused,
    bootstrap_interval,
    check_resamples,
    cluster_index,
)

Array = NDArray[np.float64]
Found = Interval | Refused
FEWEST_POINTS = 4
"""Three points stand in one of six orders: 1 in 6 agree by chance."""


@dataclass(frozen=True)
class RankAgreement:
    """Of two measures of the same compressions."""

    spearman: Found
    kendall: Found
    points_spearman: Found
    points_kendall: Found

    def to_dict(self) -> dict[str, Any]:
        return {name: found.to_dict() for name, found in vars(self).items()}


def rank_agreement(
    one: ArrayLike,
    other: ArrayLike,
    documents: Sequence[Hashable],
    points: Sequence[Hashable],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> RankAgreement | Refused:
    """Of two measures of N compressions; see the module. `Refused` below 8 documents and where a measure is constant.

    Raises ValueError for columns of different length, and for numbers that are not finite.
    """
    first_N, second_N = check_columns(one, other, documents, points)
    check_resamples(resamples)
    document_N, point_N = cluster_index(documents), cluster_index(points)
    D, P = int(document_N.max()) + 1, int(point_N.max()) + 1
    if D < FEWEST_CLUSTERS:
        return Refused(f"{D} documents: intervals over documents need at least {FEWEST_CLUSTERS}")
    for name, column_N in (("first", first_N), ("second", second_N)):
        if np.ptp(column_N) == 0:
            return Refused(f"the {name} measure is {column_N[0]:g} in every row: it has no order")
    draws = resampled_rows(document_N, rng, resamples)

    def interval(value: Callable[[NDArray[np.intp]], float], what: str) -> Found:
        whole = value(np.arange(len(first_N)))
        return bootstrap_interval(whole, np.array([value(rows) for rows in draws]), D, what)

    def means(rows: NDArray[np.intp]) -> tuple[Array, Array]:
        number_P = np.bincount(point_N[rows], minlength=P)
        kept = number_P > 0  # a resample may lack a point
        sums = (np.bincount(point_N[rows], column[rows], minlength=P) for column in (first_N, second_N))
        one_P, other_P = (column_P[kept] / number_P[kept] for column_P in sums)
        return one_P, other_P

    few = Refused(f"{P} points: their order says little below {FEWEST_POINTS}")
    return RankAgreement(
        spearman=interval(lambda rows: spearman(first_N[rows], second_N[rows]), "rank correlation over compressions"),
        kendall=interval(lambda rows: kendall(first_N[rows], second_N[rows]), "rank correlation over compressions"),
        points_spearman=few if P < FEWEST_POINTS else interval(lambda r: spearman(*means(r)), "order of compressors"),
        points_kendall=few if P < FEWEST_POINTS else interval(lambda r: kendall(*means(r)), "order of compressors"),
    )


def difference_in_agreement(
    one: ArrayLike, other: ArrayLike, target: ArrayLike, documents: Sequence[Hashable], rng: np.random.Generator,
    resamples: int = 1000,
) -> Found:  # fmt: skip
    """ρ(one, target) − ρ(other, target) over the same rows, with its interval: which of two measures tells the target's
    order better? Raises ValueError as `rank_agreement` does."""
    first_N, second_N = check_columns(one, other, documents, documents)
    target_N, _ = check_columns(target, other, documents, documents)
    document_N = cluster_index(documents)
    D = int(document_N.max()) + 1
    if D < FEWEST_CLUSTERS:
        return Refused(f"{D} documents: intervals over documents need at least {FEWEST_CLUSTERS}")

    def value(rows: NDArray[np.intp]) -> float:
        return spearman(first_N[rows], target_N[rows]) - spearman(second_N[rows], target_N[rows])

    sample_B = np.array([value(rows) for rows in resampled_rows(document_N, rng, resamples)])
    return bootstrap_interval(value(np.arange(len(first_N))), sample_B, D, "difference of two rank correlations")


def check_columns(one: ArrayLike, other: ArrayLike, *labels: Sequence[Hashable]) -> tuple[Array, Array]:
    columns = [np.asarray(c, dtype=np.float64) for c in (one, other)]
    if not len(columns[0]) or {len(c) for c in (*columns, *labels)} != {len(columns[0])}:
        raise ValueError(f"columns of {[len(c) for c in (*columns, *labels)]} rows: must be the same, and not empty")
    if not all(np.isfinite(c).all() for c in columns):
        raise ValueError("a number is not finite: leave failed rows out")
    return columns[0], columns[1]


def resampled_rows(document_N: NDArray[np.intp], rng: np.random.Generator, resamples: int) -> list[NDArray[np.intp]]:
    """For each resample the rows of D documents, drawn with replacement."""
    D = int(document_N.max()) + 1
    members = [np.flatnonzero(document_N == d) for d in range(D)]
    return [np.concatenate([members[d] for d in rng.integers(D, size=D)]) for _ in range(resamples)]


def spearman(one_N: Array, other_N: Array) -> float:
    """ρ of midranks; NaN where one side has no order."""
    if len(one_N) < 2 or np.ptp(one_N) == 0 or np.ptp(other_N) == 0:
        return float("nan")
    return float(np.corrcoef(rankdata(one_N), rankdata(other_N))[0, 1])


def kendall(one_N: Array, other_N: Array) -> float:
    """τ-b; NaN where one side has no order."""
    if len(one_N) < 2 or np.ptp(one_N) == 0 or np.ptp(other_N) == 0:
        return float("nan")
    return float(kendalltau(one_N, other_N, method="asymptotic").statistic)
