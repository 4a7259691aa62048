"""The naming code against every code of its class, and its information against the channel it is."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.information.channels import mutual_information_nats
from infoagent.rate_distortion.naming_code import NamedFact, best_code, code_point, naming_frontier
from infoagent.rate_distortion.shannon_limit import entropy_nats, facts_point


@st.composite
def named_facts(draw):
    facts = []
    for _ in range(draw(st.integers(1, 3))):
        weights = np.array(draw(st.lists(st.floats(0.01, 1.0), min_size=2, max_size=4)))
        costs = draw(st.lists(st.integers(1, 3), min_size=len(weights), max_size=len(weights)))
        facts.append(NamedFact(tuple(weights / weights.sum()), tuple(float(c) for c in costs)))
    return facts


def every_code(facts):
    """All products of a set of said values for each fact."""
    sets = [[s for size in range(len(f.costs) + 1) for s in itertools.combinations(range(len(f.costs)), size)] for f in facts]
    return [code_point(facts, said) for said in itertools.product(*sets)]


@settings(max_examples=25, deadline=None)
@given(named_facts(), st.floats(0.01, 3.0))
def test_the_best_code_of_a_price_is_the_best_of_all(facts, price):
    found = best_code(facts, price)
    assert found.nats - price * found.tokens == pytest.approx(max(p.nats - price * p.tokens for p in every_code(facts)), abs=1e-9)


@settings(max_examples=25, deadline=None)
@given(named_facts())
def test_no_code_lies_above_the_frontier(facts):
    front = naming_frontier(facts)
    tokens, nats = [p.tokens for p in front], [p.nats for p in front]
    assert (tokens[0], nats[0]) == (0.0, pytest.approx(0.0, abs=1e-12))
    assert nats[-1] == pytest.approx(sum(entropy_nats(f.probabilities) for f in facts), abs=1e-9)
    slopes = [(b.nats - a.nats) / (b.tokens - a.tokens) for a, b in itertools.pairwise(front)]
    assert all(b <= a + 1e-6 for a, b in itertools.pairwise(slopes))  # concave
    for code in every_code(facts):
        assert code.nats <= np.interp(code.tokens, tokens, nats) + 1e-9


@settings(max_examples=30, deadline=None)
@given(named_facts(), st.data())
def test_the_nats_of_a_code_are_the_information_of_its_channel(facts, data):
    """Message = the value, or silence: I of that deterministic channel under the fact's probabilities."""
    for fact in facts:
        values = len(fact.probabilities)
        said = data.draw(st.sets(st.integers(0, values - 1)))
        out = [v if v in said else values for v in range(values)]
        joint = np.zeros((values, values + 1))
        for v, message in enumerate(out):
            joint[v, message] = fact.probabilities[v]
        marginal = joint.sum(0)
        direct = sum(
            joint[v, m] * math.log(joint[v, m] / (fact.probabilities[v] * marginal[m]))
            for v in range(values)
            for m in range(values + 1)
            if joint[v, m] > 0
        )
        point = code_point([fact], [sorted(said)])
        assert point.nats == pytest.approx(direct, abs=1e-9)
        assert point.tokens == pytest.approx(sum(fact.probabilities[v] * fact.costs[v] for v in said))


def test_uniform_facts_agree_with_the_exact_channels():
    copy = code_point([NamedFact((0.25,) * 4, (1.0,) * 4)], [(0, 1, 2, 3)])
    assert copy.nats == pytest.approx(mutual_information_nats(np.eye(4)))


def test_likely_values_go_unsaid():
    skewed = NamedFact((0.85, 0.10, 0.05), (1.0, 1.0, 1.0))
    assert best_code([skewed], 0.1).said == ((1, 2),)  # silence says the default
    assert best_code([skewed], 0.1).nats == pytest.approx(entropy_nats(skewed.probabilities))
    assert best_code([skewed], 1e9).said == ((),)
    # by hand: saying only the rarest: 0.05 token, h(0.05) nats
    assert code_point([skewed], [(2,)]).tokens == pytest.approx(0.05)
    assert code_point([skewed], [(2,)]).nats == pytest.approx(-0.05 * math.log(0.05) - 0.95 * math.log(0.95))


@settings(max_examples=20, deadline=None)
@given(named_facts(), st.floats(0.5, 6.0))
def test_no_naming_code_beats_shannon(facts, slope):
    """Its reader guesses the likeliest value behind a message: rate + slope · errors is at least R(D)'s."""
    limit = facts_point([f.probabilities for f in facts], slope)
    for code in every_code(facts):
        wrong = 0.0
        for fact, said in zip(facts, code.said, strict=True):
            unsaid = [p for v, p in enumerate(fact.probabilities) if v not in said]
            wrong += sum(unsaid) - max(unsaid, default=0.0)
        assert code.nats + slope * wrong >= limit.rate_nats + slope * limit.distortion - limit.gap_nats - 1e-9


@pytest.mark.parametrize(
    ("probabilities", "costs", "message"),
    [
        ((0.5, 0.4), (1.0, 1.0), "sum to 1"),
        ((0.5, 0.5), (1.0,), "2 values but 1 costs"),
        ((0.5, 0.5), (1.0, 0.0), "more than 0 tokens"),
        ((1 / 17,) * 17, (1.0,) * 17, "at most 16"),
    ],
)
def test_wrong_facts_are_refused(probabilities, costs, message):
    with pytest.raises(ValueError, match=message):
        NamedFact(probabilities, costs)
