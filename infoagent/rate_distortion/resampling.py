"""Resampling whole clusters (documents), and what stands in the place of a number that cannot be given.

Questions of one document share it, and all points of a curve share their questions: only documents are independent, so
documents are drawn, each with everything that was measured on it.
Shape legend: B resamples, D clusters, N rows.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import norm, t

Array = NDArray[np.float64]
FEWEST_CLUSTERS = 8
"""Below it a resample repeats so few documents that its spread says little of the population's."""
FEWEST_RESAMPLES = 50
MOST_FAILED = 0.05
"""Share of resamples without a value, above which the rest is no interval."""


@dataclass(frozen=True)
class Refused:
    """Why there is no result."""

    reason: str

    def to_dict(self) -> dict[str, Any]:
        return {"refused": self.reason}


@dataclass(frozen=True)
class Interval:
    """A value with its 95 % interval over `n` clusters; `failed` is the share of resamples without a value."""

    value: float
    low: float
    high: float
    n: int
    failed: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self)}


def cluster_index(labels: Sequence[Hashable]) -> NDArray[np.intp]:
    """(N,) a number from 0 for each label, in the order of their first appearance."""
    seen: dict[Hashable, int] = {}
    return np.array([seen.setdefault(label, len(seen)) for label in labels], dtype=np.intp)


def check_resamples(resamples: int) -> None:
    """Raise ValueError for too few."""
    if resamples < FEWEST_RESAMPLES:
        raise ValueError(f"resamples = {resamples}: must be at least {FEWEST_RESAMPLES}; 1000 make quantiles of 95 % steady")


def draw_counts(rng: np.random.Generator, resamples: int, clusters: int) -> Array:
    """(B, D) how often each cluster is drawn, D draws in each resample."""
    return rng.multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples).astype(np.float64)


def bootstrap_interval(
    value: float, sample_B: Array, clusters: int, what: str, corrected: bool = True, level: float = 0.95
) -> Interval | Refused:
    """The bias-corrected and expanded percentile interval: quantiles Φ(2·z0 ± √(D/(D−1)) · t_{(1 + level)/2, D−1}) of the
    resamples.

    z0 = Φ⁻¹(share of resamples below `value`, ties counted half); 0 where `corrected` is false, for a value that is no
    function of the sample as the resamples' are. t widens what a bootstrap of few clusters makes too narrow. Resamples
    that are not finite are counted as failed; above `MOST_FAILED` there is no interval.
    Source: Efron 1987, section 2 (bias correction); Hesterberg 2015, The American Statistician 69(4), 5.3 (expansion).
    """
    if not np.isfinite(value):
        return Refused(f"{what}: the data do not determine it")
    good_B = sample_B[np.isfinite(sample_B)]
    failed = 1 - len(good_B) / len(sample_B)
    if failed > MOST_FAILED:
        return Refused(f"{what}: {100 * failed:.0f} % of the resamples do not determine it, and the rest is no interval")
    below = float(((good_B < value).mean() + (good_B <= value).mean()) / 2)
    end = 1 / (2 * len(good_B))
    shift = 2 * float(norm.ppf(np.clip(below, end, 1 - end))) if corrected else 0.0
    half = float(np.sqrt(clusters / (clusters - 1)) * t.ppf(0.5 + level / 2, clusters - 1))
    low, high = np.quantile(good_B, norm.cdf([shift - half, shift + half]))
    return Interval(value, float(low), float(high), clusters, failed)
