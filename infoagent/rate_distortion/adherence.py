"""Does a compressor write as much as it is asked for?"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import binom

from infoagent.types import Finding


@dataclass(frozen=True)
class Adherence:
    """How far lengths are from those asked for. `over_budget` is a share; `median_error` is |achieved − r| / r."""

    median_error: Finding
    over_budget: float
    median_achieved: float
    n: int


def adherence(requested: Sequence[float], achieved: Sequence[float], documents: Sequence[str]) -> Adherence:
    """Median over documents of the mean |achieved − requested| / requested of their compressions, with the 95 %
    interval of order statistics (exact for any distribution; NaN below 6 documents, where there is none), and the
    share of compressions longer than requested.

    Raises ValueError for a request that is not above 0, or for lists of different length.
    """
    if not len(requested) == len(achieved) == len(documents) or not len(requested):
        raise ValueError(f"{len(requested)} requests, {len(achieved)} lengths, {len(documents)} documents")
    wanted, got = np.asarray(requested, dtype=float), np.asarray(achieved, dtype=float)
    if (wanted <= 0).any():
        raise ValueError("a requested length must be above 0")
    by_document: dict[str, list[float]] = defaultdict(list)
    for document, error in zip(documents, np.abs(got - wanted) / wanted, strict=True):
        by_document[document].append(float(error))
    errors = np.sort([np.mean(values) for values in by_document.values()])
    low, high = _median_interval(errors)
    median = Finding(float(np.median(errors)), low, high, len(errors))
    return Adherence(median, float((got > wanted).mean()), float(np.median(got)), len(got))


def _median_interval(ordered: NDArray[np.float64]) -> tuple[float, float]:
    """The narrowest symmetric pair of order statistics that holds the median with at least 95 %: x(k), x(n+1−k) with
    P(Bin(n, ½) < k) ≤ 2.5 %. Source: David & Nagaraja 2003, Order Statistics, 7.1."""
    n = len(ordered)
    k = int(binom.ppf(0.025, n, 0.5))
    k = k if binom.cdf(k - 1, n, 0.5) <= 0.025 else k - 1
    if k < 1:
        return float("nan"), float("nan")
    return float(ordered[k - 1]), float(ordered[n - k])
