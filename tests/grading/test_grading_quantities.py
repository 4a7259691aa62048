"""Numbers with units: read from text against written-out values, and graded against arithmetic on units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infoagent.data.counterfactual.amounts import in_words
from infoagent.grading import grade, states_fact
from infoagent.grading.number_words import in_digits, word_value
from infoagent.grading.quantities import find_quantities, parse_quantity, quantity_places

SCALES = {"thousand": 10**3, "million": 10**6, "billion": 10**9}


READ = """
1,234 = 1234; 1 234 567 = 1234567; 1'234 = 1234; 1.234,5 = 1234.5; 12,5 = 12.5; .5 = 0.5; 1e-3 = 0.001; 1.5 x 10^3 = 1500
(1,234) = -1234; $(1.5) = -1.5; −5 = -5; -$5 = -5; $-5 = -5; +5 = 5; twelve = 12; 3.50. = 3.5
$5m = 5000000; 5 million = 5000000; USD 5bn = 5000000000; 5k = 5000; 5M = 5000000; $5 mm = 5000000; 5 mm = 0.005; 5 m = 5
12 % = 0.12; 12 percent = 0.12; 120 basis points = 0.012; 15 µg = 0.000015; 12 mg/dl = 0.12; 60 bpm = 1; 3 h = 10800
"""
EQUAL = """
12 kg = 12,000 g; about 12 kg = 12 kg; 12 = 12 kg; 12 kg = 12; 12.05 kg = 12 kg; 90 min = 1.5 h; 2 lb = 0.907 kg
38.2 °C = 100.76 °F; 98.6 degrees Fahrenheit = 37°C; 120 mg/dl = 1.2 g/l; 96 beats per minute = 96 bpm; 18 months = 1.5 years
$5.2 million = $5,200,000; 5.2 million dollars = $5.2m; (1,234) = -$1,234; twelve = 12; {"answer": 12.50} = $12.5
12% = 0.12; 0.12 = 12 %; 12 = 12 %; 1200 bps = 12 percent
In 2021 it was $5.2 million (2020: no data). = $5.2 million; 1. The pulse was 96 bpm. = 96 bpm; It was in 1999. = 1999
They counted 5 apples in 3 rooms. = 5 apples; Of COVID-19 patients 40 recovered. = 40
"""
UNEQUAL = """
12.2 kg = 12 kg; 12 g = 12 kg; 12 lb = 12 kg; 12 s = 12 kg; €5 = $5; 5.2 = $5.2 million; 5 pears = 5 apples; -5 = 5
0.121 = 12 %; 0.12 % = 0.12; 1.2 = 0.12; 37.5 °C = 100.76 °F; 38.2 °F = 38.2 °C
2001 = 1999; 48214 = 48213; 41 = 40
"""
NO_NUMBERS = (
    "3 May; 3 May 2021; 2nd; 1/2; 10-12; 007; 10 Downing; 1,23,456; $5 EUR; 12:30; B12; 5 kg m; 3.5.1; 1e999; 1990s; 2020s.;"
)


def rows(table):
    return [tuple(row.strip().split(" = ")) for line in table.strip().splitlines() for row in line.split(";")]


@pytest.mark.parametrize(("text", "value"), rows(READ))
def test_numbers_are_read_in_base_units(text, value):
    found = parse_quantity(text)
    assert found is not None
    assert found.base == pytest.approx(float(value))


@pytest.mark.parametrize("text", [text.strip() for text in NO_NUMBERS.split(";")])
def test_dates_ordinals_ranges_and_names_are_no_numbers(text):
    assert parse_quantity(text) is None


@pytest.mark.parametrize(("reply", "answer"), rows(EQUAL))
def test_equal_quantities_are_right(reply, answer):
    found = grade(reply, answer)
    assert (found.method, found.correct, found.unparseable) == ("numeric", True, False), found


@pytest.mark.parametrize(("reply", "answer"), rows(UNEQUAL))
def test_other_quantities_are_wrong(reply, answer):
    found = grade(reply, answer)
    assert (found.method, found.correct, found.unparseable) == ("numeric", False, False), found


@pytest.mark.parametrize(
    "reply", ["3 or 4 kg", "3-4 kg", "from 3 kg to 4 kg", "heavy", "", "3 on 04/05/2021, then 4", "not stated"]
)
def test_several_numbers_or_none_are_unparseable(reply):
    found = grade(reply, "3 kg")
    assert (found.correct, found.parsed, found.unparseable) == (False, None, True)


def test_references_and_tolerance_of_numbers():
    assert grade("50 kg", "about fifty", references=["50 kg"]).method == "exact"
    assert grade("7 kg", "5 kg", references=["7,000 g"]).correct
    assert grade("5.4 kg", "5 kg", relative_tolerance=0.1).correct
    assert not grade("5.4 kg", "5 kg", relative_tolerance=0).correct
    assert grade("5 kg", "5 kg", relative_tolerance=0).correct


@given(st.integers(2, 10**6), st.text("春山川風雨人个のはタ", max_size=4), st.text("春山川風雨人个のはタ。", max_size=4))
def test_a_number_between_letters_of_a_script_without_spaces_is_found(number, before, after):
    [found] = find_quantities(f"{before}{number}{after}")
    assert (found.value, found.family) == (number, None)
    [(_, start, end)] = quantity_places(f"{before}{number:,} kg{after}, 春")
    assert f"{before}{number:,} kg{after}"[start:end] == f"{number:,} kg"
    assert grade(f"答案是{before}{number}{after}", str(number)).correct


def test_a_han_numeral_beside_a_number_makes_it_another():
    assert find_quantities("共有5万人，第十3") == []
    assert not grade("共有5万人", "5").correct


@given(st.integers(100, 299), st.integers(1, 99))
def test_a_decade_is_no_time_and_a_time_no_decade(tens, apart):
    """A tolerance of years would make neighbouring decades one."""
    decade, other = f"{10 * tens}s", f"{10 * (tens + apart)}s"
    assert not grade(decade, other).correct
    assert grade(f"the {decade}", decade).correct
    assert find_quantities(f"in the {decade}, and after") == []
    assert parse_quantity(f"{10 * tens} s").base == 10 * tens
    assert parse_quantity(f"{10 * tens + 1}s").base == 10 * tens + 1


@given(st.integers(-(10**9), 10**9), st.sampled_from(["{:d}", "{:,d}", "{:,d}.", "${:,d}", "{:,.2f} kg", "{:.3e}", "{:,d} %"]))
def test_a_formatted_number_is_read_back(number, form):
    found = parse_quantity(form.format(number))
    assert found is not None
    assert found.value == pytest.approx(number, rel=1e-3 if "e" in form else 1e-12)


@given(st.integers(1, 999_999), st.sampled_from(sorted(SCALES)), st.sampled_from(["$", "€", ""]))
def test_scale_words_multiply(number, scale, sign):
    hundredths = number / 100
    reply, answer = f"{sign}{hundredths} {scale}", f"{sign}{number * SCALES[scale] // 100:,}"
    assert grade(reply, answer, relative_tolerance=1e-9).correct
    assert parse_quantity(reply) == find_quantities(f"It came to {reply} in all, they say")[0]


@given(
    st.floats(0.01, 1e6),
    st.sampled_from(
        [
            ("g", "kg", 1000),
            ("mg", "g", 1000),
            ("mm", "cm", 10),
            ("m", "km", 1000),
            ("s", "min", 60),
            ("min", "h", 60),
            ("ml", "l", 1000),
        ]
    ),
)
def test_units_convert_both_ways(value, units):
    small, large, factor = units
    one, other = f"{value * factor:.6f} {small}", f"{value:.9f} {large}"
    assert grade(one, other).correct
    assert grade(other, one).correct
    assert not grade(f"{value * factor * 1.02:.6f} {small}", other).correct


@given(st.floats(-80, 200))
def test_temperatures_convert(celsius):
    reply = f"{celsius * 9 / 5 + 32:.9f} °F"
    assert grade(reply, f"{celsius:.9f} °C", relative_tolerance=1e-6).correct or abs(celsius) < 1e-2


@given(st.integers(2, 999_999), st.sampled_from(["{} people came", "{}, they say", "{} and more", "(about {})"]))
def test_a_number_in_words_is_read_whole(value, sentence):
    """Against the writer of the counterfactuals, a program of its own."""
    written = in_words(value)
    assert word_value(written) == value
    text = sentence.format(written)
    assert states_fact(text, str(value))
    parts = {str(number) for number in range(2, 100)} - {str(value)}
    assert not [part for part in parts if states_fact(text, part)]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("five hundred and two or three dozen", "502 or 36"),
        ("nineteen ninety", "nineteen ninety"),
        ("Three million", "3 million"),
        ("two million five hundred thousand", "2500000"),
        ("no one of the seven", "no one of the 7"),
        ("5 hundred", "5 hundred"),
        ("one hundred", "100"),
        ("tension and one hundred eighty-sixth", "tension and one hundred eighty-sixth"),
    ],
)
def test_number_words_are_written_in_digits_where_they_make_one_number(text, said):
    assert in_digits(text) == said


@pytest.mark.parametrize(
    ("reply", "answer", "right"),
    [
        ("- 42", "42", True),
        ("-42", "42", False),
        ("Pulse - 72 bpm", "72 bpm", True),
        ("Three days", "3 days", True),
        ("2 years", "two years", True),
        ("The drug was given three times.", "3 times", True),
        ("10²", "102", False),
        ("10²", "100", True),
        ("2½ years", "21 years", False),
        ("1 577,50 €", "1577.50 EUR", True),
        ("Revenue was $12 billion in 2021.", "12 billion", True),
        ("5 x 10^6 cells", "5000000 cells", True),
    ],
)
def test_replies_are_read_as_they_are_written(reply, answer, right):
    assert grade(reply, answer).correct is right
