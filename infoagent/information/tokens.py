"""How much each token of a compression tells, by the chain rule with the running posterior.

Shape legend: K candidate documents, L tokens of one compression, B parts of a compression's length.

    r_t(k) ∝ exp Σ_{u≤t} log p(token_u | x_k, q, tokens before),   r_0(k) = 1/K
    i_t = log r_t(s) − log r_{t−1}(s),   Σ_t i_t = log K + log r_L(s), the InfoNCE term of the compression, exactly

A token that is likelier under other documents has i_t < 0. The mean of i_t over tokens drawn from the scorer is the
conditional information I(X; token_t | tokens before), up to the pool.
Source: the chain rule of mutual information (Cover & Thomas 2006, 2.5), with Bayes' rule over the pool.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infoagent.information.intervals import mean_interval
from infoagent.information.matrix import SATURATED, check_not_positive, logsumexp
from infoagent.types import Finding


@dataclass(frozen=True)
class TokenInformation:
    """What each token of one compression tells about which document it came from."""

    nats_L: NDArray[np.float64]
    posterior_L: NDArray[np.float64]
    """Share of the source among the candidates after each token."""
    identified_after: int | None
    """The smallest number of tokens after which the source's share stays at 99 % or more to the end. None is a status:
    the compression never identifies its document."""

    @property
    def total_nats(self) -> float:
        """The InfoNCE term of the compression."""
        return float(self.nats_L.sum())

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return {
            "nats": self.nats_L.tolist(),
            "posterior": self.posterior_L.tolist(),
            "identified_after": self.identified_after,
            "total_nats": self.total_nats,
        }


@dataclass(frozen=True)
class TokenSummary:
    """Many compressions together. Every mean is over documents, with a 95 % t interval."""

    total_nats: Finding
    by_position_nats: list[Finding]
    """Nats told in each of B equal parts of the compression's length; their values add up to total_nats."""
    identified: Finding
    """Share of compressions that identify their document; the rest never do."""
    median_tokens_to_identify: float
    """Among the compressions that identify; NaN where none does."""
    n_compressions: int

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return asdict(self)


def token_information(token_log_probs: ArrayLike, source: int) -> TokenInformation:
    """Information of each token of one compression.

    Args:
        token_log_probs: (K, L) log p(token_t | x_k, q, tokens before t), nats. `-inf` off the source rules a document
            out from there on.
        source: row of the compression's own document.

    Raises ValueError for fewer than two documents, a source outside the rows, NaN, positive values, and `-inf` at the
    source.
    """
    token_log_probs_KL = np.asarray(token_log_probs, dtype=np.float64)
    if token_log_probs_KL.ndim != 2 or len(token_log_probs_KL) < 2:
        raise ValueError(f"token_log_probs has shape {token_log_probs_KL.shape}; needed is (2 documents or more, tokens)")
    if not 0 <= source < len(token_log_probs_KL):
        raise ValueError(f"source = {source}: allowed are 0 to {len(token_log_probs_KL) - 1}, the rows")
    failed = int(np.isnan(token_log_probs_KL).sum())
    if failed:
        raise ValueError(f"{failed} of {token_log_probs_KL.size} cells are NaN: a failed score is not a value")
    check_not_positive(token_log_probs_KL, "token_log_probs")
    if np.isneginf(token_log_probs_KL[source]).any():
        raise ValueError("a token is impossible (-inf) under the compression's own document")
    running_KL = np.cumsum(token_log_probs_KL, axis=1)
    log_posterior_L = running_KL[source] - logsumexp(running_KL.T)
    before_L = np.concatenate([[-np.log(len(running_KL))], log_posterior_L[:-1]])
    posterior_L = np.exp(log_posterior_L)
    unsure = np.flatnonzero(posterior_L < SATURATED)
    after = int(unsure[-1]) + 2 if unsure.size else 1
    return TokenInformation(
        nats_L=np.asarray(log_posterior_L - before_L[: len(log_posterior_L)]),
        posterior_L=posterior_L,
        identified_after=after if after <= len(posterior_L) else None,
    )


def summarize_tokens(
    compressions: Sequence[TokenInformation], documents: Sequence[Hashable] | None = None, parts: int = 10
) -> TokenSummary:
    """Where in a compression the information sits, and how many tokens identify the document.

    Args:
        compressions: one entry for each compression; those without tokens are refused.
        documents: their document labels (default: every compression its own document).
        parts: number B of equal parts of the length. A token that straddles two parts gives to each its share.

    Raises ValueError for no compressions, compressions without tokens (they have no positions), and B < 1.
    """
    if not compressions:
        raise ValueError("no compressions: a mean of nothing is unknown")
    if parts < 1:
        raise ValueError(f"parts = {parts}: at least 1")
    empty = sum(len(c.nats_L) == 0 for c in compressions)
    if empty:
        raise ValueError(f"{empty} of {len(compressions)} compressions hold no token: leave them out and count them")
    edges = np.linspace(0.0, 1.0, parts + 1)
    per_part = []
    for compression in compressions:
        told = np.concatenate([[0.0], np.cumsum(compression.nats_L)])
        per_part.append(np.diff(np.interp(edges, np.linspace(0.0, 1.0, len(told)), told)))
    per_part_CB = np.array(per_part)
    found = [c.identified_after for c in compressions if c.identified_after is not None]
    return TokenSummary(
        total_nats=mean_interval([c.total_nats for c in compressions], documents),
        by_position_nats=[mean_interval(part_C, documents) for part_C in per_part_CB.T],
        identified=mean_interval([float(c.identified_after is not None) for c in compressions], documents),
        median_tokens_to_identify=float(np.median(found)) if found else float("nan"),
        n_compressions=len(compressions),
    )
