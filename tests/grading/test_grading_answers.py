"""Grades against hand-made replies, SQuAD's definition written out again, and kappa by hand."""

import json
import math
import re
import string
from collections import Counter

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from infoagent.grading import agreement, grade, judge_grade, perplexity
from infoagent.grading.answers import normalise_answer, token_f1

DRUGS = ("heparin", "aspirin", "vitamin C", "aspirin and heparin")
WORDS = ["the", "a", "an", "river", "of", "Bridge,", "steel.", "'old'", "(new)", "1990", "x-ray"]
SENTENCES = st.lists(st.sampled_from(WORDS), max_size=7).map(" ".join)
TEXTS = st.text(min_size=1, max_size=30).filter(str.strip)


def squad_words(text):
    """SQuAD's normalisation, from its description, for ASCII text."""
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(a|an|the)\b", " ", text).split()


def naive_f1(one, other):
    rest, shared = squad_words(other), 0
    for word in squad_words(one):
        if word in rest:
            rest.remove(word)
            shared += 1
    if not shared:
        return float(squad_words(one) == squad_words(other))
    precision, recall = shared / len(squad_words(one)), shared / len(squad_words(other))
    return 2 * precision * recall / (precision + recall)


# --- choice


@pytest.mark.parametrize(
    "reply",
    [
        *(
            "B",
            "(b)",
            "b.",
            "**B**",
            "Answer: B.",
            "Answer: **B) aspirin**",
            "The answer is B) aspirin",
            "B) aspirin",
            "B - aspirin",
        ),
        *("aspirin", "Aspirin.", "It was aspirin, I think.", "Aspirin (B)", "B because it thins blood", "I would go with B."),
        *('{"answer": "B"}', '{"explanation": "A {brace}", "answer": "(B) aspirin"}', '```json\n{"answer": "B",}\n```'),
        "B. It cannot be heparin.",
        "Option A is wrong, and option C too. The answer is B.",
        "A patient like this gets aspirin",
        "A aspirin",
        "<think>Perhaps A, or (C)?</think>\n\nB",
        r"So it is \boxed{B}.",
        "F or B",
        *("答案是B", "所以答案是B。", "答案：B", "正解はB", "答案是B，因为A不对。", "答案是(B)"),
    ],
)
def test_a_letter_or_the_text_of_one_option_names_it(reply):
    found = grade(reply, "aspirin", choices=DRUGS)
    assert (found.method, found.correct, found.score, found.parsed, found.unparseable) == ("choice", True, 1.0, "aspirin", False)
    wrong = grade(reply, "vitamin C", choices=DRUGS)
    assert (wrong.correct, wrong.score, wrong.unparseable) == (False, 0.0, False)


@pytest.mark.parametrize(
    "reply",
    [
        *(
            "A or B",
            "Answer: A or B",
            "B, C",
            "The answer is B or C",
            "(A) or (B)",
            "A, B and C are wrong; D",
            "heparin or vitamin C",
        ),
        *("", "  ", "F", "A patient", "I think so", "Vitamin", "not in the notes", "I don't know whether it was aspirin"),
        *("B) heparin", "The answer is not B", "<think>maybe B", '{"answer": "B", "answer": "C"}', '{"answer": ["A", "B"]}'),
        *('{"answer": null}', '{"ans', '{"letter": "B"}'),
    ],
)
def test_two_options_or_none_are_wrong_and_counted(reply):
    found = grade(reply, "aspirin", choices=DRUGS)
    assert (found.correct, found.score, found.parsed, found.unparseable) == (False, 0.0, None, True)
    assert found.detail


def test_the_longer_of_two_options_that_contain_each_other_is_meant():
    assert grade("We gave aspirin and heparin.", DRUGS[3], choices=DRUGS).correct
    assert grade("We gave aspirin, or aspirin and heparin.", DRUGS[3], choices=DRUGS).unparseable


