import unicodedata

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
        ("Vitamin D deficiency is common.", "vitamin A", False),
        ("Vitamin A deficiency is common.", "vitamin A", True),
        ("Vitamin A deficiency is common.", "the vitamin A", True),
        ("She takes vitamin A.", "vitamin A", True),
        ("She has a dog and the flu", "dog and a flu", True),
        ('He was given a "clean" bill', 'the "clean" bill', True),
        ("It was -5 °C.", "5 °C", False),
        ("From 2010-2015.", "2015", True),
        ("- 5 mg of it", "5 mg", True),
        ("人口100万人", "100", False),
        ("人口100人", "100", True),
        ("a 30-day period", "30 days", True),
        ("a count of 250 x 10⁹/L", "109", False),
    ],
)
def test_a_fact_is_stated_as_a_whole(text, answer, stated):
    assert states_fact(text, answer) is stated


@given(*[st.sampled_from("ABCDEF")] * 2, st.sampled_from(["{}", "the {} virus", "{}, they say", "a case of {}."]))
def test_a_letter_at_the_end_of_a_name_tells_it_from_others(one, other, form):
    assert states_fact(form.format(f"hepatitis {one}"), f"Hepatitis {other}") is (one == other)


def test_an_empty_answer_is_an_error():
    with pytest.raises(ValueError, match="empty answer"):
        states_fact("text", " ")


def test_unsupported_numbers_and_names_are_found():
    document = "Olga Rossi weighed 70.5 kg on 3 May 2021 in Lisbon."
    assert unsupported_spans("Olga weighed 70.5 kg.", document) == []
    assert unsupported_spans("Olga weighed 71 kg in Porto.", document) == ["71", "Porto"]
    assert unsupported_spans("The weight was 70.5 kg.", document) == []
    assert unsupported_spans("It was 2022.", document, query="What about 2022?") == []


NAMES = st.sampled_from(["Olga", "España", "Perú", "González", "Málaga", "Österreich", "YouTube", "GitHub", "Jean-Luc", "Łódź"])


@given(st.lists(NAMES, min_size=1, max_size=4, unique=True), NAMES, st.sampled_from(["NFC", "NFD"]))
def test_a_name_is_invented_as_a_whole_or_not_at_all(names, other, form):
    document = unicodedata.normalize(form, "It names " + " and ".join(names) + ".")
    assert unsupported_spans(document, document) == []
    assert unsupported_spans(f"She met {other}'s friend.", document) == ([] if other in names else [other])


@pytest.mark.parametrize(
    ("text", "document", "found"),
    [
        ("the 3 patients", "There were three patients.", []),
        ("the 4 patients", "There were three patients.", ["4"]),
        ("on 2021-05-03 at noon", "on 3 May 2021", []),
        ("on 2021-05-04 at noon", "on 3 May 2021", ["05", "04"]),
        ("it was 3 May 2021", "2021-05-03", []),
        ("- 1500 g", "1.5 kg", []),
        ("250 x 10^9/L", "250 x 10⁹/L", []),
        ("250 x 10⁸/L", "250 x 10⁹/L", ["8"]),
        ("1. Paul\n2. Anna", "Paul and Anna met", []),
        ("1. Paul\n7. Anna", "Paul and Anna met", ["7"]),
        ("- Dose: 5 mg\n* Total: 5 mg", "5 mg", []),
        ("**Dose:** 5 mg", "5 mg", []),
        ("## Summary\nit is Rome", "5 mg", ["Rome"]),
    ],
)
def test_layout_and_other_notations_are_no_inventions(text, document, found):
    assert unsupported_spans(text, document) == found


WORDS = st.lists(st.sampled_from(["the", "cat", "sat,", "on", "12", "mats.", "été", "дом"]), min_size=1, max_size=20)


@given(WORDS, st.integers(6, 9), st.integers(0, 5))
def test_words_repeated_at_the_end_are_a_loop_wherever_it_is_cut(piece, times, cut):
    text = "A begin " + " ".join([*piece, "word"] * times)
    assert is_looping(text[: len(text) - cut])


@given(
    st.one_of(
        st.integers(0, 10**24).map(str),
        st.integers(0, 10**24).map("{:,}".format),
        st.integers(1, 40).map(lambda zeros: "0." + "0" * zeros + "1"),
        st.lists(st.sampled_from(["0", "00", "1,000"]), min_size=1, max_size=40).map(" ".join),
    ),
    st.sampled_from(["The fund holds {}", "${}", "({}", "from 0 to {} %"]),
)
def test_numbers_are_no_loops(number, sentence):
    assert not is_looping(sentence.format(number))


@pytest.mark.parametrize("text", ["ha" * 20, "-" * 40, "你好" * 6, "สวัสดี " * 6, "the cat sat. " * 3, "你说什么呢" * 6])
def test_loops_are_of_words_or_long(text):
    assert is_looping(text)


@pytest.mark.parametrize("text", ["", "the the the", "中国中国", "1, 2, 3, 3, 3, 3, 3, 3", "no, no", "哈哈哈"])
def test_a_word_said_twice_or_thrice_is_none(text):
    assert not is_looping(text)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=5, unique=True), st.integers(13, 16))
def test_repeated_ids_are_a_loop_where_there_is_no_text(piece, times):
    assert is_looping([99, 98, *piece * times])


@given(st.lists(st.integers(0, 10_000), max_size=40, unique=True))
def test_distinct_tokens_are_no_loop(ids):
    assert not is_looping(ids)


def test_ids_that_may_be_digits_are_no_loop():
    assert not is_looping([5, 1, 1, 1])
    assert not is_looping([7, 1, *[0] * 6])  # 1000000, a token each
    assert not is_looping([8, 1, *[9, 0, 0, 0] * 4])  # $1,000,000,000,000
