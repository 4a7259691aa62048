"""Laws D(R) = C·φ(R; θ) + D0 through points with a common covariance, many sets of points at once.

Shape legend: B sets of points (resamples), P points, G values of the shape parameter θ.

For each θ the best C ≥ 0 and D0 within its bounds solve a quadratic programme in two variables, in closed form; θ is
searched on a grid over all shapes from a straight line to a step, and refined around the best. So no start is chosen,
and only an optimum narrower than the grid could be missed. Source: Golub & Pereyra 1973 (profiles over the linear part).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infoagent.rate_distortion.resampling import Refused

Array = NDArray[np.float64]
Bounds = tuple[float, float]
GRID = 72
REFINEMENTS = 34
"""Golden sections: the last interval of log θ is about 1e-7 of a grid step."""
GOLDEN = (np.sqrt(5) - 1) / 2
AT_ONCE = 250
LARGEST_EXPONENT = 300.0


@dataclass(frozen=True)
class Law:
    """C·φ(R; θ) + D0; `k` counts its parameters."""

    name: str
    k: int
    shape: Callable[[Array, Array, float, float], Array]
    """φ of rates (…, P), log θ (…, 1), the shortest and the longest rate."""
    theta: str | None = None
    """What θ is called; None: φ has no parameter."""
    floor_free: bool = True
    """False: D0 is held at its lower bound."""


LAWS = (
    Law("exponential", 3, lambda r, t, low, high: np.exp(-np.exp(t) * (r - low)), "b"),
    Law("constant", 1, lambda r, t, low, high: np.zeros_like(r)),
    Law("linear", 2, lambda r, t, low, high: (high - r) / (high - low)),
    Law("power", 3, lambda r, t, low, high: (r / low) ** -np.exp(t), "a"),
    Law("exponential without floor", 2, lambda r, t, low, high: np.exp(-np.exp(t) * (r - low)), "b", floor_free=False),
    Law("hyperbola", 3, lambda r, t, low, high: (np.exp(t) + low) / (np.exp(t) + r), "K"),
)


@dataclass(frozen=True)
class Points:
    """Mean rates and distortions of B sets of points, the sample itself first, and (Σ/D)⁻¹ of their distortions."""

    rate_BP: Array
    distortion_BP: Array
    precision_PP: Array

    @property
    def ends(self) -> tuple[float, float]:
        return float(self.rate_BP[0].min()), float(self.rate_BP[0].max())


@dataclass(frozen=True)
class Solved:
    """A law's C and D0 beside a φ that is 1 at the shortest rate, its θ and χ² for each set; NaN where it has none."""

    scale_B: Array
    offset_B: Array
    theta_B: Array
    chi2_B: Array


