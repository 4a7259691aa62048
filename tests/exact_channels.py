"""Discrete channels as an estimator reads them: every output enumerated, sampled, cut, symbol by symbol.

Shape legend: X inputs (equally likely), Z outputs, C compressions, K documents, L symbols.
"""

import numpy as np
from numpy.typing import NDArray

from infoagent.information import MIEstimate, estimate_mi
from infoagent.information.channels import Channel


def constant(inputs: int, outputs: int = 3) -> Channel:
    """The output says nothing: I = 0."""
    return np.full((inputs, outputs), 1.0 / outputs)


def symmetric_mi_nats(inputs: int, error: float) -> float:
    """log X − H(error) − error · log(X − 1)."""
    entropy = -sum(p * np.log(p) for p in (error, 1 - error) if p > 0)
    return float(np.log(inputs) - entropy - (error * np.log(inputs - 1) if inputs > 2 else 0.0))


def truncate(conditional_XZ: Channel, keep: int, length: int, alphabet: int = 2) -> Channel:
    """The channel to the first `keep` of `length` symbols: it can only lose information."""
    if conditional_XZ.shape[1] != alphabet**length or not 0 <= keep <= length:
        raise ValueError(f"{conditional_XZ.shape[1]} outputs, keep = {keep}: not {alphabet}^{length} sequences, or cut wrong")
    return conditional_XZ.reshape(len(conditional_XZ), alphabet**keep, -1).sum(axis=2)


def token_log_probs(conditional_XZ: Channel, length: int, alphabet: int = 2) -> NDArray[np.float64]:
    """(Z, X, L) log p(symbol t | x, symbols before) of every sequence; an impossible sequence reads -inf once it is."""
    prefix_LXZ = np.stack(
        [np.repeat(truncate(conditional_XZ, t, length, alphabet), alphabet ** (length - t), axis=1) for t in range(length + 1)]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_LXZ = np.log(prefix_LXZ[1:]) - np.log(prefix_LXZ[:-1])
    return np.where(prefix_LXZ[1:] > 0, np.minimum(ratio_LXZ, 0.0), -np.inf).transpose(2, 1, 0)


def enumerate_outputs(conditional_XZ: Channel) -> tuple[Channel, NDArray[np.intp], Channel]:
    """Every (x, z) with p(z|x) > 0 as (log_probs_CK, source_C, weights_C) for `estimate_mi`."""
    inputs, outputs = np.nonzero(conditional_XZ)
    with np.errstate(divide="ignore"):
        log_probs_CK = np.log(conditional_XZ[:, outputs].T)
    return log_probs_CK, inputs, conditional_XZ[inputs, outputs]


def sample_outputs(conditional_XZ: Channel, samples: int, rng: np.random.Generator) -> tuple[Channel, NDArray[np.intp]]:
    """`samples` outputs of every input as (log_probs_CK, source_C)."""
    source_C = np.repeat(np.arange(len(conditional_XZ)), samples)
    outputs_C = np.array([rng.choice(conditional_XZ.shape[1], p=conditional_XZ[x]) for x in source_C])
    with np.errstate(divide="ignore"):
        return np.log(conditional_XZ[:, outputs_C].T), source_C


def enumerated(conditional_XZ: Channel, **keywords) -> MIEstimate:
    """I of every output, weighted by its probability: no sampling error."""
    log_probs_CK, source_C, weights_C = enumerate_outputs(conditional_XZ)
    return estimate_mi(log_probs_CK, source_C, weights=weights_C, **keywords)