RIGHTS = [
    "Option {} is correct.",
    "Choice {} is right",
    "option {} is the best one",
    "The right one: option {}.",
    "I'd go with {}.",
]
WRONGS = ["Option {} is wrong", "({}) is wrong", "{}) is incorrect", "({}) isn't the right one", "It is not option {}", "not ({})"]


@given(st.permutations("ABC"), st.sampled_from(RIGHTS), st.lists(st.sampled_from(WRONGS), max_size=2), st.booleans())
def test_a_letter_that_is_called_wrong_is_not_the_one_named(letters, right, wrongs, first):
    named, *others = letters
    said = [wrong.format(letter) for wrong, letter in zip(wrongs, others, strict=False)]
    reply = "; ".join([right.format(named).rstrip("."), *said] if first else [*said, right.format(named)])
    found = grade(reply, "tin", choices=["tin", "iron", "lead"])
    assert found.parsed == {"A": "tin", "B": "iron", "C": "lead"}[named], reply


def test_an_option_may_itself_be_a_denial():
    options = ["is soluble", "is not the best conductor", "is wrong in part"]
    for letter, option in zip("ABC", options, strict=True):
        assert grade(f"({letter}) {option}", option, choices=options).correct
    assert grade("(A) is wrong, so (B)", "iron", choices=["tin", "iron"]).correct
    assert grade("Option B is correct, not option A", "iron", choices=["tin", "iron"]).correct
    assert grade("Option A is wrong.", "tin", choices=["tin", "iron"]).unparseable


def test_an_option_that_ends_in_a_letter_is_found_within_a_reply():
    vitamins = ("vitamin A", "vitamin C", "vitamin D")
    for place, option in enumerate(vitamins):
        found = grade(f"He suffers from {option} deficiency.", option, choices=vitamins)
        assert (found.correct, found.parsed) == (True, vitamins[place])
    assert grade("He suffers from vitamin K deficiency.", "vitamin A", choices=vitamins).unparseable


def test_options_that_are_letters_or_numbers():
    assert grade("2", "2", choices=["1", "2", "12"]).correct
    assert grade("12 of them", "12", choices=["1", "2", "12"]).correct
    assert grade("-5", "-5", choices=["5", "-5"]).correct
    assert grade("1.5", "1.5", choices=["15", "1.5"]).correct
    blood = ["O", "A", "B", "AB"]
    assert grade("AB", "AB", choices=blood).correct
    assert grade("B) A", "A", choices=blood).correct
    # the letter of O, or blood group A: who asks for a letter cannot tell
    assert grade("A", "A", choices=blood).unparseable
    assert grade("A", "A", choices=["A", "B"]).correct


def test_an_option_may_look_like_a_label_or_a_refusal():
    people = ["B. Jones", "A. Smith", "J. Bauer"]
    assert grade("A. Smith", "A. Smith", choices=people).correct
    assert grade("B. Jones won the race.", "B. Jones", choices=people).correct
    assert grade("J. Bauer won the race.", "J. Bauer", choices=people).correct
    assert grade("B. The notes say so.", "A. Smith", choices=people).correct
    options = ["yes", "It cannot be determined"]
    assert grade("It cannot be determined from the notes.", options[1], choices=options).correct


@given(
    st.permutations(["copper", "iron", "lead", "tin", "zinc"]),
    st.integers(0, 4),
    st.sampled_from(["{}", "({})", "{}) so", "Answer: {}"]),
)
def test_the_letter_follows_the_order_of_the_options(options, place, form):
    reply = form.format("ABCDE"[place])
    found = grade(reply, options[place], choices=options)
    assert found.correct
    assert found.parsed == options[place]
    assert not grade(reply, options[place - 1], choices=options).correct


