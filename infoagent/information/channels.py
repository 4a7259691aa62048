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


def binary_symmetric(error: float) -> Channel:
    """The bit with probability 1 − error, else the other one: I = log 2 − H(error)."""
    return symmetric(2, error)


def erasure(inputs: int, erased: float) -> Channel:
    """The input with probability 1 − erased, else the symbol "erased"."""
    return np.hstack([np.eye(inputs) * (1 - erased), np.full((inputs, 1), erased)])


def erasure_mi_nats(inputs: int, erased: float) -> float:
    """(1 − erased) · log X."""
    return float((1 - erased) * np.log(inputs))


def dirichlet(inputs: int, outputs: int, concentration: float, rng: np.random.Generator) -> Channel:
    """Rows drawn from a symmetric Dirichlet: the smaller the concentration, the more an output tells."""
    return np.asarray(rng.dirichlet(np.full(outputs, concentration), size=inputs), dtype=np.float64)


def ngram(inputs: int, length: int, rng: np.random.Generator, alphabet: int = 2, concentration: float = 1.0) -> Channel:
    """Every input is a Markov source; an output is a sequence of `length` symbols, all alphabet^length enumerated.

    First symbol and transitions of each input are Dirichlet rows. Sequences are in the order of numbers written in
    base `alphabet`, the first symbol the most significant, which `truncate` and `token_log_probs` rely on.
    """
    rows = np.full(alphabet, concentration)
    first_XA = np.asarray(rng.dirichlet(rows, size=inputs), dtype=np.float64)
    next_XAA = rng.dirichlet(rows, size=(inputs, alphabet))
    conditional_XZ = first_XA
    for _ in range(length - 1):
        last_XZA = np.tile(next_XAA, (1, conditional_XZ.shape[1] // alphabet, 1))
        conditional_XZ = (conditional_XZ[:, :, None] * last_XZA).reshape(inputs, -1)
    return conditional_XZ


def truncate(conditional_XZ: Channel, keep: int, length: int, alphabet: int = 2) -> Channel:
    """The channel to the first `keep` of `length` symbols: it can only lose information."""
    if conditional_XZ.shape[1] != alphabet**length or not 0 <= keep <= length:
        raise ValueError(
            f"{conditional_XZ.shape[1]} outputs, keep = {keep}: not {alphabet}^{length} sequences, or cut wrong"
        )
    return conditional_XZ.reshape(len(conditional_XZ), alphabet**keep, -1).sum(axis=2)


def token_log_probs(conditional_XZ: Channel, length: int, alphabet: int = 2) -> NDArray[np.float64]:
    """(Z, X, L) log p(symbol t | x, symbols before) of every sequence; an impossible sequence reads -inf once it is."""
    prefix_LXZ = np.stack(
        [
            np.repeat(truncate(conditional_XZ, t, length, alphabet), alphabet ** (length - t), axis=1)
            for t in range(length + 1)
        ]
    )
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio_LXZ = np.log(prefix_LXZ[1:]) - np.log(prefix_LXZ[:-1])
    return np.where(prefix_LXZ[1:] > 0, np.minimum(ratio_LXZ, 0.0), -np.inf).transpose(2, 1, 0)


def product(first_XZ: Channel, second_XZ: Channel) -> Channel:
    """Two independent parts, each through its own channel: the informations add."""
    return np.asarray(np.kron(first_XZ, second_XZ), dtype=np.float64)


def degrade(conditional_XZ: Channel, share: float) -> Channel:
    """With probability `share` the output is replaced by one of another input, drawn at random: a worse compressor."""
    return (1 - share) * conditional_XZ + share * conditional_XZ.mean(axis=0)


def chi_squared(conditional_XZ: Channel) -> float:
    """χ² = E_x Σ_z p(z|x)² / p(z) − 1 ≥ e^I − 1: InfoNCE over K iid documents is too low by about χ² / 2K."""
    marginal_Z = conditional_XZ.mean(axis=0)
    reached_Z = marginal_Z > 0
    return float((conditional_XZ[:, reached_Z] ** 2 / marginal_Z[reached_Z]).sum() / len(conditional_XZ) - 1)


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
