"""Generated records: every fact stands where it should, and counterfactuals change that fact alone."""

import difflib

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.counterfactual.documents import counterfactuals
from infoagent.data.sets import record_templates, records
from infoagent.grading import states_fact
from infoagent.types import InputError


@given(st.integers(0, 2**31), st.sampled_from(["train", "validation", "test"]), st.integers(0, 500))
@settings(deadline=None, max_examples=150)
def test_a_problem_is_consistent(seed, split, index):
    problem = records.make_problem(seed, split, index, 80, 400)
    assert 80 <= len(problem.document.split()) <= 400
    assert problem.document.count(problem.answer) == 1
    assert problem.answer in problem.choices
    assert len(set(problem.choices)) == len(problem.choices) == 4
    assert len(problem.negatives) >= 4
    for negative in problem.negatives:
        old, new = negative.changed.split(" → ")
        assert old == problem.answer
        # exact: putting the old fact back gives the document, up to the case of a sentence's first letter
        assert negative.document.casefold().replace(new.casefold(), old.casefold()) == problem.document.casefold()
        assert not states_fact(negative.document, problem.answer)


def test_counterfactuals_differ_in_one_place():
    for problem in records.load("test", 40, 0, 80, 120).problems:
        for negative in counterfactuals(problem):
            matcher = difflib.SequenceMatcher(None, problem.document.split(), negative.document.split(), autojunk=False)
            changed = [op for op in matcher.get_opcodes() if op[0] != "equal"]
            first, last = changed[0], changed[-1]
            assert last[2] - first[1] <= 5, negative.changed


def test_no_record_is_in_two_splits_and_the_draw_is_stable():
    splits = {name: records.load(name, 300, 0, 80, 120) for name in records.SPLITS}
    documents = [p.document for s in splits.values() for p in s.problems]
    assert len(set(documents)) == len(documents)
    assert records.load("test", 10, 0, 80, 120).problems == splits["test"].problems[:10]
    assert records.load("test", 10, 1, 80, 120).problems != splits["test"].problems[:10]


@pytest.mark.parametrize(("low", "high"), [(80, 85), (30, 40), (200, 220)])
def test_word_limits_are_kept(low, high):
    words = [len(p.document.split()) for p in records.load("train", 100, 0, low, high).problems]
    assert all(low <= w <= high for w in words)


def test_lengths_that_no_record_has_are_refused():
    with pytest.raises(InputError, match="no record came out so long"):
        records.load("test", 1, 0, 1000, 1100)


@given(st.integers(1, 25), st.integers(0, 10), st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_short_lengths_are_kept_or_refused_in_a_line(low, extra, seed):
    try:
        problem, refusal = records.make_problem(seed, "test", 0, low, low + extra), ""
    except InputError as error:
        problem, refusal = None, str(error)
    if problem is None:
        assert f"data.min_words = {low}, data.max_words = {low + extra}: no record" in refusal
    else:
        assert low <= len(problem.document.split()) <= low + extra
        assert problem.answer in problem.document


def test_lengths_cover_the_whole_range():
    words = [len(p.document.split()) for p in records.load("train", 300, 0, None, None).problems]
    assert min(words) < 100
    assert max(words) > 380


def test_kinds_styles_and_groups_are_all_drawn():
    problems = records.load("train", 300, 0, 80, 120).problems
    assert {p.group for p in problems} == {f"{k.name}: {g}" for k in record_templates.KINDS for g in k.groups}
    assert {True, False} == {"Dear colleague" in p.document for p in problems}


@pytest.mark.parametrize("kind", record_templates.KINDS, ids=lambda k: k.name)
def test_sentences_and_questions_have_their_places(kind):
    keys = [fact.key for fact in kind.facts]
    assert len(set(keys)) == len(keys)
    for fact in kind.facts:
        assert all("{value}" in sentence for sentence in fact.sentences)
        assert all("{" not in question for question in fact.questions)
