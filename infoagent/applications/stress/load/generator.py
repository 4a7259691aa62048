"""Jobs that arrive whether or not the earlier ones are done, and the closed loop that measures what a server can do.

In a closed loop a client sends its next job when it has the reply to the last one: a server that stalls then gets less
work, and the jobs that would have waited are never counted (coordinated omission). In the open loop the arrivals are
drawn before anything is sent, and a job's latency counts from its planned arrival, however late it could be sent.

All times are the event loop's own, in seconds from the start, so that a loop with a virtual clock tests it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np
from numpy.typing import NDArray

Result = TypeVar("Result")


@dataclass(frozen=True)
class Timed(Generic[Result]):
    """One job: when it should have been sent, was sent, and ended; and what came of it."""

    number: int
    planned: float
    started: float
    ended: float
    result: Result


def poisson_arrivals(rate_per_second: float, number: int, seed: int) -> NDArray[np.float64]:
    """(N,) seconds of the arrivals of a Poisson process: cumulative sums of exponential gaps of mean 1 / rate.

    One seed gives one pattern, stretched to the rate: conditions are compared under the same arrivals. Raises ValueError
    for a rate that is not above 0.
    """
    if not rate_per_second > 0:
        raise ValueError(f"rate_per_second = {rate_per_second}: must be above 0")
    gaps_N = np.random.default_rng(seed).exponential(size=number)
    return np.cumsum(gaps_N) / rate_per_second


async def open_loop(
    arrivals: Sequence[float] | NDArray[np.float64],
    send: Callable[[int], Awaitable[Result]],
    on_done: Callable[[Timed[Result]], None] | None = None,
) -> list[Timed[Result]]:
    """Send job i at arrivals[i] seconds from now, whatever is still under way; all jobs in their order.

    `send(i)` must not raise for a job that fails: a failure is a result. What it raises ends the loop.
    """
    clock = asyncio.get_running_loop().time
    begin = clock()

    async def one(number: int, planned: float) -> Timed[Result]:
        await asyncio.sleep(begin + planned - clock())
        started = clock() - begin
        done = Timed(number, planned, started, result=await send(number), ended=clock() - begin)
        if on_done is not None:
            on_done(done)
        return done

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number, float(planned))) for number, planned in enumerate(arrivals)]
    return [task.result() for task in tasks]


async def closed_loop(
    number: int, clients: int, send: Callable[[int], Awaitable[Result]], on_done: Callable[[Timed[Result]], None] | None = None
) -> list[Timed[Result]]:
    """`number` jobs by `clients` clients, each of which sends its next job when it has its last reply; in job order."""
    clock = asyncio.get_running_loop().time
    begin = clock()
    left = iter(range(number))
    found: list[Timed[Result]] = []

    async def work() -> None:
        for job in left:
            started = clock() - begin
            done = Timed(job, started, started, result=await send(job), ended=clock() - begin)
            found.append(done)
            if on_done is not None:
                on_done(done)

    async with asyncio.TaskGroup() as group:
        for _ in range(min(clients, number)):
            group.create_task(work())
    return sorted(found, key=lambda done: done.number)
