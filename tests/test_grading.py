import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.grading import is_looping, states_fact, unsupported_spans


@pytest.mark.parametrize(
    ("text", "answer", "stated"),
    [
        ("The pulse was 96 bpm at rest.", "96 bpm", True),
        ("The pulse was 196 bpm.", "96 bpm", False),
        ("It weighs 1,500 tonnes.", "1500 tonnes", True),
        ("It weighs 3.50 kg", "3.5", False),
        ("A value of 3.5.", "3.5", True),
        ("Given METOPROLOL daily", "metoprolol", True),
        ("the party", "art", False),
        ("She pays 12.5%.", "12.5 %", True),
        ("It was 38.2°C.", "38.2 °C", True),
        ("the torn tarpaulin", "a torn tarpaulin", True),
        ("a rating of A", "A", True),
        ("", "x", False),
    ],
)
def test_a_fact_is_stated_as_a_whole(text, answer, stated):
    assert states_fact(text, answer) is stated


def test_an_empty_answer_is_an_error():
    with pytest.raises(ValueError, match="empty answer"):
        states_fact("text", " ")


def test_unsupported_numbers_and_names_are_found():
    document = "Olga Rossi weighed 70.5 kg on 3 May 2021 in Lisbon."
    assert unsupported_spans("Olga weighed 70.5 kg.", document) == []
    assert unsupported_spans("Olga weighed 71 kg in Porto.", document) == ["71", "Porto"]
    assert unsupported_spans("The weight was 70.5 kg.", document) == []
    assert unsupported_spans("It was 2022.", document, query="What about 2022?") == []


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5, unique=True), st.integers(6, 9))
def test_repetition_at_the_end_is_a_loop(piece, times):
    assert is_looping([99, 98, *piece * times])


@given(st.lists(st.integers(0, 10_000), max_size=40, unique=True))
def test_distinct_tokens_are_no_loop(ids):
    assert not is_looping(ids)


def test_a_number_with_a_repeated_digit_is_no_loop():
    assert not is_looping([5, 1, 1, 1])
