"""Populations of documents with a known information: pools are drawn from them, as one draws documents from the world.

Shape legend: R pools drawn at once, K documents of a pool, S compressions of each document, C = K · S compressions of a
pool (those of one document side by side).

A `channels` matrix used with all its inputs is a fixed pool. Here a pool is K documents drawn independently from a
population, so that InfoNCE falls short of I by about χ²/2K.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from infoagent.information import channels
from infoagent.information.matrix import logsumexp

Array = NDArray[np.float64]


class Population(Protocol):
    """Where documents come from, and how they are compressed."""

    @property
    def mi_nats(self) -> float: ...

    @property
    def chi_squared(self) -> float: ...

    def draw(self, pools: int, documents: int, rng: np.random.Generator) -> Array:
        """(R, K) documents."""
        ...

    def compress(self, documents_RK: Array, samples: int, rng: np.random.Generator) -> Array:
        """(R, C, K) log-probabilities of fresh compressions under every document of their pool."""
        ...

    def expected_infonce(self, documents: int, pools: int, rng: np.random.Generator) -> tuple[float, float]:
        """E InfoNCE over pools of K documents, and the standard error of this number."""
        ...

    def degraded(self) -> Population:
        """The same documents under a worse compressor."""
        ...


@dataclass(frozen=True)
class DiscretePopulation:
    """Documents are the inputs of a discrete channel, all equally likely, drawn with replacement."""

    conditional_XZ: channels.Channel

    @property
    def mi_nats(self) -> float:
        return channels.mutual_information_nats(self.conditional_XZ)

    @property
    def chi_squared(self) -> float:
        return channels.chi_squared(self.conditional_XZ)

    def draw(self, pools: int, documents: int, rng: np.random.Generator) -> Array:
        return rng.integers(len(self.conditional_XZ), size=(pools, documents)).astype(np.float64)

    def compress(self, documents_RK: Array, samples: int, rng: np.random.Generator) -> Array:
        x_RK = documents_RK.astype(np.intp)
        upper_XZ = np.cumsum(self.conditional_XZ, axis=1)
        upper_XZ[:, -1] = 1.0
        x_RC = np.repeat(x_RK, samples, axis=1)
        z_RC = (upper_XZ[x_RC] <= rng.random(x_RC.shape)[:, :, None]).sum(axis=2)
        with np.errstate(divide="ignore"):
            log_XZ = np.log(self.conditional_XZ)
        return log_XZ[x_RK[:, None, :], z_RC[:, :, None]]

    def expected_infonce(self, documents: int, pools: int, rng: np.random.Generator) -> tuple[float, float]:
        """The mean over pools of their exact information: compressions are summed out, only pools are drawn."""
        inputs = len(self.conditional_XZ)
        counts_RX = rng.multinomial(documents, np.full(inputs, 1 / inputs), size=pools)
        p = self.conditional_XZ
        conditional_X = np.where(p > 0, p * np.log(np.where(p > 0, p, 1.0)), 0.0).sum(axis=1)
        marginal_RZ = counts_RX @ p / documents
        marginal_R = (marginal_RZ * np.log(np.where(marginal_RZ > 0, marginal_RZ, 1.0))).sum(axis=1)
        values_R = counts_RX @ conditional_X / documents - marginal_R
        return float(values_R.mean()), float(values_R.std(ddof=1) / np.sqrt(pools))

    def degraded(self) -> DiscretePopulation:
        """One compression in five is that of another document."""
        return DiscretePopulation(channels.degrade(self.conditional_XZ, 0.2))


@dataclass(frozen=True)
class GaussianPopulation:
    """X ~ N(0, 1), Z = X + N(0, σ²): I = ½ log(1 + 1/σ²), χ² = 1/σ² (from ρ² = 1/(1 + σ²): χ² = ρ²/(1 − ρ²)).

    A log-density can be positive. Here log σ√2π is left out of every cell: a constant for each row changes no term.
    """

    noise: float

    @property
    def mi_nats(self) -> float:
        return float(0.5 * np.log1p(self.noise**-2))

    @property
    def chi_squared(self) -> float:
        return self.noise**-2

    def draw(self, pools: int, documents: int, rng: np.random.Generator) -> Array:
        return rng.normal(size=(pools, documents))

    def compress(self, documents_RK: Array, samples: int, rng: np.random.Generator) -> Array:
        z_RC = np.repeat(documents_RK, samples, axis=1)
        z_RC = z_RC + rng.normal(scale=self.noise, size=z_RC.shape)
        return -0.5 * ((z_RC[:, :, None] - documents_RK[:, None, :]) / self.noise) ** 2

    def expected_infonce(self, documents: int, pools: int, rng: np.random.Generator) -> tuple[float, float]:
        batches = [min(500, pools - start) for start in range(0, pools, 500)]
        values_R = np.concatenate([self._pool_values(n, documents, rng) for n in batches])
        return float(values_R.mean()), float(values_R.std(ddof=1) / np.sqrt(pools))

    def _pool_values(self, pools: int, documents: int, rng: np.random.Generator) -> Array:
        log_probs_RKK = self.compress(self.draw(pools, documents, rng), 1, rng)
        own_RK = np.diagonal(log_probs_RKK, axis1=1, axis2=2)
        return np.asarray((np.log(documents) + own_RK - logsumexp(log_probs_RKK)).mean(axis=1))

    def degraded(self) -> GaussianPopulation:
        """Noise a fifth larger."""
        return GaussianPopulation(1.2 * self.noise)
