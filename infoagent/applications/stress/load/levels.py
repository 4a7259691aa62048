"""What the jobs of one offered load say: latency percentiles, throughput, errors, and the queue as the client sees it.

Shape legend: N jobs of a run, R runs.

A load is run several times, each on an idle server with arrivals of its own. Within a run latencies depend on each other
(whoever comes while many wait, waits long), so an interval that takes jobs for independent is far too narrow; runs are
independent, and intervals are t intervals over runs. What is estimated is the value of a run of N jobs that begins on an
idle server; near capacity a longer run is slower.

A job that failed has no latency and is no fast one either: it counts as slower than all that were served. A percentile
that falls among the failed is "never".
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoagent.information import mean_interval, wilson_interval

Array = NDArray[np.float64]
PERCENTILES = (0.5, 0.9, 0.95, 0.99)


@dataclass(frozen=True)
class JobTimes:
    """One job: seconds from the start of its run. `cause` None: it was served."""

    planned: float
    started: float
    ended: float
    first_token: float | None
    """When the first token of its last reply came; None where it failed or nothing was streamed."""
    cause: str | None
    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int

    @property
    def latency(self) -> float:
        """Seconds from the planned arrival; infinite where it was not served."""
        return self.ended - self.planned if self.cause is None else math.inf


Run = Sequence[JobTimes]


def describe_level(runs: Sequence[Run], wanted_per_second: float) -> dict[str, Any]:
    """The numbers of one load, ready for JSON: each {value, low, high}, {value, reason} or {refused: why}.

    Raises ValueError for no runs, or a run without jobs.
    """
    if not runs or not all(runs):
        raise ValueError("a load without jobs says nothing")
    runs = [sorted(run, key=lambda job: job.planned) for run in runs]
    jobs = [job for run in runs for job in run]
    served = [job for job in jobs if job.cause is None]
    found: dict[str, Any] = {
        "runs": len(runs),
        "jobs": len(jobs),
        "served": len(served),
        "failed": dict(sorted(Counter(job.cause for job in jobs if job.cause is not None).items())),
        "failed_share": _failed_share(runs),
        "wanted_per_second": wanted_per_second,
        "arrived_per_second": over_runs(runs, lambda run: len(run) / run[-1].planned),
        "served_per_second": over_runs(runs, lambda run: _served(run) / _span(run)),
        "completion_tokens_per_second": over_runs(runs, lambda run: sum(j.completion_tokens for j in run) / _span(run)),
        "served_per_busy_second": over_runs(runs, lambda run: _served(run) / busy_seconds(run)),
        "busy_share": over_runs(runs, lambda run: busy_seconds(run) / _span(run)),
        "in_flight": over_runs(runs, mean_in_flight),
        "in_flight_at_last_arrival": over_runs(runs, waiting_at_last_arrival),
        "most_in_flight": max(int(in_flight_curve(run)[1].max()) for run in runs),
        "latest_send_seconds": max(job.started - job.planned for job in jobs),
        "prompt_tokens": sum(job.prompt_tokens for job in jobs),
        "cached_tokens": sum(job.cached_tokens for job in jobs),
        "completion_tokens": sum(job.completion_tokens for job in jobs),
        "latency_seconds": {
            "mean_of_served": over_runs([run for run in runs if _served(run)], _mean_latency),
            **percentiles([[job.latency for job in run] for run in runs]),
        },
    }  # fmt: skip
    if served and all(job.first_token is not None for job in served):
        found["first_token_seconds"] = percentiles(
            [[math.inf if j.first_token is None else j.first_token - j.planned for j in run] for run in runs]
        )
    return found


def _failed_share(runs: Sequence[Run]) -> dict[str, Any]:
    """Failures come together, so the interval is over runs, within 0 and 1. Where nothing failed it has no width; then it is
    Wilson's over all jobs, which says at least that few failures could have been missed."""
    jobs = sum(map(len, runs))
    if jobs == sum(map(_served, runs)):
        return {**asdict(wilson_interval(0, jobs)), "reason": "nothing failed: Wilson's interval over all jobs"}
    found = over_runs(runs, lambda run: 1 - _served(run) / len(run))
    if found["low"] is not None:
        found |= {"low": max(0.0, found["low"]), "high": min(1.0, found["high"])}
    return found


