"""The estimator against closed forms, a naive twin, and matrices that must be refused."""

import math
import warnings

import exact_channels
import numpy as np
import pytest
from exact_channels import enumerated
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.information import channels, estimate_mi

EXACT = 1e-12


def naive(log_probs, source, weights=None):
    """The definition, one cell at a time, from probabilities."""
    documents = sorted(set(source))
    weights = [1.0] * len(source) if weights is None else weights
    means = []
    for document in documents:
        total = weight = 0.0
        for row, own, w in zip(log_probs, source, weights, strict=True):
            if own == document and w > 0:
                average = sum(math.exp(v) for v in row) / len(row)
                total += w * (row[own] - math.log(average))
                weight += w
        means.append(total / weight)
    return sum(means) / len(means)


@pytest.mark.parametrize("documents", [2, 3, 8])
def test_constant_channel_carries_nothing(documents):
    assert abs(enumerated(exact_channels.constant(documents)).infonce_nats) < EXACT


@pytest.mark.parametrize("documents", [2, 5, 16])
def test_copy_channel_carries_log_k_and_saturates(documents):
    estimate = enumerated(channels.copy(documents))
    assert abs(estimate.infonce_nats - math.log(documents)) < EXACT
    assert estimate.saturation == 1.0
    assert abs(estimate.headroom_nats) < EXACT
    assert estimate.leave_one_out_nats == math.inf


@pytest.mark.parametrize("error", [0.0, 0.01, 0.11, 0.3, 0.5])
def test_binary_symmetric_channel(error):
    expected = math.log(2) + sum(p * math.log(p) for p in (error, 1 - error) if p > 0)
    assert abs(enumerated(channels.symmetric(2, error)).infonce_nats - expected) < EXACT


@pytest.mark.parametrize("error", [0.0, 0.2, 0.75])
def test_k_ary_symmetric_channel(error):
    expected = exact_channels.symmetric_mi_nats(4, error)
    assert abs(enumerated(channels.symmetric(4, error)).infonce_nats - expected) < EXACT


@pytest.mark.parametrize("inputs", [2, 4, 9])
@pytest.mark.parametrize("erased", [0.0, 0.25, 0.9])
def test_erasure_channel(inputs, erased):
    expected = (1 - erased) * math.log(inputs)
    assert abs(enumerated(channels.erasure(inputs, erased)).infonce_nats - expected) < EXACT
    assert abs(channels.mutual_information_nats(channels.erasure(inputs, erased)) - expected) < EXACT


@given(st.integers(2, 6), st.integers(2, 7), st.integers(0, 10_000))
@settings(deadline=None, max_examples=50)
def test_any_enumerated_channel_gives_its_exact_information(inputs, outputs, seed):
    conditional = np.random.default_rng(seed).dirichlet(np.ones(outputs), size=inputs)
    estimate = enumerated(conditional)
    assert abs(estimate.infonce_nats - channels.mutual_information_nats(conditional)) < 1e-10
    assert estimate.infonce_nats <= estimate.ceiling_nats + EXACT
    assert estimate.leave_one_out_nats >= estimate.infonce_nats - EXACT


@given(st.integers(2, 6), st.integers(1, 12), st.integers(0, 10_000))
@settings(deadline=None, max_examples=50)
def test_equals_the_naive_twin_with_unequal_numbers_of_compressions(documents, compressions, seed):
    rng = np.random.default_rng(seed)
    source = rng.integers(documents, size=compressions)
    log_probs = -rng.gamma(2.0, 3.0, size=(compressions, documents))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        estimate = estimate_mi(log_probs, source)
    assert abs(estimate.infonce_nats - naive(log_probs.tolist(), source.tolist())) < 1e-10
    assert estimate.at_k[documents] == estimate.infonce_nats
    assert estimate.n_documents == len(set(source.tolist()))


def test_a_wrong_pairing_changes_the_answer():
    log_probs, source = exact_channels.sample_outputs(channels.symmetric(8, 0.1), 5, np.random.default_rng(0))
    log_probs = np.maximum(log_probs, -50)
    right = estimate_mi(log_probs, source).infonce_nats
    wrong = estimate_mi(log_probs, (source + 1) % 8).infonce_nats
    assert right > 1.0
    assert wrong < 0.0


def test_neither_order_of_documents_nor_of_compressions_matters():
    rng = np.random.default_rng(1)
    log_probs, source = exact_channels.sample_outputs(rng.dirichlet(np.ones(9), size=6), 3, rng)
    columns, rows = rng.permutation(6), rng.permutation(len(source))
    new_place = np.argsort(columns)
    moved = estimate_mi(log_probs[:, columns][rows], new_place[source][rows])
    assert moved.infonce_nats == pytest.approx(estimate_mi(log_probs, source).infonce_nats, abs=1e-12)


