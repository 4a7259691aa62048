"""Mutual information from a matrix of log-probabilities. NumPy only.

est = estimate_mi(log_probs, source)        # (C, K) nats, (C,) ints
"""

from infoagent.information.estimators import MIEstimate, estimate_mi, infonce_terms
from infoagent.information.intervals import mean_interval, paired_difference

__all__ = ["MIEstimate", "estimate_mi", "infonce_terms", "mean_interval", "paired_difference"]
