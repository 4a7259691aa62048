"""Discrete channels whose mutual information is known: the yardstick of every estimator.

Shape legend: X inputs (equally likely), Z outputs; `conditional_XZ[x, z] = p(z | x)`, rows sum to 1.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Channel = NDArray[np.float64]


def copy(inputs: int) -> Channel:
    """The output is the input: I = log X."""
    return np.eye(inputs)


def symmetric(inputs: int, error: float) -> Channel:
    """X-ary symmetric channel: right with probability 1 − error, else any other input's symbol alike."""
    return np.full((inputs, inputs), error / (inputs - 1)) + np.eye(inputs) * (1 - error - error / (inputs - 1))


def binary_symmetric(error: float) -> Channel:
    """The bit with probability 1 − error, else the other one: I = log 2 − H(error)."""
    return symmetric(2, error)


def erasure(inputs: int, erased: float) -> Channel:
    """The input with probability 1 − erased, else the symbol "erased"."""
    return np.hstack([np.eye(inputs) * (1 - erased), np.full((inputs, 1), erased)])


def dirichlet(inputs: int, outputs: int, concentration: float, rng: np.random.Generator) -> Channel:
    """Rows drawn from a symmetric Dirichlet: the smaller the concentration, the more an output tells."""
    return np.asarray(rng.dirichlet(np.full(outputs, concentration), size=inputs), dtype=np.float64)


def ngram(inputs: int, length: int, rng: np.random.Generator, alphabet: int = 2, concentration: float = 1.0) -> Channel:
    """Every input is a Markov source; an output is a sequence of `length` symbols, all alphabet^length enumerated.

    First symbol and transitions of each input are Dirichlet rows. Sequences are in the order of numbers written in
    base `alphabet`, the first symbol the most significant.
    """
    rows = np.full(alphabet, concentration)
    first_XA = np.asarray(rng.dirichlet(rows, size=inputs), dtype=np.float64)
    next_XAA = rng.dirichlet(rows, size=(inputs, alphabet))
    conditional_XZ = first_XA
    for _ in range(length - 1):
        last_XZA = np.tile(next_XAA, (1, conditional_XZ.shape[1] // alphabet, 1))
        conditional_XZ = (conditional_XZ[:, :, None] * last_XZA).reshape(inputs, -1)
    return conditional_XZ


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


def _sum_plogp(p: Channel) -> float:
    positive = p[p > 0]
    return float((positive * np.log(positive)).sum())