def test_a_constant_added_to_a_row_changes_nothing():
    rng = np.random.default_rng(2)
    log_probs = -rng.gamma(2.0, 3.0, size=(7, 4)) - 5
    source = np.array([0, 1, 2, 3, 0, 1, 2])
    shifted = log_probs - rng.gamma(1.0, 100.0, size=(7, 1))
    assert estimate_mi(shifted, source).per_compression_nats == pytest.approx(
        estimate_mi(log_probs, source).per_compression_nats, abs=1e-9
    )


def test_values_below_zero_are_kept():
    estimate = estimate_mi([[-10.0, -1.0], [-1.0, -10.0]], [0, 1])
    assert estimate.infonce_nats < -5
    assert any("below 0" in note for note in estimate.warnings)


def test_documents_weigh_alike_whatever_number_of_compressions_they_have():
    strong, none = [-1.0, -20.0], [-3.0, -3.0]
    few = estimate_mi([strong, none[::-1]], [0, 1])
    many = estimate_mi([strong] * 9 + [none[::-1]], [0] * 9 + [1])
    assert many.infonce_nats == pytest.approx(few.infonce_nats)


def test_own_candidates_for_each_compression_are_clustered_by_the_named_document():
    rows = [[-1.0, -4.0, -6.0], [-2.0, -2.0, -9.0], [-1.0, -1.5, -2.0]]
    estimate = estimate_mi(rows, [0, 0, 0], document=["a", "a", "b"])
    terms = estimate.per_compression_nats
    assert estimate.n_documents == 2
    assert estimate.per_document_nats == pytest.approx([(terms[0] + terms[1]) / 2, terms[2]])


def test_interval_is_t_on_document_means():
    from scipy import stats

    rng = np.random.default_rng(3)
    log_probs = -rng.gamma(2.0, 3.0, size=(30, 10))
    estimate = estimate_mi(log_probs, np.repeat(np.arange(10), 3))
    low, high = stats.t.interval(0.95, 9, loc=estimate.per_document_nats.mean(), scale=stats.sem(estimate.per_document_nats))
    assert estimate.ci_nats == pytest.approx((low, high))
    assert estimate.stderr_nats == pytest.approx(stats.sem(estimate.per_document_nats))


def test_one_document_has_an_unknown_interval_not_a_zero_one():
    with pytest.warns(RuntimeWarning, match="unknown"):
        estimate = estimate_mi([[-1.0, -2.0]], [0])
    assert math.isnan(estimate.stderr_nats)
    assert math.isnan(estimate.ci_nats[0])


def test_at_k_averages_over_subsets_of_the_negatives():
    """With K = 3 the value at 2 is the mean over both pairs, which 32 random subsets approach."""
    row = [-1.0, -2.0, -7.0]
    with pytest.warns(RuntimeWarning):
        at_k = estimate_mi([row], [0]).at_k
    pairs = [math.log(2) + row[0] - np.logaddexp(row[0], row[j]) for j in (1, 2)]
    assert min(pairs) <= at_k[2] <= max(pairs)
    assert at_k[2] == pytest.approx(sum(pairs) / 2, abs=0.15)


@pytest.mark.parametrize(
    ("log_probs", "source", "message"),
    [
        ([[-1.0, np.nan], [-2.0, -1.0]], [0, 1], "1 of 4 cells are NaN"),
        ([[-1.0, np.inf], [-2.0, -1.0]], [0, 1], r"log_probs\[0, 1\] = inf"),
        ([[-1.0, 0.5], [-2.0, -1.0]], [0, 1], "at most 0"),
        ([[-np.inf, -1.0], [-2.0, -1.0]], [0, 1], "impossible under its own document"),
        ([[-1.0], [-2.0]], [0, 0], "one document only"),
        ([[-1.0, -2.0]], [2], r"source\[0\] = 2: not in the pool"),
        ([[-1.0, -2.0]], [-1], r"source\[0\] = -1"),
        ([[-1.0, -2.0]], [0.0], "integers"),
        ([[-1.0, -2.0]], [0, 1], "one column for each"),
        ([-1.0, -2.0], [0, 1], "shape"),
        (np.zeros((0, 3)), np.zeros(0, int), "no compression"),
    ],
)
def test_bad_matrices_are_refused_with_their_place(log_probs, source, message):
    with pytest.raises(ValueError, match=message):
        estimate_mi(log_probs, source)


