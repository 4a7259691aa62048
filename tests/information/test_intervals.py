import math

import numpy as np
import pytest
from scipy import stats

from infoagent.information import detectable_difference, mean_interval, paired_difference, share_interval, wilson_interval
from infoagent.information.intervals import t_interval


def test_mean_interval_equals_scipy():
    values = np.random.default_rng(0).normal(size=17)
    found = mean_interval(values)
    low, high = stats.t.interval(0.95, 16, loc=values.mean(), scale=stats.sem(values))
    assert (found.value, found.low, found.high) == pytest.approx((values.mean(), low, high))


def test_compressions_of_one_document_count_once():
    clustered = mean_interval([1.0, 1.0, 1.0, 2.0, 3.0], ["a", "a", "a", "b", "c"])
    assert (clustered.value, clustered.n) == (2.0, 3)
    assert clustered == mean_interval([1.0, 2.0, 3.0])


def test_paired_difference_is_narrower_than_two_separate_intervals():
    rng = np.random.default_rng(1)
    hardness = rng.normal(scale=3.0, size=40)
    first, second = hardness + 0.3 + rng.normal(scale=0.1, size=40), hardness + rng.normal(scale=0.1, size=40)
    paired = paired_difference(first, second)
    assert paired.low > 0
    assert paired.high - paired.low < 0.2 * (mean_interval(first).high - mean_interval(first).low)


def test_unknown_uncertainty_is_nan_with_a_warning():
    with pytest.warns(RuntimeWarning, match="unknown"):
        found = mean_interval([1.0])
    assert found.value == 1.0
    assert math.isnan(found.low)


@pytest.mark.parametrize("values", [[], [1.0, math.nan]])
def test_nothing_and_nan_are_refused(values):
    with pytest.raises(ValueError, match="values"):
        mean_interval(values)


def test_pairs_must_match():
    with pytest.raises(ValueError, match="match"):
        paired_difference([1.0], [1.0, 2.0])


@pytest.mark.parametrize("second", [[0.0, 0.0], [1.0, 1.0], [0.9, 0.7]])
def test_pairs_that_all_differ_by_the_same_have_no_interval(second):
    """Two documents that say 1 are no proof that every one does."""
    first = [0.9, 0.7] if second == [0.9, 0.7] else [1.0, 1.0]
    with pytest.warns(RuntimeWarning, match="all 2 documents differ by the same"):
        found = paired_difference(first, second)
    assert (found.value, found.n) == (first[0] - second[0], 2)
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_what_differs_by_the_same_up_to_rounding_has_no_spread():
    second = np.random.default_rng(0).uniform(0, 300, size=20)
    with pytest.warns(RuntimeWarning, match="differ by the same"):
        assert math.isnan(paired_difference(second + 0.1, second).low)
    assert paired_difference(second * 1.001, second).low > 0


@pytest.mark.parametrize("n", [10, 30, 100])
@pytest.mark.parametrize("power", [0.5, 0.8, 0.95])
def test_a_detectable_difference_is_found_with_its_power(n, power):
    """Against the exact power of the t test, from the noncentral t distribution."""
    difference = detectable_difference(2.0, n, power=power)
    critical = stats.t.ppf(0.975, n - 1)
    found = stats.nct.sf(critical, n - 1, difference * math.sqrt(n) / 2.0)
    assert found == pytest.approx(power, abs=0.025 if n < 30 else 0.01)


def test_detectable_difference_in_numbers():
    expected = (stats.t.ppf(0.95, 19) + stats.t.ppf(0.9, 19)) * 1.5 / math.sqrt(20)
    assert detectable_difference(1.5, 20, power=0.9, level=0.9) == pytest.approx(expected)
    assert math.isnan(detectable_difference(1.5, 1))
    assert math.isnan(detectable_difference(math.nan, 20))


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: detectable_difference(-1.0, 10), "spread = -1"),
        (lambda: detectable_difference(1.0, 10, power=1.0), "power = 1"),
        (lambda: detectable_difference(1.0, 10, level=0.0), "level = 0"),
    ],
)
def test_powers_and_spreads_that_are_none_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_an_interval_of_infinite_values_is_unknown():
    assert all(math.isnan(bound) for bound in t_interval(np.array([1.0, math.inf])))
    assert all(math.isnan(bound) for bound in t_interval(np.array([1.0])))


def test_wilson_by_its_formula():
    z2 = 1.959964**2
    for count, n in ((0, 25), (25, 25), (7, 25)):
        p = count / n
        middle = (p + z2 / (2 * n)) / (1 + z2 / n)
        half = math.sqrt(z2) / (1 + z2 / n) * math.sqrt(p * (1 - p) / n + z2 / (4 * n * n))
        found = wilson_interval(count, n)
        assert (found.low, found.high) == pytest.approx((max(0, middle - half), min(1, middle + half)), abs=1e-6)
    with pytest.raises(ValueError, match="nothing"):
        wilson_interval(0, 0)


@pytest.mark.parametrize("all_of_them", [0.0, 1.0])
def test_documents_that_agree_show_no_spread_and_have_one(all_of_them):
    """20 of 20: Wilson's interval of 20 documents, however often each was asked; the coverage of a share near its end is held."""
    found = share_interval([all_of_them] * 40, [i // 2 for i in range(40)])
    expected = wilson_interval(round(20 * all_of_them), 20)
    assert (found.value, found.low, found.high, found.n) == (all_of_them, expected.low, expected.high, 20)
    assert found.high - found.low > 0.1


def test_a_share_that_varies_has_the_interval_of_its_mean():
    values, documents = [1.0, 0.0, 1.0, 1.0], ["a", "a", "b", "c"]
    assert share_interval(values, documents) == mean_interval(values, documents)


def test_a_share_of_one_document_has_no_interval():
    with pytest.warns(RuntimeWarning, match="one document"):
        found = share_interval([1.0, 1.0], ["a", "a"])
    assert np.isnan([found.low, found.high]).all()
