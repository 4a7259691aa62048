"""The floor of any encoder: R(D) of a source of independent facts, by the algorithm of Blahut and Arimoto.

Shape legend: X values of a source, Y values of its reproduction.

R(D) is the least I(X;Y) in nats with E d(X, Y) ≤ D. For facts that are independent, with a distortion that is the
weighted sum of the facts' own, the minimum at one slope s of the whole curve is reached fact by fact:

    min I + s · Σ_f w_f E d_f  =  Σ_f min (I_f + s · w_f E d_f)

Sources: C. E. Shannon, "Coding theorems for a discrete source with a fidelity criterion" (1959); R. Blahut,
"Computation of channel capacity and rate-distortion functions" (1972).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import xlogy

ITERATIONS = 20_000


@dataclass(frozen=True)
class RatePoint:
    """A point that an encoder can reach; the true R at this distortion is at most `gap_nats` lower."""

    rate_nats: float
    distortion: float
    gap_nats: float


def check_distribution(probabilities: ArrayLike) -> NDArray[np.float64]:
    """Raise ValueError unless the values are at least 0 and sum to 1."""
    p_X = np.asarray(probabilities, dtype=np.float64)
    if p_X.ndim != 1 or not p_X.size or not np.isfinite(p_X).all() or (p_X < 0).any() or abs(p_X.sum() - 1) > 1e-9:
        raise ValueError(f"probabilities {p_X.tolist()}: must be at least 0 and sum to 1")
    return p_X


def entropy_nats(probabilities: ArrayLike) -> float:
    """H(X) = −Σ p log p."""
    p_X = check_distribution(probabilities)
    return float(-xlogy(p_X, p_X).sum())


def hamming(values: int) -> NDArray[np.float64]:
    """d(x, y) = 1 where y is not x."""
    return 1.0 - np.eye(values)


def blahut_arimoto(probabilities: ArrayLike, distortion_XY: ArrayLike, slope: float, tolerance: float = 1e-9) -> RatePoint:
    """The point of R(D) where one more unit of distortion saves `slope` nats (−dR/dD = slope).

    Alternates the best test channel q(y|x) ∝ q(y) exp(−slope · d(x, y)) and its output q(y), until Blahut's bounds on
    min I + slope · E d are `tolerance` nats apart, or ITERATIONS are done; `gap_nats` says how far apart they are.
    Raises ValueError for a slope that is not at least 0 and finite, and for arrays that do not fit.
    """
    p_X, d_XY = check_distribution(probabilities), np.asarray(distortion_XY, dtype=np.float64)
    if d_XY.ndim != 2 or len(d_XY) != len(p_X):
        raise ValueError(f"{len(p_X)} probabilities but distortions of shape {d_XY.shape}")
    if not (np.isfinite(slope) and slope >= 0):
        raise ValueError(f"slope = {slope}: must be at least 0 and finite")
    weight_XY = np.exp(-slope * (d_XY - d_XY.min(1, keepdims=True)))  # a shift of a row changes no channel
    q_Y = np.full(d_XY.shape[1], 1 / d_XY.shape[1])
    gap = np.inf
    for _ in range(ITERATIONS):
        c_Y = (p_X / (weight_XY @ q_Y)) @ weight_XY
        q_Y = q_Y * c_Y
        q_Y /= q_Y.sum()
        gap = float(np.log(c_Y.max()) - xlogy(q_Y, c_Y).sum())
        if gap < tolerance:
            break
    channel_XY = weight_XY * q_Y
    channel_XY /= channel_XY.sum(1, keepdims=True)
    joint_XY = p_X[:, None] * channel_XY
    # against the output alone: p(x) q(y) can underflow to 0 where the joint does not
    rate = float(np.sum(xlogy(joint_XY, channel_XY) - xlogy(joint_XY, joint_XY.sum(0))))
    return RatePoint(max(rate, 0.0), float((joint_XY * d_XY).sum()), max(gap, 0.0))


def facts_point(facts: Sequence[ArrayLike], slope: float, weights: Sequence[float] | None = None) -> RatePoint:
    """The point at `slope` for independent facts: D = Σ_f w_f P(fact f is told wrong), R = Σ_f R_f.

    facts: the probabilities of each fact's values; weights: 1 each where they are not given, such as how often a
    question asks for the fact. Raises ValueError for weights that are not at least 0 or do not match.
    """
    weights = [1.0] * len(facts) if weights is None else list(weights)
    if len(weights) != len(facts):
        raise ValueError(f"{len(facts)} facts but {len(weights)} weights")
    if any(not (np.isfinite(w) and w >= 0) for w in weights):
        raise ValueError(f"weights {weights}: must be at least 0 and finite")
    points = [blahut_arimoto(p, hamming(len(np.asarray(p))), slope * weight) for p, weight in zip(facts, weights, strict=True)]
    return RatePoint(
        sum(p.rate_nats for p in points),
        sum(w * p.distortion for w, p in zip(weights, points, strict=True)),
        sum(p.gap_nats for p in points),
    )


def facts_curve(facts: Sequence[ArrayLike], slopes: Sequence[float], weights: Sequence[float] | None = None) -> list[RatePoint]:
    """R(D) of independent facts at several slopes: a steep slope gives little distortion."""
    return [facts_point(facts, slope, weights) for slope in slopes]


def string_capacity_nats(mean_tokens: ArrayLike, alphabet: int) -> NDArray[np.float64]:
    """The most nats that strings of so many tokens in the mean can carry, their length included:

        n log V + (n + 1) log(n + 1) − n log n,

    the entropy of tokens that are uniform over V and a geometric length of mean n. Raises ValueError for fewer than
    1 token in the alphabet or a negative mean.
    """
    n = np.asarray(mean_tokens, dtype=np.float64)
    if alphabet < 1 or (n < 0).any():
        raise ValueError(f"alphabet {alphabet}, mean tokens {n.tolist()}: at least 1 token, and a mean of at least 0")
    return np.asarray(n * np.log(alphabet) + xlogy(n + 1, n + 1) - xlogy(n, n))
