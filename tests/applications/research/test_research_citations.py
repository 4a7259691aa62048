"""Which sentence cites what, whether the source says it, and what a plan's lines are."""

import pytest

from infoagent.applications.research.citations import cited_sentences, supported
from infoagent.applications.research.prompts import queries_of

SOURCES = {
    1: "Patient record P-1. This concerns Vera Rossi (surgery). The heart rate of Vera Rossi was 88 bpm at rest.",
    2: "Company file C-2. Alder Foods has 1,200 employees and sells tea in Porto.",
}


def marks(report, shown=(1, 2, 3)):
    return [(s.text, s.numbers) for s in cited_sentences(report, shown)]


def test_marks_belong_to_their_sentence():
    assert marks("She was calm [1]. He slept well. [2] The end [1, 3]. Nothing.") == [
        ("She was calm .", (1,)),
        ("He slept well .", (2,)),
        ("The end .", (1, 3)),
        ("Nothing.", ()),
    ]
    assert marks("[2] Vera slept.\n- Ann ate [1-3]\n\n[3]\n***") == [("Vera slept.", (2,)), ("- Ann ate", (1, 2, 3))]
    assert marks("Twice [1][1] and [2].") == [("Twice and .", (1, 2))]
    assert marks("A year [2019] is no mark, nor [a] or [].") == [("A year [2019] is no mark, nor [a] or [].", ())]


def test_numbers_that_name_no_source_are_counted():
    [one, two] = cited_sentences("It rained [1, 7]. It snowed [9].", (1, 2))
    assert (one.valid, one.invalid) == ((1,), 1)
    assert (two.valid, two.invalid) == ((), 1)


@pytest.mark.parametrize(
    ("report", "says"),
    [
        ("The heart rate of Vera Rossi was 88 bpm [1].", True),
        ("Vera Rossi had a heart rate of 88 bpm [1].", True),
        ("The heart rate of Vera Rossi was 89 bpm [1].", False),  # another number
        ("The heart rate of Vera Berg was 88 bpm [1].", False),  # another name
        ("The heart rate of Vera Rossi was 88 bpm [2].", False),  # another source
        ("The heart rate of Vera Rossi was 88 bpm [2, 1].", True),
        ("The heart rate of Vera Rossi was 88 bpm [4].", False),  # no source
        ("Alder Foods has 1200 employees [2].", True),  # thousands as in the source
        ("Magnificent weather encouraged travellers everywhere [2].", False),  # other words
    ],
)
def test_whether_the_source_says_it(report, says):
    [sentence] = cited_sentences(report, SOURCES)
    assert supported(sentence, SOURCES) is says


def test_the_lines_of_a_plan():
    reply = '1. "heart rate of Vera"\n\n- pulse of Ann\n3) Heart rate of Vera\n***\nQuery 4: weight\n5th street\n3.5 million'
    assert queries_of(reply, 9) == ["heart rate of Vera", "pulse of Ann", "weight", "5th street", "3.5 million"]
    assert queries_of(reply, 2) == ["heart rate of Vera", "pulse of Ann"]
    assert queries_of(" \n-\n", 3) == []
