"""R(D) against closed forms, the joint alphabet and channels that were not found by Blahut and Arimoto's steps."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.rate_distortion.shannon_limit import (
    blahut_arimoto,
    entropy_nats,
    facts_curve,
    facts_point,
    hamming,
    string_capacity_nats,
)


def h(p):
    return sum(-x * math.log(x) for x in (p, 1 - p) if x > 0)


@pytest.mark.parametrize("p", [0.5, 0.2, 0.05])
@pytest.mark.parametrize("share", [0.05, 0.3, 0.7])
def test_binary_source(p, share):
    """H(p) − H(D) for D ≤ min(p, 1 − p); its slope there is log((1 − D) / D)."""
    distortion = share * p
    point = blahut_arimoto([p, 1 - p], hamming(2), math.log((1 - distortion) / distortion))
    assert point.distortion == pytest.approx(distortion, abs=1e-5)
    assert point.rate_nats == pytest.approx(h(p) - h(distortion), abs=1e-5)


@pytest.mark.parametrize("values", [3, 4, 9])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_uniform_source(values, share):
    """log V − H(D) − D log(V − 1), Hamming distortion."""
    distortion = share * (1 - 1 / values)
    slope = math.log((1 - distortion) * (values - 1) / distortion)
    point = blahut_arimoto([1 / values] * values, hamming(values), slope)
    assert point.distortion == pytest.approx(distortion, abs=1e-6)
    expected = math.log(values) - h(distortion) - distortion * math.log(values - 1)
    assert point.rate_nats == pytest.approx(expected, abs=1e-6)


def test_skewed_source_at_little_distortion():
    """H(X) − H(D) − D log(V − 1) as long as D ≤ (V − 1) min p, where no value is given up."""
    p = np.array([0.85, 0.10, 0.05])
    distortion = 0.06
    point = blahut_arimoto(p, hamming(3), math.log((1 - distortion) * 2 / distortion))
    assert point.distortion == pytest.approx(distortion, abs=1e-5)
    assert point.rate_nats == pytest.approx(entropy_nats(p) - h(distortion) - distortion * math.log(2), abs=1e-5)


def test_the_ends_of_the_curve():
    free = blahut_arimoto([0.85, 0.1, 0.05], hamming(3), 0.0)
    assert free.rate_nats == pytest.approx(0.0, abs=1e-9)
    exact = blahut_arimoto([0.85, 0.1, 0.05], hamming(3), 60.0)
    assert exact.distortion == pytest.approx(0.0, abs=1e-12)
    assert exact.rate_nats == pytest.approx(entropy_nats([0.85, 0.1, 0.05]), abs=1e-9)


probabilities = st.lists(st.floats(0.02, 1.0), min_size=2, max_size=4).map(lambda w: list(np.array(w) / sum(w)))


@settings(max_examples=25, deadline=None)
@given(st.lists(probabilities, min_size=1, max_size=2), st.floats(0.2, 6.0), st.data())
def test_independent_facts_equal_their_joint_alphabet(facts, slope, data):
    weights = [data.draw(st.floats(0.2, 2.0)) for _ in facts]
    joint = [math.prod(p) for p in itertools.product(*facts)]
    states = list(itertools.product(*(range(len(p)) for p in facts)))
    distortion = [[sum(w * (a != b) for w, a, b in zip(weights, x, y, strict=True)) for y in states] for x in states]
    together, apart = blahut_arimoto(joint, distortion, slope), facts_point(facts, slope, weights)
    room = together.gap_nats + apart.gap_nats + 1e-9
    assert together.rate_nats + slope * together.distortion == pytest.approx(apart.rate_nats + slope * apart.distortion, abs=room)


def rate_and_wrong(p, channel):
    """I(X;Y) and P(Y ≠ X), summed cell by cell."""
    out = [sum(p[x] * channel[x][y] for x in range(len(p))) for y in range(len(p))]
    rate = sum(
        p[x] * channel[x][y] * math.log(channel[x][y] / out[y]) for x in range(len(p)) for y in range(len(p)) if channel[x][y] > 0
    )
    return rate, sum(p[x] * (1 - channel[x][x]) for x in range(len(p)))


@settings(max_examples=60, deadline=None)
@given(probabilities, st.floats(0.3, 6.0), st.integers(0, 10**6))
def test_no_channel_does_better(p, slope, seed):
    """Random channels, and channels near the best one: none has less rate + slope · distortion."""
    point = blahut_arimoto(p, hamming(len(p)), slope)
    limit = point.rate_nats + slope * point.distortion - point.gap_nats
    rng = np.random.default_rng(seed)
    for sharpness in (0.0, 1.0, slope, 2 * slope):
        logits = sharpness * np.eye(len(p)) + rng.normal(size=(len(p), len(p)))
        channel = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
        rate, wrong = rate_and_wrong(p, channel.tolist())
        assert rate + slope * wrong >= limit - 1e-9


def test_a_grid_over_channels_comes_near():
    """Binary source: all channels on a grid of flip probabilities."""
    p, slope = [0.8, 0.2], 2.0
    grid = np.linspace(0, 1, 201)
    found = min(rate + slope * wrong for a in grid for b in grid for rate, wrong in [rate_and_wrong(p, [[1 - a, a], [b, 1 - b]])])
    point = blahut_arimoto(p, hamming(2), slope)
    assert point.rate_nats + slope * point.distortion == pytest.approx(found, abs=1e-4)


@settings(max_examples=20, deadline=None)
@given(st.lists(probabilities, min_size=1, max_size=3))
def test_the_curve_falls_and_is_convex(facts):
    curve = facts_curve(facts, [0.5, 1.0, 2.0, 4.0, 8.0])
    for a, b in itertools.pairwise(curve):
        assert b.distortion <= a.distortion + 1e-4
        assert b.rate_nats >= a.rate_nats - 1e-4
    entropy = sum(entropy_nats(p) for p in facts)
    assert all(point.rate_nats <= entropy + 1e-9 for point in curve)


def test_an_output_that_underflows_leaves_the_rate_finite():
    weights = np.array([0.59375, 0.984375, 0.25])
    assert blahut_arimoto(list(weights / sum(weights)), hamming(3), 0.5).rate_nats < 0.1


def test_string_capacity_is_the_entropy_of_a_geometric_length_and_uniform_tokens():
    mean, alphabet = 1.7, 5
    stop = 1 / (1 + mean)
    entropy = 0.0
    for length in range(400):
        each = stop * (1 - stop) ** length / alphabet**length
        if each > 0:
            entropy -= alphabet**length * each * math.log(each)
    assert float(string_capacity_nats(mean, alphabet)) == pytest.approx(entropy, abs=1e-9)


@given(st.integers(1, 3), st.lists(st.floats(0.0, 1.0), min_size=15, max_size=15))
def test_no_distribution_over_strings_carries_more(alphabet, weights):
    lengths = [n for n in range(4) for _ in range(alphabet**n)][:15]
    p = np.array(weights[: len(lengths)]) + 1e-9
    p /= p.sum()
    assert -(p * np.log(p)).sum() <= float(string_capacity_nats(p @ lengths, alphabet)) + 1e-9


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: blahut_arimoto([0.5, 0.6], hamming(2), 1.0), "sum to 1"),
        (lambda: blahut_arimoto([0.5, 0.5], hamming(3), 1.0), "2 probabilities but"),
        (lambda: blahut_arimoto([0.5, 0.5], hamming(2), -1.0), "slope = -1.0"),
        (lambda: facts_point([[1.0]], 1.0, [1.0, 2.0]), "1 facts but 2 weights"),
        (lambda: facts_point([[0.5, 0.5]], 1.0, [float("nan")]), "finite"),
        (lambda: string_capacity_nats(-1.0, 3), "at least 0"),
        (lambda: entropy_nats([]), "sum to 1"),
    ],
)
def test_wrong_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
