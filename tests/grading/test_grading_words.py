"""Words in scripts with and without spaces, counted by hand; facts in them; and the same value in another notation."""

import pytest
import regex
from hypothesis import given
from hypothesis import strategies as st

from infoagent.grading import states_fact
from infoagent.grading.answers import token_f1
from infoagent.grading.dates import Date, find_dates, parse_date
from infoagent.grading.notation import is_polar, same_in_value, value_places
from infoagent.grading.words import bare_words, contains, count_words, split_words, whole


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("他1932年出生在东京。", ["他", "1932", "年", "出生", "在", "东京"]),
        ("東京タワーと", ["東京タワー", "と"]),
        ("ผมไปโรงเรียน", ["ผม", "ไป", "โรงเรียน"]),
        ("हिन्दी में लिखा है।", ["हिन्दी", "में", "लिखा", "है।"]),
        ("ولد في القاهرة", ["ولد", "في", "القاهرة"]),
        ("He can't, e.g. 3.5%", ["He", "can't,", "e.g.", "3.5%"]),
        (" \n ", []),
        ("NFL 职业", ["NFL", "职业"]),
    ],
)
def test_words_are_those_that_a_reader_counts(text, words):
    assert split_words(text) == words
    assert count_words(text) == len(words)


@given(st.text(st.characters(max_codepoint=0x24F) | st.characters(min_codepoint=0x370, max_codepoint=0x6FF)))
def test_where_white_space_sets_words_apart_it_alone_counts(text):
    assert split_words(text) == text.split()


@given(st.text(st.sampled_from("东京出生于年한국서울タワーのกขคहिन्दी abc 12 ,。")))
def test_words_stand_in_their_text_in_order(text):
    at = 0
    for word in bare_words(text):
        at = text.index(word, at) + len(word)
    assert count_words(text + " " + text) == 2 * count_words(text)


@pytest.mark.parametrize(
    ("text", "answer", "stated"),
    [
        ("他1932年出生在东京。", "东京", True),
        ("他1932年出生在东京。", "1932", True),
        ("他1932年出生在东京。", "32", False),
        ("共有十三人", "三", False),
        ("共有三人", "三", True),
        ("トーキョータワー", "トーキョー", False),
        ("东京タワー", "タワー", True),
        ("ปี1932", "1932", True),
        ("กีฬา", "ก", False),
        ("हिन्दी में", "हिन्दी", True),
        ("हिन्दी में", "हिन", False),
        ("وُلد بالقاهرة", "القاهرة", True),
        ("서울에서 태어났다", "서울", True),
        ("cafe\u0301s", "cafe", False),
        ("308分", "308 分", True),
        ("concatenate", "cat", False),
    ],
)
def test_borders_of_words_are_where_the_script_has_them(text, answer, stated):
    assert states_fact(text, answer) is stated


@given(st.text(st.sampled_from("春夏秋冬山川風雨花鳥"), min_size=1), *[st.text(st.sampled_from("的在了abc12 。"))] * 2)
def test_what_stands_verbatim_in_chinese_is_found(answer, before, after):
    assert states_fact(before + answer + after, answer)
    assert contains(before + answer + after, answer)
    assert whole(answer).search(before + answer + after)


@pytest.mark.parametrize(
    ("text", "answer", "stated"),
    [
        ("Capital expenditure | (1,577)", "$1577.00", True),
        ("It spent $1577.00 on plant.", "(1,577)", True),
        ("a share of 12 %", "0.12", True),
        ("a share of 0.12", "12 %", True),
        ("all 100 % of it, item 7", "1", False),
        ("12 of them", "12 %", False),
        ("on 2021-05-03", "3 May 2021", True),
        ("May 3rd, 2021", "3 May 2021", True),
        ("am 3.5.2021", "3 May 2021", True),
        ("2021年5月3日", "May 3, 2021", True),
        ("3 May", "3 May 2021", False),
        ("5/3/2021", "3 May 2021", False),  # or the 5 March
        ("after 3 days", "three days", True),
        ("on 3 May 2020", "three", False),
        ("1500 g of salt", "1.5 kg", True),
        ("1.6 kg of salt", "1.5 kg", False),
        ("a pulse of 96", "96 bpm", False),
        ("5,200 million USD", "$5.2 billion", True),
        ("5,200 million euros", "$5.2 billion", False),
    ],
)
def test_a_value_is_stated_in_any_notation(text, answer, stated):
    assert states_fact(text, answer) is stated
    assert bool(value_places(text, answer)) is stated or "three" in answer


@given(st.dates())
def test_a_date_is_the_same_in_every_form(day):
    if day.year < 1000 or day.year > 2999:
        return
    forms = [
        f"{day:%Y-%m-%d}",
        f"{day.day} {day:%B} {day.year}",
        f"{day:%b} {day.day}, {day.year}",
        f"{day.year}年{day.month}月{day.day}日",
        f"the {day.day}th of {day:%B} {day.year}",
    ]
    for form in forms:
        assert [found for found, _, _ in find_dates(f"It was {form}.")] == [Date(day.year, day.month, day.day)]
    assert same_in_value(forms[0], forms[1])


def test_what_is_no_date_is_none():
    assert [parse_date(t) for t in ("31 June 2021", "May", "1932", "3.5", "12/2021", "A")] == [None] * 6


def test_verdicts_are_told_from_facts():
    assert all(map(is_polar, ("Yes", "no.", "MAYBE", "True", "false", "是", "नहीं", "نعم")))
    assert not any(map(is_polar, ("Norway", "not", "No. 5", "yesterday", "")))


def test_the_words_that_two_texts_share_are_counted_without_spaces_too():
    assert token_f1("出生在东京", "东京") == pytest.approx(2 * 1 / (3 + 1))
    assert token_f1("东京", "北京") == 0.0


LETTERS_OF_ALL = "ab1.5,é́ A_東京三十カタनिंบرفال부산서ьЯ-’% \u200d"


@given(
    st.text(LETTERS_OF_ALL, max_size=4), st.text(LETTERS_OF_ALL, max_size=30), st.booleans(), st.sampled_from(["", r"(?<![.,])"])
)
def test_a_text_is_found_where_its_pattern_matches(span, text, planted, before):
    """The naive twin: one pattern of borders and text, compiled for each text."""
    text = text[:7] + span + text[7:20] + span + text[20:] if planted else text
    after = r"(?![.,]\d)" if before else ""
    found = whole(span, before, after)
    twin = regex.compile(found.pattern, regex.V1)
    assert list(found.places(text)) == [m.span() for m in twin.finditer(text)]
    assert found.replaced(text, "<x>") == twin.subn(lambda _: "<x>", text)
