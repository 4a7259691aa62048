"""What several compressions of one document tell together, round by round, and what is left of it after compacting anew.

Shape legend: R rounds, C compressions (one text a round), K candidate documents, D documents that have a compression.

**Rounds.** A reader asks q_1, reads z_1, asks q_2, reads z_2, … z_r; in round t the compressor sees the document, q_t and
perhaps the rounds before. The probability of all that was said, under a document x, is

    p(z_1 q_2 z_2 … z_r | x, q_1) = Π_t p(q_t | q_<t, z_<t) · p(z_t | x, q_≤t, z_<t)

The reader never sees x: the first factor has no x in it, whatever the reader is (a rule, a greedy model, a sampled one). So
it stands in the numerator and in every term of the denominator of p(· | x_s) / mean_k p(· | x_k), and cancels. What is left
needs the compressor's log-probabilities alone, added up over rounds under each candidate, with the questions and texts
that were there:

    a_t[c, k] = Σ_{u ≤ t} log p(z_u | x_k, q_≤u, z_<u)

and InfoNCE of a_t bounds I(X; Z_1 Q_2 Z_2 … Z_t | Q_1): what the reader knows, who also knows what it asked. Where questions
are a function of what came before, this is I(X; Z_1 … Z_t | Q_1). Where they are drawn it is at least that, since without
its question an answer says less: I(X; Q_t | Z_<t Q_<t) = 0 says that a question tells nothing by itself, not that it can
be forgotten.

The gain of round t is I(X; Z_t | Z_<t Q_≤t), estimated as the difference of the estimates of t and t − 1 rounds, so that gains
add up to the total exactly. For one compression it is

    log p(z_t | x_s, …) − log Σ_k w_k p(z_t | x_k, …),  w_k = p(z_<t | x_k, …) / Σ_j p(z_<t | x_j, …)

that is, InfoNCE among the candidates as the rounds before have left them. A difference of two lower bounds bounds nothing; and
no gain can be above the room −log w_s that is left, which is 0 once the source is identified. Hence the room stands beside
each gain.

**Compacting anew.** Here the texts are a chain F → Z_1 → Z_2 → … → Z_r: a summary is made from the summary before it, and
only the last one is kept. What counts is I(F; Z_r), which by the data-processing inequality cannot rise with r. Added
up over the chain, log-probabilities would estimate I(F; Z_1 … Z_r) = I(F; Z_1), which does not fall: later steps never see F, and
their factors cancel. The right ones, log p(z_r | f), are a sum over all summaries in between, which nobody can compute. So a
critic takes their place, log p(z_r | everything that was said, with f in it) under the frozen compressor as if z_r were
its first summary. Any critic gives a lower bound; this one is right for r = 1 and too sure for later texts. One scale β for
each r, fitted on other histories, makes it as sure as it may be (`estimate_survival`).
Source: the chain rule and the data-processing inequality (Cover & Thomas 2006, 2.5, 2.8).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from infoagent.information.calibration import fit_beta
from infoagent.information.estimators import MIEstimate, estimate_mi, infonce_terms
from infoagent.information.intervals import mean_interval
from infoagent.information.matrix import SATURATED, check_matrix, group_by_document, plain_values, scale
from infoagent.types import Finding

FOLDS = 5
"""Of the critic's scale; one for each document where there are fewer."""


@dataclass(frozen=True)
class RoundInformation:
    """The rounds up to one of them, and what this one added."""

    round: int
    """Counted from 1."""
    total: MIEstimate
    """Of all rounds up to this one."""
    gain: Finding
    """Nats that this round added: mean over documents, paired with the rounds before, with its 95 % t interval."""
    room_nats: float
    """What the rounds before left to be gained: ceiling − their total."""

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return {"round": self.round, "total": self.total.to_dict(), "gain": vars(self.gain), "room_nats": self.room_nats}


def estimate_rounds(
    log_probs: ArrayLike,
    source: ArrayLike,
    *,
    document: ArrayLike | None = None,
    weights: ArrayLike | None = None,
    sampler: bool = True,
    even: bool = True,
) -> list[RoundInformation]:
    """Total and gain of each round.

    Args:
        log_probs: (R, C, K) log p(z_t | x_k, q_≤t, z_<t) of each round by itself, nats; a -inf stays -inf.
        source, document, weights, sampler, even: as for `estimate_mi`.

    Raises ValueError for what `estimate_mi` refuses, and for an array that is not of three dimensions.
    """
    steps_RCK = np.asarray(log_probs, dtype=np.float64)
    if steps_RCK.ndim != 3 or not len(steps_RCK):
        raise ValueError(f"log_probs has shape {steps_RCK.shape}; needed is (rounds, compressions, documents)")
    found: list[RoundInformation] = []
    for number, sum_CK in enumerate(np.cumsum(steps_RCK, axis=0), start=1):
        total = estimate_mi(sum_CK, source, document=document, weights=weights, sampler=sampler, even=even)
        before_D = found[-1].total.per_document_nats if found else np.zeros_like(total.per_document_nats)
        room = found[-1].total.headroom_nats if found else total.ceiling_nats
        gain = mean_interval(total.per_document_nats - before_D)
        found.append(RoundInformation(number, total, gain, float(room)))
    return found


