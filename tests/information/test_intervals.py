import math

import numpy as np
import pytest
from scipy import stats

from infoagent.information import mean_interval, paired_difference


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
