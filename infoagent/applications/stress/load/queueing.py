"""What queueing theory says of one worker, first come first served, under Poisson arrivals: the yardstick of a load.

λ arrivals a second, S seconds of service with mean E[S] and squared coefficient of variation c² = Var[S] / E[S]²,
utilisation ρ = λ E[S] < 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FEWEST_ROUNDS = 4


def work_by_rounds(ends: Sequence[float], clients: int) -> NDArray[np.float64]:
    """(R,) seconds of work a job took, round by round of a closed loop: `clients` of them send their next job as soon as one
    has ended, so that the server is never idle. `ends`: seconds at which jobs ended.

    The time between two single ends says little: with two stages a job, clients go in step and their ends come in pairs.
    Over whole rounds of `clients` ends this evens out. The first round is left out, since it finds nothing in the caches.
    Raises ValueError for fewer than FEWEST_ROUNDS + 2 rounds.
    """
    marks = np.sort(np.asarray(ends, dtype=np.float64))[clients - 1 :: clients]
    rounds_R = np.diff(marks)[1:] / clients
    if len(rounds_R) < FEWEST_ROUNDS:
        raise ValueError(f"{len(ends)} jobs of {clients} clients are too few: {(FEWEST_ROUNDS + 2) * clients} are needed")
    return np.asarray(rounds_R)


def pollaczek_khinchine_wait(rate_per_second: float, service_seconds: float, squared_variation: float) -> float:
    """Mean seconds in the queue before service, M/G/1: W = ρ E[S] (1 + c²) / (2 (1 − ρ)); infinite from ρ = 1 on.

    c² = 0 is M/D/1, c² = 1 is M/M/1. Source: Pollaczek 1930, Khinchine 1932. Raises ValueError for negative numbers.
    """
    if min(rate_per_second, service_seconds, squared_variation) < 0:
        raise ValueError("rate, service time and variation must be at least 0")
    utilisation = rate_per_second * service_seconds
    if utilisation >= 1:
        return math.inf
    return utilisation * service_seconds * (1 + squared_variation) / (2 * (1 - utilisation))


def overload_growth(rate_per_second: float, capacity_per_second: float) -> float:
    """Seconds that latency grows with each second of arrivals: λ / capacity − 1 above capacity, 0 below.

    The fluid limit: after t seconds λt jobs came and capacity · t went, so the last one waits for (λ − capacity) t
    others, at 1 / capacity each.
    """
    return max(0.0, rate_per_second / capacity_per_second - 1)
