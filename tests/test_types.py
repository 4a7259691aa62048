"""Mistakes of several checks, told together."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.types import InputError, Mistakes

LINES = st.lists(st.sampled_from(["no such model", "no key", "a budget of 0"]), min_size=1, max_size=3)


@given(checks=st.lists(st.tuples(st.sampled_from(["", "a: ", "b: "]), st.none() | LINES), max_size=6))
def test_every_line_of_every_check_is_told_once_in_the_order_found(checks):
    mistakes, went_on = Mistakes(), 0
    for prefix, lines in checks:
        with mistakes.of(prefix):
            if lines is not None:
                raise InputError(lines)
        went_on += 1
    assert went_on == len(checks)
    expected = []
    for prefix, lines in checks:
        for line in lines or []:
            if prefix + line not in expected:
                expected.append(prefix + line)
    if not expected:
        mistakes.end()
        return
    with pytest.raises(InputError) as told:
        mistakes.end()
    assert told.value.problems == expected
    assert told.value.__context__ is None, "no traceback of one of them behind all"


def test_what_is_no_mistake_of_the_user_is_not_swallowed():
    mistakes = Mistakes()
    with pytest.raises(KeyError), mistakes.of():
        raise KeyError("ours")
    assert mistakes.lines == []