def solve(law: Law, points: Points, bounds: Bounds) -> Solved | Refused:
    """Fit `law` to each set."""
    if not law.floor_free:
        bounds = (bounds[0], bounds[0])
    B, (low, high) = len(points.rate_BP), points.ends
    if law.theta is None:
        phi_BP = law.shape(points.rate_BP, np.zeros(1), low, high)
        scale_B, offset_B, chi2_B = linear_part(phi_BP, points.distortion_BP, points.precision_PP, bounds)
        return Solved(scale_B, offset_B, np.full(B, np.nan), chi2_B)
    if law.theta == "a" and points.rate_BP.min() <= 0:
        return Refused("a point, or a resample of it, has length 0, where a power law is infinite")
    parts = [_search(law, points, slice(i, i + AT_ONCE), bounds) for i in range(0, B, AT_ONCE)]
    return Solved(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def linear_part(phi: Array, distortion: Array, precision_PP: Array, bounds: Bounds) -> tuple[Array, Array, Array]:
    """(C, D0, χ²) that minimise χ² = eᵀ W e, e = distortion − C·φ − D0, over C ≥ 0 and D0 within `bounds`.

    phi and distortion: (…, P), broadcast against each other. The optimum of a convex quadratic in a box is its free
    one if that lies inside, else the best of its edges.
    """
    weighted = phi @ precision_PP
    a = (weighted * phi).sum(-1)
    b = weighted.sum(-1)
    f = (weighted * distortion).sum(-1)
    ones_P = precision_PP.sum(0)
    e = float(ones_P.sum())
    g = distortion @ ones_P
    h = ((distortion @ precision_PP) * distortion).sum(-1)
    low, high = bounds
    safe_a = np.where(a > 0, a, 1.0)
    determinant = a * e - b * b
    free = determinant > 1e-10 * a * e  # otherwise φ is flat: the edge C = 0 says the same
    safe = np.where(free, determinant, 1.0)
    zero = np.zeros_like(f)
    candidates = [(zero, np.clip(g / e, low, high) + zero, np.ones(f.shape, dtype=bool))]
    candidates += [
        (np.where(a > 0, np.maximum(0, (f - b * edge) / safe_a), 0.0), zero + edge, np.ones(f.shape, dtype=bool))
        for edge in {low, high}
        if np.isfinite(edge)
    ]
    scale, offset = (e * f - b * g) / safe, (a * g - b * f) / safe
    candidates.append((scale, offset, free & (scale >= 0) & (offset >= low) & (offset <= high)))
    best = (zero, zero, np.full(f.shape, np.inf))
    for scale, offset, allowed in candidates:
        chi2 = h - 2 * scale * f - 2 * offset * g + a * scale**2 + 2 * b * scale * offset + e * offset**2
        better = allowed & (chi2 < best[2])
        found = (scale, offset, np.maximum(chi2, 0))
        best = (np.where(better, found[0], best[0]), np.where(better, found[1], best[1]), np.where(better, found[2], best[2]))
    return best


def _log_range(law: Law, rate_P: Array) -> tuple[float, float]:
    """log θ from all but a straight line to a step behind the shortest point."""
    low, span = float(rate_P.min()), float(np.ptp(rate_P))
    steepest = 20 / max(float(np.diff(np.unique(rate_P))[0]), span / 1000)
    if law.theta == "b":  # C is D at length 0 less the floor, and exp(b · shortest) has to be a number
        return float(np.log(0.01 / span)), float(np.log(min(steepest, LARGEST_EXPONENT / max(low, 1e-9))))
    if law.theta == "K":
        return float(np.log(1 / steepest)), float(np.log(100 * span))
    return float(np.log(0.01)), float(np.log(20))


def _search(law: Law, points: Points, rows: slice, bounds: Bounds) -> tuple[Array, Array, Array, Array]:
    rate_BP, distortion_BP = points.rate_BP[rows], points.distortion_BP[rows]
    first, last = _log_range(law, points.rate_BP[0])
    grid_G = np.linspace(first, last, GRID)
    step = float(grid_G[1] - grid_G[0])

    def at(log_B1: Array) -> tuple[Array, Array, Array]:
        phi_BP = law.shape(rate_BP, log_B1, *points.ends)
        return linear_part(phi_BP, distortion_BP, points.precision_PP, bounds)

    phi_BGP = law.shape(rate_BP[:, None], grid_G[:, None], *points.ends)
    coarse_BG = linear_part(phi_BGP, distortion_BP[:, None], points.precision_PP, bounds)[2]
    start_B1 = grid_G[coarse_BG.argmin(axis=1)][:, None]
    left, right = np.maximum(start_B1 - step, first), np.minimum(start_B1 + step, last)
    inner, outer = right - GOLDEN * (right - left), left + GOLDEN * (right - left)
    chi2_inner, chi2_outer = at(inner)[2], at(outer)[2]
    for _ in range(REFINEMENTS):
        lower = (chi2_inner < chi2_outer)[:, None]
        left, right = np.where(lower, left, inner), np.where(lower, outer, right)
        fresh = np.where(lower, right - GOLDEN * (right - left), left + GOLDEN * (right - left))
        chi2_fresh = at(fresh)[2]
        inner, outer = np.where(lower, fresh, outer), np.where(lower, inner, fresh)
        chi2_inner, chi2_outer = (np.where(lower[:, 0], chi2_fresh, chi2_outer), np.where(lower[:, 0], chi2_inner, chi2_fresh))
    found_B1 = (left + right) / 2
    scale_B, offset_B, chi2_B = at(found_B1)
    return scale_B, offset_B, np.exp(found_B1[:, 0]), chi2_B


def parameters(law: Law, solved: Solved, row: int, ends: tuple[float, float]) -> dict[str, float]:
    """The parameters of one set as the law's formula has them, C at rate 0 (the power law's at rate 1)."""
    scale, offset, theta = float(solved.scale_B[row]), float(solved.offset_B[row]), float(solved.theta_B[row])
    if law.name == "constant":
        return {"D0": offset}
    if law.name == "linear":
        slope = scale / (ends[1] - ends[0])
        return {"intercept": offset + slope * ends[1], "slope": -slope}
    found = {"C": scale * float(amplitude(law, np.array(theta), ends[0])), str(law.theta): theta}
    return {**found, "D0": offset} if law.floor_free else found


def amplitude(law: Law, theta: Array, low: float) -> Array:
    """What a scale at the shortest rate becomes as C: exp(b·low), lowᵃ, (K + low)/K."""
    if law.theta == "b":
        return np.exp(theta * low)
    if law.theta == "a":
        return low**theta
    return (theta + low) / theta
