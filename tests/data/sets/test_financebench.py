"""FinanceBench: what stands in a question about its answer."""

import pytest

from infoagent.data.sets.financebench import with_unit
from infoagent.grading import grade


@pytest.mark.parametrize(
    ("question", "answer", "references"),
    [
        ("What is the FY2018 capital expenditure (in USD millions) for 3M?", "$1577.00", ("$1577.00 million",)),
        ("What is net income? Answer in USD billion.", "-1.2", ("-1.2 billion",)),
        ("In thousands of dollars, what were sales?", "1,577", ("1,577 thousand",)),
        ("What was the margin in 2018, in percent?", "$1577.00", ()),
        ("Give it in millions, not in thousands: what is it?", "$1577.00", ()),
        ("What is it in USD millions?", "$1577.00 million", ()),
        ("Which of them, in USD millions, is the largest?", "The second one, 12", ()),
    ],
)
def test_an_amount_may_be_answered_with_the_unit_that_the_question_sets(question, answer, references):
    assert with_unit(question, answer) == references
    if references:
        assert grade(references[0], answer, references=references).correct
        assert not grade(references[0].rsplit(" ", 1)[0] + " trillion", answer, references=references).correct
