"""The conservative interval of InfoNCE: delete one document at a time.

Shape legend: C compressions, K candidate documents, D documents that have a compression, U units that are deleted.

A document enters InfoNCE twice: through its compressions, and as a candidate of all others. The t interval on document
means sees the first only; deleting the document, rows and columns, sees both:

    θ_(−u) = InfoNCE without unit u,   se² = (U − 1)/U · Σ_u (θ_(−u) − mean θ_(−u))²,   θ ± t_{0.975, D−1} · se

The interval is for the expectation of InfoNCE over pools of this size, not for I: its bias (≈ −χ²/2K) is not removed.
Source: Efron & Stein 1981 (the jackknife variance is conservative in expectation).
"""

from __future__ import annotations

import warnings

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infoagent.information.estimators import infonce_terms
from infoagent.information.intervals import student_t_quantile
from infoagent.information.matrix import Documents, check_length, check_matrix, group_by_document, logsumexp, own_scores, scale
from infoagent.types import Finding


def jackknife_interval(
    log_probs: ArrayLike,
    source: ArrayLike,
    *,
    document: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    beta: float | None = None,
    level: float = 0.95,
) -> Finding:
    """InfoNCE in nats with its delete-one-document interval; `n` is the number of documents with a compression.

    Arguments as for `estimate_mi`. Columns are the pool of documents unless one column is the source of several
    documents (every compression has its own candidates): then only rows are deleted, which is the t interval on
    document means. Columns that no compression came from are deleted one at a time too. A document with several
    columns (its parts) loses all of them at once.

    NaN bounds, with a RuntimeWarning, where D < 2 or a deletion leaves fewer than two candidates.
    Raises ValueError as `estimate_mi` does; a NaN cell is refused.
    """
    log_probs_CK, source_C = check_matrix(log_probs, source)
    document_C = source_C if document is None else np.asarray(document)
    check_length(len(source_C), document=document_C)
    documents = group_by_document(document_C, weights)
    if beta is not None:
        log_probs_CK = scale(log_probs_CK, beta)
    value = float(documents.means(infonce_terms(log_probs_CK, source_C)).mean())
    deleted_U = deleted_values(log_probs_CK, source_C, documents)
    if deleted_U is None:
        warnings.warn("too few documents to delete one: the interval is unknown (NaN)", RuntimeWarning, stacklevel=2)
        return Finding(value, float("nan"), float("nan"), len(documents))
    units = len(deleted_U)
    stderr = float(np.sqrt((units - 1) / units * ((deleted_U - deleted_U.mean()) ** 2).sum()))
    half = student_t_quantile(0.5 + level / 2, len(documents) - 1) * stderr
    return Finding(value, value - half, value + half, len(documents))


def deleted_values(
    log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp], documents: Documents
) -> NDArray[np.float64] | None:
    """(U,) InfoNCE without each unit; None where one of them cannot be computed."""
    if len(documents) < 2:
        return None
    unit_K, unit_D = _units(log_probs_CK.shape[1], source_C, documents)
    if unit_K is None:
        means_D = documents.means(infonce_terms(log_probs_CK, source_C))
        return np.asarray((means_D.sum() - means_D) / (len(means_D) - 1))
    columns_U = np.bincount(unit_K)
    left_U = log_probs_CK.shape[1] - columns_U
    if left_U.min() < 2:
        return None
    own_unit_C = unit_D[documents.member_C]
    without_CU = _logsumexp_without(log_probs_CK, unit_K, own_unit_C)
    terms_CU = np.log(left_U) + own_scores(log_probs_CK, source_C)[:, None] - without_CU
    means_DU = np.stack([documents.means(terms_C) for terms_C in terms_CU.T], axis=1)
    means_DU[np.arange(len(documents)), unit_D] = 0.0  # a deleted document has no mean
    documents_U = len(documents) - np.bincount(unit_D, minlength=len(columns_U))
    return np.asarray(means_DU.sum(axis=0) / documents_U)


def _units(candidates: int, source_C: NDArray[np.intp], documents: Documents) -> tuple[NDArray[np.intp] | None, NDArray[np.intp]]:
    """(unit of each column or None where columns are no documents, unit of each document)."""
    unit_K = np.full(candidates, -1)
    for column, member in zip(source_C, documents.member_C, strict=True):
        if unit_K[column] not in (-1, member):
            return None, np.arange(len(documents))
        unit_K[column] = member
    never = np.flatnonzero(unit_K < 0)
    unit_K[never] = len(documents) + np.arange(len(never))
    return unit_K, np.arange(len(documents))


def _logsumexp_without(
    log_probs_CK: NDArray[np.float64], unit_K: NDArray[np.intp], own_unit_C: NDArray[np.intp]
) -> NDArray[np.float64]:
    """(C, U) log Σ over the columns outside each unit. A row's own unit holds no meaning there, and reads 0."""
    units = int(unit_K.max()) + 1
    total_C = logsumexp(log_probs_CK)
    share_CU = np.zeros((len(log_probs_CK), units))
    np.add.at(share_CU.T, unit_K, np.exp(log_probs_CK - total_C[:, None]).T)
    rows_C = np.arange(len(log_probs_CK))
    share_CU[rows_C, own_unit_C] = 0.0
    without_CU = total_C[:, None] + np.log1p(-np.minimum(share_CU, 0.5))
    # log(1 − share) loses digits where one wrong document takes most of the row: at most one unit of a row does
    for row, unit in np.argwhere(share_CU > 0.5):
        without_CU[row, unit] = logsumexp(log_probs_CK[row, unit_K != unit])
    without_CU[rows_C, own_unit_C] = 0.0
    return without_CU
