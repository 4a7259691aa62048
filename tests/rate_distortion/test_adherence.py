"""Asked and achieved lengths by hand, and the interval of a median by simulation."""

import math

import numpy as np
import pytest

from infoagent.rate_distortion.adherence import adherence


def test_by_hand():
    found = adherence([10, 10, 20, 8], [12, 8, 20, 4], ["a", "a", "b", "c"])
    assert found.median_error.value == pytest.approx(0.2)  # a: 0.2, b: 0, c: 0.5
    assert found.over_budget == 0.25
    assert found.median_achieved == 10
    assert math.isnan(found.median_error.low)  # three documents have no such interval


def test_the_interval_holds_the_median_as_often_as_it_says():
    rng = np.random.default_rng(0)
    hits = 0
    for _ in range(1000):
        errors = rng.exponential(size=25)
        found = adherence(np.full(25, 10.0), 10 * (1 + errors), [str(i) for i in range(25)])
        hits += found.median_error.low <= math.log(2) <= found.median_error.high
    assert 0.94 <= hits / 1000 <= 0.985


@pytest.mark.parametrize(("requested", "achieved"), [([0.0], [1.0]), ([], []), ([1.0], [1.0, 2.0])])
def test_what_has_no_meaning_is_refused(requested, achieved):
    with pytest.raises(ValueError, match="request"):
        adherence(requested, achieved, ["a"] * len(requested))
