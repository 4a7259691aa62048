"""The numbers of a load, by hand and by simulation."""

import numpy as np
import pytest
from scipy.stats import binom

from infoagent.applications.stress.load.levels import JobTimes, busy_seconds, describe_level, fewest_for, in_flight_curve


def job(planned, ended, cause=None, first=None, prompt=10, cached=4, completion=3):
    return JobTimes(planned, planned, ended, first, cause, prompt, cached, completion)


def test_a_small_load_by_hand():
    run = [job(1, 3, first=2), job(2, 5, first=4), job(7, 8, first=7.5), job(9, 10, cause="timeout", completion=0)]
    found = describe_level([run], 0.5)
    assert (found["jobs"], found["served"], found["failed"]) == (4, 3, {"timeout": 1})
    by_hand = {
        "arrived_per_second": 4 / 9,
        "served_per_second": 3 / 9,
        "busy_share": 6 / 9,
        "served_per_busy_second": 3 / 6,
        "in_flight": 7 / 9,
        "in_flight_at_last_arrival": 1,
        "completion_tokens_per_second": 9 / 9,
    }
    for name, value in by_hand.items():
        assert found[name] == {"value": pytest.approx(value), "low": None, "high": None, "reason": "one run: no interval"}
    assert found["most_in_flight"] == 2
    assert found["latency_seconds"]["mean_of_served"]["value"] == pytest.approx(2.0)
    assert found["latency_seconds"]["p50"] == {"refused": "needs 6 jobs, there are 4"}
    assert (found["prompt_tokens"], found["cached_tokens"]) == (40, 16)
    for nothing in ([], [[]]):
        with pytest.raises(ValueError, match="without jobs"):
            describe_level(nothing, 1.0)


def test_two_runs_give_the_t_interval_of_their_values():
    runs = [[job(i, i + 1 + d) for i in range(4)] for d in (0.0, 0.5)]
    found = describe_level(runs, 1.0)["latency_seconds"]["p50"]
    half = 12.7062 * 0.25  # t of one degree of freedom, times the standard error of 1 and 1.5
    assert (found["value"], found["low"], found["high"]) == pytest.approx((1.25, 1.25 - half, 1.25 + half), rel=1e-4)


def test_busy_time_and_the_curve_count_what_overlaps():
    run = [job(0, 4), job(1, 2), job(3, 5), job(5, 6), job(8, 9)]
    assert busy_seconds(run) == pytest.approx(7)
    times, number = in_flight_curve(run)
    assert dict(zip(times.tolist(), number.tolist(), strict=True)) == {0: 1, 1: 2, 2: 1, 3: 2, 4: 1, 5: 1, 6: 0, 8: 1, 9: 0}


def test_a_percentile_among_the_failed_is_never_and_failures_count_as_slow():
    run = [job(10 * i, 10 * i + 1 + i / 100) for i in range(80)]
    clean = describe_level([run], 0.1)["latency_seconds"]
    assert clean["p50"]["value"] == pytest.approx(1.39)  # the 40th of 80
    failed = run[:60] + [job(10 * i, 10 * i + 0.1, cause="http 503") for i in range(60, 80)]
    found = describe_level([failed], 0.1)["latency_seconds"]
    assert found["p50"]["value"] == pytest.approx(1.39)  # fast refusals do not make it faster
    assert found["p90"] == {"refused": "never: it falls among the jobs that failed, in 1 of 1 runs"}
    assert "first_token_seconds" not in describe_level([run], 0.1)


def test_a_load_in_which_nobody_is_served_has_no_latency():
    found = describe_level([[job(i, i + 0.1, cause="refused") for i in range(10)]], 1.0)
    assert found["latency_seconds"]["mean_of_served"] == {"refused": "no job was served"}
    assert found["failed_share"]["value"] == 1
    assert found["served_per_second"]["value"] == 0


def test_fewest_jobs_of_a_percentile_are_those_with_an_order_statistic_on_both_sides():
    for share in (0.5, 0.9, 0.95, 0.99):
        n = fewest_for(share)
        assert binom.pmf(n, n, share) <= 0.025 < binom.pmf(n - 1, n - 1, share)
    assert [fewest_for(s) for s in (0.5, 0.9, 0.95, 0.99)] == [6, 36, 72, 368]


def queue_latencies(runs, n, utilisation, seed):
    """(runs, n) latencies of M/M/1 queues that begin empty, service time 1, by Lindley's recursion."""
    rng = np.random.default_rng(seed)
    gaps, services = rng.exponential(1 / utilisation, (runs, n)), rng.exponential(1, (runs, n))
    waits = np.zeros((runs, n))
    for i in range(1, n):
        waits[:, i] = np.maximum(0, waits[:, i - 1] + services[:, i - 1] - gaps[:, i])
    return waits + services


def test_intervals_over_runs_hold_the_truth_and_those_over_jobs_do_not():
    n, of_a_load, loads, utilisation = 60, 4, 300, 0.8
    truth = np.quantile(queue_latencies(20000, n, utilisation, 1), 0.9, axis=1, method="inverted_cdf").mean()
    latencies = queue_latencies(loads * of_a_load, n, utilisation, 2).reshape(loads, of_a_load, n)
    right = wrong = 0
    for load in latencies:
        jobs = [[job(i, i + latency) for i, latency in enumerate(run)] for run in load]
        found = describe_level(jobs, 1.0)["latency_seconds"]["p90"]
        right += found["low"] <= truth <= found["high"]
        values = np.sort(load.ravel())  # order statistics, as if jobs were independent
        low, high = (values[int(binom.ppf(q, values.size, 0.9))] for q in (0.025, 0.975))
        wrong += low <= truth <= high
    assert right / loads > 0.87  # skewed values, four of them: a little below 0.95
    assert wrong / loads < 0.6


def test_failures_that_come_together_have_an_interval_over_runs():
    runs = [[job(i, i + 1, cause="timeout" if i < lost else None) for i in range(10)] for lost in (0, 1, 5)]
    share = describe_level(runs, 1.0)["failed_share"]
    half = 4.30265 * 0.264575 / 3**0.5  # of 0, 0.1, 0.5: s = 0.2646
    assert (share["value"], share["low"]) == (pytest.approx(0.2), 0.0)
    assert share["high"] == pytest.approx(0.2 + half, rel=1e-4)
    none = describe_level([runs[0]] * 3, 1.0)["failed_share"]
    assert (none["value"], none["low"]) == (0.0, 0.0)
    assert none["high"] == pytest.approx(0.1135, abs=1e-4)  # Wilson 1927: z² / (n + z²)


def test_the_slowest_job_of_a_run_is_no_percentile():
    runs = [[job(i, i + 1 + i / 100) for i in range(10)] for _ in range(8)]  # 80 jobs are enough for p95 …
    found = describe_level(runs, 1.0)["latency_seconds"]
    assert found["p95"] == {"refused": "needs 20 jobs in each run, there are 10"}
    assert found["p90"]["value"] == pytest.approx(1.08)  # the ninth of ten
    short = describe_level([run[:9] for run in runs], 1.0)["latency_seconds"]
    assert short["p90"] == {"refused": "needs 10 jobs in each run, there are 9"}
