"""Logistic regression of correctness with a random intercept for each question, by maximum likelihood.

Shape legend: N rows (an answer), Q questions, C columns, K quadrature nodes, G clusters.

    P(y_i = 1 | u) = σ(x_iᵀβ + s·u_q(i)),  u_q ~ N(0, 1);    log L = Σ_q log ∫ φ(u) Π_{i ∈ q} P(y_i | u) du.

Questions differ in difficulty and all compressors answer the same ones, so rows of a question are alike; the intercept
takes that up. A coefficient is the change of the log-odds *on one question*.

The integrals are adaptive Gauss–Hermite: nodes are moved to the mode of each question's integrand and scaled by its
curvature there, which keeps 15 nodes exact where a question has many rows and fixed nodes would miss the peak. Nodes
are held while Newton's method maximises the sum over them, with its exact gradient and Hessian (Louis's identity), and
moved again until nothing moves. The likelihood is even in s: s = 0 is an ordinary stationary point, where the result
is plain logistic regression.
Source: Liu & Pierce 1994 (adaptive quadrature); Louis 1982 (Hessian); Liang & Zeger 1986 (sandwich).
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.special import expit, logsumexp
from scipy.stats import norm, t

from infoagent.rate_distortion.design import Design, Term, build_design, dependent_columns, separating_columns
from infoagent.rate_distortion.resampling import Refused, cluster_index

Array = NDArray[np.float64]
NODES = 15
ITERATIONS = 60
TOLERANCE = 1e-8
LARGEST_SPREAD = 15.0
"""Of the intercepts, in log-odds: beyond it the likelihood is rising towards a spread without end."""
FEWEST_QUESTIONS = 8


@dataclass(frozen=True)
class Coefficient:
    """Change of the log-odds, its standard error and 95 % interval, and the p of Wald's test against 0."""

    name: str
    value: float
    standard_error: float
    low: float
    high: float
    p: float

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self)}


@dataclass(frozen=True)
class MixedLogit:
    """Coefficients in the order of the design; `spread` is s, 0 where questions show no difference of difficulty."""

    coefficients: tuple[Coefficient, ...]
    spread: float
    log_likelihood: float
    errors: str
    """Where standard errors come from: "Hessian", or "sandwich over G clusters"."""
    rows: int
    questions: int

    def to_dict(self) -> dict[str, Any]:
        return {**vars(self), "coefficients": [c.to_dict() for c in self.coefficients]}


def fit_mixed_logit(
    terms: Sequence[Term],
    correct: ArrayLike,
    questions: Sequence[Hashable],
    clusters: Sequence[Hashable] | None = None,
    nodes: int = NODES,
) -> MixedLogit | Refused:
    """Fit y ∈ {0, 1} on an intercept and `terms`, with a random intercept for each question.

    `clusters` (documents, each of whole questions): standard errors are the sandwich over them, with G/(G − 1) and t on
    G − 1 degrees of freedom, in place of the Hessian's and the normal; for documents whose questions are alike
    beyond what the intercepts hold. `Refused`, with the names, for columns that replace one another, answers that
    columns separate, few questions, a spread without end. Raises ValueError for input that does not match.
    """
    design = build_design(terms)
    y_N = np.asarray(correct, dtype=np.float64)
    if not len(y_N) == len(questions) == len(design.x_NC) or (clusters is not None and len(clusters) != len(y_N)):
        raise ValueError(f"{len(design.x_NC)} rows, {len(y_N)} answers, {len(questions)} questions: must be as many")
    if not np.isin(y_N, (0.0, 1.0)).all():
        raise ValueError("an answer is neither right (1) nor wrong (0)")
    question_N = cluster_index(questions)
    reason = _refusal(design, y_N, question_N)
    if reason is not None:
        return Refused(reason)
    model = _Model(design.x_NC, y_N, question_N, nodes)
    theta = _maximise(model)
    if isinstance(theta, Refused):
        return theta
    return _with_errors(model, theta, design, clusters)


