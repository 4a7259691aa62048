"""A law through the points of a curve, D(R) = C·exp(−b·R) + D0 and its rivals, with intervals over documents.

Shape legend: P points, Q questions, D clusters (documents), B resamples, L laws.

A point is a compressor at one setting: its mean rate and mean distortion, each the mean over documents of the mean over
their questions. All points share their documents, so their means rise and fall together; the means of D documents are
close to normal with a covariance Σ/D that the documents themselves show. That is the likelihood:

    χ²(θ) = (d − D(r; θ))ᵀ (Σ/D)⁻¹ (d − D(r; θ)),    −2 log L = D · log(1 + χ²/(D − 1)) + constant,

the profile of a normal likelihood whose covariance comes from the same D documents; Σ is shrunk (`covariance`), so that
more points than documents can be fitted. The noise of mean rates enters the intervals, which draw rates and distortions
together, and not the weights.

AICc = −2 log L + 2k + 2k(k + 1)/(D − k − 1) counts documents and not points: they are the independent draws, and a point
added on the same documents brings no new one. Within the bootstrap laws are chosen anew in each resample. There
the means lie around the truth with 2Σ/D, once around the sample's, which lie once around the truth: on χ² as it stands
a needless parameter would win far more often than in a sample, so χ² is halved there.
Source: Hurvich & Tsai 1989 (AICc); Burnham & Anderson 2002, chapters 4 and 6 (averages over models, selection in a
bootstrap). The halving is our own; a test shows what it does.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import f as f_distribution

from infoagent.rate_distortion.covariance import shrunk_covariance
from infoagent.rate_distortion.laws import LAWS, Law, Points, Solved, amplitude, parameters, solve
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
FEWEST_POINTS = 4
"""The exponential has three parameters."""
BAND_POINTS = 25
MOST_WITHOUT = 0.05
"""Share of resamples without a curve, above which the rest makes no band."""


@dataclass(frozen=True)
class LawFit:
    """One law's fit to the points, and how it fares among the others."""

    parameters: dict[str, float]
    floor: float
    """The least distortion it allows at any rate: D0, or the lower bound for a law that falls for ever."""
    chi2: float
    aicc: float
    weight: float
    """Akaike weight: exp(−AICc/2), the weights of all laws adding up to 1."""
    chosen: float
    """Share of resamples in which its AICc is the lowest."""
    failed: float
    """Share of resamples in which it could not be fitted."""
    misfit_p: float | None
    """P(points this far from the law or farther, if it were true): Hotelling's T² on P − k dimensions; None where there
    are none, or too few documents for so many."""

    def to_dict(self) -> dict[str, Any]:
        return {k: v for k, v in vars(self).items() if v is not None}


