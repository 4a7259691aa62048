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

from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infoagent.information.intervals import detectable_difference, standard_error, t_interval
from infoagent.information.matrix import (
    SATURATED,
    TOO_SATURATED,
    check_length,
    check_source,
    check_values,
    group_by_document,
    identical_columns,
    logsumexp,
    name_first,
    negatives,
    own_scores,
    plain_values,
    scale,
)

SUBSETS = 32


@dataclass(frozen=True)
class MIEstimate:
    """An estimate of I(X;Z|Q) in nats, with what is needed to know whether to trust it."""

    infonce_nats: float
    leave_one_out_nats: float
    midpoint_nats: float
    midpoint_ci_nats: tuple[float, float]
    """95 % t interval of midpoint_nats; NaN where the midpoint is infinite or NaN, and with one document."""
    stderr_nats: float
    ci_nats: tuple[float, float]
    """95 % t interval of infonce_nats on document means, D − 1 degrees of freedom, for the expectation over pools of K
    documents (not for I). In simulation (eval/bench/coverage.py) it covers 92 to 95 % from 32 documents on and as little as
    86 % with 8: below 30, and with negatives that are hard to tell apart, read `jackknife_interval`."""
    detectable_nats: float
    """The difference to another compressor that D documents show 4 times in 5, without pairing, if its documents
    spread like these: `detectable_difference(√2 · s, D)`. Pairing by document can show much smaller ones."""
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
    beta: float | None = None
    """The critic scale; None: the scores are used as they are."""
    warnings: list[str] = field(default_factory=list)

    @property
    def headroom_nats(self) -> float:
        return self.ceiling_nats - self.infonce_nats

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return {**plain_values(self), "headroom_nats": self.headroom_nats}


