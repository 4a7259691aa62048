"""Mathematics: the final answer of a reply, equal as a number or as an expression."""

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.grading import grade
from infoagent.grading.mathematics import final_answer


@pytest.mark.parametrize(
    ("reply", "answer"),
    [
        (r"so \boxed{12}", "12"),
        (r"First $\boxed{3}$, in the end $\boxed{\frac{3}{4}}$.", r"\frac{3}{4}"),
        ("The answer is 12 euros.", "12 euros"),
        ("3 * 4 = 12", "12"),
        ("We have 3 crates.\n3 * 4 = 12", "12"),
        ("**Answer:** 12\nI am sure of it.", "12"),
        ("<think>perhaps 13</think>12", "12"),
    ],
)
def test_the_final_answer_of_a_reply(reply, answer):
    assert final_answer(reply) == answer


def math(answer, reply):
    return grade(reply, answer, method="math")


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        ("12", "12"),
        ("12", "12.0"),
        ("12", "They cost 12 euros in all."),
        ("1,234", r"\boxed{1234}"),
        ("-5", "x = -5"),
        (r"\frac{3}{4}", "0.75"),
        ("0.75", r"\boxed{\dfrac{6}{8}}"),
        (r"2\sqrt{3}", r"\boxed{\sqrt{12}}"),
        ("x^2+2x+1", r"\boxed{(x+1)^2}"),
        ("(1,2)", "The answer is (1, 2)."),
        (r"\text{Monday}", r"\boxed{\text{Monday}}"),
    ],
)
def test_equal_mathematics(answer, reply):
    found = math(answer, reply)
    assert (found.correct, found.method, found.unparseable) == (True, "math", False)


@pytest.mark.parametrize(
    ("answer", "reply"),
    [
        ("12", "13"),
        ("12", "12.05"),  # no tolerance
        ("12", "-12"),
        (r"\frac{3}{4}", r"\boxed{\frac{4}{3}}"),
        (r"\sqrt{12}", r"\boxed{\sqrt{13}}"),
        ("(1,2)", r"\boxed{(2,1)}"),
        ("3", r"\boxed{9^{9^{9^9}}}"),  # a tower that nobody can write out
    ],
)
def test_other_mathematics(answer, reply):
    assert not math(answer, reply).correct


@pytest.mark.parametrize("reply", ["", "I cannot know that.", "It is 3, or perhaps 4.", "<think>12", "Let us see"])
def test_no_answer_or_two_are_wrong_and_counted(reply):
    found = math("12", reply)
    assert (found.correct, found.unparseable, found.parsed) == (False, True, None)


@settings(max_examples=15)
@given(a=st.integers(-30, 30), b=st.integers(1, 30), c=st.integers(-30, 30), d=st.integers(1, 30))
def test_fractions_are_equal_as_exact_arithmetic_says(a, b, c, d):
    assert math(rf"\frac{{{a}}}{{{b}}}", rf"\boxed{{\frac{{{c}}}{{{d}}}}}").correct == (Fraction(a, b) == Fraction(c, d))
    assert math(rf"\frac{{{a}}}{{{b}}}", rf"\boxed{{\frac{{{3 * a}}}{{{3 * b}}}}}").correct
