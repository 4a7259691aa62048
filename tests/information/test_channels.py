"""Channels and populations against closed forms and naive sums."""

import itertools
import math

import exact_channels
import numpy as np
import pytest

from infoagent.information import channels, estimate_mi
from infoagent.information.sources import DiscretePopulation, GaussianPopulation

EXACT = 1e-12


def test_binary_symmetric_is_the_closed_form():
    entropy = -0.11 * math.log(0.11) - 0.89 * math.log(0.89)
    assert channels.mutual_information_nats(channels.binary_symmetric(0.11)) == pytest.approx(math.log(2) - entropy)


def test_markov_sources_equal_the_product_of_their_transitions():
    """The twin draws the same first rows and transitions and multiplies them one sequence at a time."""
    conditional = channels.ngram(3, 4, np.random.default_rng(0), alphabet=2)
    rng = np.random.default_rng(0)
    first, step = rng.dirichlet(np.ones(2), size=3), rng.dirichlet(np.ones(2), size=(3, 2))
    for x in range(3):
        for z, symbols in enumerate(itertools.product(range(2), repeat=4)):
            expected = first[x, symbols[0]]
            for a, b in itertools.pairwise(symbols):
                expected *= step[x, a, b]
            assert conditional[x, z] == pytest.approx(expected, abs=EXACT)
    assert conditional.sum(axis=1) == pytest.approx(np.ones(3))


def test_truncation_sums_over_what_is_cut():
    conditional = channels.ngram(3, 4, np.random.default_rng(1), alphabet=3)
    cut = exact_channels.truncate(conditional, 2, 4, alphabet=3)
    assert cut == pytest.approx(conditional.reshape(3, 9, 9).sum(axis=2))
    assert exact_channels.truncate(conditional, 0, 4, alphabet=3) == pytest.approx(np.ones((3, 1)))
    with pytest.raises(ValueError, match="sequences"):
        exact_channels.truncate(conditional, 2, 5, alphabet=3)


def test_token_log_probs_add_up_to_the_sequence():
    conditional = channels.ngram(4, 5, np.random.default_rng(2))
    tokens = exact_channels.token_log_probs(conditional, 5)
    assert tokens.shape == (32, 4, 5)
    assert tokens.sum(axis=2) == pytest.approx(np.log(conditional).T)
    impossible = exact_channels.token_log_probs(np.array([[0.5, 0.5, 0.0, 0.0], [0.25] * 4]), 2)
    assert np.isneginf(impossible[2, 0]).tolist() == [True, True]
    assert impossible[2, 1] == pytest.approx([math.log(0.5)] * 2)


@pytest.mark.parametrize("inputs", [2, 7])
def test_chi_squared_in_closed_form(inputs):
    assert channels.chi_squared(exact_channels.constant(inputs)) == pytest.approx(0.0, abs=EXACT)
    assert channels.chi_squared(channels.copy(inputs)) == pytest.approx(inputs - 1)
    assert channels.chi_squared(channels.binary_symmetric(0.1)) == pytest.approx((1 - 2 * 0.1) ** 2)


@pytest.mark.parametrize("seed", range(5))
def test_chi_squared_is_at_least_what_the_information_demands(seed):
    conditional = channels.dirichlet(6, 9, 0.3, np.random.default_rng(seed))
    assert channels.chi_squared(conditional) >= math.expm1(channels.mutual_information_nats(conditional))


def test_gaussian_information_is_what_many_documents_measure():
    population = GaussianPopulation(0.5)
    rng = np.random.default_rng(0)
    value, error = population.expected_infonce(400, 100, rng)
    predicted = population.mi_nats - population.chi_squared / 800
    assert population.mi_nats == pytest.approx(0.5 * math.log(5))
    assert value == pytest.approx(predicted, abs=4 * error)
    assert error < 0.01


def test_a_gaussian_pool_is_accepted_and_its_dropped_constant_changes_no_term():
    population = GaussianPopulation(0.1)  # densities far above 1
    rng = np.random.default_rng(1)
    pool = population.draw(1, 30, rng)
    log_probs = population.compress(pool, 2, rng)[0]
    source = np.repeat(np.arange(30), 2)
    estimate = estimate_mi(log_probs, source)
    density = np.exp(log_probs) / (0.1 * math.sqrt(2 * math.pi))
    assert density.max() > 1
    naive = np.log(density[np.arange(60), source] / density.mean(axis=1))
    assert estimate.per_compression_nats == pytest.approx(naive)


def test_expected_infonce_of_a_discrete_population_is_the_mean_over_all_pools():
    conditional = channels.dirichlet(3, 4, 0.5, np.random.default_rng(3))
    exact = np.mean([channels.mutual_information_nats(conditional[list(pool)]) for pool in itertools.product(range(3), repeat=3)])
    value, error = DiscretePopulation(conditional).expected_infonce(3, 40_000, np.random.default_rng(4))
    assert value == pytest.approx(exact, abs=4 * error)
    assert error < 0.005
