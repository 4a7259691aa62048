"""Good blanks: the rules against questions labelled by hand, and the questions made of real kinds of text against the rules."""

import pytest

from infoagent.data.blanks import blanks_of
from infoagent.data.cloze import Passage, make_questions
from infoagent.measurement.blank_quality import flaws, summarise
from infoagent.types import Problem

STORY = """"Well, I'm not so sure," said Ada Linden, and she looked at Mr. Brandt. "We should go home," he said.
They had left Lisbon on 8 May 1921 at 10:45, with 340 crates and 12 dogs. "No!" cried Olga. "It's Monday," said Ada's
brother, who had paid $2,500 for the ship, 15% of what he had. On the way to Porto they met Captain Rossi and Henry Vogel."""
MANUAL = """1. Call `open_file()` with "utf_8" first. 2. In version 3.11.2 of 2024-05-08 the limit is 4096 bytes, see [7] and
pages 3-5. The method raises TypeError where "max_size" is above 1,000 or where os.path is missing. (3) Then wait for 2.5
seconds, or 10 percent longer with Linux or with Windows."""
TALK = """Grad A: Yeah, I'm here, and I think we've 14 speakers, Okay? PhD B: So, Um, that's what Morgan said, It's for 1998.
Professor C: He's in Berkeley, and Hynek is with him, since I'll come on Tuesday with 25 tapes, and Jane Edwards has 30."""


def spans(text):
    return {(blank.kind, blank.text) for blank in blanks_of(text)}


def test_blanks_of_a_story():
    assert spans(STORY) == {
        ("name", "Ada Linden"),
        ("name", "Mr. Brandt"),
        ("name", "Lisbon"),
        ("date", "8 May 1921"),
        ("time", "10:45"),
        ("number", "340"),
        ("number", "12"),
        ("name", "Olga"),
        ("date", "Monday"),
        ("name", "Ada"),
        ("number", "$2,500"),
        ("number", "15%"),
        ("name", "Porto"),
        ("name", "Captain Rossi"),
        ("name", "Henry Vogel"),
    }


def test_blanks_of_a_manual():
    assert spans(MANUAL) == {
        ("code term", "open_file()"),
        ("code term", "utf_8"),
        ("date", "2024-05-08"),
        ("number", "4096"),
        ("code term", "TypeError"),
        ("code term", "max_size"),
        ("number", "1,000"),
        ("code term", "os.path"),
        ("number", "2.5"),
        ("number", "10 percent"),
        ("name", "Linux"),
        ("name", "Windows"),
    }


def test_blanks_of_a_talk():
    assert spans(TALK) == {
        ("number", "14"),
        ("name", "Morgan"),
        ("number", "1998"),
        ("name", "Berkeley"),
        ("name", "Hynek"),
        ("date", "Tuesday"),
        ("number", "25"),
        ("name", "Jane Edwards"),
        ("number", "30"),
    }


def test_every_question_on_such_texts_is_good_and_its_choices_are_of_one_kind():
    passages = [
        Passage(
            f"{name}-{n}",
            text.replace("1921", f"19{20 + n}")
            .replace("340", f"{340 + n}")
            .replace("4096", f"{40 + n}96")
            .replace("14", f"{14 + n}")
            .replace("Ada", f"Ada{n}"),
            name,
            name,
        )
        for n in range(5)
        for name, text in (("story", STORY), ("manual", MANUAL), ("talk", TALK))
    ]
    problems = [p for seed in range(20) for p in make_questions(passages, seed)]
    assert len(problems) > 100
    assert {flaw for p in problems for flaw in flaws(p)} == set()


# labelled by hand: what is wrong with the blank, if anything
LABELLED = [
    ("code term", "We should go", ("a_b",), 'She said, "We should go" and left.', ["prose as code"]),
    ("code term", "max_size", ("min_size",), "Set max_size to 3 before the call.", []),
    ("code term", "yield", ("await",), 'In f() the word "yield" gives a value back.', []),
    ("name", "I'm", ("Linux",), "Well, then, I'm here for a week or two.", ["no name"]),
    ("name", "Okay", ("Linux",), "We went on, Okay and so the talk went.", ["no name"]),
    ("name", "Berkeley", ("Lisbon", "Porto"), "She went to Berkeley in the spring of that year.", []),
    ("name", "Prime", ("Lisbon",), "He met the Prime Minister in the spring.", ["piece of a whole"]),
    ("name", "Garden", ("Lisbon",), "They met near Garden and the garden was green.", ["no name"]),
    ("name", "Berkeley", ("It's",), "She went to Berkeley in the spring of that year.", ["mixed choices"]),
    ("number", "08", ("14",), "It was done on 2024-05-08 by the two of them.", ["piece of a whole"]),
    ("number", "3", ("14",), "It is so since version 3.11 of the whole.", ["piece of a whole"]),
    ("number", "8", ("14",), "It was done on 8 May by the two of them.", ["piece of a whole"]),
    ("number", "3", ("14",), "Do it.\n3. Then wait for it to end well.", ["mark"]),
    ("number", "3", ("14",), "It was shown by them [3] in the year before.", ["mark"]),
    ("number", "340", ("1998", "25"), "There were 340 crates and dogs on the ship.", ["mixed choices"]),
    ("number", "340", ("12", "25"), "There were 340 crates and dogs on the ship.", []),
]  # fmt: skip


@pytest.mark.parametrize(("kind", "answer", "wrong", "document", "expected"), LABELLED)
def test_the_rules_agree_with_labels_by_hand(kind, answer, wrong, document, expected):
    query = f"Which {kind} stands in the place of ____: {document.replace(answer, '____', 1)}"
    assert flaws(Problem("p", document, query, "d", answer=answer, choices=(answer, *wrong))) == expected


def test_the_summary_counts_questions_once():
    good, bad = LABELLED[-1], LABELLED[-2]
    problems = [
        Problem("p", d, f"Which {k} stands in the place of ____: …", "d", answer=a, choices=(a, *w))
        for k, a, w, d, _ in (good, good, bad)
    ]
    found = summarise(problems)
    assert found["good"] == pytest.approx(2 / 3)
    assert found["mixed choices"] == pytest.approx(1 / 3)
    assert found["questions"] == 3
    with pytest.raises(ValueError, match="no questions"):
        summarise([])
    with pytest.raises(ValueError, match="no cloze question"):
        flaws(Problem("p", "x", "When was it?", "d", answer="x"))