def infonce_terms(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> NDArray[np.float64]:
    """log K + log r_c for each compression: (C,) nats."""
    return np.log(log_probs_CK.shape[1]) + own_scores(log_probs_CK, source_C) - logsumexp(log_probs_CK)


def leave_one_out_terms(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> NDArray[np.float64]:
    """log p(z|x_s) − log mean_{k≠s} p(z|x_k) for each compression: (C,) nats, +inf where no other document fits."""
    others_C = logsumexp(negatives(log_probs_CK, source_C)) - np.log(log_probs_CK.shape[1] - 1)
    return own_scores(log_probs_CK, source_C) - others_C


def estimate_mi(
    log_probs: ArrayLike,
    source: ArrayLike,
    *,
    document: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    drop_failed: bool = False,
    beta: float | None = None,
    sampler: bool = True,
    even: bool = True,
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
        beta: critic scale: every value is computed from log_probs · β. InfoNCE stays a lower bound for any β that was
            not chosen on these rows (`calibration.fit_beta` on others); the upper bound is lost.
        sampler: whether the scorer is the model that sampled the compressions. False (a proxy): the upper bound is
            lost, because its numerator has to be the probability that the compression was drawn with.
        even: whether the candidates stand for their pool. False (near documents are more among them): the upper bound is
            lost, because its denominator has to be the mean over the pool.

    Raises ValueError for NaN (how many cells failed), +inf or positive log-probabilities (where), `-inf` at a source,
    a source outside the columns, fewer than two candidates, a β below 0, and shapes that do not fit.
    """
    log_probs_CK = np.asarray(log_probs, dtype=np.float64)
    source_C = check_source(log_probs_CK, source)
    document_C = source_C if document is None else np.asarray(document)
    weights_C = np.ones(len(source_C)) if weights is None else np.asarray(weights, dtype=np.float64)
    check_length(len(source_C), document=document_C, weights=weights_C)

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
    check_values(log_probs_CK, source_C)
    documents = group_by_document(document_C[keep_C], weights_C[keep_C])
    identical = identical_columns(log_probs_CK)  # as scored: β = 0 makes all columns alike, and no document another
    if beta is not None:
        log_probs_CK = scale(log_probs_CK, beta)

    candidates = log_probs_CK.shape[1]
    ceiling = float(np.log(candidates))
    terms_C = infonce_terms(log_probs_CK, source_C)
    per_document_D = documents.means(terms_C)
    infonce = float(per_document_D.mean())
    stderr = standard_error(per_document_D)
    upper_D = np.full(len(documents), np.nan)
    if sampler and even and beta is None:
        upper_D = documents.means(leave_one_out_terms(log_probs_CK, source_C))
    share_C = np.exp(terms_C - ceiling)
    at_k = {k: float(documents.means(v).mean()) for k, v in _terms_at_k(log_probs_CK, source_C).items()}
    at_k[candidates] = infonce
    estimate = MIEstimate(
        infonce_nats=infonce,
        leave_one_out_nats=float(upper_D.mean()),
        midpoint_nats=float((infonce + upper_D.mean()) / 2),
        midpoint_ci_nats=t_interval((per_document_D + upper_D) / 2),
        stderr_nats=stderr,
        ci_nats=t_interval(per_document_D),
        detectable_nats=detectable_difference(float(np.sqrt(2 * len(documents)) * stderr), len(documents)),
        ceiling_nats=ceiling,
        saturation=float(documents.means((share_C > SATURATED).astype(float)).mean()),
        per_compression_nats=terms_C,
        per_document_nats=per_document_D,
        at_k=at_k,
        n_documents=len(documents),
        n_compressions=len(terms_C),
        dropped=int(failed_C.sum()),
        beta=beta,
    )
    estimate.warnings.extend(_warnings(estimate, len(failed_C), candidates, sampler, even, identical))
    return estimate


def _warnings(
    estimate: MIEstimate, compressions: int, candidates: int, sampler: bool, even: bool, identical: list[list[int]]
) -> list[str]:
    """What a reader has to know before believing the value."""
    notes = []
    reasons = [] if sampler else ["the scorer did not draw the compressions"]
    if sampler and estimate.beta is not None:
        reasons.append(f"beta = {estimate.beta:g} makes the scorer a proxy")
    if not even:
        reasons.append("near documents are more among the scored columns than in the pool")
    if reasons:
        notes.append(f"leave-one-out and midpoint are NaN: {' and '.join(reasons)}, so that they would bound nothing")
    elif not np.isfinite(estimate.leave_one_out_nats):
        notes.append(
            "leave-one-out and midpoint are infinite, and the midpoint has no interval: "
            "a compression is impossible under every other document"
        )
    if estimate.dropped:
        notes.append(f"{estimate.dropped} of {compressions} compressions dropped: a cell had failed")
    if identical:
        most = max(len(columns) for columns in identical)
        notes.append(
            f"identical columns: {name_first([' = '.join(map(str, columns)) for columns in identical])}; the same "
            f"document twice in the pool is its own negative and lowers the value of its compressions by up to "
            f"log {most} = {np.log(most):.2f} nats; keep one of each"
        )
    if estimate.saturation > TOO_SATURATED:
        notes.append(
            f"saturated: {estimate.saturation:.0%} of compressions identify their source among {candidates} "
            f"candidates; the value measures log K = {estimate.ceiling_nats:.2f} nats, and its interval is too "
            "narrow; use harder negatives or more documents"
        )
    below = int((estimate.per_document_nats < 0).sum())
    if below:
        blame = (
            "with many and a scorer that is the sampler it is a bug (temperature, template, tokens)"
            if sampler and estimate.beta is None
            else "with many the scorer does not fit the compressor: fit a critic scale on other rows (fit_beta)"
        )
        notes.append(
            f"{below} of {estimate.n_documents} documents have a mean below 0: with few compressions this is noise; " + blame
        )
    return notes


def _terms_at_k(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> dict[int, NDArray[np.float64]]:
    """InfoNCE terms with k < K candidates, averaged over random subsets of the negatives: {k: (C,)}."""
    candidates = log_probs_CK.shape[1]
    sizes = [2**i for i in range(1, 32) if 2**i < candidates]
    if not sizes:
        return {}
    own_C = own_scores(log_probs_CK, source_C)
    others = negatives(log_probs_CK, source_C)
    rng = np.random.default_rng(0)
    sums = {k: np.zeros(len(own_C)) for k in sizes}
    for _ in range(SUBSETS):
        running = np.logaddexp.accumulate(others[:, rng.permutation(candidates - 1)], axis=1)
        for k in sizes:
            sums[k] += np.log(k) + own_C - np.logaddexp(own_C, running[:, k - 2])
    return {k: total / SUBSETS for k, total in sums.items()}
