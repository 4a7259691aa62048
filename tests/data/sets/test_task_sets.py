"""The generated task sets: answers worked out again from the text alone, exact counterfactuals, nothing shared by splits."""

import difflib
import re

import pytest
from drawn import draw_negatives

from infoagent.data.negatives import Counts
from infoagent.data.registry import load_data
from infoagent.data.sets import continuations, python_functions, python_reference
from infoagent.grading import code_grade, states_fact
from infoagent.types import InputError

NUMBERS = r"(?P<n>\d+)", r"(?P<r>\d+)"
STATED = [
    form.replace("N", NUMBERS[0]).replace("R", NUMBERS[1])
    for form in (
        r"Of (?P<thing>\w+) N crates came in, at R euros",
        r"N crates of (?P<thing>\w+) were unloaded; one crate costs R",
        r"On (?P<thing>the \w+ route) there are N trips a week with R",
        r"N trips a week go along (?P<thing>the \w+ route), and every one has R",
        r"N (?P<thing>\w+) are on order, and each takes R",
        r"A customer wants N (?P<thing>\w+); R hours",
    )
]


def solved(document, question):
    """The answer by reading: numbers from the statements, the operation from the question's words."""
    known = {m["thing"]: (int(m["n"]), int(m["r"])) for form in STATED for m in re.finditer(form, document)}
    named = sorted((t for t in known if re.search(rf"\b{t}\b", question)), key=question.index)
    if "more" in question:
        return known[named[0]][0] - known[named[1]][0]
    if "together" in question and len(named) == 2:
        return known[named[0]][0] + known[named[1]][0]
    [thing] = named
    return known[thing][0] * known[thing][1]


def test_word_problems_have_the_answer_that_reading_gives():
    data = load_data("word-problems", limit=200)
    assert len({("more" in p.query, " and " in p.query) for p in data.problems}) == 3
    for p in data.problems:
        assert int(p.answer) == solved(p.document, p.query), p
        assert p.answer in p.choices
        assert p.answer not in re.findall(r"\d+", p.document)
        assert len(set(p.choices)) == 4
        for n in p.negatives:
            assert solved(n.document, p.query) not in (int(p.answer), 0)
        told = [str(solved(n.document, p.query)) for n in p.negatives]
        assert set(p.choices) - {p.answer} <= set(told)


def changed_words(one, other):
    blocks = difflib.SequenceMatcher(None, one.split(), other.split(), autojunk=False).get_opcodes()
    return [b for b in blocks if b[0] != "equal"]


@pytest.mark.parametrize("name", ["word-problems", "python-functions"])
def test_counterfactuals_are_exact_and_change_a_needed_fact(name):
    for p in load_data(name, limit=40).problems:
        assert len(p.negatives) >= 6
        assert len({n.document for n in p.negatives} | {p.document}) == len(p.negatives) + 1
        for n in p.negatives:
            [change] = n.changes
            assert change.old in p.needs
            assert not states_fact(n.document, change.old)
            assert n.document.replace(change.new, change.old) == p.document or len(changed_words(p.document, n.document)) <= 2
        assert all(states_fact(p.document, fact) for fact in p.needs)
        assert p.evidence
        assert all(piece in p.document for piece in p.evidence)


@pytest.mark.parametrize("name", ["word-problems", "python-functions"])
def test_fewer_are_a_prefix_splits_share_nothing_and_limits_hold(name):
    many, few = load_data(name, limit=30), load_data(name, limit=7)
    assert few.problems == many.problems[:7]
    parts = [{p.document for p in load_data(name, split=s, limit=30).problems} for s in ("train", "validation", "test")]
    assert len(set.union(*parts)) == 90
    sized = load_data(name, limit=12, min_words=75, max_words=90)
    assert {75 <= len(p.document.split()) <= 90 for p in sized.problems} == {True}
    assert load_data(name, limit=3, seed=1).problems != few.problems[:3]
    with pytest.raises(InputError, match="no document of"):
        load_data(name, limit=1, min_words=900, max_words=901)


def run(code, call):
    scope = {}
    exec(code, scope)
    return eval(call, scope)


def test_every_function_passes_its_tests_and_no_other_setting_does():
    """Each function of the set, at many settings: code and formula are written twice and must agree, and each changed
    parameter must be seen by the tests."""
    seen = set()
    for p in load_data("python-functions", limit=120).problems:
        seen.add(p.group)
        run(p.answer + "\n" + p.trial.tests, "None")
        others = [c for c in p.choices if c != p.answer]
        assert len(others) == 3
        for other in others:
            with pytest.raises(AssertionError):
                run(other + "\n" + p.trial.tests, "None")
    assert seen == {f.name for f in python_functions.FUNCTIONS}


def test_a_description_by_hand_gives_the_reference():
    """Two functions worked out from the sentences of the document, as a reader would."""
    done = set()
    for p in load_data("python-functions", limit=120).problems:
        if m := re.search(
            r"Up to (\d+) kilograms the fee is (\d+) euros. Each kilogram above that adds (\d+)", "\n".join(p.evidence)
        ):
            limit, base, extra = map(int, m.groups())
            assert [run(p.answer, f"parcel_fee({w})") for w in (1, limit, limit + 3)] == [base, base, base + 3 * extra]
            done.add("fee")
        if m := re.search(r"For every (\d+) full hours it is (\d+) minutes, but never more than (\d+)", "\n".join(p.evidence)):
            every, minutes, most = map(int, m.groups())
            expected = [0, min(most, minutes), min(most, 2 * minutes), most]
            assert [run(p.answer, f"rest_minutes({h})") for h in (every - 1, every, 2 * every, 10**4)] == expected
            done.add("rest")
    assert done == {"fee", "rest"}


def test_one_function_through_the_sandbox():
    [p] = load_data("python-functions", limit=1).problems
    assert code_grade(f"```python\n{p.answer}\n```", p.trial).detail == "passed"
    assert code_grade(next(c for c in p.choices if c != p.answer), p.trial).detail.startswith("wrong")


def test_continuations_follow_their_document_in_the_text():
    found, _ = python_reference.passages("test", 105, 260)
    texts = {p.id: " ".join(p.text.split()) for p in found}
    data = load_data("continuations")
    assert len(data.problems) > 20
    low, high = continuations.WORDS
    for p in data.problems:
        whole = texts[p.id]
        assert whole == " ".join(p.document.split()) + " " + p.answer or (
            whole.startswith(" ".join(p.document.split())[:-2]) and whole.endswith(p.answer[-40:])
        )
        assert low <= len(p.document.split()) <= high
        assert 15 <= len(p.answer.split()) <= 60
        assert (p.facts, p.choices) == ((), ())
    groups = [{p.group for p in load_data("continuations", split=s).problems} for s in ("train", "validation", "test")]
    assert not groups[0] & groups[1]
    assert not groups[2] & (groups[0] | groups[1])


def test_all_of_them_give_negatives():
    for name, counts in (
        ("word-problems", Counts(3, 0, 0, 4)),
        ("python-functions", Counts(3, 0, 0, 4)),
        ("continuations", Counts(3, 0, 0, 3)),
    ):
        problems = load_data(name, limit=20).problems
        assert {len(n) for n in draw_negatives(problems, counts, 0)} == {counts.total}
