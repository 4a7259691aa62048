"""One critic scale β for a scorer that is not the sampler: log-probs × β, fitted on other documents.

Shape legend: C compressions, K candidate documents.

    f(β) = mean over documents of [ β·a_cs − log mean_k exp(β·a_ck) ],   a = log_probs

InfoNCE is a lower bound for every critic that was chosen without the evaluated rows, hence for every β. f is concave in
β: its first part is linear, and log-sum-exp is convex in a and so in β along a line. Its slope

    f'(β) = mean of [ a_cs − Σ_k softmax_k(β·a_c)·a_ck ]

falls as β grows, so that the only maximum on [0, β_max] is a root of f', found by bracketing, or one of the ends.
Cells of -inf stay -inf for every β.
Source: temperature scaling (Guo et al. 2017) of the InfoNCE critic (van den Oord et al. 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from infoagent.information.estimators import infonce_terms
from infoagent.information.matrix import check_length, check_matrix, group_by_document, name_first, own_scores, scale

BETA_MAX = 100.0
"""Far above any scale that log-probabilities of whole texts need; averages over a text's tokens may need tens."""


@dataclass(frozen=True)
class Calibration:
    """A critic scale and where it came from. Use: `estimate_mi(log_probs, source, beta=calibration.beta)`."""

    beta: float
    scorer: str
    """Name of the scorer that the scale belongs to."""
    n_documents: int
    infonce_before_nats: float
    """InfoNCE at β = 1 on the rows of the fit."""
    infonce_after_nats: float
    """InfoNCE at the fitted β on the same rows: it was chosen there, so it flatters. Report other rows."""
    beta_max: float = BETA_MAX
    at_bound: bool = False
    """β ended at β_max: the rows are separable (more scale is always better), or β_max is too small."""
    document_ids: tuple[str, ...] = ()
    """Hashes or names of all documents of the fit, sources and candidates."""
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return {**asdict(self), "document_ids": list(self.document_ids)}

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Calibration:
        """The inverse of `to_dict`. Raises ValueError for fields that are missing or unknown, and for a bad β."""
        fields = set(cls.__dataclass_fields__)
        missing, unknown = sorted(fields - set(values)), sorted(set(values) - fields)
        if missing or unknown:
            raise ValueError(f"not a calibration: missing {missing or 'nothing'}, unknown {unknown or 'nothing'}")
        beta = values["beta"]
        if not isinstance(beta, (int, float)) or not 0 <= beta < float("inf"):
            raise ValueError(f"beta = {beta!r}: a critic scale is a finite number of at least 0")
        return cls(**{**values, "document_ids": tuple(values["document_ids"]), "warnings": list(values["warnings"])})


def fit_beta(
    log_probs: ArrayLike,
    source: ArrayLike,
    *,
    document: ArrayLike | None = None,
    scorer: str = "unnamed",
    document_ids: Sequence[str] = (),
    beta_max: float = BETA_MAX,
) -> Calibration:
    """The β in [0, β_max] with the largest mean document InfoNCE of log_probs · β.

    Args:
        log_probs, source, document: as for `estimate_mi`; rows that will not be evaluated.
        scorer: name of the scorer.
        document_ids: hash or name of every document of the fit, for `require_held_out`.
        beta_max: largest scale allowed.

    Raises ValueError as `estimate_mi` does, for NaN cells, and for a β_max that is not above 0.
    """
    from scipy.optimize import brentq

    log_probs_CK, source_C = check_matrix(log_probs, source)
    document_C = source_C if document is None else np.asarray(document)
    check_length(len(source_C), document=document_C)
    documents = group_by_document(document_C)
    if not (np.isfinite(beta_max) and beta_max > 0):
        raise ValueError(f"beta_max = {beta_max}: must be finite and above 0")
    own_C = own_scores(log_probs_CK, source_C)
    finite_CK = np.where(np.isneginf(log_probs_CK), 0.0, log_probs_CK)  # a cell of -inf has weight 0 in the slope

    def slope(beta: float) -> float:
        scaled_CK = scale(log_probs_CK, beta)
        weight_CK = np.exp(scaled_CK - scaled_CK.max(axis=1, keepdims=True))
        expected_C = (weight_CK * finite_CK).sum(axis=1) / weight_CK.sum(axis=1)
        return float(documents.means(own_C - expected_C).mean())

    def infonce(beta: float) -> float:
        return float(documents.means(infonce_terms(scale(log_probs_CK, beta), source_C)).mean())

    notes = []
    at_bound = False
    if slope(0.0) <= 0:
        beta = 0.0
        notes.append(
            "beta = 0: the scorer prefers other documents to the right one, or tells none apart; wrong pairing, or a "
            "scorer that cannot read these compressions"
        )
    elif slope(beta_max) >= 0:
        beta, at_bound = float(beta_max), True
        notes.append(
            f"beta = beta_max = {beta_max:g}: the rows of the fit are separable or the scores too flat; the scale is "
            "not determined; use more rows or harder negatives"
        )
    else:
        beta = float(brentq(slope, 0.0, beta_max, xtol=1e-12, rtol=1e-12))
    return Calibration(
        beta=beta,
        scorer=scorer,
        n_documents=len(documents),
        infonce_before_nats=infonce(1.0),
        infonce_after_nats=infonce(beta),
        beta_max=float(beta_max),
        at_bound=at_bound,
        document_ids=tuple(document_ids),
        warnings=notes,
    )


def require_held_out(calibration: Calibration, document_ids: Sequence[str]) -> None:
    """Raise ValueError where an evaluated document took part in the fit, or where the fit does not name its own."""
    if not calibration.document_ids:
        raise ValueError("the calibration does not name its documents: fit it again with document_ids")
    shared = sorted(set(calibration.document_ids) & set(document_ids))
    if shared:
        raise ValueError(
            f"{len(shared)} of {len(set(document_ids))} evaluated documents took part in the fit of beta "
            f"({name_first(shared)}): evaluate others, or fit on others"
        )
