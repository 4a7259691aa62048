"""Do two measures put compressions, and compressors, in the same order? Rank correlations with intervals over documents.

Shape legend: N rows (a compression each), D documents, B resamples, P points (compressors).

  rows     Spearman's ρ and Kendall's τ-b over all compressions as they are
  points   the same over the means of compressors; few points, and their choice is no sample

Documents are drawn with all their rows, ranks and means are taken anew in each resample. With s_ij = sign(x_i − x_j) and
row i drawn w_i times, the centred midrank is r_i = ½ Σ_j w_j s_ij, and

    ρ = Σ w r_x r_y / √(Σ w r_x² · Σ w r_y²),   τ-b = Σ_ij w_i w_j s_x s_y / √(Σ_ij w_i w_j |s_x| · Σ_ij w_i w_j |s_y|).

Source: Spearman 1904; Kendall 1945 (ties).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infoagent.rate_distortion.resampling import (
    FEWEST_CLUSTERS,
    Interval,
    Refused,
    bootstrap_interval,
    check_resamples,
    cluster_index,
    draw_counts,
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
    first_N, second_N = _checked([one, other], [documents, points])
    check_resamples(resamples)
    document_N, point_N = cluster_index(documents), cluster_index(points)
    D, P = int(document_N.max()) + 1, int(point_N.max()) + 1
    if D < FEWEST_CLUSTERS:
        return Refused(f"{D} documents: intervals over documents need at least {FEWEST_CLUSTERS}")
    for name, column_N in (("first", first_N), ("second", second_N)):
        if np.ptp(column_N) == 0:
            return Refused(f"the {name} measure is {column_N[0]:g} in every row: it has no order")
    weight_BN = _weights(rng, resamples, document_N)
    rows = _correlations(_signs(first_N), _signs(second_N), weight_BN)
    rho, tau = (_interval(values_B, D, "rank correlation over compressions") for values_B in rows)
    if P < FEWEST_POINTS:
        few = Refused(f"{P} points: their order says little below {FEWEST_POINTS}")
        return RankAgreement(rho, tau, few, few)
    member_NP = (point_N[:, None] == np.arange(P)).astype(np.float64)
    number_BP = weight_BN @ member_NP
    means = [(weight_BN * c) @ member_NP / np.maximum(number_BP, 1) for c in (first_N, second_N)]
    there_BP = (number_BP > 0).astype(np.float64)  # a resample may lack a point
    over = _correlations(_signs(means[0]), _signs(means[1]), there_BP)
    return RankAgreement(rho, tau, *(_interval(values_B, D, "rank correlation over compressors") for values_B in over))


def difference_in_agreement(
    one: ArrayLike,
    other: ArrayLike,
    target: ArrayLike,
    documents: Sequence[Hashable],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Found:
    """ρ(one, target) − ρ(other, target) over the same rows, with its interval: which of two measures tells the target's
    order better? Raises ValueError as `rank_agreement` does."""
    columns = _checked([one, other, target], [documents])
    document_N = cluster_index(documents)
    D = int(document_N.max()) + 1
    if D < FEWEST_CLUSTERS:
        return Refused(f"{D} documents: intervals over documents need at least {FEWEST_CLUSTERS}")
    weight_BN = _weights(rng, resamples, document_N)
    first, second, aim = (_signs(column_N) for column_N in columns)
    difference_B = _correlations(first, aim, weight_BN)[0] - _correlations(second, aim, weight_BN)[0]
    return _interval(difference_B, D, "difference of two rank correlations")


def spearman_low(
    one: ArrayLike, other: ArrayLike, documents: Sequence[Hashable], rng: np.random.Generator, level: float, resamples: int = 1000
) -> float | Refused:
    """Lower end of the interval of ρ over compressions at a `level` of one's own.

    Of k measures that are tried, level = 1 − 0.05 / k holds for all at once (Bonferroni). Refused and ValueError as
    for `rank_agreement`.
    """
    first_N, second_N = _checked([one, other], [documents])
    check_resamples(resamples)
    document_N = cluster_index(documents)
    D = int(document_N.max()) + 1
    if D < FEWEST_CLUSTERS:
        return Refused(f"{D} documents: intervals over documents need at least {FEWEST_CLUSTERS}")
    weight_BN = _weights(rng, resamples, document_N)
    rho_B = _correlations(_signs(first_N), _signs(second_N), weight_BN)[0]
    found = _interval(rho_B, D, "rank correlation over compressions", level)
    return found if isinstance(found, Refused) else found.low


def _checked(values: Sequence[ArrayLike], labels: Sequence[Sequence[Hashable]]) -> list[Array]:
    columns = [np.asarray(c, dtype=np.float64) for c in values]
    if not len(columns[0]) or {len(c) for c in (*columns, *labels)} != {len(columns[0])}:
        raise ValueError(f"columns of {[len(c) for c in (*columns, *labels)]} rows: must be the same, and not empty")
    if not all(np.isfinite(c).all() for c in columns):
        raise ValueError("a number is not finite: leave failed rows out")
    return columns


def _weights(rng: np.random.Generator, resamples: int, document_N: NDArray[np.intp]) -> Array:
    """(1 + B, N) how often each row is drawn: with its document. The sample itself stands first."""
    D = int(document_N.max()) + 1
    return np.vstack([np.ones(D), draw_counts(rng, resamples, D)])[:, document_N]


def _signs(values: Array) -> Array:
    """(…, N) → (…, N, N) sign(x_i − x_j)."""
    return np.sign(values[..., :, None] - values[..., None, :])


def _correlations(one: Array, other: Array, weight_BN: Array) -> tuple[Array, Array]:
    """(B,) Spearman's ρ and Kendall's τ-b from signs (N, N) or (B, N, N); NaN where one side has no order."""

    def against(signs: Array) -> Array:
        return np.matmul(signs, weight_BN[..., None])[..., 0] if signs.ndim == 3 else weight_BN @ signs.T

    def total(values_BN: Array) -> Array:
        return (weight_BN * values_BN).sum(axis=1)

    rank_one, rank_other = against(one), against(other)
    rho_B = _safe(total(rank_one * rank_other), total(rank_one**2) * total(rank_other**2))
    tau_B = _safe(total(against(one * other)), total(against(abs(one))) * total(against(abs(other))))
    return rho_B, tau_B


def _safe(top_B: Array, square_B: Array) -> Array:
    return np.asarray(top_B / np.sqrt(np.where(square_B > 0, square_B, np.nan)))


def _interval(values_B: Array, documents: int, what: str, level: float = 0.95) -> Found:
    # the order of few points takes few values: equal ones must not differ by their rounding
    values_B = values_B.round(12)
    return bootstrap_interval(float(values_B[0]), values_B[1:], documents, what, level=level)
