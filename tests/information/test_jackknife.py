"""The jackknife against its definition: estimate again without each document."""

import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from infoagent.information import estimate_mi, jackknife_interval


def value_without(log_probs, source, document, columns, name):
    """InfoNCE from scratch, without the rows of `name` and without `columns`."""
    kept = [k for k in range(log_probs.shape[1]) if k not in columns]
    rows = [c for c in range(len(source)) if document[c] != name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return estimate_mi(
            log_probs[np.ix_(rows, kept)], [kept.index(source[c]) for c in rows], document=[document[c] for c in rows]
        ).infonce_nats


def naive(log_probs, source, document, units):
    """units: (columns, document name or None) of what is deleted at a time."""
    values = np.array([value_without(log_probs, source, document, *unit) for unit in units])
    stderr = math.sqrt((len(values) - 1) / len(values) * ((values - values.mean()) ** 2).sum())
    return stats.t.ppf(0.975, len(set(document)) - 1) * stderr


@given(st.integers(4, 8), st.integers(0, 10_000), st.floats(0.1, 40))
@settings(deadline=None, max_examples=40)
def test_equals_the_naive_twin(documents, seed, spread):
    """With columns that no compression came from, unequal numbers, and rows that one wrong document takes whole."""
    rng = np.random.default_rng(seed)
    source = np.append([0, 1, 2], rng.integers(documents, size=6))
    log_probs = -rng.gamma(1.0, spread, size=(len(source), documents))
    found = jackknife_interval(log_probs, source)
    half = naive(log_probs, source, source.tolist(), [([k], k) for k in range(documents)])
    assert found.high - found.value == pytest.approx(half, rel=1e-7, abs=1e-9)
    assert found.value == pytest.approx(estimate_mi(log_probs, source).infonce_nats)
    assert found.n == len(set(source.tolist()))


def test_a_document_with_several_columns_loses_them_together():
    rng = np.random.default_rng(1)
    log_probs = -rng.gamma(1.0, 3.0, size=(6, 6))
    document = ["a", "a", "b", "c", "c", "d"]
    half = naive(log_probs, list(range(6)), document, [([0, 1], "a"), ([2], "b"), ([3, 4], "c"), ([5], "d")])
    found = jackknife_interval(log_probs, np.arange(6), document=document)
    assert found.high - found.value == pytest.approx(half)


def test_with_own_candidates_it_is_the_t_interval_on_document_means():
    log_probs = -np.random.default_rng(2).gamma(1.0, 3.0, size=(12, 5))
    document = np.repeat(np.arange(4), 3)
    found = jackknife_interval(log_probs, np.zeros(12, int), document=document)
    estimate = estimate_mi(log_probs, np.zeros(12, int), document=document)
    assert (found.low, found.high) == pytest.approx(estimate.ci_nats)


def test_it_is_wider_than_the_t_interval_where_documents_are_each_others_negatives():
    """Few hard documents: one of them changes the terms of all the others."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=30)
    log_probs = -0.5 * ((x + rng.normal(scale=0.1, size=30))[:, None] - x) ** 2 / 0.01
    t_low, t_high = estimate_mi(log_probs, np.arange(30)).ci_nats
    found = jackknife_interval(log_probs, np.arange(30))
    assert found.high - found.low > 1.1 * (t_high - t_low)


def test_weights_and_beta_go_the_way_of_the_estimate():
    rng = np.random.default_rng(4)
    log_probs = -rng.gamma(1.0, 3.0, size=(10, 5))
    source, weights = np.tile(np.arange(5), 2), rng.random(10)
    found = jackknife_interval(log_probs, source, weights=weights, beta=0.3)
    assert found.value == pytest.approx(estimate_mi(log_probs, source, weights=weights, beta=0.3).infonce_nats)
    scaled = jackknife_interval(0.3 * log_probs, source, weights=weights)
    assert (found.low, found.high) == pytest.approx((scaled.low, scaled.high))


@pytest.mark.parametrize("rows", [[[-1.0, -2.0]], [[-1.0, -2.0], [-2.0, -1.0]]])
def test_too_few_documents_have_an_unknown_interval(rows):
    with pytest.warns(RuntimeWarning, match="unknown"):
        found = jackknife_interval(rows, np.arange(len(rows)))
    assert math.isnan(found.low)
    assert math.isfinite(found.value)