def rest_after(rounds: Sequence[RoundInformation], number: int) -> Finding:
    """Nats that all rounds after round `number` (0: all of them) add together, paired by document, 95 % t interval.

    Raises ValueError for a number without a later round.
    """
    if not 0 <= number < len(rounds):
        raise ValueError(f"number must lie between 0 and {len(rounds) - 1}, got {number}")
    last_D = rounds[-1].total.per_document_nats
    return mean_interval(last_D - rounds[number - 1].total.per_document_nats if number else last_D)


def saturated_after(rounds: Sequence[RoundInformation]) -> int | None:
    """The first round after which all later ones together show no gain (their interval touches 0); None where even the
    last round gains, 0 where nothing is told at all.

    Rounds are taken together because each by itself may gain too little to be shown. No gain shown is not no gain: more
    documents may show one. An interval that is not known (one document) counts as touching 0.
    """
    return next((t for t in range(len(rounds)) if not rest_after(rounds, t).low > 0), None)


@dataclass(frozen=True)
class Survival:
    """What the texts after one number of compactions still tell of the facts."""

    value: Finding
    """Nats at the fitted scales, a lower bound of I(F; Z_r) with its 95 % t interval over documents."""
    plain_nats: float
    """The same with the critic as it is (β = 1)."""
    ceiling_nats: float
    saturation: float
    betas: tuple[float, ...]
    """The scale of each fold, fitted on the others."""
    per_document_nats: NDArray[np.float64]
    """At the fitted scales, in the order of the sorted document labels."""

    def to_dict(self) -> dict[str, Any]:
        """Plain Python values, ready for JSON."""
        return {**plain_values(self), "value": vars(self.value)}


def estimate_survival(
    log_probs: ArrayLike, source: ArrayLike, *, document: ArrayLike | None = None, beta_max: float = 1.0
) -> Survival:
    """InfoNCE of a critic whose scale is fitted on other documents.

    Documents go into folds by turns, in the order of their labels; the rows of each are scaled by the β in [0, beta_max]
    that is best for the rows of all others, so that the value is a lower bound in each fold. `beta_max` = 1: a critic may
    be trusted less than it is sure, never more, or a few rows that are all right would make it wholly sure. For texts
    drawn at a temperature τ below 1 it may be 1/τ, since they were drawn from about p^(1/τ).

    Args:
        log_probs: (C, K) the critic's values under the candidates, nats.
        source, document: as for `estimate_mi`.

    Raises ValueError for what `estimate_mi` refuses, and for fewer than two documents, which cannot be two folds.
    """
    log_probs_CK, source_C = check_matrix(log_probs, source)
    documents = group_by_document(source_C if document is None else document)
    if len(documents) < 2:
        raise ValueError(f"{len(documents)} document: the critic's scale is fitted on others, so 2 are needed")
    folds = min(FOLDS, len(documents))
    fold_C = documents.member_C % folds
    terms_C, betas = np.zeros(len(source_C)), []
    for fold in range(folds):
        here_C = fold_C == fold
        fit = fit_beta(log_probs_CK[~here_C], source_C[~here_C], document=documents.member_C[~here_C], beta_max=beta_max)
        terms_C[here_C] = infonce_terms(scale(log_probs_CK[here_C], fit.beta), source_C[here_C])
        betas.append(fit.beta)
    ceiling = float(np.log(log_probs_CK.shape[1]))
    per_document_D = documents.means(terms_C)
    right_C = (np.exp(terms_C - ceiling) > SATURATED).astype(float)
    return Survival(
        value=mean_interval(per_document_D),
        plain_nats=float(documents.means(infonce_terms(log_probs_CK, source_C)).mean()),
        ceiling_nats=ceiling,
        saturation=float(documents.means(right_C).mean()),
        betas=tuple(betas),
        per_document_nats=per_document_D,
    )


def deterministic_nats(number_alike: ArrayLike, versions: int) -> NDArray[np.float64]:
    """(C,) log V − log n: what a text tells of which of V equally likely versions it was made from, exactly, where it is a
    function of the version and n of the versions (its own among them) end in the same text.

    Raises ValueError for a number outside 1 to V.
    """
    alike_C = np.asarray(number_alike, dtype=np.float64)
    if not ((alike_C >= 1) & (alike_C <= versions)).all():
        raise ValueError(f"number_alike must lie between 1 and {versions}, its own version among them")
    return np.asarray(np.log(versions) - np.log(alike_C))
