"""Typed counterfactuals: every mention and derived form, grammar kept, never the original, exact on records."""

import re
from dataclasses import replace
from datetime import date

import numpy as np
import pytest
from drawn import draw_negatives
from hypothesis import given, settings
from hypothesis import strategies as st

from infoagent.data.counterfactual.amounts import BY_ARITHMETIC, amount_value, in_words, ordinal_text
from infoagent.data.counterfactual.documents import (
    Lexicon,
    Rejection,
    answer_after,
    answer_place,
    counterfactuals,
    lm_counterfactual,
    new_value,
    replace_fact,
    span_pattern,
)
from infoagent.data.counterfactual.lexicon import Source
from infoagent.data.counterfactual.replacing import vowel_sound
from infoagent.data.counterfactual.spans import Span, typed_spans
from infoagent.data.negatives import Counts
from infoagent.data.sets import records
from infoagent.grading import states_fact
from infoagent.grading.dates import parse_date
from infoagent.grading.number_words import word_value
from infoagent.types import Change, InputError, Negative, Problem

KNOWN = [records.make_known_problem(3, "test", index, 80, 160) for index in range(60)]
BARE = [replace(problem, negatives=(), choices=()) for problem, _, _ in KNOWN]
LEXICON = Lexicon.from_problems(BARE)
DOCUMENTS = [
    "The engineer Nikola Tesla was born in Smiljan in 1856. Tesla moved to Germany, where the Germans paid 1,200 marks. "
    "Tesla's German firm made 5 lamps in an hour, and Nikola did not sleep.",
    "The National Football League (NFL) met in Denver on February 7, 2016. The NFL raised 12 percent more than before. "
    "An owner gave $40 million to the University of Aberdeen, the largest gift of the year.",
    "Doctors at a hospital in Oslo gave warfarin at 9:15 am. Warfarin was not liked, and the third patient left.",
]


def lexicon_of(texts):
    return Lexicon(Source(text) for text in texts)


def generator(seed=0):
    return np.random.default_rng(seed)


REPLACED = [
    ("Ada Byron came. Byron's friend met Ms Byron and Ada.", "Ada Byron", "Mary Hale", "person",
     "Mary Hale came. Hale's friend met Ms Hale and Mary."),
    ("Ada Byron wrote to Tom Byron.", "Ada Byron", "Mary Hale", "person", "Mary Hale wrote to Tom Byron."),
    ("The Football League (FL) met; an FL man spoke.", "Football League", "Baseball Union", "organisation",
     "The Baseball Union (BU) met; a BU man spoke."),
    ("Germany won. German fans sang, and the Germans cheered.", "Germany", "France", "place",
     "France won. French fans sang, and the French cheered."),
    ("He owed 1,200 marks, in figures 1200.", "1,200", "3,500", "number", "He owed 3,500 marks, in figures 3500."),
    ("It took twenty days, that is 20 nights.", "twenty", "thirty", "number",
     "It took thirty days, that is 30 nights."),
    ("A dose of 5 mg, no more than 5mg.", "5 mg", "8 mg", "quantity", "A dose of 8 mg, no more than 8mg."),
    ("Warfarin helps; she takes warfarin.", "warfarin", "insulin", "drug", "Insulin helps; she takes insulin."),
    ("An apple and the apples.", "apple", "pear", "drug", "A pear and the pears."),
    ("She saw a Norman and the Normans.", "Norman", "Anglian", "name", "She saw an Anglian and the Anglians."),
    ("The Denver Broncos won. The Broncos' coach left.", "Denver Broncos", "Boston Mist", "name",
     "The Boston Mist won. The Mist's coach left."),
    ("The gurus teach. A guru sits.", "guru", "special zones", "phrase", "The special zones teach. A special zones sits."),
    ("He was a second-year pupil, born in 1856.", "1856", "1861", "year", "He was a second-year pupil, born in 1861."),
]  # fmt: skip


@pytest.mark.parametrize(("document", "old", "new", "kind", "expected"), REPLACED)
def test_every_mention_and_derived_form_changes(document, old, new, kind, expected):
    edited, change = replace_fact(document, old, new, kind)
    assert edited == expected
    assert (change.kind, change.old, change.new) == (kind, old, new)


def test_the_number_of_mentions_is_counted():
    assert replace_fact("Rome, Rome and Romeo.", "Rome", "Oslo", "place") == (
        "Oslo, Oslo and Romeo.",
        Change("place", "Rome", "Oslo", 2),
    )


