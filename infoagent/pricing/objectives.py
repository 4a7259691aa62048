"""The information term of the reward (InfoNCE, clipped, total variation): f-information of a scorer's log-probabilities.

Shape legend: C compressions, K candidate documents; the source is one of the candidates.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infoagent.information import infonce_terms
from infoagent.information.matrix import logsumexp


@dataclass(frozen=True)
class Objective:
    """What a compression earns. See RewardSection for the meaning of each number."""

    kind: str = "infonce"
    clip_nats: float = 3.0
    information_weight: float = 1.0
    answer_weight: float = 0.0

    def terms(self, log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp]) -> NDArray[np.float64]:
        """(C,) information terms of this kind, by hand of log p(z_c | x_k) in nats; `source_C` are the own columns."""
        return TERMS[self.kind](log_probs_CK, source_C, self.clip_nats)


def _infonce(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp], _: float) -> NDArray[np.float64]:
    return infonce_terms(log_probs_CK, source_C)


def clipped_terms(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp], clip_nats: float) -> NDArray[np.float64]:
    """−log (1/K) Σ_k exp(−clip(log p_s − log p_k, −c, c)), in nats; the own document is among the K.

    A negative that is already told apart by c nats earns nothing more, and one that the scorer finds far better costs
    c at most: no single candidate decides. Between −c and log K − log(1 + (K − 1) e^−c). With clipping it is no bound
    on the mutual information.
    """
    rows = np.arange(len(log_probs_CK))
    lead_CK = np.clip(log_probs_CK[rows, source_C][:, None] - log_probs_CK, -clip_nats, clip_nats)
    return np.asarray(np.log(log_probs_CK.shape[1]) - logsumexp(-lead_CK))


def total_variation_terms(log_probs_CK: NDArray[np.float64], source_C: NDArray[np.intp], _: float = 0.0) -> NDArray[np.float64]:
    """½ (sign(r_s − 1/K) − mean_k sign(r_k − 1/K)), without unit, between −1 and 1.

    Its mean over z ~ p(z | x_s) and s uniform is the total variation between p(x, z) and p(x) p(z) over the K
    documents, the f-information whose critic is a sign: it cannot be driven up by a few extreme log-probabilities.
    """
    rows = np.arange(len(log_probs_CK))
    share_CK = np.exp(log_probs_CK - logsumexp(log_probs_CK)[:, None])
    sign_CK = np.sign(share_CK - 1 / log_probs_CK.shape[1])
    return np.asarray(0.5 * (sign_CK[rows, source_C] - sign_CK.mean(axis=1)))


TERMS: dict[str, Callable[[NDArray[np.float64], NDArray[np.intp], float], NDArray[np.float64]]] = {
    "infonce": _infonce,
    "clipped": clipped_terms,
    "tv": total_variation_terms,
}
