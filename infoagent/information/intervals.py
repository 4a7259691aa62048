"""Intervals for means over documents.

Documents are the independent unit: compressions of one document share it, so only document means enter. A bootstrap
over documents is wrong here, because a resampled document would become its own negative.
"""

from __future__ import annotations

import warnings
from collections.abc import Hashable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infoagent.types import Finding

ROUNDING = 1e-12
"""Of numbers up to 1: a spread below it is none."""


def student_t_quantile(probability: float, degrees_of_freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(probability, degrees_of_freedom))


def standard_error(values_D: NDArray[np.float64]) -> float:
    """s / √D of document means; NaN with a warning where D < 2, because the spread is unknown, not zero."""
    if len(values_D) < 2:
        warnings.warn("one document only: the standard error is unknown (NaN)", RuntimeWarning, stacklevel=3)
        return float("nan")
    return float(np.std(values_D, ddof=1) / np.sqrt(len(values_D)))


def t_interval(values_D: NDArray[np.float64], level: float = 0.95) -> tuple[float, float]:
    """Mean ± t · s/√D with D − 1 degrees of freedom; (NaN, NaN) where D < 2 or a value is not finite."""
    if len(values_D) < 2 or not np.isfinite(values_D).all():
        return float("nan"), float("nan")
    half = student_t_quantile(0.5 + level / 2, len(values_D) - 1) * float(np.std(values_D, ddof=1))
    half /= float(np.sqrt(len(values_D)))
    return float(values_D.mean()) - half, float(values_D.mean()) + half


def detectable_difference(spread: float, n: int, power: float = 0.8, level: float = 0.95) -> float:
    """The difference that n documents show as different from 0 with probability `power`.

        (t_{1−α/2, n−1} + t_{power, n−1}) · spread / √n,  α = 1 − level

    `spread` is the standard deviation of the paired differences by document. Where no pair is known, √2 times that
    of one compressor's document means: that is without pairing, and pairing can show much smaller differences.
    The two t quantiles stand for the noncentral t; the power they promise is right within 0.03 from
    n = 10 on, and within 0.01 from n = 30 on (a test compares). NaN for n < 2 or a spread of NaN, since the spread is unknown then.
    Raises ValueError for a negative spread, and a power or level outside (0, 1).
    """
    for name, share in (("power", power), ("level", level)):
        if not 0 < share < 1:
            raise ValueError(f"{name} = {share}: must lie between 0 and 1")
    if spread < 0:
        raise ValueError(f"spread = {spread}: a standard deviation is at least 0")
    if n < 2 or np.isnan(spread):
        return float("nan")
    quantiles = student_t_quantile(0.5 + level / 2, n - 1) + student_t_quantile(power, n - 1)
    return float(quantiles * spread / np.sqrt(n))


def mean_interval(values: ArrayLike, clusters: Sequence[Hashable] | None = None, level: float = 0.95) -> Finding:
    """Mean of cluster means with its t interval, D − 1 degrees of freedom.

    values: (N,) numbers; clusters: (N,) document labels (default: every value its own document).
    Raises ValueError for no values or NaN among them.
    """
    values_N = np.asarray(values, dtype=np.float64)
    if values_N.size == 0:
        raise ValueError("no values: a mean of nothing is unknown")
    if np.isnan(values_N).any():
        raise ValueError(f"{int(np.isnan(values_N).sum())} of {values_N.size} values are NaN; drop failed rows and count them")
    means_D = values_N if clusters is None else _cluster_means(values_N, clusters)
    center = float(means_D.mean())
    error = standard_error(means_D)
    half = student_t_quantile(0.5 + level / 2, len(means_D) - 1) * error if len(means_D) > 1 else float("nan")
    return Finding(center, center - half, center + half, len(means_D))


def wilson_interval(count: int, number: int, level: float = 0.95) -> Finding:
    """A share count / number with Wilson's interval, which stays within 0 and 1 and never has width 0.

    Source: Wilson 1927. Raises ValueError for a share of nothing.
    """
    if number < 1:
        raise ValueError("a share of nothing is unknown")
    from scipy.stats import binomtest

    found = binomtest(count, number).proportion_ci(level, method="wilson")
    return Finding(count / number, float(found.low), float(found.high), number)


def share_interval(values: ArrayLike, clusters: Sequence[Hashable] | None = None, level: float = 0.95) -> Finding:
    """A share, or another mean of values within 0 and 1: `mean_interval`, but where the documents all agree on 0 or on 1 Wilson's
    interval of so many documents. No spread was seen then, which is not to say that there is none.

    Raises ValueError as `mean_interval` does.
    """
    found = mean_interval(values, clusters, level)
    if found.n < 2 or found.value not in (0.0, 1.0):
        return found
    return wilson_interval(found.n if found.value == 1.0 else 0, found.n, level)


def paired_difference(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[Hashable] | None = None, level: float = 0.95
) -> Finding:
    """Mean of first − second over the same documents, with its t interval.

    Pairing removes what both compressors share: how informative the document is and how hard its negatives are. Where no two
    documents differ in their difference, none by chance says how much the next one would: the interval is unknown (NaN, with a
    warning), not of width 0.
    """
    first_N, second_N = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first_N.shape != second_N.shape:
        raise ValueError(f"paired values must match: {first_N.shape} against {second_N.shape}")
    found = mean_interval(first_N - second_N, clusters, level)
    rounding = ROUNDING * max(1.0, float(np.abs(first_N).max()), float(np.abs(second_N).max()))
    if found.n > 1 and found.high - found.low <= rounding:
        warnings.warn(f"all {found.n} documents differ by the same: the interval is unknown (NaN)", RuntimeWarning, stacklevel=2)
        return Finding(found.value, float("nan"), float("nan"), found.n)
    return found


def _cluster_means(values_N: NDArray[np.float64], clusters: Sequence[Hashable]) -> NDArray[np.float64]:
    if len(clusters) != len(values_N):
        raise ValueError(f"{len(values_N)} values but {len(clusters)} cluster labels")
    sums: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values_N.tolist(), clusters, strict=True):
        sums.setdefault(cluster, []).append(value)
    return np.array([np.mean(v) for v in sums.values()])
