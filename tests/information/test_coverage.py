"""The intervals hold their promise on channels with a known information."""

import json
import math

import numpy as np
import pytest
from conftest import run_script

from infoagent.information import channels, estimate_mi, jackknife_interval, paired_difference
from infoagent.information.coverage import INTERVALS, batch_intervals, populations, simulate
from infoagent.information.sources import DiscretePopulation, GaussianPopulation


@pytest.mark.parametrize(
    "population", [GaussianPopulation(0.4), DiscretePopulation(channels.symmetric(6, 0.3))], ids=["gaussian", "discrete"]
)
def test_intervals_in_batches_are_those_of_the_public_functions(population):
    rng = np.random.default_rng(0)
    pool = population.draw(5, 20, rng)
    first = population.compress(pool, 3, rng)
    second = population.degraded().compress(pool, 3, rng)
    found = batch_intervals(first, second, 3)
    source = np.repeat(np.arange(20), 3)
    for r in range(5):
        estimate, other = estimate_mi(first[r], source), estimate_mi(second[r], source)
        pairs = paired_difference(estimate.per_document_nats, other.per_document_nats)
        jackknife = jackknife_interval(first[r], source)
        expected = {
            "t": estimate.ci_nats,
            "jackknife": (jackknife.low, jackknife.high),
            "midpoint": estimate.midpoint_ci_nats,
            "paired": (pairs.low, pairs.high),
        }
        for name, interval in expected.items():
            value, half = found[name][0][r], found[name][1][r]
            assert (value - half, value + half) == pytest.approx(interval, abs=1e-8), name


def test_one_channel_is_covered_within_wide_limits():
    found = simulate(GaussianPopulation(0.5), 48, 1, 500, np.random.default_rng(1))
    for name in INTERVALS:
        assert 0.91 <= found[name]["coverage"] <= 0.985, name
        assert found[name]["unknown"] == 0.0
    assert found["infonce_error_nats"] < 0.05 * found["t"]["width_nats"]


def test_a_target_that_is_wrong_is_not_covered():
    """InfoNCE over few documents is too low for I itself: its interval must miss it, or the test sees nothing."""
    population = GaussianPopulation(0.05)
    found = simulate(population, 16, 8, 200, np.random.default_rng(2))
    assert found["t"]["coverage"] > 0.8
    assert found["t"]["mean_nats"] + found["t"]["width_nats"] < population.mi_nats


def test_an_infinite_midpoint_counts_as_unknown_and_as_a_miss():
    found = simulate(DiscretePopulation(channels.copy(500)), 8, 1, 50, np.random.default_rng(3))
    assert found["midpoint"]["coverage"] <= 1 - found["midpoint"]["unknown"]
    assert found["midpoint"]["unknown"] > 0.9
    assert math.isfinite(found["t"]["width_nats"])


def test_the_script_writes_what_it_prints(tmp_path):
    out = tmp_path / "coverage.json"
    result = run_script(
        "eval/bench/coverage.py", "--documents", "8", "--replicates", "20", "--samples", "1", "--quiet", "--out", str(out)
    )
    assert result.returncode == 0, result.stderr
    record = json.loads(out.read_text())
    assert record["config"] == {"documents": [8], "samples": 1, "replicates": 20, "seed": 0}
    for name, row in record["coverage"]["8"].items():
        assert f"| {name} | {row['mi_nats']:.3f} |" in result.stdout
    assert run_script("eval/bench/coverage.py", "--documents", "2").returncode == 2


@pytest.mark.slow
def test_every_interval_covers_93_to_98_percent_on_at_least_six_channels():
    covered = {name: 0 for name in INTERVALS}
    for i, population in enumerate(populations().values()):
        found = simulate(population, 64, 2, 4000, np.random.default_rng([1, i]))
        for name in INTERVALS:
            covered[name] += 0.93 <= found[name]["coverage"] <= 0.98
    assert min(covered.values()) >= 6, covered