def test_small_numbers_and_comparatives_change_at_their_place_alone():
    text = "Of 5 men 5 left, more or more."
    place = text.rindex("5")
    assert replace_fact(text, Span("number", "5", place, place + 1), "8")[0] == "Of 5 men 8 left, more or more."
    assert replace_fact(text, "more", "less", "comparative")[0] == "Of 5 men 5 left, less or more."
    assert replace_fact(text, "5", "8", "number", everywhere=True)[0] == "Of 8 men 8 left, more or more."


def test_a_fact_that_does_not_stand_there_is_refused():
    with pytest.raises(ValueError, match="'Oslo' does not stand in the document"):
        replace_fact("Rome.", "Oslo", "Paris")
    with pytest.raises(ValueError, match="the span is of another document"):
        replace_fact("Rome.", Span("place", "Oslo", 0, 4), "Paris")


def test_articles_go_by_sound():
    an = ["hour", "apple", "8-year", "11th", "FBI", "NFL", "unimportant", "heir", "18"]
    a = ["union", "European", "one-off", "house", "NASA", "12th", "user", "BBC", "UFO", "110"]
    assert all(vowel_sound(w) for w in an), [w for w in an if not vowel_sound(w)]
    assert not any(vowel_sound(w) for w in a), [w for w in a if vowel_sound(w)]


AMOUNTS = st.one_of(
    st.integers(2, 10**7).map(str), st.integers(1000, 10**7).map(lambda n: f"{n:,}"),
    st.decimals(0, 999, places=1).map(str), st.integers(2, 999).map(lambda n: f"{n} km"),
    st.integers(1, 999).map(lambda n: f"${n} million"),
)  # fmt: skip


@given(AMOUNTS, st.integers(0, 2**31))
@settings(deadline=None, max_examples=150)
def test_another_number_differs_in_value_and_keeps_its_form(text, seed):
    document = f"It was {text} then."
    span = Span("number", text, 7, 7 + len(text))
    new = new_value(span, lexicon_of([]), generator(seed), document)
    assert new is not None
    assert amount_value(new) != amount_value(text)
    assert re.sub(r"[\d,]+", "0", new) == re.sub(r"[\d,]+", "0", text)
    assert new == new_value(span, lexicon_of([]), generator(seed), document)
    if amount_value(text.replace("million", "")) >= 10:
        assert amount_value(text) / 4 < amount_value(new) < amount_value(text) * 4


@given(st.integers(10**3, 10**15 - 1), st.integers(0, 2**31))
def test_a_large_number_in_words_becomes_another_in_good_words(value, seed):
    """Not `two million five hundred thousand` → `nine hundred ninety-nine thousand nine hundred thousand`."""
    for written in (in_words(value), in_words(value).capitalize()):
        other = BY_ARITHMETIC["number"](written, generator(seed))
        assert word_value(other) != value
        assert in_words(word_value(other)) == other.casefold()
        assert other[0].isupper() == written[0].isupper()


@given(st.integers(1, 99), st.integers(0, 2**31))
def test_a_century_becomes_another_that_was(number, seed):
    new = BY_ARITHMETIC["date"](f"{ordinal_text(number)} century", generator(seed))
    assert 2 <= int(re.match(r"\d+", new).group()) <= 21
    assert new != f"{ordinal_text(number)} century"


@given(st.integers(0, 2**31))
@settings(deadline=None, max_examples=100)
def test_days_hours_years_and_percentages_stay_valid(seed):
    from datetime import date, datetime

    rng = generator(seed)
    change = {kind: lambda text, kind=kind: BY_ARITHMETIC[kind](text, rng) for kind in BY_ARITHMETIC}
    datetime.strptime(change["date"]("31 January 2015"), "%d %B %Y")
    datetime.strptime(change["date"]("January 31, 2015"), "%B %d, %Y")
    date.fromisoformat(change["date"]("2015-01-31"))
    datetime.strptime(change["time"]("23:59"), "%H:%M")
    assert 1 <= int(change["time"]("12:30 pm").split(":")[0]) <= 12
    assert 1841 <= int(change["year"]("1856")) <= 1871
    assert 1 < float(change["percentage"]("97 %").split()[0]) <= 100
    assert re.fullmatch(r"\d+(st|nd|rd|th)", change["ordinal"]("21st"))
    assert re.fullmatch(r"\d\d0s|\d{3}0s", change["date"]("1990s"))


