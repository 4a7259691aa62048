"""Typed spans of hand-made sentences, one for every kind; spans never overlap and are where they say."""

import subprocess
import sys
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.counterfactual.amounts import amount_value, in_words, ordinal_text
from infoagent.data.counterfactual.documents import is_weak
from infoagent.data.counterfactual.spans import KINDS, typed_spans
from infoagent.data.sets.records import load
from infoagent.grading.number_words import word_value

SENTENCES = [
    ("It cost $3.5 million and later 1,200 euros.", {"$3.5 million": "money", "1,200 euros": "money"}),
    ("Prices rose by 12 % and then five percent.", {"12 %": "percentage", "five percent": "percentage"}),
    ("It was played on February 7, 2016, again on 8 May 2021.", {"February 7, 2016": "date", "8 May 2021": "date"}),
    ("Built in the 1990s, listed 2016-02-07, rebuilt in May 2016.",
     {"1990s": "date", "2016-02-07": "date", "May 2016": "date"}),
    ("A chapel of the 12th century fell in 1348 and in 476 AD.",
     {"12th century": "date", "1348": "year", "476 AD": "year"}),
    ("Doors open at 7:30 pm, lunch is at noon.", {"7:30 pm": "time", "noon": "time"}),
    ("He took 5 mg, ran 12.5 km and waited three years.",
     {"5 mg": "quantity", "12.5 km": "quantity", "three years": "quantity"}),
    ("Blood pressure was 124/82 mmHg.", {"124/82 mmHg": "quantity"}),
    ("She came third, he came 42nd.", {"third": "ordinal", "42nd": "ordinal"}),
    ("They sold 1,200 books in twenty-five shops.", {"1,200": "number", "twenty-five": "number"}),
    ("In the twenty-first century its one hundred twenty-second edition sold out.", {}),
    ("The engineer Thomas Tesla met Dr. Weber there.", {"Thomas Tesla": "person", "Dr. Weber": "person"}),
    ("She moved from Germany to Santa Clara, California.",
     {"Germany": "place", "Santa Clara": "place", "California": "place"}),
    ("They sailed down the Hudson River to Lake Erie.", {"Hudson River": "place", "Lake Erie": "place"}),
    ("A German ship met the Swedes.", {"German": "demonym", "Swedes": "demonym"}),
    ("He left the University of Aberdeen for the Ohio Company.",
     {"University of Aberdeen": "organisation", "Ohio Company": "organisation"}),
    ("In the end the Denver Broncos won.", {"Denver Broncos": "name"}),
    ("Doctors gave warfarin, later ramipril.", {"warfarin": "drug", "ramipril": "drug"}),
    ("Call os.path and MAX_SIZE or TypeError.", {"os.path": "code", "MAX_SIZE": "code", "TypeError": "code"}),
    ("It was not built; nobody can't see it.", {"was not": "negation", "can't": "negation"}),
    ("The price is higher than before.", {"higher": "comparative", "before": "comparative"}),
]  # fmt: skip


@pytest.mark.parametrize(("sentence", "expected"), SENTENCES, ids=lambda v: v[:20] if isinstance(v, str) else "")
def test_each_kind_is_found(sentence, expected):
    found = {span.text: span.kind for span in typed_spans(sentence)}
    assert expected.items() <= found.items()


def test_every_kind_has_a_sentence():
    assert {kind for _, expected in SENTENCES for kind in expected.values()} == set(KINDS)


def test_what_is_no_fact_is_no_span():
    plain = "However, one of them knows the University. Although nobody asked, the first time was fine."
    assert {s.text for s in typed_spans(plain)} <= {"first", "was"}


def test_a_word_at_a_sentence_start_is_a_name_only_if_the_text_says_so():
    assert [s.text for s in typed_spans("Nobody came. Thunder rolled over us.")] == []
    assert [s.text for s in typed_spans("He saw Thorsby. Thorsby rolled over.")] == ["Thorsby", "Thorsby"]


def test_a_family_name_alone_is_a_person_where_the_whole_name_stands():
    kinds = {s.text: s.kind for s in typed_spans("We met Thomas Tesla. Later on we saw Tesla again.")}
    assert kinds == {"Thomas Tesla": "person", "Tesla": "person"}


pieces = st.sampled_from(
    [w for sentence, _ in SENTENCES for w in sentence.split()] + ["of", "the", "\n", "—", "é", "()", "1,2,3", "$", "I."]
)


@given(st.one_of(st.lists(pieces, max_size=40).map(" ".join), st.text(max_size=80)))
@settings(deadline=None, max_examples=200)
def test_spans_are_where_they_say_and_never_overlap(text):
    spans = typed_spans(text)
    assert all(s.text == text[s.start : s.end] and s.text and s.kind in KINDS for s in spans)
    assert all(one.end <= two.start for one, two in pairwise(spans))
    assert spans == typed_spans(text)


def test_the_computed_facts_of_records_are_found_as_such():
    for problem in load("test", 60, 0, 80, 150).problems:
        if any(c.isdigit() for c in problem.answer):
            start = problem.document.find(problem.answer)
            end = start + len(problem.answer)
            assert any(start <= s.start and s.end <= end for s in typed_spans(problem.document)), problem.answer


@given(st.integers(0, 999_999))
@settings(deadline=None)
def test_number_words_are_read_back(value):
    assert word_value(in_words(value)) == value


def test_known_amounts():
    assert amount_value("two hundred and fifty") == 250
    assert amount_value("$3.5 million") == 3_500_000
    assert amount_value("1,200.5 km") == 1200.5
    assert amount_value("none") is None
    assert [ordinal_text(n) for n in (1, 2, 3, 4, 11, 12, 13, 21, 112)] == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "13th",
        "21st",
        "112th",
    ]


def test_the_name_lists_are_read_at_first_use_only():
    code = "import sys, infoagent.data.counterfactual.documents; print('faker' in sys.modules)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.strip() == "False"


def test_an_identifier_behind_a_capitalised_word_stays_whole():
    found = [(s.kind, s.text) for s in typed_spans("Order ORD-1217 for Boeing Co went to Kiruna on a B-52.")]
    assert found == [("code", "ORD-1217"), ("organisation", "Boeing Co"), ("name", "Kiruna"), ("code", "B-52")]


@pytest.mark.parametrize("speaker", ["User", "Assistant", "System", "Tool"])
def test_what_a_speaker_begins_with_is_a_sentence_start(speaker):
    document = f"The ship sails on 3 May.\n{speaker}: Noted. It carries rice.\n\n{speaker}: Berlin is far."
    assert [s.text for s in typed_spans(document) if not is_weak(s)] == ["3 May", "Berlin"]
    assert [s.text for s in typed_spans(f"Ask the {speaker}: Karsten knows.") if s.text == "Karsten"] == ["Karsten"]
