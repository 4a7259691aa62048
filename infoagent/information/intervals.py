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


def student_t_quantile(probability: float, degrees_of_freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(probability, degrees_of_freedom))


def standard_error(values_D: NDArray[np.float64]) -> float:
    """s / √D of document means; NaN with a warning where D < 2, because the spread is unknown, not zero."""
    if len(values_D) < 2:
        warnings.warn("one document only: the standard error is unknown (NaN)", RuntimeWarning, stacklevel=3)
        return float("nan")
    return float(np.std(values_D, ddof=1) / np.sqrt(len(values_D)))


def mean_interval(values: ArrayLike, clusters: Sequence[Hashable] | None = None, level: float = 0.95) -> Finding:
    """Mean of cluster means with its t interval, D − 1 degrees of freedom.

    values: (N,) numbers; clusters: (N,) document labels (default: every value its own document).
    Raises ValueError for no values or NaN among them.
    """
    values_N = np.asarray(values, dtype=np.float64)
    if values_N.size == 0:
        raise ValueError("no values: a mean of nothing is unknown")
    if np.isnan(values_N).any():
        raise ValueError(
            f"{int(np.isnan(values_N).sum())} of {values_N.size} values are NaN; drop failed rows and count them"
        )
    means_D = values_N if clusters is None else _cluster_means(values_N, clusters)
    center = float(means_D.mean())
    error = standard_error(means_D)
    half = student_t_quantile(0.5 + level / 2, len(means_D) - 1) * error if len(means_D) > 1 else float("nan")
    return Finding(center, center - half, center + half, len(means_D))


def paired_difference(
    first: ArrayLike, second: ArrayLike, clusters: Sequence[Hashable] | None = None, level: float = 0.95
) -> Finding:
    """Mean of first − second over the same documents, with its t interval.

    Pairing removes what both compressors share: how informative the document is and how hard its negatives are.
    """
    first_N, second_N = np.asarray(first, dtype=np.float64), np.asarray(second, dtype=np.float64)
    if first_N.shape != second_N.shape:
        raise ValueError(f"paired values must match: {first_N.shape} against {second_N.shape}")
    return mean_interval(first_N - second_N, clusters, level)


def _cluster_means(values_N: NDArray[np.float64], clusters: Sequence[Hashable]) -> NDArray[np.float64]:
    if len(clusters) != len(values_N):
        raise ValueError(f"{len(values_N)} values but {len(clusters)} cluster labels")
    sums: dict[Hashable, list[float]] = {}
    for value, cluster in zip(values_N.tolist(), clusters, strict=True):
        sums.setdefault(cluster, []).append(value)
    return np.array([np.mean(v) for v in sums.values()])
