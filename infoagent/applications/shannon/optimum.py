"""The most that any policy can earn on a source with few documents: the best string for each, over all of them.

Shape legend: Z strings, D states of the source (what a document states), N problems, C compressions.

The table `log_probs_ZD` holds log p(z | d) of the frozen scorer in nats. A policy sees what a document states and not
which negatives stand beside it, so it cannot do better on a set of problems than to write, for each state, the one
string that earns most in the mean over the problems of that state. The reward is that of training:

    reward(z) = log K − mean log Σ_k p(z | d_k) / p(z | d) − price · tokens(z)         K candidates, the source among them

and `gate_nats` for a text with nothing in it. Longer strings than those in the table are ruled out by length alone
where the best one earns at least log K − price · (longest + 1), because log r is never above 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FloatArray = NDArray[np.float64]


@dataclass(frozen=True)
class Candidates:
    """The problems of an evaluation by what their documents state.

    own_N: the state of each problem's document; counts_ND: how often each state stands among its K candidates, its
    own document included.
    """

    own_N: NDArray[np.intp]
    counts_ND: FloatArray

    def __post_init__(self) -> None:
        totals = self.counts_ND.sum(1)
        if len(self.own_N) != len(self.counts_ND) or not len(self.own_N):
            raise ValueError(f"{len(self.own_N)} problems but {len(self.counts_ND)} rows of counts")
        if (totals != totals[0]).any():
            raise ValueError("every problem must have the same number of candidates")
        if (self.counts_ND[np.arange(len(self.own_N)), self.own_N] < 1).any():
            raise ValueError("the own document must be among the candidates")

    @property
    def number(self) -> int:
        """K."""
        return int(self.counts_ND[0].sum())


def candidates_of(own: Sequence[int], negatives: Sequence[Sequence[int]], states: int) -> Candidates:
    """From the state of each problem's document and those of its negatives."""
    counts = np.array([np.bincount([o, *n], minlength=states) for o, n in zip(own, negatives, strict=True)])
    return Candidates(np.array(own, dtype=np.intp), counts.astype(np.float64))


def terms_of_state(log_probs_ZD: FloatArray, state: int, counts_ND: FloatArray) -> FloatArray:
    """(Z, N) log K + log r of every string for problems whose document states `state`."""
    lead_ZD = np.minimum(log_probs_ZD - log_probs_ZD[:, state, None], 600.0)  # far below any bound, and finite
    return np.asarray(np.log(counts_ND[0].sum()) - np.log(np.exp(lead_ZD) @ counts_ND.T))


def mean_terms(log_probs_ZD: FloatArray, candidates: Candidates) -> FloatArray:
    """(Z, D) mean of log K + log r over the problems of each state; NaN for a state that no problem has."""
    found = np.full(log_probs_ZD.shape, np.nan)
    for state in np.unique(candidates.own_N):
        rows = candidates.counts_ND[candidates.own_N == state]
        found[:, state] = terms_of_state(log_probs_ZD, int(state), rows).mean(1)
    return found


def terms_of(log_probs_CD: FloatArray, problem_C: NDArray[np.intp], candidates: Candidates) -> FloatArray:
    """(C,) log K + log r of compressions, `problem_C` saying of which problem each is."""
    own_C = candidates.own_N[problem_C]
    lead_CD = np.minimum(log_probs_CD - log_probs_CD[np.arange(len(own_C)), own_C][:, None], 600.0)
    return np.asarray(np.log(candidates.number) - np.log((np.exp(lead_CD) * candidates.counts_ND[problem_C]).sum(1)))


def source_information(log_probs_CD: FloatArray, state_C: NDArray[np.intp], probabilities_D: FloatArray) -> FloatArray:
    """(C,) log p(z | d) − log Σ_d' P(d') p(z | d'), in nats: what a reader who is the scorer learns about the source.

    Its mean over documents drawn from the source, and any compressor's z, is at most I(X;Z) (Barber and Agakov, 2003:
    the reader's posterior in the place of the true one).
    """
    log_p_D = np.log(probabilities_D)
    highest_C = (log_probs_CD + log_p_D).max(1)
    marginal_C = highest_C + np.log(np.exp(log_probs_CD + log_p_D - highest_C[:, None]).sum(1))
    return np.asarray(log_probs_CD[np.arange(len(state_C)), state_C] - marginal_C)


@dataclass(frozen=True)
class Optimum:
    """The best string of each state at one price."""

    price: float
    best_D: NDArray[np.intp]
    """Index of the string; −1 for a state that no problem has."""
    reward_D: FloatArray
    """What it earns in the mean, nats; NaN for a state that no problem has."""

    def value_nats(self, candidates: Candidates) -> float:
        """Mean over the problems."""
        return float(self.reward_D[candidates.own_N].mean())

    def ruled_out(self, candidates: Candidates, longest: int, penalty_nats: float = 0.0) -> float:
        """Share of the problems for which no string above `longest` tokens, at this further penalty, earns more."""
        bound = np.log(candidates.number) - self.price * (longest + 1) - penalty_nats
        return float((self.reward_D[candidates.own_N] >= bound).mean())


def best_strings(
    mean_terms_ZD: FloatArray, lengths_Z: NDArray[np.intp], gated_Z: NDArray[np.bool_], price: float, gate_nats: float
) -> Optimum:
    """The optimum at `price`, from `mean_terms`."""
    reward_ZD = mean_terms_ZD - price * lengths_Z[:, None]
    reward_ZD[gated_Z] = np.where(np.isnan(reward_ZD[gated_Z]), np.nan, gate_nats)
    present_D = ~np.isnan(reward_ZD[0])
    best_D = np.where(present_D, np.argmax(np.where(np.isnan(reward_ZD), -np.inf, reward_ZD), axis=0), -1)
    reward_D = np.where(present_D, reward_ZD[best_D, np.arange(len(best_D))], np.nan)
    return Optimum(price, best_D.astype(np.intp), reward_D)