def over_runs(runs: Sequence[Run], value: Callable[[Run], float]) -> dict[str, Any]:
    """Mean of a value over runs with its 95 % t interval; for one run the bounds are unknown."""
    return _interval([value(run) for run in runs])


def _interval(values: Sequence[float]) -> dict[str, Any]:
    if not values:
        return {"refused": "no job was served"}
    if len(values) == 1:
        return {"value": float(values[0]), "low": None, "high": None, "reason": "one run: no interval"}
    found = mean_interval(values)
    return {"value": found.value, "low": found.low, "high": found.high}


def percentiles(values: Sequence[Sequence[float]]) -> dict[str, Any]:
    """{"p50": …} and so on over the runs' values: the mean of the runs' percentiles, with its t interval over runs.

    The p-th percentile of a run is the smallest value that at least a share p of its values does not exceed; infinite
    values are jobs that were never served. Refused where all runs together have too few jobs, where it is the slowest job
    of a run (a maximum grows with the run, and is no percentile), and where it is never reached in a run.
    """
    found: dict[str, Any] = {}
    number = sum(len(run) for run in values)
    for share in PERCENTILES:
        name = f"p{100 * share:.0f}"
        if number < fewest_for(share):
            found[name] = {"refused": f"needs {fewest_for(share)} jobs, there are {number}"}
            continue
        shortest, fewest = min(map(len, values)), round(1 / (1 - share))
        if shortest < fewest:
            found[name] = {"refused": f"needs {fewest} jobs in each run, there are {shortest}"}
            continue
        of_runs = [float(np.quantile(run, share, method="inverted_cdf")) for run in values]
        never = sum(math.isinf(value) for value in of_runs)
        if never:
            found[name] = {"refused": f"never: it falls among the jobs that failed, in {never} of {len(of_runs)} runs"}
        else:
            found[name] = _interval(of_runs)
    return found


def fewest_for(share: float) -> int:
    """The smallest number of jobs for which a percentile has a distribution-free 95 % interval at all.

    The largest (smallest) of n is beyond it with probability 1 − share^n (1 − (1 − share)^n), which must be 0.975.
    """
    return math.ceil(math.log(0.025) / math.log(max(share, 1 - share)))


# ---- one run, its jobs in the order of their planned arrivals ------------------------------------------------------


def busy_seconds(run: Run) -> float:
    """Seconds during which at least one job was under way."""
    total, until = 0.0, -math.inf
    for job in run:
        total += max(0.0, job.ended - max(job.planned, until))
        until = max(until, job.ended)
    return total


def mean_in_flight(run: Run) -> float:
    """Jobs under way, averaged over the time from the first arrival to the last end."""
    return sum(job.ended - job.planned for job in run) / _span(run)


def in_flight_curve(run: Run) -> tuple[Array, NDArray[np.int64]]:
    """(times, jobs under way from that time on), a step at each arrival and each end."""
    events = sorted([(j.planned, 1) for j in run] + [(j.ended, -1) for j in run])
    return np.array([time for time, _ in events]), np.cumsum([step for _, step in events])


def waiting_at_last_arrival(run: Run) -> float:
    """Jobs under way just after the last arrival: what an overload leaves behind."""
    end = run[-1].planned
    return float(sum(job.ended > end for job in run))


def _served(run: Run) -> int:
    return sum(job.cause is None for job in run)


def _span(run: Run) -> float:
    return max(job.ended for job in run) - run[0].planned


def _mean_latency(run: Run) -> float:
    return float(np.mean([job.latency for job in run if job.cause is None]))