@given(st.sampled_from(DOCUMENTS), st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_edits_are_never_the_original_never_twice_and_repeat(document, seed):
    problem = Problem("p", document, "?", "d")
    lexicon = lexicon_of(DOCUMENTS)
    found = list(counterfactuals(problem, lexicon, generator(seed), 6))
    texts = [n.document for n in found]
    assert len(found) == 6
    assert document not in texts
    assert len(set(texts)) == 6
    assert all(n.changes and n.changes[0].mentions >= 1 for n in found)
    assert len({n.changes[0].old for n in found}) == 6  # one fact an edit, another one each time
    assert found == list(counterfactuals(problem, lexicon, generator(seed), 6))
    assert found[:3] == list(counterfactuals(problem, lexicon, generator(seed), 3))


@pytest.mark.parametrize("document", DOCUMENTS)
def test_a_new_value_stands_nowhere_in_the_document_and_is_of_its_kind(document):
    lexicon = lexicon_of(DOCUMENTS)
    for span in typed_spans(document):
        new = new_value(span, lexicon, generator(), document)
        if new is None or span.kind in ("comparative", "negation"):
            continue
        assert not span_pattern(new).search(document), (span, new)
        assert new.casefold() not in span.text.casefold()


def test_negations_are_put_in_and_taken_out():
    pairs = [("is", "is not"), ("was not", "was"), ("cannot", "can"), ("can", "cannot"), ("did not", "did"),
             ("won't", "will"), ("never", "always")]  # fmt: skip
    for old, new in pairs:
        document = f"He {old} here."
        assert new_value(Span("negation", old, 3, 3 + len(old)), LEXICON, generator(), document) == new


ASKED = [
    ("When was Tesla born?", "1856", 0, r"born in Smiljan in (?!1856)\d{4}\."),
    ("Who moved to Germany?", "Tesla", 0, r"The engineer \w+ (?!Tesla)(\w+) was .* \1 moved"),
    ("How much?", "more than $40 million", 1, None),
    ("Which league met?", "NFL", 1, r"The (?!National Football League)[\w &]+ \((?!NFL)([A-Z]+)\) met.* The \1 raised"),
    ("What was given?", "warfarin", 2, r"gave (?!warfarin)(\w+) at .*?\. (?i:\1) was"),
    ("Where?", "a hospital in Oslo", 2, r"Doctors at a hospital in (?!Oslo)"),
]


@pytest.mark.parametrize(("query", "answer", "number", "pattern"), ASKED)
def test_with_an_answer_the_asked_fact_changes(query, answer, number, pattern):
    answer = answer.removeprefix("more than ")
    problem = Problem("p", DOCUMENTS[number], query, "d", answer=answer)
    extra = ["The Canadian Hockey Union met in Bergen.", "He read of the American Baseball Association in Turin."]
    found = list(counterfactuals(problem, lexicon_of(DOCUMENTS + extra), generator(1), 2))
    assert found
    for negative in found:
        assert not span_pattern(answer).search(negative.document)
        assert answer_after(answer, negative.changes) != answer
        assert pattern is None or re.search(pattern, negative.document), negative.document


def test_a_phrase_becomes_the_answer_of_a_like_question():
    texts = {"tea": "Its main product is tea.", "paint": "Its main product is paint.", "gout": "He has gout now."}
    queries = {"tea": "What is the main product?", "paint": "What is the main product?", "gout": "Why was he ill?"}
    problems = [Problem(a, texts[a], queries[a], a, answer=a) for a in texts]
    found = next(counterfactuals(problems[0], Lexicon.from_problems(problems), generator()))
    assert found.changes[0].kind == "phrase"
    assert found.document in ("Its main product is paint.", "Its main product is gout.")


def test_edits_of_records_are_exactly_what_the_record_would_say():
    for (_, record, fact), problem in zip(KNOWN, BARE, strict=True):
        found = list(counterfactuals(problem, LEXICON, generator(), 3))
        assert len(found) == 3
        for negative in found:
            new = answer_after(problem.answer, negative.changes)
            assert new != problem.answer
            assert negative.document == record.text({fact.key: new})


def test_evidence_is_changed_first_where_the_answer_does_not_stand():
    document = "Anna sold 40 boats in 1950. Bruno bought 30 cars in 1970. Clara made 20 hats in 1990."
    problem = Problem("p", document, "?", "d", answer="yes", evidence="Bruno bought 30 cars in 1970.")
    for seed in range(5):
        negative = next(counterfactuals(problem, lexicon_of([document]), generator(seed)))
        assert "Anna sold 40 boats in 1950." in negative.document
        assert "Bruno bought 30 cars in 1970." not in negative.document


def test_what_the_data_brings_comes_first_and_a_lexicon_needs_a_generator():
    problem, _, _ = KNOWN[0]
    plain = list(counterfactuals(problem))
    assert list(counterfactuals(problem, LEXICON, generator(), len(plain))) == plain
    more = list(counterfactuals(problem, LEXICON, generator(), len(plain) + 3))
    assert more[: len(plain)] == plain
    assert len(more) == len(plain) + 3
    with pytest.raises(ValueError, match="give counterfactuals"):
        next(counterfactuals(problem, LEXICON))


def test_negatives_without_choices_are_drawn_and_fewer_are_a_prefix():
    few, more = (draw_negatives(BARE, Counts(random=2, counterfactual=n), 5) for n in (2, 4))
    for small, large, problem in zip(few, more, BARE, strict=True):
        assert [n.kind for n in large] == ["random"] * 2 + ["counterfactual"] * 4
        assert small[2:] == large[2:4]
        assert not any(span_pattern(problem.answer).search(n.document) for n in large[2:])
    assert draw_negatives(BARE[::-1], Counts(counterfactual=2), 5)[::-1] == draw_negatives(BARE, Counts(counterfactual=2), 5)
    with pytest.raises(InputError, match=r"negatives.counterfactual = 1: problem 'x' has only 0"):
        draw_negatives([Problem("x", "nothing here", "?", "d")], Counts(counterfactual=1), 0)


def test_negatives_of_problems_with_enough_of_their_own_are_theirs():
    problems = [problem for problem, _, _ in KNOWN]
    for problem, drawn in zip(problems, draw_negatives(problems, Counts(counterfactual=3), 1), strict=True):
        assert drawn == problem.negatives[:3]


LM_PROBLEM = Problem(
    "p", "The ship Dorado is bound for Oslo. It carries rice and wine, and will be in Oslo by noon.", "Where to?", "d",
    answer="Oslo",
)  # fmt: skip
REWRITES = [
    (lambda p: LM_PROBLEM.document.replace("Oslo", "Bergen"), None),
    (lambda p: f"  {LM_PROBLEM.document.replace('Oslo', 'New York')}\n", None),
    (lambda p: "", "no text"),
    (lambda p: LM_PROBLEM.document, "the original"),
    (lambda p: LM_PROBLEM.document.replace("for Oslo", "for Bergen"), "still stands"),
    (lambda p: LM_PROBLEM.document.replace("for Oslo", "").replace("in Oslo ", ""), "nothing put in its place"),
    (lambda p: "The old ship Galatea sails to Bergen. It has tea on board, it will be in Bergen at dawn.", "changed"),
]


@pytest.mark.parametrize(("write", "reason"), REWRITES)
def test_a_rewrite_is_taken_only_if_it_changes_the_answer_and_little_else(write, reason):
    result = lm_counterfactual(LM_PROBLEM, write)
    if reason is None:
        assert isinstance(result, Negative)
        assert result.changes[0].new in ("Bergen", "New York")
        assert result.changes[0] == Change("lm", "Oslo", result.changes[0].new, 2)
    else:
        assert isinstance(result, Rejection)
        assert reason in result.reason


def test_the_prompt_holds_document_question_and_answer():
    seen = []
    lm_counterfactual(replace(LM_PROBLEM, document="In {query} is Oslo."), lambda prompt: seen.append(prompt) or "x")
    assert "In {query} is Oslo." in seen[0]
    assert "Question: Where to?" in seen[0]
    with pytest.raises(ValueError, match="does not stand in the document"):
        lm_counterfactual(replace(LM_PROBLEM, answer="Rome"), str)


@pytest.mark.parametrize(
    ("document", "answer", "others"),
    [
        ("他1932年出生在东京，后来住在东京附近。", "东京", ["他1940年出生在北京。", "她1950年出生在大阪。"]),
        ("เขาเกิดที่กรุงเทพ และอยู่ที่กรุงเทพ", "กรุงเทพ", ["เขาเกิดที่เชียงใหม่", "เธอเกิดที่ขอนแก่น"]),
        ("उसका निजी बिल पास हुआ, फिर और निजी बिलों पर चर्चा।", "निजी बिल", ["उसका नया कानून पास", "यह पुराना नियम है"]),
        ("ولد في القاهرة وعاش بالقاهرة", "القاهرة", ["ولد في دمشق", "ولد في بغداد"]),
    ],
)
def test_an_edit_in_any_script_leaves_the_answer_nowhere(document, answer, others):
    pool = {"他1940年出生在北京。": "北京", "她1950年出生在大阪。": "大阪", "เขาเกิดที่เชียงใหม่": "เชียงใหม่", "เธอเกิดที่ขอนแก่น": "ขอนแก่น",
            "उसका नया कानून पास": "नया कानून", "यह पुराना नियम है": "पुराना नियम", "ولد في دمشق": "دمشق", "ولد في بغداد": "بغداد"}  # fmt: skip
    problem = Problem("p", document, "q?", "p", answer=answer)
    lexicon = Lexicon.from_problems([problem, *(Problem(t, t, "q?", t, answer=pool[t]) for t in others)])
    edits = list(counterfactuals(problem, lexicon, np.random.default_rng(0)))
    assert len(edits) == 2
    assert all(answer not in e.document for e in edits)
    assert {e.changes[0].new for e in edits} == {pool[t] for t in others}


DATE_FORMS = (
    "{0.year}年{0.month}月{0.day}日; {0.month}月{0.day}日; {0.year}年{0.month}月; {0:%d.%m.%Y}; {0.day}.{0.month}.{0.year}; {0:%Y/%m/%d}; "
    "{0:%b} {0.day}, {0.year}; {0.day} {0:%b} {0.year}; {0:%d/%m/%Y}; {0:%m/%d/%Y}; {0:%Y-%m-%d}"
)


@given(
    st.dates(min_value=date(1000, 1, 1), max_value=date(2029, 12, 31)),
    st.sampled_from(DATE_FORMS.split("; ")),
    st.integers(0, 2**31),
)
@settings(deadline=None)
def test_a_date_in_figures_or_with_a_short_month_becomes_another_date(day, form, seed):
    written = form.format(day)
    known = parse_date(written)
    if known is None:  # 5/3/2021, which may be either
        return
    spans = typed_spans(f"It came on {written}, they say.")
    assert [(span.kind, span.text) for span in spans] == [("date", written)]
    new = BY_ARITHMETIC["date"](written, np.random.default_rng(seed))
    read = parse_date(new)
    assert read is not None
    assert read.year == known.year
    assert (read.month is None, read.day is None) == (known.month is None, known.day is None)
    assert re.sub(r"\d+|[A-Z]\w+", "", new) == re.sub(r"\d+|[A-Z]\w+", "", written)


@given(st.sampled_from("٠०๐"), st.integers(10, 9999), st.integers(0, 2**31))
def test_a_new_number_is_written_in_the_digits_of_the_old(zero, number, seed):
    old = "".join(chr(ord(zero) + int(digit)) for digit in str(number))
    new = new_value(Span("number", old, 0, len(old)), lexicon_of([old]), np.random.default_rng(seed), old)
    assert int(new) != number
    assert all(zero <= digit <= chr(ord(zero) + 9) for digit in new)


@given(st.permutations(["Germany", "Ghana", "India", "Peru", "Norway"]), st.integers(2, 5), st.integers(0, 2**31))
@settings(deadline=None, max_examples=40)
def test_no_part_of_a_list_becomes_another_part_of_it(places, number, seed):
    answer = ", ".join(places[: number - 1]) + f" and {places[number - 1]}"
    problem = Problem("p", f"The members are {answer}.", "Who are they?", "p", answer=answer)
    for edit in counterfactuals(problem, lexicon_of([problem.document]), np.random.default_rng(seed), limit=3):
        assert {c.old for c in edit.changes} == set(places[:number])
        assert not {c.new for c in edit.changes} & set(places[:number])


def test_an_edit_that_leaves_another_right_answer_is_refused():
    problem = Problem("p", "It took 15 minutes for 15 men.", "How long?", "p", answer="15 minutes", references=("15",))
    lexicon = lexicon_of([problem.document])
    assert list(counterfactuals(problem, lexicon, np.random.default_rng(0))) == []
    alone = replace(problem, document="It took 15 minutes for all men.")
    assert len(list(counterfactuals(alone, lexicon, np.random.default_rng(0), limit=3))) == 3


@pytest.mark.parametrize("verdict", ["yes", "No", "maybe", "True", "false"])
def test_a_verdict_is_never_swapped(verdict):
    document = f"There is {verdict} doubt: {verdict}, Anna Lind left Bergen on 3 May 1970."
    problem = Problem("p", document, "Did she leave?", "p", answer=verdict, choices=("yes", "No", "maybe", "True", "false"))
    edits = list(counterfactuals(problem, lexicon_of([document]), np.random.default_rng(0), limit=5))
    assert edits
    assert all(e.document.count(verdict) >= 2 and e.changes[0].old != verdict for e in edits)


@pytest.mark.parametrize(
    ("document", "answer", "old"),
    [
        ("Capital expenditure was (1,577) in that year.", "$1577.00", "1,577"),
        ("The share rose to 12 % at last.", "0.12", "12 %"),
        ("She left on 2021-05-03 for good.", "3 May 2021", "2021-05-03"),
    ],
)
def test_an_answer_in_another_notation_is_edited_where_its_value_stands(document, answer, old):
    problem = Problem("p", document, "q?", "p", answer=answer)
    edits = list(counterfactuals(problem, lexicon_of([document]), np.random.default_rng(0), limit=3))
    assert len(edits) == 3
    for edit in edits:
        [change] = edit.changes
        assert change.old == old
        assert edit.document == document.replace(old, change.new)
        assert not states_fact(edit.document, answer)
        assert answer_after(answer, edit.changes) == change.new


def test_the_mention_that_the_data_name_is_the_one_that_is_edited():
    document = "Turn page 5km ahead, 5 of them stayed."
    known = Problem("p", document, "q?", "p", answer="5", answer_start=document.index("5km"))
    assert answer_place(known) == (10, 11)
    assert answer_place(replace(known, answer_start=None)) == (21, 22)
    assert answer_place(replace(known, answer_start=3)) == (21, 22)
    assert answer_place(replace(known, document="none here")) is None


def test_facts_of_every_piece_of_evidence_come_first():
    document = "Anna Lind was there. Bruno sold 30 cars. It rained in Bergen. Later 1970 cars came."
    problem = Problem("p", document, "?", "d", answer="yes", evidence=("Bruno sold 30 cars.", "It rained in Bergen."))
    edits = list(counterfactuals(problem, lexicon_of([document]), np.random.default_rng(0), limit=2))
    assert {e.changes[0].old for e in edits} == {"30", "Bergen"}


CHOSEN = [
    ("Margaret Holloway spoke. Holloway left the committee.", "Margaret Holloway",
     {"Richard Delaney": "Richard Delaney spoke. Delaney left the committee.",
      "the mayor": "The mayor spoke. The mayor left the committee."}),
    ("It was an 11 percent rise.", "11 percent", {"15 percent": "It was a 15 percent rise."}),
    ("An ISO norm holds.", "ISO", {"NATO": "A NATO norm holds."}),
    ("The Football League (FL) met; an FL man spoke.", "Football League",
     {"Baseball Union": "The Baseball Union (BU) met; a BU man spoke."}),
    ("Germany won. German fans sang.", "Germany", {"France": "France won. French fans sang."}),
]  # fmt: skip


@pytest.mark.parametrize(("document", "answer", "expected"), CHOSEN)
def test_a_wrong_choice_brings_its_articles_and_derived_forms(document, answer, expected):
    problem = Problem("p", document, "q?", "p", answer=answer, choices=(answer, *expected))
    edits = list(counterfactuals(problem))
    assert {e.changes[0].new: e.document for e in edits} == expected
    assert all((e.changes[0].kind, e.changes[0].old) == ("choice", answer) for e in edits)


@given(st.sampled_from(DOCUMENTS), st.data())
@settings(deadline=None, max_examples=40)
def test_any_text_may_be_a_wrong_choice(document, data):
    span = data.draw(st.sampled_from(typed_spans(document)))
    choice = data.draw(st.text(min_size=1, max_size=20).filter(str.strip))
    problem = Problem("p", document, "q?", "p", answer=span.text, choices=(span.text, choice))
    for edit in counterfactuals(problem):
        assert choice.casefold() in edit.document.casefold()


COUNTED = [
    ("No one knew him, and one of the guests left. There was one in 1990. One must eat; one-third stayed.", "one",
     r"No one knew him, and one of the guests left\. There was (?!one)[a-z]+ in 1990\. One must eat; one-third stayed\."),
    ("On 2 May, at 2:30, two-thirds came in 2 cars for the 2nd time.", "2",
     r"On 2 May, at 2:30, two-thirds came in (?!2 )\d+ cars for the 2nd time\."),
    ("It fell on 12 May 1990 and 12 men saw it.", "12", r"It fell on 12 May 1990 and (?!12)\d+ men saw it\."),
    ("It fell on 12 May 1990, they say.", "12", r"It fell on (?!12)\d+ May 1990, they say\."),
    ("Six men left, six came.", "six", r"(?!Six)([A-Z])(\w+) men left, (?i:\1)\2 came\."),
]  # fmt: skip


@pytest.mark.parametrize(("document", "answer", "pattern"), COUNTED)
def test_a_number_changes_where_it_counts_something_and_nowhere_else(document, answer, pattern):
    problem = Problem("p", document, "How many?", "p", answer=answer)
    edits = list(counterfactuals(problem, lexicon_of([]), generator(), 3))
    assert edits
    for edit in edits:
        assert re.fullmatch(pattern, edit.document)


@given(st.integers(2, 28), st.sampled_from(["{} May 1990", "2:{:02d}", "the {}th", "v1.{}.3", "R-{:02d}"]), st.integers(0, 2**31))
@settings(deadline=None, max_examples=60)
def test_a_changed_number_leaves_dates_times_and_codes_of_the_same_digits(number, form, seed):
    written = form.format(number)
    document = f"Before {written} there were {number} men."
    problem = Problem("p", document, "How many?", "p", answer=str(number), choices=(str(number), "31"))
    edits = list(counterfactuals(problem, lexicon_of([]), generator(seed), 2))
    assert len(edits) == 2
    assert all(e.document == f"Before {written} there were {e.changes[0].new} men." for e in edits)


@pytest.mark.parametrize(
    "text", ["Third parties and a third party saw it.", "It ran 5 metres per second.", "Ten jumps each second."]
)
def test_no_ordinal_is_seen_where_no_other_could_stand(text):
    assert "ordinal" not in {span.kind for span in typed_spans(text)}


def test_an_ordinal_is_seen_before_what_it_counts():
    assert [s.text for s in typed_spans("It was a second goal and the third part.") if s.kind == "ordinal"] == ["second", "third"]


@given(st.sampled_from(["There was one child", "There was only 1 exit", "It has one small door"]), st.integers(0, 2**31))
def test_one_thing_becomes_no_several_thing(document, seed):
    span = next(s for s in typed_spans(document) if s.kind == "number")
    assert new_value(span, lexicon_of([]), generator(seed), document) is None


@given(st.integers(0, 2**31))
@settings(deadline=None, max_examples=30)
def test_a_country_becomes_one_whose_demonym_is_known_where_its_own_stands(seed):
    document = "Scotland voted. The Scottish parliament met."
    problem = Problem("p", document, "Which country?", "p", answer="Scotland")
    pool = lexicon_of([document, "She lives in Bahrain now.", "He lives in Malta now."])
    for edit in counterfactuals(problem, pool, generator(seed), 3):
        assert "Scot" not in edit.document


@pytest.mark.parametrize("answer", ["max_depth", "`max_depth`"])
@pytest.mark.parametrize("choices", [(), ("max_depth", "n_leaves"), ("`max_depth`", "`n_leaves`")])
def test_code_changes_with_and_without_the_marks_around_it(answer, choices):
    document = "Set `max_depth` to 3. The option max_depth limits it."
    problem = Problem("p", document, "Which option?", "p", answer=answer, choices=choices)
    pool = lexicon_of([document, "Set `n_jobs` to 4.", "Set `min_split` to 5."])
    edits = list(counterfactuals(problem, pool, generator(), 3))
    assert edits
    for edit in edits:
        assert re.fullmatch(r"Set `(\w+)` to 3\. The option \1 limits it\.", edit.document)
        assert "max_depth" not in edit.document


def test_what_stands_between_two_pieces_of_code_is_none():
    assert [s.text for s in typed_spans("Use `a` and `b c` or ` ` here.") if s.kind == "code"] == ["a", "b c"]
