"""How often the intervals cover what they are for: simulation on populations with a known information.

Shape legend: R pools drawn at once, K documents of a pool, S compressions of each, C = K · S.

Three intervals, three targets, all at 95 %:

    t          of InfoNCE           covers E InfoNCE over pools of K documents
    jackknife  of InfoNCE           the same, and sees that documents are each other's negatives
    midpoint   t on document means  I itself, where K ≫ χ²
    paired     of two compressors   E of the difference of their InfoNCE on the same K documents

Independent pools are drawn for every replicate, documents and compressions alike. `simulate` computes the intervals in
batches; a test pins them to `estimate_mi`, `jackknife_interval` and `paired_difference`.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from infoagent.information import channels
from infoagent.information.intervals import student_t_quantile
from infoagent.information.matrix import logsumexp
from infoagent.information.sources import Array, DiscretePopulation, GaussianPopulation, Population

INTERVALS = ("t", "jackknife", "midpoint", "paired")


def populations(seed: int = 0) -> dict[str, Population]:
    """The populations of the table. The last one is copied letter by letter, so that it saturates: a known failure."""
    rng = np.random.default_rng(seed)
    symmetric = channels.binary_symmetric(0.05)
    return {
        "binary symmetric, error 0.11": DiscretePopulation(channels.binary_symmetric(0.11)),
        "erasure, 4 inputs, 0.3 erased": DiscretePopulation(channels.erasure(4, 0.3)),
        "8-ary symmetric, error 0.2": DiscretePopulation(channels.symmetric(8, 0.2)),
        "Dirichlet 0.5, 32 to 16": DiscretePopulation(channels.dirichlet(32, 16, 0.5, rng)),
        "Dirichlet 0.1, 256 to 32": DiscretePopulation(channels.dirichlet(256, 32, 0.1, rng)),
        "Markov sources, 6 bits": DiscretePopulation(channels.ngram(64, 6, rng)),
        "product of two": DiscretePopulation(channels.product(symmetric, channels.erasure(3, 0.2))),
        "Gaussian, noise 1": GaussianPopulation(1.0),
        "Gaussian, noise 0.3": GaussianPopulation(0.3),
        "copy of 1000 inputs": DiscretePopulation(channels.copy(1000)),
    }


def simulate(
    population: Population, documents: int, samples: int, replicates: int, rng: np.random.Generator, batch: int = 50
) -> dict[str, Any]:
    """Coverage of each interval and its mean width, with the targets and how well the targets are known.

    Returns targets (`mi_nats`, `infonce_nats` ± `infonce_error_nats`, the same of the paired difference), means of the
    estimates, and for each of INTERVALS `coverage` and `width_nats`; `unknown` is the share of replicates without a
    midpoint interval, which count as not covering.
    """
    worse = population.degraded()
    infonce, infonce_error = population.expected_infonce(documents, 20_000, rng)
    worse_infonce, worse_error = worse.expected_infonce(documents, 20_000, rng)
    target = {"t": infonce, "jackknife": infonce, "midpoint": population.mi_nats, "paired": infonce - worse_infonce}
    value_R: dict[str, list[Array]] = {name: [] for name in INTERVALS}
    half_R: dict[str, list[Array]] = {name: [] for name in INTERVALS}
    for start in range(0, replicates, batch):
        pool_RK = population.draw(min(batch, replicates - start), documents, rng)
        first = population.compress(pool_RK, samples, rng)
        second = worse.compress(pool_RK, samples, rng)
        for name, (value, half) in batch_intervals(first, second, samples).items():
            value_R[name].append(value)
            half_R[name].append(half)
    result: dict[str, Any] = {
        "mi_nats": population.mi_nats,
        "chi_squared": population.chi_squared,
        "infonce_nats": infonce,
        "infonce_error_nats": infonce_error,
        "difference_nats": infonce - worse_infonce,
        "difference_error_nats": float(np.hypot(infonce_error, worse_error)),
    }
    for name in INTERVALS:
        value, half = np.concatenate(value_R[name]), np.concatenate(half_R[name])
        known = np.isfinite(half)
        # a rounding error is no miss where the spread is 0
        covered = known & (np.abs(np.where(known, value, 0.0) - target[name]) <= half + 1e-12)
        result[name] = {
            "coverage": float(covered.mean()),
            "mean_nats": float(value[known].mean()) if known.any() else float("nan"),
            "width_nats": float(2 * half[known].mean()) if known.any() else float("nan"),
            "unknown": float(1 - known.mean()),
        }
    return result


def batch_intervals(log_probs_RCK: Array, other_RCK: Array, samples: int, level: float = 0.95) -> dict[str, tuple[Array, Array]]:
    """{interval: (value_R, half_R)} of R pools at once; `other_RCK`: the second compressor on the same documents.

    Equal numbers of compressions, those of document k in rows k·S to (k+1)·S. A half width is NaN where the midpoint
    is infinite.
    """
    documents = log_probs_RCK.shape[2]
    quantile = student_t_quantile(0.5 + level / 2, documents - 1)

    def mean_and_half(values_RK: Array) -> tuple[Array, Array]:
        with np.errstate(invalid="ignore"):
            spread_R = values_RK.std(axis=1, ddof=1)
            return values_RK.mean(axis=1), quantile * spread_R / np.sqrt(documents)

    def document_means(values_RC: Array) -> Array:
        return np.asarray(values_RC.reshape(len(values_RC), documents, samples).mean(axis=2))

    own_C = np.repeat(np.arange(documents), samples)
    own_RC = log_probs_RCK[:, np.arange(len(own_C)), own_C]
    total_RC = logsumexp(log_probs_RCK)
    first_RK = document_means(np.log(documents) + own_RC - total_RC)
    second_own_RC = other_RCK[:, np.arange(len(own_C)), own_C]
    second_RK = document_means(np.log(documents) + second_own_RC - logsumexp(other_RCK))

    share_RCK = np.exp(log_probs_RCK - total_RC[:, :, None])
    own_share_RC = share_RCK[:, np.arange(len(own_C)), own_C]
    with np.errstate(divide="ignore"):
        others_RC = total_RC + np.log1p(-np.minimum(own_share_RC, 1.0)) - np.log(documents - 1)
        share_RCK[:, np.arange(len(own_C)), own_C] = 0.0
        without_RCK = total_RC[:, :, None] + np.log1p(-np.minimum(share_RCK, 1.0))
    terms_RCK = np.log(documents - 1) + own_RC[:, :, None] - without_RCK
    terms_RCK[:, np.arange(len(own_C)), own_C] = 0.0
    deleted_RK = terms_RCK.sum(axis=1) / samples / (documents - 1)
    jackknife_R = np.sqrt((documents - 1) * deleted_RK.var(axis=1))
    return {
        "t": mean_and_half(first_RK),
        "jackknife": (first_RK.mean(axis=1), quantile * jackknife_R),
        "midpoint": mean_and_half((first_RK + document_means(own_RC - others_RC)) / 2),
        "paired": mean_and_half(first_RK - second_RK),
    }
