"""Rank correlations against SciPy, hand counts and a known population."""

import numpy as np
import pytest
from scipy.stats import kendalltau, spearmanr

from infoagent.rate_distortion.ranks import difference_in_agreement, rank_agreement, spearman_low
from infoagent.rate_distortion.resampling import Refused, bootstrap_interval, draw_counts


def simulated(seed, documents=40, points=6, noise=0.5):
    rng = np.random.default_rng(seed)
    level = np.linspace(0, 1, points)
    rows = [(d, p, level[p] + rng.normal()) for d in range(documents) for p in range(points)]
    document, point, one = (np.array(c) for c in zip(*rows, strict=True))
    return one, one + noise * rng.normal(size=len(one)), document, point


def test_values_are_scipys_and_intervals_hold_them():
    one, other, document, point = simulated(0)
    found = rank_agreement(one, other, document, point, np.random.default_rng(1), 300)
    assert found.spearman.value == pytest.approx(spearmanr(one, other).statistic)
    assert found.kendall.value == pytest.approx(kendalltau(one, other).statistic)
    means = [[column[point == p].mean() for p in range(6)] for column in (one, other)]
    assert found.points_spearman.value == pytest.approx(spearmanr(*means).statistic)
    assert found.points_kendall.value == pytest.approx(kendalltau(*means).statistic)
    assert found.spearman.low < found.spearman.value < found.spearman.high
    assert found.spearman.n == 40


def test_a_lower_end_at_another_level_is_that_of_the_interval_and_falls_with_it():
    one, other, document, point = simulated(0)
    low = {level: spearman_low(one, other, document, np.random.default_rng(1), level, 300) for level in (0.95, 0.99, 0.5)}
    assert low[0.95] == rank_agreement(one, other, document, point, np.random.default_rng(1), 300).spearman.low
    assert low[0.99] < low[0.95] < low[0.5] < spearmanr(one, other).statistic
    few = spearman_low(one[:6], other[:6], range(6), np.random.default_rng(1), 0.99, 60)
    assert "6 documents" in few.reason
    flat = spearman_low(one, np.zeros(len(one)), document, np.random.default_rng(1), 0.99, 60)
    assert isinstance(flat, Refused)


def test_ties_are_midranks():
    one, other = np.array([1, 1, 2, 3, 3, 4, 4, 4.0]), np.array([0, 1, 0, 1, 1, 1, 0, 1.0])
    found = rank_agreement(one, other, range(8), ["a", "b"] * 4, np.random.default_rng(0), 50)
    assert found.spearman.value == pytest.approx(spearmanr(one, other).statistic)
    assert found.kendall.value == pytest.approx(kendalltau(one, other).statistic)
    assert "2 points" in found.points_spearman.reason


def test_any_growing_function_has_the_same_order_and_its_mirror_the_opposite():
    one, _, document, point = simulated(3)
    found = rank_agreement(one, np.exp(3 * one), document, point, np.random.default_rng(0), 100)
    assert (found.spearman.value, found.spearman.low, found.kendall.low) == pytest.approx((1, 1, 1))
    found = rank_agreement(one, -one, document, point, np.random.default_rng(0), 100)
    assert found.spearman.high == pytest.approx(-1)


def test_a_resample_draws_whole_documents_and_ranks_them_anew():
    """The interval is that of a loop which repeats rows and asks SciPy, with the same draws."""
    one, other, document, point = simulated(4, documents=12, points=5)
    found = rank_agreement(one, other, document, point, np.random.default_rng(2), 80)
    counts = draw_counts(np.random.default_rng(2), 80, 12)
    naive = {"spearman": [], "kendall": [], "points_spearman": [], "points_kendall": []}
    for count_D in counts:
        rows = np.concatenate([np.repeat(np.flatnonzero(document == d), int(n)) for d, n in enumerate(count_D)])
        means = [[column[rows][point[rows] == p].mean() for p in range(5)] for column in (one, other)]
        naive["spearman"].append(spearmanr(one[rows], other[rows]).statistic)
        naive["kendall"].append(kendalltau(one[rows], other[rows]).statistic)
        naive["points_spearman"].append(spearmanr(*means).statistic)
        naive["points_kendall"].append(kendalltau(*means).statistic)
    for name, values in naive.items():
        own = getattr(found, name)
        expected = bootstrap_interval(own.value, np.round(values, 12), 12, name)
        assert (own.low, own.high) == pytest.approx((expected.low, expected.high), abs=1e-9), name


def test_the_interval_covers_the_populations_correlation():
    """Pearson 1/√(1 + noise²) of normal scores gives Spearman 6/π·asin(ρ/2): about 95 of 100 intervals hold it."""
    truth = 6 / np.pi * np.arcsin(1 / np.sqrt(1.25) / 2)
    held = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        one = rng.normal(size=60)
        other = one + 0.5 * rng.normal(size=60)
        found = rank_agreement(one, other, range(60), ["a"] * 60, rng, 100).spearman
        held += found.low <= truth <= found.high
    assert held >= 51  # of 60 at 95 %: less than 51 has a probability below 1e-3


def test_which_of_two_measures_tells_the_order_better():
    one, other, document, _ = simulated(5, noise=2.0)
    target = one + 0.1 * np.random.default_rng(9).normal(size=len(one))
    found = difference_in_agreement(one, other, target, document, np.random.default_rng(0), 200)
    assert found.value == pytest.approx(spearmanr(one, target).statistic - spearmanr(other, target).statistic)
    assert found.low > 0
    same = difference_in_agreement(one, one, target, document, np.random.default_rng(0), 200)
    assert (same.value, same.low, same.high) == (0, 0, 0)


def test_what_is_refused():
    one, other, document, point = simulated(0, documents=7)
    rng = np.random.default_rng(0)
    assert "7 documents" in rank_agreement(one, other, document, point, rng, 60).reason
    one, other, document, point = simulated(0)
    assert "no order" in rank_agreement(np.ones_like(one), other, document, point, rng, 60).reason
    assert isinstance(difference_in_agreement(one[:6], other[:6], one[:6], document[:6], rng, 60), Refused)
    with pytest.raises(ValueError, match="not finite"):
        rank_agreement(one, np.full_like(one, np.nan), document, point, rng, 60)
    with pytest.raises(ValueError, match="columns of"):
        rank_agreement(one, other[:-1], document, point, rng, 60)
