"""What the theory says of InfoNCE, tested: bias, sandwich, data processing, additivity, order, wrong pairing."""

import itertools
import math

import exact_channels
import numpy as np
import pytest
from exact_channels import enumerated
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.information import channels, estimate_mi, infonce_terms
from infoagent.information.coverage import batch_intervals
from infoagent.information.sources import DiscretePopulation, GaussianPopulation


@pytest.mark.parametrize("seed", range(3))
def test_infonce_is_unbiased_for_the_information_of_a_fixed_pool(seed):
    """Exactly, by summing over all outputs, and within error by sampling them."""
    rng = np.random.default_rng(seed)
    conditional = channels.dirichlet(6, 5, 0.4, rng)
    exact = channels.mutual_information_nats(conditional)
    assert enumerated(conditional).infonce_nats == pytest.approx(exact, abs=1e-12)
    log_probs, source = exact_channels.sample_outputs(conditional, 4000, rng)
    terms = infonce_terms(log_probs, source)
    assert terms.mean() == pytest.approx(exact, abs=4 * terms.std() / math.sqrt(len(terms)))


@pytest.mark.parametrize(
    ("population", "documents"),
    [
        (DiscretePopulation(channels.symmetric(8, 0.2)), 64),
        (DiscretePopulation(channels.dirichlet(40, 12, 0.4, np.random.default_rng(0))), 64),
        (GaussianPopulation(0.7), 64),
    ],
    ids=["symmetric", "dirichlet", "gaussian"],
)
def test_pools_from_a_population_fall_short_by_chi_squared_over_2k(population, documents):
    value, error = population.expected_infonce(documents, 20_000, np.random.default_rng(1))
    shortfall = population.mi_nats - value
    predicted = population.chi_squared / (2 * documents)
    assert shortfall == pytest.approx(predicted, abs=0.1 * predicted + 4 * error)
    assert shortfall > 10 * error
    assert population.chi_squared >= math.expm1(population.mi_nats)


@pytest.mark.parametrize("documents", [4, 16, 64])
def test_infonce_and_leave_one_out_hold_the_truth_between_them(documents):
    """In expectation over pools: leave-one-out = 2 · midpoint − InfoNCE."""
    population = GaussianPopulation(1.0)
    rng = np.random.default_rng(2)
    pool = population.draw(3000, documents, rng)
    compressions = population.compress(pool, 1, rng)
    found = batch_intervals(compressions, compressions, 1)
    lower, middle = found["t"][0], found["midpoint"][0]
    upper = 2 * middle - lower

    def error(values):
        return values.std() / math.sqrt(len(values))

    assert lower.mean() < population.mi_nats + 3 * error(lower)
    assert upper.mean() > population.mi_nats - 3 * error(upper)
    assert abs(middle.mean() - population.mi_nats) < population.mi_nats - lower.mean() + 3 * error(middle)


@given(st.integers(0, 10_000), st.integers(2, 6))
@settings(deadline=None, max_examples=30)
def test_cutting_a_compression_short_never_adds_information(seed, inputs):
    conditional = channels.ngram(inputs, 5, np.random.default_rng(seed))
    values = [enumerated(exact_channels.truncate(conditional, keep, 5)).infonce_nats for keep in range(6)]
    assert values[0] == pytest.approx(0.0, abs=1e-12)
    assert all(b >= a - 1e-10 for a, b in itertools.pairwise(values))
    assert values[-1] == pytest.approx(channels.mutual_information_nats(conditional), abs=1e-12)


@given(st.integers(0, 10_000))
@settings(deadline=None, max_examples=30)
def test_the_information_of_independent_parts_adds_up(seed):
    rng = np.random.default_rng(seed)
    first, second = channels.dirichlet(3, 4, 0.5, rng), channels.dirichlet(4, 3, 0.5, rng)
    both = enumerated(channels.product(first, second))
    assert both.infonce_nats == pytest.approx(enumerated(first).infonce_nats + enumerated(second).infonce_nats)


@given(st.integers(0, 10_000), st.integers(3, 8), st.integers(2, 20))
@settings(deadline=None, max_examples=30)
def test_the_order_of_documents_and_compressions_is_of_no_account(seed, documents, compressions):
    rng = np.random.default_rng(seed)
    log_probs = -rng.gamma(2.0, 2.0, size=(compressions, documents))
    source = np.append([0, 1], rng.integers(documents, size=compressions - 2))
    columns, rows = rng.permutation(documents), rng.permutation(compressions)
    one = estimate_mi(log_probs, source)
    other = estimate_mi(log_probs[:, columns][rows], np.argsort(columns)[source][rows])
    for name in ("infonce_nats", "leave_one_out_nats", "midpoint_nats", "stderr_nats", "saturation", "detectable_nats"):
        assert getattr(one, name) == pytest.approx(getattr(other, name), abs=1e-9)
    assert one.midpoint_ci_nats == pytest.approx(other.midpoint_ci_nats, abs=1e-9)


@pytest.mark.parametrize("seed", range(5))
def test_a_shuffled_pairing_carries_nothing(seed):
    rng = np.random.default_rng(seed)
    log_probs, source = exact_channels.sample_outputs(channels.dirichlet(20, 30, 0.2, rng), 10, rng)
    log_probs = np.maximum(log_probs, -30)
    assert estimate_mi(log_probs, source).infonce_nats > 0.5
    assert estimate_mi(log_probs, rng.permutation(20)[source]).infonce_nats < 0
