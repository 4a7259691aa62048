import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.rate_distortion import pareto_front

POINTS = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=30)


@given(POINTS)
def test_front_is_exactly_what_no_other_point_beats(points):
    front = {points[i] for i in pareto_front([p[0] for p in points], [p[1] for p in points])}
    beaten = {p for p in points if any(q != p and q[0] <= p[0] and q[1] >= p[1] for q in points)}
    assert front == set(points) - beaten


def test_lengths_must_match():
    with pytest.raises(ValueError, match="2 rates but 1 values"):
        pareto_front([1, 2], [1])
