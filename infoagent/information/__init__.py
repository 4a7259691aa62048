"""Mutual information from a matrix of log-probabilities. NumPy and SciPy only.

est = estimate_mi(log_probs, source)        # (C, K) nats, (C,) ints
"""

from infoagent.information.calibration import Calibration, fit_beta, require_held_out
from infoagent.information.chain import Chain, Term, estimate_chain
from infoagent.information.estimators import MIEstimate, estimate_mi, infonce_terms
from infoagent.information.intervals import detectable_difference, mean_interval, paired_difference, share_interval, wilson_interval
from infoagent.information.jackknife import jackknife_interval
from infoagent.information.round_gains import (
    RoundInformation,
    Survival,
    deterministic_nats,
    estimate_rounds,
    estimate_survival,
    rest_after,
    saturated_after,
)
from infoagent.information.stratified import Strata, StratifiedEstimate, draw_strata, estimate_stratified
from infoagent.information.tokens import TokenInformation, TokenSummary, summarize_tokens, token_information

__all__ = [
    "Calibration",
    "Chain",
    "MIEstimate",
    "RoundInformation",
    "Strata",
    "StratifiedEstimate",
    "Survival",
    "Term",
    "TokenInformation",
    "TokenSummary",
    "detectable_difference",
    "deterministic_nats",
    "draw_strata",
    "estimate_chain",
    "estimate_mi",
    "estimate_rounds",
    "estimate_stratified",
    "estimate_survival",
    "fit_beta",
    "infonce_terms",
    "jackknife_interval",
    "mean_interval",
    "paired_difference",
    "require_held_out",
    "rest_after",
    "saturated_after",
    "share_interval",
    "summarize_tokens",
    "token_information",
    "wilson_interval",
]
