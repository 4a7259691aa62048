"""Counterfactuals of what is absent or two-sided in any text: what they state and lack is looked up."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.counterfactual.documents import Lexicon, counterfactuals
from infoagent.data.counterfactual.stating import asked_kind
from infoagent.data.negative_kinds import Counts
from infoagent.data.negatives import find_negatives
from infoagent.data.registry import load_data
from infoagent.types import InputError, Problem

TEXT = "The library opened in spring. Anna Weber ran it for years. It holds many maps. Nobody counts the visitors."
ONE, TWO = "The hall seats 300 people.", "A sign says that the hall seats 420 people."
HALL = f"The town built a hall. {ONE} It has a stage of oak. {TWO} The roof is new."


def made(problem, number=4, seed=0):
    return list(counterfactuals(problem, Lexicon.from_problems([problem]), np.random.default_rng(seed), number))


@pytest.mark.parametrize(
    ("query", "kind"),
    [("Who founded it?", "person"), ("When was it closed?", "date"), ("In which year was it closed?", "year"),
     ("How many visitors come?", "number"), ("Where was it built?", "place"), ("How much did it cost?", "money"),
     ("What percentage of the maps is old?", "percentage"), ("Why was it closed?", None), ("¿Quién la fundó?", None)],
)  # fmt: skip
def test_versions_of_an_unanswerable_question_state_a_value_and_change_nothing_else(query, kind):
    problem = Problem("p", TEXT, query, "p", unanswerable=True)
    assert (asked_kind(query) or (None,))[0] == kind
    found = made(problem)
    assert len(found) == (4 if kind else 0)
    assert len({n.document for n in found}) == len(found)
    for negative in found:
        [change] = negative.changes
        added = f"{query} {change.new}."
        assert change.kind == kind
        assert change.new not in TEXT
        assert negative.document.count(added) == 1
        assert negative.document.replace(added, "").split() == TEXT.split()


def test_a_contradiction_gets_the_versions_of_one_side_first_and_then_edits_of_a_side():
    problem = Problem("p", HALL, "How many people does the hall seat?", "p", sides=(ONE, TWO))
    assert [n.document for n in counterfactuals(problem)] == [
        f"The town built a hall. {ONE} It has a stage of oak. The roof is new.",
        f"The town built a hall. It has a stage of oak. {TWO} The roof is new.",
    ]
    found = made(problem, 6)
    assert len(found) == 6
    for negative in found:
        assert (
            not ("300" in negative.document and "420" in negative.document)
            or ONE not in negative.document
            or (TWO not in negative.document)
        )
        assert "a stage of oak" in negative.document


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=12), min_size=2, max_size=4, unique=True))
@settings(max_examples=60, deadline=None)
def test_any_text_may_hold_sides(pieces):
    document = " ".join(pieces)
    problem = Problem("p", document, "Which?", "p", sides=(pieces[0], pieces[-1]))
    for negative in counterfactuals(problem):
        assert negative.document != document
        assert len(negative.document) < len(document)


def test_what_has_no_such_document_is_left_out_with_its_cause():
    problems = [Problem("a", TEXT, "Why was it closed?", "a", unanswerable=True),
                Problem("b", HALL, "Who paid for it?", "b", unanswerable=True)]  # fmt: skip
    drawn = find_negatives(problems, Counts(counterfactual=4, missing="leave_out"), 0, True)
    assert [p.id for p in drawn.problems] == ["b"]
    assert drawn.left_out == {"fewer than 4 counterfactual documents": 1}


def rows(tmp_path, *more):
    path = tmp_path / "own.jsonl"
    base = {"document": HALL, "query": "How many people does the hall seat?"}
    path.write_text("".join(json.dumps({"id": str(i), **base, **row}) + "\n" for i, row in enumerate(more)))
    return load_data("jsonl", path=str(path), split="all")


def test_own_rows_name_them(tmp_path):
    absent, both, plain = rows(tmp_path, {"unanswerable": True}, {"sides": [ONE, TWO]}, {"unanswerable": False}).problems
    assert (absent.unanswerable, both.sides, plain.unanswerable, plain.sides) == (True, (ONE, TWO), False, ())


def test_every_mistake_is_a_line(tmp_path):
    with pytest.raises(InputError) as error:
        rows(tmp_path, {"unanswerable": "no"}, {"unanswerable": True, "answer": "300"}, {"sides": [ONE]}, {"sides": [ONE, "x y"]})
    text = error.value.problems
    assert len(text) == 4
    for line, said in zip(
        text, ("true, false or absent", "drop one", "at least two", "does not stand in the document"), strict=True
    ):
        assert said in line


BLOCKS = st.sampled_from(["- black tea", "| a | b |\n|---|---|", "It rained. All left.", "# Shop", "    x = 1", "Nobody came"])


@given(st.lists(BLOCKS, min_size=1, max_size=5), st.sampled_from(["\n", "\n\n"]), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_a_stated_value_leaves_the_lines_around_it_as_they_are(blocks, gap, seed):
    document = gap.join(blocks)
    lines = document.splitlines()
    problem = Problem("p", document, "When was the shop founded?", "p", unanswerable=True)
    for negative in made(problem, 2, seed):
        added = f"When was the shop founded? {negative.changes[0].new}."
        left = [line.removesuffix(added).rstrip() for line in negative.document.splitlines()]
        assert [line for line in left if line] == [line for line in lines if line] or added + " " in negative.document
        assert all(line in negative.document for line in lines if line.startswith(("-", "|", "#", " ")))


def test_a_stated_date_is_of_many_years_near_those_of_the_text():
    problem = Problem("p", f"{TEXT} It burnt down in 1871.", "When was it rebuilt?", "p", unanswerable=True)
    years = {int(n.changes[0].new[-4:]) for n in made(problem, 12)}
    assert len(years) > 4
    assert all(abs(year - 1871) <= 15 for year in years)


def test_of_a_side_no_mention_is_left():
    document = f"{TWO} {HALL} {TWO}"
    first, second = counterfactuals(Problem("p", document, "How many?", "p", sides=(ONE, TWO)))
    assert (TWO in first.document, ONE in first.document) == (False, True)
    assert [c.mentions for c in first.changes] == [3]
    assert second.document.count(TWO) == 3


def test_sides_inside_one_another_are_a_mistake(tmp_path):
    with pytest.raises(InputError, match="'300 people' is a part of"):
        rows(tmp_path, {"sides": ["300 people", ONE]})
