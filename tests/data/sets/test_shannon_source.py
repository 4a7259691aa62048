"""The source with a known limit: its distribution, its splits, and what its negatives do to the estimate."""

import math
from collections import Counter

import numpy as np
import pytest
from drawn import draw_negatives

from infoagent.data.negatives import Counts
from infoagent.data.registry import load_data
from infoagent.data.sets.shannon import FACTS, NEGATIVES, all_states, draw_states, state_of, state_probabilities, text_of
from infoagent.types import InputError


def test_states_are_a_distribution_and_their_order_is_known():
    states, probabilities = all_states(), state_probabilities()
    assert len(set(states)) == len(states) == len(probabilities) == math.prod(len(f.values) for f in FACTS)
    assert probabilities.sum() == pytest.approx(1.0)
    by_hand = dict(zip(states, probabilities, strict=True))
    assert by_hand[("red", "small", "intact", "home")] == pytest.approx(0.25 * 0.5 * 0.85 * 0.80)
    assert by_hand[("black", "large", "broken", "lost")] == pytest.approx(0.25 * 0.5 * 0.05 * 0.05)
    words = [value for fact in FACTS for value in fact.values]
    assert len(set(words)) == len(words)  # a word tells which fact it belongs to
    assert [f.default for f in FACTS] == [None, None, "intact", "home"]


def test_draws_follow_the_probabilities_and_facts_are_independent():
    drawn = draw_states(np.random.default_rng(0), 40_000)
    counts = Counter(drawn)
    for state, p in zip(all_states(), state_probabilities(), strict=True):
        assert abs(counts[state] / 40_000 - p) < 5 * math.sqrt(p * (1 - p) / 40_000) + 1e-4


def test_a_document_states_its_facts():
    problem = load_data("shannon", split="train", limit=3).problems[1]
    assert text_of(state_of(problem.document), int(problem.document.split()[1])) == problem.document
    assert state_of(problem.document) in all_states()


def test_negatives_are_independent_draws_own_facts_included():
    problems = load_data("shannon", split="test", limit=400).problems
    drawn = draw_negatives(problems, Counts(counterfactual=NEGATIVES), 0)
    assert {len(n) for n in drawn} == {NEGATIVES}  # none was dropped as a repetition: every number is another
    by_state = dict(zip(all_states(), state_probabilities(), strict=True))
    same = sum(state_of(n.document) == state_of(p.document) for p, ns in zip(problems, drawn, strict=True) for n in ns)
    expected = NEGATIVES * sum(by_state[state_of(p.document)] for p in problems)
    assert same == pytest.approx(expected, rel=0.1)
    counts = Counter(state_of(n.document) for ns in drawn for n in ns)
    for state, p in by_state.items():
        total = NEGATIVES * len(problems)
        assert abs(counts[state] / total - p) < 5 * math.sqrt(p * (1 - p) / total)


@pytest.mark.parametrize("negatives", [7, 31, 63])
def test_naming_everything_earns_at_most_the_entropy(negatives):
    """log K − log(1 + n) lies in the mean between −log(P + (1 − P) / K) and −log P."""
    problems = load_data("shannon", split="train", limit=2000).problems
    by_state = dict(zip(all_states(), state_probabilities(), strict=True))
    p = np.array([by_state[state_of(problem.document)] for problem in problems])
    earned = np.array(
        [
            math.log(negatives + 1)
            - math.log(1 + sum(state_of(n.document) == state_of(problem.document) for n in problem.negatives[:negatives]))
            for problem in problems
        ]
    )
    low, high = -np.log(p + (1 - p) / (negatives + 1)), -np.log(p)
    room = 4 * earned.std() / math.sqrt(len(p))
    assert (earned - low).mean() > -room
    assert (earned - high).mean() < 0


def test_splits_and_seeds_differ_and_a_longer_draw_goes_on():
    def texts(**arguments):
        return [p.document for p in load_data("shannon", **arguments).problems]

    assert texts(split="test", limit=5) == texts(split="test", limit=9)[:5]
    assert texts(split="test", limit=5) != texts(split="train", limit=5)
    assert texts(split="test", limit=5) != texts(split="test", limit=5, seed=1)
    assert len(texts(split="validation")) == 200


def test_word_limits_are_refused():
    with pytest.raises(InputError, match="every document of shannon has 6 words"):
        load_data("shannon", split="test", min_words=10)