def test_mistakes_of_the_caller_are_errors():
    with pytest.raises(ValueError, match="none of the choices"):
        grade("x", "iron", choices=["tin", "lead"])
    with pytest.raises(ValueError, match="2 times"):
        grade("x", "tin", choices=["tin", "tin"])
    with pytest.raises(ValueError, match="2 to 26"):
        grade("x", "tin", method="choice")
    with pytest.raises(ValueError, match="no number"):
        grade("x", "tin", method="numeric")
    with pytest.raises(ValueError, match="answer is empty"):
        grade("x", " ")
    with pytest.raises(ValueError, match="relative_tolerance"):
        grade("x", "3", relative_tolerance=-1)
    with pytest.raises(ValueError, match="unknown"):
        grade("x", "3", method="fuzzy")


# --- exact


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        ("The Eiffel Tower.", "eiffel tower"),
        ("I looked.\nAnswer: the Eiffel-Tower", "eiffeltower"),
        ("The final answer is **Paris**.", "Paris"),
        ('{"explanation": "said, so, }", "answer": "Paris"}', "Paris"),
        ('Sure:\n```json\n{"explanation": "x",\n "Answer": "Paris",}\n```', "Paris"),
        ("```\nParis\n```", "Paris"),
        ("```Paris```", "Paris"),
        ("don’t know", "dont know"),
        ("?", "?"),
    ],
)
def test_exact_match_reads_through_the_wrapping(reply, answer):
    found = grade(reply, answer, method="exact")
    assert (found.method, found.correct, found.f1, found.unparseable) == ("exact", True, 1.0, False)


@pytest.mark.parametrize(
    "reply",
    [
        *("", "I don't know.", "I don’t know", "Not in the notes.", "The notes do not mention it.", "Unknown", "N/A"),
        *("It cannot be determined from the text.", "There is no information on that.", "Sorry, I am not able to say.", "Answer:"),
        *('{"answer": ""}', '{"answer": {"city": "Paris"}}', '{"explanation": "It is Paris"', '{"answer": "I don\'t know"}'),
    ],
)
def test_a_failure_to_answer_is_wrong_and_counted(reply):
    found = grade(reply, "Paris")
    assert (found.correct, found.score, found.f1, found.parsed, found.unparseable) == (False, 0.0, 0.0, None, True)


@given(
    st.sampled_from(["I do not", "I don't", "We can't", "I cannot", "We could not", "I am unable to", "We are not able to"]),
    st.sampled_from(["know", "tell", "find that in the notes", "reliably determine it", "say", "answer this", "be certain"]),
    st.sampled_from(["sell to minors", "ship abroad", "open on Sundays", "accept cash", "swim"]),
)
def test_who_does_not_know_gives_up_and_who_does_not_do_answers(denial, knowing, doing):
    assert grade(f"{denial} {knowing}.", "Paris").unparseable
    found = grade(f"{denial} {doing}.", f"{denial} {doing}")
    assert (found.correct, found.unparseable) == (True, False)
    assert not grade(f"Sorry, {denial.lower()} {doing}.", "Paris").unparseable


def test_a_refusal_may_be_the_right_answer():
    assert grade("Unknown", "unknown").correct
    assert grade("not stated", "Paris", references=["Not stated."]).correct


def test_the_best_of_answer_and_references_counts():
    found = grade("the old bridge of Lima", "river", references=["old bridge", "new bridge of Lima"])
    assert not found.correct
    assert found.f1 == pytest.approx(2 * (3 / 4) * (3 / 4) / (3 / 4 + 3 / 4))  # bridge, of, Lima of four words each
    assert grade("OLD bridge", "river", references=["the old bridge"]).correct


def test_decimal_points_and_minus_signs_are_no_punctuation():
    assert not grade("from 1.5 to 2", "from 15 to 2").correct
    assert not grade("at -5 and 3 degrees", "at 5 and 3 degrees").correct
    assert grade("1,500 men of Ulm", "1500 men of Ulm").correct


@given(SENTENCES, SENTENCES)
def test_f1_equals_the_naive_one_and_is_symmetric(one, other):
    assume(squad_words(one) and squad_words(other))
    assert token_f1(one, other) == pytest.approx(naive_f1(one, other))
    assert token_f1(one, other) == token_f1(other, one)
    assert normalise_answer(one).split() == squad_words(one)


