"""Absent, contradicting and two asked facts: what the documents and their counterfactuals state is looked up in the text."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.negative_kinds import Counts
from infoagent.data.negatives import take_negatives
from infoagent.data.registry import load_data
from infoagent.data.sets import hard_records, records
from infoagent.data.sets.hard_cases import Settings, make_cases
from infoagent.data.sets.record_templates import KINDS
from infoagent.types import InputError

NAMES = tuple(hard_records.HARD_RECORDS)
FACTS = {question: fact for kind in KINDS for fact in kind.facts for question in fact.questions}


def stands(text, value):
    return len(re.findall(rf"(?<![\w.]){re.escape(value)}(?!\w|\.\d)", text))


def lines_of(text):
    return re.split(r"(?<=[.])\s|\n", text)


def entries_of(fact, text):
    """How often the text states the fact, by the label of a note or the longest fixed words of a sentence."""
    fixed = [max(re.split(r"\{value\}|\{name\}", sentence), key=len).strip(" .,").casefold() for sentence in fact.sentences]
    return sum(line.startswith(f"{fact.label}: ") or any(f in line.casefold() for f in fixed) for line in lines_of(text))


@given(st.integers(0, 2**31), st.sampled_from(list(records.SPLITS)), st.integers(0, 500))
@settings(deadline=None, max_examples=60)
def test_an_unanswerable_document_states_nothing_and_each_counterfactual_states_a_value(seed, split, index):
    problem = hard_records.make_problem("records-unanswerable", seed, split, index, 80, 400)
    fact = FACTS[problem.query]
    assert (problem.unanswerable, problem.answer, problem.facts) == (True, None, ())
    assert entries_of(fact, problem.document) == 0
    values = [n.changes[0].new for n in problem.negatives]
    assert len(set(values)) == len(values) >= 4
    for negative, value in zip(problem.negatives, values, strict=True):
        assert stands(problem.document, value) == 0
        assert stands(negative.document, value) == 1
        assert entries_of(fact, negative.document) == 1
        # nothing else is another: what the counterfactual has more is one entry
        kept = [line for line in lines_of(negative.document) if value not in line]
        assert all(line in problem.document for line in kept)


@given(st.integers(0, 2**31), st.sampled_from(list(records.SPLITS)), st.integers(0, 500))
@settings(deadline=None, max_examples=60)
def test_a_contradiction_has_both_values_and_no_counterfactual_has(seed, split, index):
    problem = hard_records.make_problem("records-contradictory", seed, split, index, 80, 400)
    one, two = problem.facts
    assert (stands(problem.document, one), stands(problem.document, two)) == (1, 1)
    first, second = problem.sides
    assert stands(first, one) == stands(second, two) == 1
    assert problem.document.index(first) < problem.document.rindex(second)
    found = [(stands(n.document, one), stands(n.document, two)) for n in problem.negatives]
    assert found[:4] == [(1, 0), (0, 1), (2, 0), (0, 2)]
    assert set(found[4:]) <= {(1, 0), (0, 1)}
    for negative in problem.negatives[:2]:  # a sentence less, and nothing else
        assert len(negative.document) < len(problem.document)
        assert set(negative.document.split()) <= set(problem.document.split())


@given(st.integers(0, 2**31), st.sampled_from(list(records.SPLITS)), st.integers(0, 500))
@settings(deadline=None, max_examples=60)
def test_two_facts_are_asked_for_and_each_counterfactual_changes_one(seed, split, index):
    problem = hard_records.make_problem("records-two-facts", seed, split, index, 80, 400)
    asked = [fact for question, fact in FACTS.items() if question in problem.query]
    assert len({fact.key for fact in asked}) == 2
    one, two = problem.facts
    assert problem.answer == f"{one} and {two}"
    assert problem.answer in problem.choices
    assert len(set(problem.choices)) == 4
    found = [(stands(n.document, one), stands(n.document, two)) for n in problem.negatives]
    assert len(found) >= 4
    assert found == [(0, 1), (1, 0)] * (len(found) // 2)


@pytest.mark.parametrize("name", NAMES)
def test_splits_and_sets_share_no_document_and_more_begin_with_fewer(name):
    parts = {split: load_data(name, split=split, limit=60, min_words=80, max_words=100).problems for split in records.SPLITS}
    documents = [p.document for problems in parts.values() for p in problems]
    assert len(set(documents)) == len(documents)
    others = [p.document for n in ("records", *NAMES) if n != name for p in load_data(n, split="train", limit=60).problems]
    assert not set(documents) & set(others)
    assert load_data(name, split="test", limit=10, min_words=80, max_words=100).problems == parts["test"][:10]
    assert len({p.id for problems in parts.values() for p in problems}) == 180
    assert all(80 <= len(text.split()) <= 100 for text in documents)


def test_what_is_trained_on_is_no_hard_input_of_the_test():
    tested = {c.document for c in make_cases(("plain", "unanswerable", "contradictory"), 24, Settings(0, 80, 100, 600, 4))}
    for name in NAMES:
        for split in records.SPLITS:
            found = load_data(name, split=split, limit=60, min_words=80, max_words=100).problems
            assert tested.isdisjoint(text for p in found for text in (p.document, *(n.document for n in p.negatives)))


def test_a_recipe_gets_four_counterfactuals_of_every_problem():
    for name in NAMES:
        data = load_data(name, split="train", limit=100, min_words=80, max_words=100)
        drawn = take_negatives(data.problems, Counts(random=3, counterfactual=4, missing="refuse"), seed=0, quiet=True)
        assert [[n.kind for n in own] for own in drawn.negatives] == [["random"] * 3 + ["counterfactual"] * 4] * 100


def test_lengths_that_no_record_has_are_refused():
    with pytest.raises(InputError, match="no record came out so long"):
        load_data("records-unanswerable", limit=1, min_words=1000, max_words=1100)