def test_failed_cells_are_dropped_by_compression_on_request_and_counted():
    log_probs = [[-1.0, -3.0], [-3.0, -1.0], [np.nan, -1.0], [-2.0, np.nan]]
    estimate = estimate_mi(log_probs, [0, 1, 1, 0], drop_failed=True)
    assert estimate.dropped == 2
    assert estimate.infonce_nats == estimate_mi(log_probs[:2], [0, 1]).infonce_nats
    with pytest.raises(ValueError, match="all 1 compressions"):
        estimate_mi([[np.nan, -1.0]], [0], drop_failed=True)


def test_midpoint_interval_is_t_on_document_means_of_midpoint_terms():
    from scipy import stats

    log_probs = -np.random.default_rng(4).gamma(2.0, 3.0, size=(30, 10))
    source = np.repeat(np.arange(10), 3)
    estimate = estimate_mi(log_probs, source)
    means = []
    for k in range(10):
        terms = []
        for row in log_probs[source == k]:
            others = np.delete(row, k)
            terms.append(row[k] - (np.log(np.mean(np.exp(row))) + np.log(np.mean(np.exp(others)))) / 2)
        means.append(np.mean(terms))
    assert estimate.midpoint_nats == pytest.approx(np.mean(means))
    assert estimate.midpoint_ci_nats == pytest.approx(stats.t.interval(0.95, 9, np.mean(means), stats.sem(means)))
    infinite = enumerated(channels.copy(4))
    assert infinite.midpoint_nats == math.inf
    assert math.isnan(infinite.midpoint_ci_nats[0])
    assert any("midpoint has no interval" in note for note in infinite.warnings)


@pytest.mark.parametrize("keywords", [{"sampler": False}, {"beta": 0.5}, {"beta": 1.0}, {"beta": 2.0, "sampler": False}])
def test_a_proxy_has_no_upper_bound(keywords):
    log_probs = -np.random.default_rng(5).gamma(2.0, 3.0, size=(12, 4))
    source = np.tile(np.arange(4), 3)
    estimate = estimate_mi(log_probs, source, **keywords)
    for value in (estimate.leave_one_out_nats, estimate.midpoint_nats, *estimate.midpoint_ci_nats):
        assert math.isnan(value)
    assert any("bound nothing" in note for note in estimate.warnings)
    assert estimate.beta == keywords.get("beta")
    scaled = estimate_mi(keywords.get("beta", 1.0) * log_probs, source)
    assert estimate.infonce_nats == pytest.approx(scaled.infonce_nats)
    assert estimate.at_k == pytest.approx(scaled.at_k)
    assert estimate.to_dict()["beta"] == keywords.get("beta")


def test_a_scale_of_zero_carries_nothing_and_leaves_the_impossible_impossible():
    log_probs = [[-1.0, -2.0], [-3.0, -1.0], [-1.0, -np.inf]]
    terms = estimate_mi(log_probs, [0, 1, 0], beta=0.0).per_compression_nats
    assert terms == pytest.approx([0.0, 0.0, math.log(2)])
    for beta in (-1.0, math.nan, math.inf):
        with pytest.raises(ValueError, match="beta ="):
            estimate_mi(log_probs, [0, 1, 0], beta=beta)


def test_identical_columns_are_named_and_cost_log_two():
    rng = np.random.default_rng(6)
    log_probs = np.full((5, 5), -40.0)
    np.fill_diagonal(log_probs, -1.0)
    log_probs -= rng.random((5, 5))
    alone = estimate_mi(log_probs, np.arange(5))
    assert not any("identical" in note for note in alone.warnings)
    unread = estimate_mi(log_probs, np.arange(5), beta=0.0)  # all cells are 0 then, and no document is another
    assert not any("identical" in note for note in unread.warnings)
    log_probs[:, 4] = log_probs[:, 1]
    twice = estimate_mi(log_probs[:4], np.arange(4))
    assert any("identical columns: 1 = 4;" in note for note in twice.warnings)
    assert math.log(5) - twice.per_compression_nats[1] == pytest.approx(math.log(2))
    nowhere = estimate_mi([[-1.0, -2.0, -np.inf, -np.inf], [-3.0, -1.0, -np.inf, -np.inf]], [0, 1])
    assert not any("identical" in note for note in nowhere.warnings)


def test_detectable_difference_is_that_of_two_compressors_without_a_pair():
    from infoagent.information import detectable_difference

    log_probs = -np.random.default_rng(7).gamma(2.0, 3.0, size=(10, 10))
    estimate = estimate_mi(log_probs, np.arange(10))
    spread = estimate.per_document_nats.std(ddof=1)
    assert estimate.detectable_nats == pytest.approx(detectable_difference(math.sqrt(2) * spread, 10))
    assert estimate.to_dict()["detectable_nats"] == estimate.detectable_nats
    with pytest.warns(RuntimeWarning, match="unknown"):
        assert math.isnan(estimate_mi([[-1.0, -2.0]], [0]).detectable_nats)
