"""Negatives: never the source, never twice, of the right kind, independent of order; shortage is an error."""

import sys
from dataclasses import replace

import pytest
from drawn import draw_negatives
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.counterfactual import spans
from infoagent.data.counterfactual.documents import counterfactuals
from infoagent.data.identity import text_identity
from infoagent.data.negatives import Counts, find_negatives, take_negatives
from infoagent.data.registry import load_data
from infoagent.grading import notation
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
        assert {n.document for n in drawn if n.kind == "counterfactual"} <= {n.document for n in counterfactuals(problem)}


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
    with pytest.raises(InputError, match=r"negatives.random = 2: problem 'only' has only 0; lower negatives.random to 0"):
        draw_negatives(alone, Counts(random=2), 0)
    with pytest.raises(InputError, match=r"negatives.sibling = 1"):
        draw_negatives(RECORDS, Counts(sibling=1), 0)


def test_counterfactuals_of_a_plain_problem_swap_every_mention():
    problem = Problem(
        "p",
        "Rome is old. In Rome it rains.",
        "?",
        "d",
        answer="Rome",
        choices=("Rome", "Oslo"),
        negatives=(Negative("counterfactual", "Rome is old. In Rome it rains."),),
    )
    assert [n.document for n in counterfactuals(problem)] == ["Oslo is old. In Oslo it rains."]
    assert [n.changed for n in counterfactuals(problem)] == ["Rome → Oslo"]


TWINS = ["The cat sat.", "The  cat\nsat.", "the cat sat. ", "A caf\u00e9.", "A cafe\u0301.", "A third text.", "A fourth text."]


@given(st.permutations(TWINS), st.integers(0, 50))
@settings(deadline=None, max_examples=40)
def test_no_twin_stands_beside_its_source_or_beside_its_twin(texts, seed):
    problems = [Problem(str(i), text, "?", str(i), group="g", part_of="w") for i, text in enumerate(texts)]
    for counts in (Counts(random=3), Counts(random=1, topic=1, sibling=1)):
        for problem, drawn in zip(problems, draw_negatives(problems, counts, seed), strict=True):
            names = [text_identity(problem.document), *(text_identity(n.document) for n in drawn)]
            assert len(set(names)) == 4


def test_an_edit_that_changes_white_space_or_case_alone_is_no_counterfactual():
    given_ = [Negative("counterfactual", text) for text in ("plain  text", "PLAIN TEXT", "other text", "other\ntext")]
    problem = Problem("p", "plain text", "?", "d", negatives=tuple(given_))
    drawn = find_negatives([problem], Counts(counterfactual=4, missing="fewer"), 0).negatives[0]
    assert [n.document for n in drawn] == ["other text"]


def mixed():
    """Seven texts with two versions each, three without any; two topics, one of a single document."""
    problems = [
        Problem(f"p{i}", f"{name} lives here.", "Who?", f"d{i}", group="big" if i < 9 else "small")
        for i, name in enumerate("abcdefghij")
    ]
    versions = [Negative("counterfactual", text) for text in ("Nobody lives here.", "Somebody lives here.")]
    return [replace(p, negatives=tuple(versions)) if i % 10 not in (2, 5, 9) else p for i, p in enumerate(problems)]


def test_what_is_missing_is_left_out_and_counted_and_moves_no_other_draw():
    problems, counts = mixed(), Counts(random=3, counterfactual=2, missing="leave_out")
    found = take_negatives(problems, counts, 3)
    assert [p.id for p in found.problems] == ["p0", "p1", "p3", "p4", "p6", "p7", "p8"]
    assert found.left_out == {"fewer than 2 counterfactual documents": 3}
    assert found.lines == ["left out, fewer than 2 counterfactual documents: 3 of 10 problems"]
    fewer = find_negatives(problems, replace(counts, missing="fewer"), 3)
    assert [fewer.negatives[i] for i in found.places] == found.negatives
    assert fewer.short == {"fewer than 2 counterfactual documents": 3}
    assert [len(n) for n in fewer.negatives] == [5, 5, 3, 5, 5, 3, 5, 5, 5, 3]
    stated = {n.document for drawn in find_negatives(problems, replace(counts, random=9 - 2), 3).negatives for n in drawn}
    assert problems[2].document in stated, "a problem that is left out stays a candidate"


