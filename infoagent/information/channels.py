"""Discrete channels whose mutual information is known: the yardstick of every estimator.

Shape legend: X inputs (equally likely), Z outputs; `conditional_XZ[x, z] = p(z | x)`, rows sum to 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Channel = NDArray[np.float64]


def constant(inputs: int, outputs: int = 3) -> Channel:
    """The output says nothing: I = 0."""
    return np.full((inputs, outputs), 1.0 / outputs)


def copy(inputs: int) -> Channel:
    """The output is the input: I = log X."""
    return np.eye(inputs)


def symmetric(inputs: int, error: float) -> Channel:
    """X-ary symmetric channel: right with probability 1 − error, else any other input's symbol alike."""
    return np.full((inputs, inputs), error / (inputs - 1)) + np.eye(inputs) * (1 - error - error / (inputs - 1))


def symmetric_mi_nats(inputs: int, error: float) -> float:
    """log X − H(error) − error · log(X − 1)."""
    return float(np.log(inputs) - _entropy(error) - (error * np.log(inputs - 1) if inputs > 2 else 0.0))


def erasure(inputs: int, erased: float) -> Channel:
    """The input with probability 1 − erased, else the symbol "erased"."""
    return np.hstack([np.eye(inputs) * (1 - erased), np.full((inputs, 1), erased)])


def erasure_mi_nats(inputs: int, erased: float) -> float:
    """(1 − erased) · log X."""
    return float((1 - erased) * np.log(inputs))


def mutual_information_nats(conditional_XZ: Channel) -> float:
    """I(X;Z) = H(Z) − H(Z|X) for equally likely inputs."""
    marginal_Z = conditional_XZ.mean(axis=0)
    return _sum_plogp(conditional_XZ) / len(conditional_XZ) - _sum_plogp(marginal_Z)


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


def _sum_plogp(p: Channel) -> float:
    positive = p[p > 0]
    return float((positive * np.log(positive)).sum())


def _entropy(p: float) -> float:
    return -_sum_plogp(np.array([p, 1 - p]))