def _refusal(design: Design, y_N: Array, question_N: NDArray[np.intp]) -> str | None:
    if question_N.max() + 1 < FEWEST_QUESTIONS:
        return f"{question_N.max() + 1} questions: a spread over questions needs at least {FEWEST_QUESTIONS}"
    if np.ptp(y_N) == 0:
        return f"every answer is {'right' if y_N[0] else 'wrong'}: there is nothing to explain"
    dependent = dependent_columns(design)
    if dependent:
        return f"columns {', '.join(dependent)} replace one another exactly: leave one of their terms out"
    separating = separating_columns(design.x_NC, y_N, design.names)
    if separating:
        return f"columns {', '.join(separating)} separate right from wrong answers: their coefficients have no estimate"
    shares_Q = np.bincount(question_N, y_N) / np.bincount(question_N)
    if np.bincount(question_N).max() > 1 and np.isin(shares_Q, (0.0, 1.0)).all():
        return "every question is answered right by all or wrong by all: the spread of questions has no estimate"
    return None


class _Model:
    """The likelihood on nodes that `move` places. Rows are sorted by question once."""

    def __init__(self, x_NC: Array, y_N: Array, question_N: NDArray[np.intp], nodes: int) -> None:
        order = np.argsort(question_N, kind="stable")
        self.x_NC, self.y_N, self.question_N = x_NC[order], y_N[order], question_N[order]
        self.order = order
        self.starts_Q = np.flatnonzero(np.append(True, np.diff(self.question_N) > 0))
        points_K, weights_K = np.polynomial.hermite.hermgauss(nodes)
        self.points_K = np.sqrt(2) * points_K
        self.log_weights_K = np.log(weights_K) + points_K**2 + np.log(2) / 2
        self.mode_Q = np.zeros(len(self.starts_Q))
        self.place(self.mode_Q, np.ones_like(self.mode_Q))

    def place(self, mode_Q: Array, width_Q: Array) -> None:
        self.mode_Q = mode_Q
        self.node_QK = mode_Q[:, None] + width_Q[:, None] * self.points_K
        # log of quadrature weight times the normal density of u
        self.log_base_QK = self.log_weights_K + np.log(width_Q)[:, None] + norm.logpdf(self.node_QK)

    def sums(self, rows: Array) -> Array:
        return np.asarray(np.add.reduceat(rows, self.starts_Q, axis=0))

    def move(self, theta: Array) -> None:
        """Nodes to the mode of each question's integrand; Newton on a strictly concave function, steps at most 1."""
        fixed_N, spread = self.x_NC @ theta[:-1], theta[-1]
        mode_Q = self.mode_Q
        for _ in range(50):
            p_N = expit(fixed_N + spread * mode_Q[self.question_N])
            slope_Q = spread * self.sums(self.y_N - p_N) - mode_Q
            curvature_Q = 1 + spread**2 * self.sums(p_N * (1 - p_N))
            step_Q = np.clip(slope_Q / curvature_Q, -1, 1)
            mode_Q = mode_Q + step_Q
            if np.abs(step_Q).max() < 1e-10:
                break
        p_N = expit(fixed_N + spread * mode_Q[self.question_N])
        self.place(mode_Q, 1 / np.sqrt(1 + spread**2 * self.sums(p_N * (1 - p_N))))

    def _terms(self, theta: Array) -> tuple[Array, Array]:
        """(predictor (N, K), log of each node's part of the integral (Q, K))."""
        eta_NK = (self.x_NC @ theta[:-1])[:, None] + theta[-1] * self.node_QK[self.question_N]
        log_p_NK = self.y_N[:, None] * eta_NK - np.logaddexp(0, eta_NK)
        return eta_NK, self.sums(log_p_NK) + self.log_base_QK

    def log_likelihood(self, theta: Array) -> float:
        return float(logsumexp(self._terms(theta)[1], axis=1).sum())

    def derivatives(self, theta: Array) -> tuple[float, Array, Array]:
        """(log L, its gradient for each question (Q, C + 1), its Hessian)."""
        eta_NK, log_part_QK = self._terms(theta)
        total_Q = logsumexp(log_part_QK, axis=1)
        weight_QK = np.exp(log_part_QK - total_Q[:, None])
        p_NK = expit(eta_NK)
        error_NK = self.y_N[:, None] - p_NK
        # the complete data's score on each node: columns of x, and u for the spread
        score_QKC = np.stack([self.sums(error_NK * x_N[:, None]) for x_N in self.x_NC.T], axis=2)
        score_QKC = np.concatenate([score_QKC, (self.sums(error_NK) * self.node_QK)[:, :, None]], axis=2)
        gradient_QC = np.einsum("qk,qkc->qc", weight_QK, score_QKC)
        away_QKC = (score_QKC - gradient_QC[:, None]) * np.sqrt(weight_QK)[:, :, None]
        flat = away_QKC.reshape(-1, away_QKC.shape[2])
        hessian = flat.T @ flat
        u_NK = self.node_QK[self.question_N]
        spread_NK = weight_QK[self.question_N] * p_NK * (1 - p_NK)
        zero_N, one_N, two_N = (spread_NK.sum(1), (spread_NK * u_NK).sum(1), (spread_NK * u_NK**2).sum(1))
        hessian[:-1, :-1] -= (self.x_NC * zero_N[:, None]).T @ self.x_NC
        hessian[:-1, -1] -= one_N @ self.x_NC
        hessian[-1, :-1] = hessian[:-1, -1]
        hessian[-1, -1] -= two_N.sum()
        return float(total_Q.sum()), gradient_QC, hessian