@dataclass(frozen=True)
class CurveFit:
    """`C`, `b` and `D0` are the exponential's, whichever law is best. `floor` leaves the law open: its value is averaged by
    Akaike weights, its interval takes the floor of the law that each resample chooses."""

    best: str
    laws: dict[str, LawFit | Refused]
    C: Interval | Refused
    b: Interval | Refused
    D0: Interval | Refused
    floor: Interval | Refused
    flat: float
    """Share of resamples in which the exponential is flat, so that b means nothing."""
    at_bound: float
    """Share of resamples in which D0 lies at a bound."""
    points: int
    clusters: int
    questions: int
    resamples: int
    band: tuple[dict[str, float], ...]
    """{rate, low, high}: at each rate 95 % of the resamples' curves, each by the law that it chooses; empty where more
    than 5 % of them have none."""

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; what cannot be given is {"refused": reason}."""
        nested = {name: getattr(self, name).to_dict() for name in ("C", "b", "D0", "floor")}
        return {**vars(self), **nested, "laws": {name: law.to_dict() for name, law in self.laws.items()}}


def fit_curve(
    rate_PQ: ArrayLike,
    distortion_PQ: ArrayLike,
    clusters: Sequence[Hashable],
    rng: np.random.Generator,
    resamples: int = 1000,
    bounds: tuple[float, float] = (0.0, 1.0),
) -> CurveFit | Refused:
    """Fit all laws to the points of one curve; see the module.

    rate_PQ in tokens and distortion_PQ in any unit, the same Q questions for every point; clusters: (Q,) their documents;
    bounds: of D0, the upper one may be infinite. `Refused` where the data are too few or do not vary. Raises ValueError
    for shapes that do not match, negative rates, numbers that are not finite, bounds out of order, too few resamples.
    """
    rate_PQ, distortion_PQ = np.asarray(rate_PQ, dtype=np.float64), np.asarray(distortion_PQ, dtype=np.float64)
    _check(rate_PQ, distortion_PQ, len(clusters), bounds)
    check_resamples(resamples)
    member_Q = cluster_index(clusters)
    rate_PD, distortion_PD = cluster_means(rate_PQ, member_Q), cluster_means(distortion_PQ, member_Q)
    P, D = rate_PD.shape
    if P < FEWEST_POINTS:
        return Refused(f"{P} points: a curve of three parameters needs at least {FEWEST_POINTS}")
    if D < FEWEST_CLUSTERS:
        return Refused(f"{D} documents: intervals over documents need at least {FEWEST_CLUSTERS}")
    if np.ptp(rate_PD.mean(axis=1)) <= 1e-9 * rate_PD.max():
        return Refused("all points have the same mean length")
    if (np.ptp(distortion_PD, axis=1) == 0).all():
        return Refused("the distortion is the same on every document, at every point: its noise is unknown")
    counts_BD = np.vstack([np.ones(D), draw_counts(rng, resamples, D)]) / D  # the sample itself first
    precision_PP = np.linalg.inv(shrunk_covariance(distortion_PD) / D)
    points = Points(counts_BD @ rate_PD.T, counts_BD @ distortion_PD.T, precision_PP)
    solved = {law: solve(law, points, bounds) for law in LAWS}
    return _collect(solved, points, bounds, P, D, len(clusters))


def cluster_means(values_PQ: Array, member_Q: NDArray[np.intp]) -> Array:
    """(P, D) means of the questions of each cluster."""
    number_D = np.bincount(member_Q)
    sums_DP = np.zeros((len(number_D), len(values_PQ)))
    np.add.at(sums_DP, member_Q, values_PQ.T)
    return np.asarray(sums_DP.T / number_D)


def _check(rate_PQ: Array, distortion_PQ: Array, labels: int, bounds: tuple[float, float]) -> None:
    if rate_PQ.ndim != 2 or rate_PQ.shape != distortion_PQ.shape or rate_PQ.shape[1] != labels:
        raise ValueError(
            f"rates {rate_PQ.shape}, distortions {distortion_PQ.shape}, {labels} clusters: must be (points, questions), "
            "the same, and a cluster for each question"
        )
    if not (np.isfinite(rate_PQ).all() and np.isfinite(distortion_PQ).all()) or (rate_PQ < 0).any():
        raise ValueError("a rate is below 0, or a number not finite: leave failed questions out, at every point")
    if not (np.isfinite(bounds[0]) and bounds[0] < bounds[1]):
        raise ValueError(f"bounds {bounds}: the lower must be finite and below the upper")


def _aicc(chi2: Array, k: int, documents: int) -> Array:
    return np.asarray(documents * np.log1p(chi2 / (documents - 1)) + 2 * k + 2 * k * (k + 1) / (documents - k - 1))


def _misfit(chi2: float, dimensions: int, documents: int) -> float | None:
    if dimensions < 1 or documents <= dimensions:
        return None
    statistic = chi2 * (documents - dimensions) / (dimensions * (documents - 1))
    return float(f_distribution.sf(statistic, dimensions, documents - dimensions))


def _floor(law: Law, solved: Solved, lowest: float) -> Array:
    if law.name == "linear":  # without a fall it is the constant
        return np.where(solved.scale_B > 0, lowest, solved.offset_B)
    return solved.offset_B


def _collect(solved: dict[Law, Solved | Refused], points: Points, bounds: tuple[float, float], P: int, D: int, Q: int) -> CurveFit:
    fitted = {law: found for law, found in solved.items() if isinstance(found, Solved)}
    chi2_LB = np.stack([found.chi2_B for found in fitted.values()])
    halved_LB = np.hstack([chi2_LB[:, :1], chi2_LB[:, 1:] / 2])
    aicc_LB = np.stack([_aicc(row_B, law.k, D) for law, row_B in zip(fitted, halved_LB, strict=True)])
    aicc_LB = np.where(np.isfinite(aicc_LB), aicc_LB, np.inf)
    weight_L = np.exp(-(aicc_LB[:, 0] - aicc_LB[:, 0].min()) / 2)
    weight_L /= weight_L.sum()
    floor_LB = np.stack([_floor(law, found, bounds[0]) for law, found in fitted.items()])
    choice_B = aicc_LB.argmin(axis=0)
    chosen_L = np.bincount(choice_B[1:], minlength=len(fitted)) / (len(choice_B) - 1)
    laws: dict[str, LawFit | Refused] = {law.name: r for law, r in solved.items() if isinstance(r, Refused)}
    for i, (law, found) in enumerate(fitted.items()):
        laws[law.name] = LawFit(
            parameters=parameters(law, found, 0, points.ends),
            floor=float(floor_LB[i, 0]),
            chi2=float(chi2_LB[i, 0]),
            aicc=float(aicc_LB[i, 0]),
            weight=float(weight_L[i]),
            chosen=float(chosen_L[i]),
            failed=float((~np.isfinite(chi2_LB[i, 1:])).mean()),
            misfit_p=_misfit(float(chi2_LB[i, 0]), P - law.k, D),
        )
    exponential = next(law for law in LAWS if law.name == "exponential")
    found = fitted[exponential]
    flat_B = found.scale_B <= 0
    scale_B = found.scale_B * amplitude(exponential, found.theta_B, points.ends[0])
    edge_B = (found.offset_B <= bounds[0]) | (found.offset_B >= bounds[1])
    sample = {
        "C": scale_B,
        "b": np.where(flat_B, np.nan, found.theta_B),
        "D0": found.offset_B,
        "floor": np.append(weight_L @ floor_LB[:, 0], floor_LB[choice_B, np.arange(len(choice_B))][1:]),
    }
    return CurveFit(
        best=list(fitted)[choice_B[0]].name,
        laws={law.name: laws[law.name] for law in LAWS},
        **{name: bootstrap_interval(float(row_B[0]), row_B[1:], D, name, name != "floor") for name, row_B in sample.items()},
        flat=float(flat_B[1:].mean()),
        at_bound=float(edge_B[1:].mean()),
        points=P,
        clusters=D,
        questions=Q,
        resamples=points.rate_BP.shape[0] - 1,
        band=_band(fitted, choice_B, points.ends),
    )


def _band(fitted: dict[Law, Solved], choice_B: NDArray[np.intp], ends: tuple[float, float]) -> tuple[dict[str, float], ...]:
    """The pointwise band of the resamples' curves between the shortest and the longest point."""
    rate_G = np.linspace(*ends, BAND_POINTS)
    value_BG = np.empty((len(choice_B), BAND_POINTS))
    for i, (law, found) in enumerate(fitted.items()):
        chosen = choice_B == i
        log_B1 = np.zeros((1, 1)) if law.theta is None else np.log(found.theta_B[chosen])[:, None]
        phi_BG = law.shape(rate_G, log_B1, *ends)
        value_BG[chosen] = found.offset_B[chosen][:, None] + found.scale_B[chosen][:, None] * phi_BG
    known_BG = value_BG[1:][np.isfinite(value_BG[1:]).all(axis=1)]
    if len(known_BG) < (1 - MOST_WITHOUT) * (len(value_BG) - 1):
        return ()
    low_G, high_G = np.quantile(known_BG, [0.025, 0.975], axis=0)
    return tuple(
        {"rate": float(r), "low": float(low), "high": float(high)} for r, low, high in zip(rate_G, low_G, high_G, strict=True)
    )
