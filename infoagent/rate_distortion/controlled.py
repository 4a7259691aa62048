"""Does information predict a score (accuracy), or does length predict both? Correlation with the length held fixed.

Shape legend: N rows (a compression of a question, answered once), D clusters (documents), B resamples, V = 3 variables:
MI in nats, the score (correctness, say), log(1 + tokens). P points (compressors at one setting).

Three readings of the same rows:
  across      all rows as they are. Questions differ in difficulty, which moves MI and score alike.
  within      less the mean of the question: what a compressor with more information on the *same* question gains.
  points      the means of compressors, as papers plot them; few points, and their choice is no sample.
Each plain, and with length controlled: the partial correlation of what length does not explain (of ranks for Spearman),

    r_my·l = (r_my − r_ml r_yl) / √((1 − r_ml²)(1 − r_yl²)),

and the coefficient of the score on MI beside log length, per standard deviation and per nat. Intervals are bootstrapped
over documents; ranks are taken anew in each resample, since a rank depends on the other rows.
Rows count alike. Compressions without a log-probability (everything, or nothing, handed over) have no MI and no row.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
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
FEWEST_POINTS = 5
"""A partial correlation over points has P − 3 degrees of freedom."""
EXPLAINED = 1e-9
"""Share of a variance that counts as none."""
CELLS_AT_ONCE = 2_000_000


@dataclass(frozen=True)
class Association:
    """MI with the score, plain and at equal length."""

    plain: Found
    partial: Found
    spearman: Found | None = None
    partial_spearman: Found | None = None
    coefficient: Found | None = None
    """Standard deviations of the score for one of MI, at equal length."""
    per_nat: Found | None = None
    """Score (accuracy, where it is correctness) for a nat of MI, at equal length."""

    def to_dict(self) -> dict[str, Any]:
        return {name: found.to_dict() for name, found in vars(self).items() if found is not None}


@dataclass(frozen=True)
class Controlled:
    """The three readings; see the module."""

    across: Association
    within: Association | Refused
    points: Association | Refused
    rows: int
    questions: int
    clusters: int
    n_points: int

    def to_dict(self) -> dict[str, Any]:
        """Ready for JSON; what cannot be given is {"refused": reason}."""
        return {**vars(self), **{name: getattr(self, name).to_dict() for name in ("across", "within", "points")}}


def control_for_length(
    mi_nats: ArrayLike,
    score: ArrayLike,
    tokens: ArrayLike,
    questions: Sequence[Hashable],
    documents: Sequence[Hashable],
    points: Sequence[Hashable],
    rng: np.random.Generator,
    resamples: int = 1000,
) -> Controlled | Refused:
    """MI against a score with the length controlled, from N rows; see the module.

    A question belongs to one document. `score`: 1 and 0 for right and wrong, a share, a log-likelihood. `Refused` below 8
    documents, and where MI or the score does not vary.

    Raises ValueError for columns of different length, numbers that are not finite, negative
    tokens, and a question in two documents.
    """
    columns = [np.asarray(c, dtype=np.float64) for c in (mi_nats, score, tokens)]
    _check(columns, questions, documents, points)
    check_resamples(resamples)
    values_NV = np.stack([columns[0], columns[1], np.log1p(columns[2])], axis=1)
    document_N, question_N, point_N = (cluster_index(labels) for labels in (documents, questions, points))
    D = int(document_N.max()) + 1
    if D < FEWEST_CLUSTERS:
        return Refused(f"{D} documents: intervals over documents need at least {FEWEST_CLUSTERS}")
    for name, column_N in zip(("MI", "the score"), columns, strict=False):
        if np.ptp(column_N) == 0:
            return Refused(f"{name} is {column_N[0]:g} in every row: it goes with nothing")
    weight_BD = np.vstack([np.ones(D), draw_counts(rng, resamples, D)])  # the sample itself first
    return Controlled(
        across=_rows(values_NV, document_N, weight_BD, ranks=True),
        within=_within(values_NV, question_N, document_N, weight_BD),
        points=_points(values_NV, point_N, document_N, weight_BD),
        rows=len(values_NV),
        questions=int(question_N.max()) + 1,
        clusters=D,
        n_points=int(point_N.max()) + 1,
    )


def _check(columns: Sequence[Array], *labels: Sequence[Hashable]) -> None:
    if not len(columns[0]) or {len(c) for c in (*columns, *labels)} != {len(columns[0])}:
        raise ValueError(f"columns of {[len(c) for c in (*columns, *labels)]} rows: must be the same, and not empty")
    if not all(np.isfinite(c).all() for c in columns) or (columns[2] < 0).any():
        raise ValueError("a number is not finite or a length below 0: leave failed rows out")
    homes: dict[Hashable, Hashable] = {}
    for question, document in zip(labels[0], labels[1], strict=True):
        if homes.setdefault(question, document) != document:
            raise ValueError(f"question {question!r} stands in two documents: give questions of each their own name")


def _rows(values_NV: Array, document_N: NDArray[np.intp], weight_BD: Array, ranks: bool) -> Association:
    """All rows by their moments, which add up over documents."""
    centred_NV = values_NV - values_NV.mean(axis=0)
    whole_NV = np.hstack([np.ones((len(centred_NV), 1)), centred_NV])
    moments_D = np.zeros((weight_BD.shape[1], 4, 4))
    np.add.at(moments_D, document_N, whole_NV[:, :, None] * whole_NV[:, None])
    covariance_BVV = _covariance(np.tensordot(weight_BD, moments_D, axes=1))
    plain, partial = _association(covariance_BVV, weight_BD.shape[1])
    coefficient_B = _safe(_partial_covariance(covariance_BVV), _left(covariance_BVV, 0))
    spread_B = np.sqrt(covariance_BVV[:, 0, 0] / np.where(covariance_BVV[:, 1, 1] > 0, covariance_BVV[:, 1, 1], np.nan))
    rank_plain = rank_partial = None
    if ranks:
        rank_plain, rank_partial = _association(_rank_covariance(values_NV, document_N, weight_BD), weight_BD.shape[1])
    return Association(
        plain=plain,
        partial=partial,
        spearman=rank_plain,
        partial_spearman=rank_partial,
        coefficient=_interval(coefficient_B * spread_B, weight_BD.shape[1], "coefficient of MI at equal length"),
        per_nat=_interval(coefficient_B, weight_BD.shape[1], "coefficient of MI at equal length"),
    )


def _within(
    values_NV: Array, question_N: NDArray[np.intp], document_N: NDArray[np.intp], weight_BD: Array
) -> Association | Refused:
    number_Q = np.bincount(question_N)
    if number_Q.max() < 2:
        return Refused("every question has one compression: nothing differs within a question")
    sums_QV = np.zeros((len(number_Q), 3))
    np.add.at(sums_QV, question_N, values_NV)
    inner_NV = values_NV - (sums_QV / number_Q[:, None])[question_N]
    inner_NV[np.abs(inner_NV) < 1e-12] = 0.0
    for name, column_N in zip(("MI", "the score"), inner_NV.T, strict=False):
        if not column_N.any():
            return Refused(f"{name} is the same for all compressions of a question, on every question")
    return _rows(inner_NV, document_N, weight_BD, ranks=False)


def _points(values_NV: Array, point_N: NDArray[np.intp], document_N: NDArray[np.intp], weight_BD: Array) -> Association | Refused:
    P, D = int(point_N.max()) + 1, weight_BD.shape[1]
    if P < FEWEST_POINTS:
        return Refused(f"{P} points: a correlation of points at equal length needs at least {FEWEST_POINTS}")
    sums_DPV = np.zeros((D, P, 4))
    np.add.at(sums_DPV, (document_N, point_N), np.hstack([values_NV, np.ones((len(values_NV), 1))]))
    sums_BPV = np.tensordot(weight_BD, sums_DPV, axes=1)
    number_BP = np.where(sums_BPV[..., 3] > 0, sums_BPV[..., 3], np.nan)  # a resample without a point has no value
    means_BPV = sums_BPV[..., :3] / number_BP[..., None]
    centred_BPV = means_BPV - means_BPV.mean(axis=1, keepdims=True)
    plain, partial = _association(np.einsum("bpv,bpw->bvw", centred_BPV, centred_BPV) / P, D)
    return Association(plain, partial)


def _covariance(moments_B: Array) -> Array:
    """(B, V, V) from (B, 1 + V, 1 + V) sums of products whose first variable is 1."""
    means_BV = moments_B[:, 0, 1:] / moments_B[:, :1, 0]
    return np.asarray(moments_B[:, 1:, 1:] / moments_B[:, :1, :1] - means_BV[:, :, None] * means_BV[:, None])


def _rank_covariance(values_NV: Array, document_N: NDArray[np.intp], weight_BD: Array) -> Array:
    """Covariances of the midranks of each resample: a row that is drawn w times counts as w rows of one value."""
    ranking = [_midranks(column_N) for column_N in values_NV.T]
    found = []
    step = max(1, CELLS_AT_ONCE // len(values_NV))
    for i in range(0, len(weight_BD), step):
        weight_BN = weight_BD[i : i + step, document_N]
        total_B = weight_BN.sum(axis=1)
        rank_VBN = np.stack([rank(weight_BN) for rank in ranking]) - total_B[:, None] / 2  # the mean rank, less ½
        weighted_VBN = rank_VBN * weight_BN
        products = [[(weighted_VBN[v] * rank_VBN[w]).sum(axis=1) / total_B for w in range(3)] for v in range(3)]
        found.append(np.moveaxis(np.array(products), 2, 0) / total_B[:, None, None] ** 2)
    return np.concatenate(found)


def _midranks(column_N: Array) -> Callable[[Array], Array]:
    """weights (B, N) → midranks less ½ of the rows repeated so many times."""
    order_N = np.argsort(column_N, kind="stable")
    starts = np.flatnonzero(np.append(True, np.diff(column_N[order_N]) > 0))
    group_N = np.empty(len(column_N), dtype=np.intp)
    group_N[order_N] = np.repeat(np.arange(len(starts)), np.diff(np.append(starts, len(column_N))))

    def ranks(weight_BN: Array) -> Array:
        size_BT = np.add.reduceat(weight_BN[:, order_N], starts, axis=1)
        return np.asarray((np.cumsum(size_BT, axis=1) - size_BT / 2)[:, group_N])

    return ranks


def _left(covariance_BVV: Array, v: int) -> Array:
    """Variance of v that log length leaves; NaN where it leaves nothing, or length itself does not vary."""
    variance_B, length_B = covariance_BVV[:, v, v], covariance_BVV[:, 2, 2]
    left_B = variance_B - _safe(covariance_BVV[:, v, 2] ** 2, length_B)
    return np.where(left_B > EXPLAINED * variance_B, left_B, np.nan)


def _partial_covariance(covariance_BVV: Array) -> Array:
    return covariance_BVV[:, 0, 1] - _safe(covariance_BVV[:, 0, 2] * covariance_BVV[:, 1, 2], covariance_BVV[:, 2, 2])


def _safe(top_B: Array, bottom_B: Array) -> Array:
    return np.asarray(top_B / np.where(bottom_B > 1e-14, bottom_B, np.nan))


def _association(covariance_BVV: Array, clusters: int) -> tuple[Found, Found]:
    # a variance of nothing comes out a rounding below 0
    spread_B = np.sqrt(np.maximum(covariance_BVV[:, 0, 0] * covariance_BVV[:, 1, 1], 0))
    plain_B = _safe(covariance_BVV[:, 0, 1], spread_B)
    partial_B = _partial_covariance(covariance_BVV) / np.sqrt(_left(covariance_BVV, 0) * _left(covariance_BVV, 1))
    return (
        _interval(plain_B, clusters, "correlation of MI with the score"),
        _interval(partial_B, clusters, "correlation at equal length (do lengths vary, and differ from MI?)"),
    )


def _interval(values_B: Array, clusters: int, what: str) -> Found:
    return bootstrap_interval(float(values_B[0]), values_B[1:], clusters, what)
