"""Bounds on the mutual information between a document and its compression.

Shape legend: C compressions, K candidate documents, D documents that have a compression.

`log_probs_CK[c, k] = log p(z_c | x_k, q_c)` in nats; `source_C[c]` is the column of z_c's own document. With
r_c = softmax over k at the source:

    InfoNCE (lower)        log K + log r_c                         ≤ log K, the ceiling
    leave-one-out (upper)  log p(z|x_s) − log mean_{k≠s} p(z|x_k)  only if the scorer is the sampler
    midpoint               mean of the two: the O(1/K) bias cancels once K ≫ e^I

Terms are never clipped at 0: that would break the bound. All values weigh documents equally, however many
compressions each has.
Source of the bounds: van den Oord et al. 2018 (InfoNCE), Poole et al. 2019 (leave-one-out).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infoagent.information.intervals import standard_error, student_t_quantile

SATURATED = 0.99
"""A compression is saturated when the source takes more than this share among the candidates."""
POSITIVE_TOLERANCE = 1e-6
SUBSETS = 32


@dataclass(frozen=True)
class MIEstimate:
    """An estimate of I(X;Z|Q) in nats, with what is needed to know whether to trust it."""

    infonce_nats: float
    leave_one_out_nats: float
    midpoint_nats: float
    stderr_nats: float
    ci_nats: tuple[float, float]
    """95 % t interval of infonce_nats on document means, D − 1 degrees of freedom."""
    ceiling_nats: float
    """log K: no value can be above it, so a value close to it says little."""
    saturation: float
    """Share of compressions whose source takes more than 99 % among the candidates."""
    per_compression_nats: NDArray[np.float64]
    per_document_nats: NDArray[np.float64]
    """Document means, in the order of the sorted document labels."""
    at_k: dict[int, float]
    """InfoNCE with 2, 4, 8, … K candidates: still rising with K means that the ceiling binds."""
    n_documents: int
    n_compressions: int
    dropped: int = 0
    """Compressions left out because a cell of theirs had failed."""
    warnings: list[str] = field(default_factory=list)

    @property
    def headroom_nats(self) -> float:
        return self.ceiling_nats - self.infonce_nats

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        result = asdict(self)
        result["per_compression_nats"] = self.per_compression_nats.tolist()
        result["per_document_nats"] = self.per_document_nats.tolist()
        result["ci_nats"] = list(self.ci_nats)
        result["at_k"] = {str(k): v for k, v in self.at_k.items()}
        result["headroom_nats"] = self.headroom_nats
        return result


def infonce_terms(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> NDArray[np.float64]:
    """log K + log r_c for each compression: (C,) nats."""
    own_C = log_probs_CK[np.arange(len(source_C)), source_C]
    return np.log(log_probs_CK.shape[1]) + own_C - _logsumexp(log_probs_CK)


def estimate_mi(
    log_probs: ArrayLike,
    source: ArrayLike,
    *,
    document: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    drop_failed: bool = False,
) -> MIEstimate:
    """Estimate the mutual information between documents and compressions.

    Args:
        log_probs: (C, K) log p(z_c | x_k, q_c), nats. `-inf` off the source is a probability of zero.
        source: (C,) column of each compression's own document.
        document: (C,) label of each compression's document, for means and intervals. Default: `source`. Needed where
            every compression has its own candidates (all sources in column 0, say).
        weights: (C,) probability of the compression given its document, up to a factor for each document. Default:
            equal. With enumerated compressions the result is exact.
        drop_failed: leave out compressions with a NaN cell and count them, instead of refusing them.

    Raises ValueError for NaN (how many cells failed), +inf or positive log-probabilities (where), `-inf` at a source,
    a source outside the columns, fewer than two candidates, and shapes that do not fit.
    """
    log_probs_CK = np.asarray(log_probs, dtype=np.float64)
    source_C = _check_source(log_probs_CK, source)
    document_C = source_C if document is None else np.asarray(document)
    weights_C = np.ones(len(source_C)) if weights is None else np.asarray(weights, dtype=np.float64)
    for name, array in (("document", document_C), ("weights", weights_C)):
        if array.shape != source_C.shape:
            raise ValueError(
                f"{name} has shape {array.shape}; needed is one entry for each of {len(source_C)} compressions"
            )
    if not (np.isfinite(weights_C).all() and (weights_C >= 0).all()):
        raise ValueError("weights must be finite and at least 0")

    failed_C: NDArray[np.bool_] = np.asarray(np.isnan(log_probs_CK).any(axis=1))
    if failed_C.any() and not drop_failed:
        cells = int(np.isnan(log_probs_CK).sum())
        raise ValueError(
            f"{cells} of {log_probs_CK.size} cells are NaN, in {int(failed_C.sum())} of {len(failed_C)} compressions: "
            "a failed score is not a value; score them again, or drop those compressions with drop_failed"
        )
    keep_C = ~failed_C
    if not keep_C.any():
        raise ValueError(f"all {len(failed_C)} compressions have a failed cell: nothing is left to estimate from")
    log_probs_CK, source_C = log_probs_CK[keep_C], source_C[keep_C]
    document_C, weights_C = document_C[keep_C], weights_C[keep_C]
    _check_values(log_probs_CK, source_C)

    labels_D, member_C = np.unique(document_C, return_inverse=True)
    total_D = np.bincount(member_C, weights_C)
    if (total_D == 0).any():
        raise ValueError(f"the weights of document {labels_D[int(np.argmin(total_D))]!r} sum to 0")

    def document_means(values_C: NDArray[np.float64]) -> NDArray[np.float64]:
        counted_C = np.where(weights_C > 0, values_C, 0.0)  # 0 · inf is no contribution
        return np.asarray(np.bincount(member_C, weights_C * counted_C) / total_D)

    candidates = log_probs_CK.shape[1]
    ceiling = float(np.log(candidates))
    terms_C = infonce_terms(log_probs_CK, source_C)
    per_document_D = document_means(terms_C)
    infonce = float(per_document_D.mean())
    upper = float(document_means(_leave_one_out_terms(log_probs_CK, source_C)).mean())
    share_C = np.exp(terms_C - ceiling)
    saturation = float(document_means((share_C > SATURATED).astype(float)).mean())
    stderr = standard_error(per_document_D)
    half = student_t_quantile(0.975, len(labels_D) - 1) * stderr if len(labels_D) > 1 else float("nan")
    at_k = {k: float(document_means(v).mean()) for k, v in _terms_at_k(log_probs_CK, source_C).items()}
    at_k[candidates] = infonce

    notes = []
    if not np.isfinite(upper):
        notes.append("leave-one-out and midpoint are infinite: a compression is impossible under every other document")
    if failed_C.any():
        notes.append(f"{int(failed_C.sum())} of {len(failed_C)} compressions dropped: a cell had failed")
    if saturation > 0.5:
        notes.append(
            f"saturated: {saturation:.0%} of compressions identify their source among {candidates} candidates; "
            f"the value measures log K = {ceiling:.2f} nats; use harder negatives or more documents"
        )
    if (per_document_D < 0).any():
        notes.append(
            f"{int((per_document_D < 0).sum())} of {len(labels_D)} documents have a mean below 0: with few compressions "
            "this is noise; with many and a scorer that is the sampler it is a bug (temperature, template, tokens)"
        )
    return MIEstimate(
        infonce_nats=infonce,
        leave_one_out_nats=upper,
        midpoint_nats=(infonce + upper) / 2,
        stderr_nats=stderr,
        ci_nats=(infonce - half, infonce + half),
        ceiling_nats=ceiling,
        saturation=saturation,
        per_compression_nats=terms_C,
        per_document_nats=per_document_D,
        at_k=at_k,
        n_documents=len(labels_D),
        n_compressions=len(terms_C),
        dropped=int(failed_C.sum()),
        warnings=notes,
    )


def _check_source(log_probs_CK: NDArray[np.float64], source: ArrayLike) -> NDArray[np.intp]:
    if log_probs_CK.ndim != 2:
        raise ValueError(f"log_probs has shape {log_probs_CK.shape}; needed is (compressions, documents)")
    compressions, candidates = log_probs_CK.shape
    if compressions == 0:
        raise ValueError("log_probs holds no compression")
    if candidates < 2:
        raise ValueError("one document only: information about which document needs at least two candidates")
    raw = np.asarray(source)
    if raw.shape != (compressions,):
        raise ValueError(f"source has shape {raw.shape}; needed is one column for each of {compressions} compressions")
    if not np.issubdtype(raw.dtype, np.integer):
        raise ValueError(f"source has type {raw.dtype}; needed are integers, the columns of log_probs")
    outside = np.flatnonzero((raw < 0) | (raw >= candidates))
    if outside.size:
        raise ValueError(
            f"source[{outside[0]}] = {raw[outside[0]]}: not in the pool; allowed are 0 to {candidates - 1} "
            f"({outside.size} such entries)"
        )
    return raw.astype(np.intp)


def _check_values(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> None:
    positive = np.argwhere(log_probs_CK > POSITIVE_TOLERANCE)  # +inf is among them
    if positive.size:
        c, k = (int(i) for i in positive[0])
        raise ValueError(
            f"log_probs[{c}, {k}] = {log_probs_CK[c, k]:g}: a log-probability is at most 0 ({len(positive)} such cells)"
        )
    own_C = log_probs_CK[np.arange(len(source_C)), source_C]
    impossible = np.flatnonzero(np.isneginf(own_C))
    if impossible.size:
        raise ValueError(
            f"log_probs[{impossible[0]}, source] = -inf: a compression cannot be impossible under its own document "
            f"({impossible.size} such rows)"
        )


def _logsumexp(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """log Σ exp over the last axis; -inf where every entry is."""
    top = values.max(axis=-1, keepdims=True)
    finite_top = np.where(np.isfinite(top), top, 0.0)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(np.exp(values - finite_top).sum(axis=-1)) + finite_top[..., 0])


def _negatives(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> NDArray[np.float64]:
    """(C, K − 1): every row without its source."""
    compressions, candidates = log_probs_CK.shape
    other_CK = np.arange(candidates)[None, :] != source_C[:, None]
    return log_probs_CK[other_CK].reshape(compressions, candidates - 1)


def _leave_one_out_terms(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> NDArray[np.float64]:
    own_C = log_probs_CK[np.arange(len(source_C)), source_C]
    return own_C - (_logsumexp(_negatives(log_probs_CK, source_C)) - np.log(log_probs_CK.shape[1] - 1))


def _terms_at_k(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> dict[int, NDArray[np.float64]]:
    """InfoNCE terms with k < K candidates, averaged over random subsets of the negatives: {k: (C,)}."""
    candidates = log_probs_CK.shape[1]
    sizes = [2**i for i in range(1, 32) if 2**i < candidates]
    if not sizes:
        return {}
    own_C = log_probs_CK[np.arange(len(source_C)), source_C]
    negatives = _negatives(log_probs_CK, source_C)
    rng = np.random.default_rng(0)
    sums = {k: np.zeros(len(own_C)) for k in sizes}
    for _ in range(SUBSETS):
        running = np.logaddexp.accumulate(negatives[:, rng.permutation(candidates - 1)], axis=1)
        for k in sizes:
            sums[k] += np.log(k) + own_C - np.logaddexp(own_C, running[:, k - 2])
    return {k: total / SUBSETS for k, total in sums.items()}