@given(st.integers(0, 100), st.integers(0, 2), st.integers(0, 3))
@settings(deadline=None, max_examples=30)
def test_padding_keeps_the_number_of_candidates(seed, random, topic):
    problems, counts = mixed(), Counts(random=random, topic=topic, counterfactual=2, missing="fill")
    found = take_negatives(problems, counts, seed)
    assert len(found.problems) == 10
    for problem, drawn in zip(found.problems, found.negatives, strict=True):
        names = {text_identity(n.document) for n in drawn}
        assert len(names) == counts.total
        assert text_identity(problem.document) not in names
    assert sum(found.short.values()) == 3
    whole = dict(
        zip([p.id for p in problems], find_negatives(problems, replace(counts, missing="fewer"), seed).negatives, strict=True)
    )
    for problem, drawn in zip(found.problems, found.negatives, strict=True):
        assert set(whole[problem.id]) <= set(drawn), "what there is stays"


def test_padding_is_named_and_a_set_that_cannot_be_padded_leaves_out():
    found = find_negatives(mixed(), Counts(counterfactual=2, missing="fill"), 0)
    assert found.short == {
        "fewer than 2 counterfactual documents, padded with topic": 2,
        "fewer than 2 counterfactual documents, padded with random": 1,
    }
    pair = [Problem(str(i), f"text {i}", "?", str(i)) for i in range(2)]
    found = find_negatives(pair, Counts(random=2, missing="fill"), 0)
    assert (found.problems, found.left_out) == ([], {"fewer than 2 negatives of any kind": 2})


def test_a_refusal_counts_all_problems_of_every_kind():
    with pytest.raises(InputError) as caught:
        draw_negatives(mixed(), Counts(topic=1, counterfactual=3), 0)
    topic, facts = caught.value.problems
    assert "problem 'p9' has only 0; lower negatives.topic to 0" in topic
    assert "10 of 10 problems have fewer (3 with 0, 7 with 2: 'p0', 'p1', 'p2', …)" in facts
    with pytest.raises(InputError, match=r"counterfactual = 3: no problem has so many .*: 10 of 10"):
        take_negatives(mixed(), Counts(counterfactual=3, missing="leave_out"), 0)


def test_a_text_of_two_topics_is_a_negative_in_both():
    texts = [("a", "one"), ("a", "two"), ("b", "one"), ("c", "two")]
    problems = [Problem(str(i), text, "?", text, group=group) for i, (text, group) in enumerate(texts)]
    drawn = draw_negatives(problems, Counts(topic=1), 0)
    assert [n.document for (n,) in drawn] == ["b", "c", "a", "a"]


def counted(problems):
    """(calls of Python functions, characters in which spans were looked for) of a draw."""
    calls, read = 0, 0

    def count(frame, event, _):
        nonlocal calls, read
        calls += event == "call"
        if event == "call" and frame.f_code is spans._typed_spans.__wrapped__.__code__:
            read += len(frame.f_locals["document"])

    for kept in (spans._typed_spans, notation._dates, notation._quantities):
        kept.cache_clear()  # what an earlier draw has read counts again
    sys.setprofile(count)
    try:
        find_negatives(problems, Counts(random=2, counterfactual=3, missing="leave_out"), 0, quiet=True)
    finally:
        sys.setprofile(None)
    return calls, read


def test_work_is_linear_in_problems_and_in_the_length_of_documents():
    def asked(documents, questions, length):
        bare = [replace(p, negatives=(), choices=()) for p in RECORDS[:documents]]
        filler = " ".join(p.document for p in RECORDS[-4:])
        whole = [replace(p, document=f"{p.document} {' '.join([filler] * length)}") for p in bare]
        return [replace(p, id=f"{p.id}-{i}") for i in range(questions) for p in whole]

    counted(asked(8, 1, 1))  # word lists are read at first use
    one, read_one = counted(asked(8, 1, 1))
    more_questions, read_again = counted(asked(8, 4, 1))
    # the same records under other headings: others would have more, or less, that looks like their answer
    copies = [
        replace(p, id=f"{p.id}-{i}", document=f"Copy {'abcd'[i]}. {p.document}", document_id=f"{p.id}-{i}")
        for i in range(4)
        for p in asked(8, 1, 1)
    ]
    more_documents, _ = counted(copies)
    longer, _ = counted(asked(8, 1, 4))
    text = sum(len(p.document) for p in asked(8, 1, 1))
    # once for the lexicon, once for the edits; questions on one document read it no more, whatever their order
    assert read_one <= read_again <= 2.2 * text
    # four times the work, and what documents differ in; in pairs it would be sixteen times
    assert more_questions <= 4.4 * one
    assert more_documents <= 5.5 * one
    assert longer <= 4.4 * one