@given(TEXTS, TEXTS)
def test_f1_is_a_share_and_one_for_the_same_words(one, other):
    assert 0 <= token_f1(one, other) <= 1
    same = Counter(normalise_answer(one).split()) == Counter(normalise_answer(other).split())
    assert (token_f1(one, other) == 1) == same


# --- all methods


@given(TEXTS)
@settings(max_examples=200)
def test_the_answer_itself_is_always_right(answer):
    assert grade(answer, answer).correct
    assert grade(answer, answer, method="exact").correct
    assert grade(json.dumps({"answer": answer}), answer, method="exact").correct


@given(
    st.lists(
        st.sampled_from(["river", "red bridge", "12 kg", "$5", "unknown", "I", "3.5 %", "A. Smith", "no"]), min_size=2, unique=True
    )
)
def test_the_text_of_an_option_is_always_right(options):
    for option in options:
        if option != "I" or len(options) < 9:  # I is the ninth option's letter
            assert grade(option, option, choices=options).correct


@given(st.text(max_size=60), st.sampled_from(["choice", "exact", "numeric"]))
def test_any_reply_gets_a_grade(reply, method):
    found = grade(reply, "12 kg", choices=["12 kg", "15 kg"], method=method)
    assert found.score == float(found.correct)
    assert not (found.correct and found.unparseable)
    assert (found.parsed is None) == found.unparseable


# --- judge and perplexity


@pytest.mark.parametrize(
    ("reply", "correct", "unparseable"),
    [
        ('{"correct": true}', True, False),
        (' {"explanation": "as stated", "correct": false}\n', False, False),
        ('```json\n{"correct": true}\n```', True, False),
        *(
            (reply, False, True)
            for reply in ("true", '{"correct": "true"}', '{"correct": 1}', '{"correct": null}', '{"right": true}')
        ),
        *((reply, False, True) for reply in ("", "yes", '[{"correct": true}]', '{"correct": true', 'So {"correct": true}')),
        ('{"correct": true, "correct": false}', False, True),
    ],
)
def test_only_a_boolean_verdict_counts(reply, correct, unparseable):
    found = judge_grade(reply)
    assert (found.method, found.correct, found.score, found.unparseable) == ("judge", correct, float(correct), unparseable)


def test_agreement_of_a_known_table():
    # the textbook table of 50 grants: 20 both yes, 5 and 10 split, 15 both no; kappa 0.4
    judge = [True] * 20 + [True] * 5 + [False] * 10 + [False] * 15
    exact = [True] * 20 + [False] * 5 + [True] * 10 + [False] * 15
    found = agreement(judge, exact)
    assert found["kappa"] == pytest.approx(0.4)
    assert found["share"] == pytest.approx(0.7)
    assert [found[k] for k in ("n", "both_correct", "judge_only", "exact_only", "both_wrong")] == [50, 20, 5, 10, 15]


@given(st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=30))
def test_kappa_is_symmetric_and_absent_where_chance_is_certain(pairs):
    judge, exact = [a for a, _ in pairs], [b for _, b in pairs]
    found, turned = agreement(judge, exact), agreement(exact, judge)
    if len({*judge, *exact}) == 1:
        assert "kappa" not in found
    else:
        assert found["kappa"] == pytest.approx(turned["kappa"])
        assert found["kappa"] <= 1
        assert (found["kappa"] == pytest.approx(1)) == (judge == exact)


def test_agreement_needs_pairs():
    with pytest.raises(ValueError, match="no verdicts"):
        agreement([], [])
    with pytest.raises(ValueError, match="same replies"):
        agreement([True], [True, False])


def test_perplexity_of_a_uniform_guess_is_the_number_of_options():
    assert perplexity(7 * math.log(50), 7) == pytest.approx(50)
    assert perplexity(0.0, 3) == 1
    with pytest.raises(ValueError, match="without tokens"):
        perplexity(0.0, 0)
    with pytest.raises(ValueError, match="finite"):
        perplexity(float("inf"), 3)
