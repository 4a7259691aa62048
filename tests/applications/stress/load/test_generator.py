"""The open loop against queueing theory: a simulated worker of known service time, in virtual time."""

import asyncio
import math

import numpy as np
import pytest
from virtual_time import run_virtually

from infoagent.applications.stress.load import JobTimes, closed_loop, describe_level, open_loop, poisson_arrivals
from infoagent.applications.stress.load.queueing import overload_growth, pollaczek_khinchine_wait, work_by_rounds

SERVICE = 0.5


def one_worker(services):
    """A worker that takes one job at a time, first come first served: a lock and a sleep."""
    lock = asyncio.Lock()

    async def send(number):
        async with lock:
            await asyncio.sleep(services[number])

    return send


def load(utilisation, number, seed, exponential=False):
    services = np.full(number, SERVICE)
    if exponential:
        services = np.random.default_rng(seed + 1000).exponential(SERVICE, number)

    async def main():
        return await open_loop(poisson_arrivals(utilisation / SERVICE, number, seed), one_worker(services))

    return services, run_virtually(main())


def lindley(arrivals, services):
    """Waits of first come first served, by recursion: no event loop in it."""
    waits, free = [], 0.0
    for arrival, service in zip(arrivals, services, strict=True):
        begin = max(arrival, free)
        waits.append(begin - arrival)
        free = begin + service
    return np.array(waits)


def latencies(done):
    return np.array([job.ended - job.planned for job in done])


def jobs_of(done):
    return [JobTimes(d.planned, d.started, d.ended, d.ended, None, 10, 0, 1) for d in done]


@pytest.mark.parametrize("exponential", [False, True])
def test_waits_are_those_of_the_recursion_job_by_job(exponential):
    services, done = load(0.8, 500, seed=3, exponential=exponential)
    waits = latencies(done) - services
    expected = lindley(poisson_arrivals(0.8 / SERVICE, 500, 3), services)
    assert waits == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize(("exponential", "variation"), [(False, 0.0), (True, 1.0)])
def test_mean_wait_is_pollaczek_and_khinchines(exponential, variation):
    services, done = load(0.6, 8000, seed=11, exponential=exponential)
    waits = latencies(done) - services
    expected = pollaczek_khinchine_wait(0.6 / SERVICE, SERVICE, variation)
    assert expected == pytest.approx(SERVICE * 0.6 / 0.4 * (1 if exponential else 0.5))  # M/M/1 by heart; M/D/1 is half
    batches = waits.reshape(40, 200).mean(axis=1)  # 200 jobs forget the ones before
    error = batches.std(ddof=1) / math.sqrt(40)
    assert error < 0.1 * expected
    assert waits.mean() == pytest.approx(expected, abs=3.5 * error)


def test_percentiles_of_an_mm1_queue_are_the_closed_form():
    _, done = load(0.5, 8000, seed=5, exponential=True)
    found = describe_level([jobs_of(done)], 1.0)
    for share, name in ((0.5, "p50"), (0.9, "p90"), (0.95, "p95"), (0.99, "p99")):
        truth = -math.log1p(-share) / (1 / SERVICE - 0.5 / SERVICE)  # exponential with rate 1 / E[S] − λ
        percentile = found["latency_seconds"][name]
        assert percentile["value"] == pytest.approx(truth, rel=0.06 if share < 0.99 else 0.15)


def test_little_and_utilisation_hold():
    services, done = load(0.7, 4000, seed=2, exponential=True)
    found = describe_level([jobs_of(done)], 1.0)
    span = max(d.ended for d in done) - done[0].planned
    assert found["in_flight"]["value"] == pytest.approx(len(done) / span * latencies(done).mean())  # L = λ W
    assert found["busy_share"]["value"] == pytest.approx(services.sum() / span)  # one worker: ρ
    assert found["served_per_busy_second"]["value"] == pytest.approx(1 / services.mean())
    assert found["latest_send_seconds"] == pytest.approx(0, abs=1e-6)


def test_above_capacity_latency_grows_as_the_fluid_limit_says():
    _, done = load(1.25, 4000, seed=4)
    arrivals = np.array([d.planned for d in done])
    slope = np.polyfit(arrivals, latencies(done), 1)[0]
    assert slope == pytest.approx(overload_growth(1.25 / SERVICE, 1 / SERVICE), abs=0.05)
    found = describe_level([jobs_of(done)], 1.0)
    assert found["in_flight_at_last_arrival"]["value"] == pytest.approx(800, abs=100)  # a fifth of 4000 is not done


def test_a_closed_loop_omits_the_waits_that_an_open_one_counts():
    """A worker that stops for 100 s: an open load counts everybody who would have come, a closed one a single job."""
    services = np.full(400, SERVICE)
    services[100] = 100.0

    async def both():
        opened = await open_loop(poisson_arrivals(1.0, 400, 1), one_worker(services))
        return opened, await closed_loop(400, 1, one_worker(services))

    opened, closed = run_virtually(both())
    assert (latencies(opened) > 10).sum() > 100
    assert (latencies(closed) > 10).sum() == 1
    assert [d.number for d in closed] == list(range(400))


def test_a_closed_loop_keeps_as_many_under_way_as_it_has_clients():
    under_way, peak = 0, 0

    async def send(number):
        nonlocal under_way, peak
        under_way += 1
        peak = max(peak, under_way)
        await asyncio.sleep(1 + number % 3)
        under_way -= 1

    run_virtually(closed_loop(30, 4, send))
    assert peak == 4


def test_arrivals_are_poisson_and_one_pattern_for_all_rates():
    slow, fast = poisson_arrivals(0.5, 20000, 7), poisson_arrivals(2.0, 20000, 7)
    assert slow == pytest.approx(4 * fast)
    gaps = np.diff(slow)
    assert gaps.mean() == pytest.approx(2.0, abs=4 * 2.0 / math.sqrt(20000))
    assert gaps.std() == pytest.approx(2.0, rel=0.03)
    counts = np.bincount((slow // 10).astype(int))[:-1]
    assert counts.var() / counts.mean() == pytest.approx(1, abs=0.1)  # a regular train would have 0
    with pytest.raises(ValueError, match="above 0"):
        poisson_arrivals(0, 3, 0)


@pytest.mark.parametrize("stages", [(0.9, 0.1), (0.8, 0.2), (0.5, 0.5), (1.0,)])
@pytest.mark.parametrize(("number", "clients"), [(16, 2), (17, 2), (24, 3), (9, 1)])
def test_the_work_of_a_job_is_found_whatever_its_stages(stages, number, clients):
    async def main():
        lock = asyncio.Lock()

        async def send(number):
            for seconds in stages:  # the clients go in step: their ends come in pairs
                async with lock:
                    await asyncio.sleep(seconds)

        return await closed_loop(number, clients, send)

    ends = [d.ended for d in run_virtually(main())]
    assert work_by_rounds(ends, clients) == pytest.approx(np.ones(number // clients - 2), abs=1e-9)


def test_too_few_rounds_tell_no_work():
    with pytest.raises(ValueError, match="11 jobs of 2 clients are too few: 12 are needed"):
        work_by_rounds(range(11), 2)
    assert len(work_by_rounds(range(12), 2)) == 4
