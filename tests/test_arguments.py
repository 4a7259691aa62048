"""Command lines: nothing that was given is forgotten."""

import itertools

from hypothesis import given
from hypothesis import strategies as st

from infoagent.arguments import Parser, whole
from infoagent.cli import _parser

WORDS = st.lists(st.text("ab c:", min_size=1), min_size=1, max_size=3)


@given(st.lists(WORDS, min_size=1, max_size=4))
def test_an_option_of_several_values_keeps_those_of_every_time_it_is_given(times):
    words = list(itertools.chain.from_iterable(["--keep", *given] for given in times))
    found = _parser().parse_args(["compact", "history.jsonl", *words])
    assert found.keep == list(itertools.chain.from_iterable(times))


def test_values_that_are_given_stand_in_the_place_of_the_default():
    parser = Parser()
    parser.add_argument("--sizes", type=whole(1), nargs="+", default=[64, 32])
    assert parser.parse_args([]).sizes == [64, 32]
    assert parser.parse_args(["--sizes", "8", "--sizes", "4", "2"]).sizes == [8, 4, 2]
    assert parser.parse_args(["--sizes", "8"]).sizes == [8]  # nothing is left of another command line