def _maximise(model: _Model) -> Array | Refused:
    """Nodes and parameters in turn. The parameters' step is Newton's, turned uphill where the Hessian is not negative."""
    theta = np.zeros(model.x_NC.shape[1] + 1)
    theta[-1] = 1.0
    for _ in range(ITERATIONS):
        model.move(theta)
        value, gradient_QC, hessian = model.derivatives(theta)
        gradient = gradient_QC.sum(axis=0)
        values, vectors = np.linalg.eigh(-hessian)
        step = vectors @ ((vectors.T @ gradient) / np.maximum(np.abs(values), 1e-6 * np.abs(values).max()))
        for _ in range(30):
            if model.log_likelihood(theta + step) >= value - 1e-12 * abs(value):
                break
            step = step / 2
        theta = theta + step
        if abs(theta[-1]) > LARGEST_SPREAD:
            return Refused(f"the spread of questions grows beyond {LARGEST_SPREAD:g} in log-odds: it has no estimate")
        if np.abs(step).max() < TOLERANCE * (1 + np.abs(theta).max()):
            theta[-1] = abs(theta[-1])
            model.move(theta)
            return theta
    return Refused(f"no maximum within {ITERATIONS} steps: the last moved a coefficient by {np.abs(step).max():.2g}")


def _with_errors(model: _Model, theta: Array, design: Design, clusters: Sequence[Hashable] | None) -> MixedLogit | Refused:
    value, gradient_QC, hessian = model.derivatives(theta)
    values, vectors = np.linalg.eigh(-hessian)
    if values[0] <= 1e-10 * values[-1]:
        return Refused("the likelihood is flat at its maximum: the data do not determine all coefficients")
    covariance = vectors @ np.diag(1 / values) @ vectors.T
    quantile, tail, errors = float(norm.ppf(0.975)), norm.sf, "Hessian"
    if clusters is not None:
        homes = cluster_index(clusters)[model.order]
        home_Q = homes[model.starts_Q]
        if (homes != home_Q[model.question_N]).any():
            raise ValueError("a question stands in two clusters: give questions of each their own name")
        G = int(homes.max()) + 1
        if len(theta) >= G:
            return Refused(f"{G} documents for {len(theta)} parameters: too few for errors over documents")
        score_GC = np.zeros((G, len(theta)))
        np.add.at(score_GC, home_Q, gradient_QC)
        covariance = covariance @ (G / (G - 1) * score_GC.T @ score_GC) @ covariance
        quantile, tail = float(t.ppf(0.975, G - 1)), lambda z: t.sf(z, G - 1)
        errors = f"sandwich over {G} clusters"
    error_C = np.sqrt(np.diag(covariance))[:-1]
    found = [
        Coefficient(n, float(b), float(e), float(b - quantile * e), float(b + quantile * e), float(2 * tail(abs(b / e))))
        for n, b, e in zip(design.names, theta[:-1], error_C, strict=True)
    ]
    return MixedLogit(tuple(found), float(theta[-1]), value, errors, len(model.y_N), len(model.starts_Q))
