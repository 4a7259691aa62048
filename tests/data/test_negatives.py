"""Negatives: never the source, never twice, of the right kind, independent of order; shortage is an error."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.counterfactuals import counterfactuals
from infoagent.data.negatives import Counts, draw_negatives
from infoagent.data.registry import load_data
from infoagent.types import InputError, Negative, Problem

PASSAGES = load_data("python-reference", split="train").problems
RECORDS = load_data("records", split="train", limit=60, min_words=80, max_words=120).problems


@given(st.integers(0, 1000), st.integers(0, 4), st.integers(0, 3), st.integers(0, 4))
@settings(deadline=None, max_examples=25)
def test_kinds_and_counts_are_as_asked(seed, random, topic, counterfactual):
    if random + topic + counterfactual == 0:
        return
    pool = [p for p in RECORDS if sum(q.group == p.group for q in RECORDS) >= 4]
    groups = {p.document: p.group for p in pool}
    for problem, drawn in zip(pool, draw_negatives(pool, Counts(random, topic, 0, counterfactual), seed), strict=True):
        assert [n.kind for n in drawn] == ["random"] * random + ["topic"] * topic + ["counterfactual"] * counterfactual
        documents = [n.document for n in drawn]
        assert problem.document not in documents
        assert len(set(documents)) == len(documents)
        assert all(groups[n.document] == problem.group for n in drawn if n.kind == "topic")
        assert {n.document for n in drawn if n.kind == "counterfactual"} <= {
            n.document for n in counterfactuals(problem)
        }


def test_siblings_come_from_the_same_page():
    page_of = {p.document: p.part_of for p in PASSAGES}
    pool = [p for p in PASSAGES if sum(q.part_of == p.part_of for q in PASSAGES) >= 3]
    for problem, drawn in zip(pool, draw_negatives(pool, Counts(sibling=2), 0), strict=True):
        assert all(n.kind == "sibling" and page_of[n.document] == problem.part_of for n in drawn)


def test_a_problem_draws_the_same_whatever_its_place():
    counts = Counts(random=4, counterfactual=2)
    forward = dict(zip([p.id for p in RECORDS], draw_negatives(RECORDS, counts, 7), strict=True))
    first_documents = {n.document for n in forward[RECORDS[0].id]}
    assert first_documents == {n.document for n in draw_negatives(RECORDS, counts, 7)[0]}
    assert first_documents != {n.document for n in draw_negatives(RECORDS, counts, 8)[0]}


def test_a_duplicate_of_the_source_is_no_negative():
    twins = [Problem(str(i), text, "?", str(i)) for i, text in enumerate(["same", "same", "other", "third"])]
    drawn = draw_negatives(twins, Counts(random=2), 0)
    assert all({n.document for n in negatives} == {"other", "third"} for negatives in drawn[:2])


def test_shortage_names_the_problem_and_the_number():
    alone = [Problem("only", "text", "?", "d")]
    with pytest.raises(
        InputError, match=r"negatives.random = 2: problem 'only' has only 0; lower negatives.random to 0"
    ):
        draw_negatives(alone, Counts(random=2), 0)
    with pytest.raises(InputError, match=r"negatives.sibling = 1"):
        draw_negatives(RECORDS, Counts(sibling=1), 0)


def test_counterfactuals_of_a_plain_problem_swap_every_mention():
    problem = Problem("p", "Rome is old. In Rome it rains.", "?", "d", answer="Rome", choices=("Rome", "Oslo"),
                      negatives=(Negative("counterfactual", "Rome is old. In Rome it rains."),))  # fmt: skip
    assert [n.document for n in counterfactuals(problem)] == ["Oslo is old. In Oslo it rains."]
    assert [n.changed for n in counterfactuals(problem)] == ["Rome → Oslo"]
