"""Hard cases: what a case promises holds for its document, looked up by other means than those that made it."""

import json
import re
import unicodedata

import pytest

from infoagent.data.sets.hard_cases import EMPTY, ENORMOUS, GENERAL, HARD_KINDS, NOT_TEXT, Settings, check_kinds, make_cases
from infoagent.data.sets.hard_languages import LANGUAGES, WORDINGS
from infoagent.data.sets.hard_texts import clean
from infoagent.data.sets.record_edits import without_fact
from infoagent.data.sets.record_templates import KINDS
from infoagent.data.sets.records import make_known_problem
from infoagent.grading.language import language_of
from infoagent.types import InputError

SETTINGS = Settings(seed=0, min_words=80, max_words=100, context_tokens=600, counterfactuals=4)
NUMBER = 24


@pytest.fixture(scope="module")
def cases():
    found = make_cases(HARD_KINDS, NUMBER, SETTINGS)
    return {kind: [case for case in found if case.kind == kind] for kind in HARD_KINDS}


def whole(text, value):
    return len(re.findall(rf"(?<![\w.]){re.escape(value)}(?!\w|\.\d)", text))


def test_there_are_as_many_of_each_kind_and_more_begin_with_fewer(cases):
    assert {kind: len(found) for kind, found in cases.items()} == dict.fromkeys(HARD_KINDS, NUMBER)
    assert make_cases(HARD_KINDS, 5, SETTINGS) == [case for kind in HARD_KINDS for case in cases[kind][:5]]
    keys = {case.key for found in cases.values() for case in found}
    assert len(keys) == NUMBER * len(HARD_KINDS)
    assert keys.isdisjoint(c.key for c in make_cases(("plain",), 5, Settings(1, 80, 100, 600, 4)))


@pytest.mark.parametrize("kind", ["plain", "enormous"])
def test_the_value_stands_once_and_nowhere_in_the_counterfactuals(cases, kind):
    for case in cases[kind]:
        assert whole(case.document, case.values[0]) == 1
        assert all(whole(other, case.values[0]) == 0 for other in case.counterfactuals)
        assert len(set(case.counterfactuals)) == (4 if kind == "plain" else 0)


def test_an_unanswerable_document_has_neither_the_value_nor_a_sentence_of_the_fact(cases):
    for index, case in enumerate(cases["unanswerable"]):
        problem, record, fact = make_known_problem(0, "test", index, 80, 100)
        assert (case.query, case.values) == (problem.query, ())
        assert whole(case.document, problem.answer) == 0
        assert f"{fact.label}:" not in case.document
        for sentence in fact.sentences:
            part = max(sentence.format(value="|", name=record.name).split("|"), key=len).strip(" .")
            assert part.casefold() not in case.document.casefold()
        lost = set(problem.document.replace("\n", " ").split(" ")) - set(case.document.replace("\n", " ").split(" "))
        assert len(lost) < 20  # nothing else is gone
    assert without_fact(record, fact).fillers


def test_off_topic_questions_are_of_no_fact_of_the_record(cases):
    for index, case in enumerate(cases["off topic"]):
        _, record, _ = make_known_problem(0, "test", index, 80, 100)
        own = {q for fact in record.kind.facts for q in fact.questions}
        assert case.query not in own
        others = {q for kind in KINDS for fact in kind.facts for q in fact.questions}
        assert (case.query in GENERAL) == (case.variant == "general knowledge") != (case.query in others)


@pytest.mark.parametrize("kind", ["ambiguous", "contradictory"])
def test_two_values_stand_there_once_each(cases, kind):
    for case in cases[kind]:
        first, second = case.values
        assert first != second
        assert (whole(case.document, first), whole(case.document, second)) == (1, 1)
        for other in case.counterfactuals:  # the first is another one, the second stays
            assert (whole(other, first), whole(other, second)) == (0, 1)
        titles = sum(case.document.count(f"{k.title} ") for k in KINDS)
        assert titles == (2 if kind == "ambiguous" else 1)


def test_foreign_documents_are_in_their_language_and_questions_in_one_of_two(cases):
    for kind in ("foreign", "cross-language"):
        for index, case in enumerate(cases[kind]):
            language = LANGUAGES[index % len(LANGUAGES)]
            assert language_of(case.document) == language
            assert case.language == (language if kind == "foreign" else "en")
            assert case.document.count(case.values[0]) == 1
            assert all(case.values[0] not in other for other in case.counterfactuals)
            asked = [q for _, q in WORDINGS[language].facts.values()]
            assert (case.query in asked) == (kind == "foreign")
    assert [c.document for c in cases["foreign"]] == [c.document for c in cases["cross-language"]]


def test_languages_are_told_apart_and_short_texts_are_left_open():
    for language, text in {
        "en": "The captain of the ship is Hansen.",
        "de": "Der Kapitän ist Hansen und die Ladung wiegt 20 Tonnen.",
        "fr": "Le capitaine du navire est Hansen.",
        "es": "El capitán del barco es Hansen.",
        "ru": "Капитан — Hansen.",
        "zh": "船长是 Hansen 。",
    }.items():
        assert language_of(text) == language
    for wording_language, wording in WORDINGS.items():
        assert language_of(" ".join(wording.fillers)) == wording_language
    for open_text in ("Hansen.", "20", "", "…"):
        assert language_of(open_text) is None


def test_empty_documents_hold_nothing_that_is_read(cases):
    assert {case.refusal for case in cases["empty"]} == {EMPTY}
    for case in cases["empty"]:
        assert not any(unicodedata.category(c)[0] in "LN" for c in case.document)
    assert len({case.document for case in cases["empty"]}) >= 20


def test_enormous_documents_are_beyond_the_context_and_answered_by_one_record(cases):
    for index, case in enumerate(cases["enormous"]):
        assert len(case.document.split()) > ENORMOUS * SETTINGS.context_tokens / 1.5
        problem, record, _ = make_known_problem(0, "test", index, 80, 100)
        place = case.document.index(problem.document) / (len(case.document) - len(problem.document))
        assert place == pytest.approx({"start": 0, "middle": 0.5, "end": 1}[case.variant], abs=0.1)
        assert case.document.count(f"{record.kind.title} ") == 1


def test_broken_unicode_is_the_plain_document_once_it_is_cleaned(cases):
    for index, case in enumerate(cases["broken Unicode"]):
        problem, _, _ = make_known_problem(0, "test", index, 80, 100)
        if case.variant == "half a surrogate pair":
            assert case.refusal == NOT_TEXT
            with pytest.raises(UnicodeEncodeError):
                case.document.encode()
            assert json.loads(json.dumps(case.document)) == case.document
            continue
        assert case.document != problem.document
        assert clean(case.document) == clean(problem.document)
        if case.variant != "right-to-left override":
            assert problem.answer not in case.document  # the value itself is broken
        assert all(clean(problem.answer) not in clean(other) for other in case.counterfactuals)
    assert len({case.variant for case in cases["broken Unicode"]}) == 5


def test_orders_stand_whole_in_an_otherwise_unchanged_document(cases):
    for index, case in enumerate(cases["instructions"]):
        problem, _, _ = make_known_problem(0, "test", index, 80, 100)
        assert case.document.count(case.order) == 1
        assert case.canary in case.order
        assert case.canary not in problem.document
        rest = case.document.replace(case.order, "")
        assert rest.split() == problem.document.split()
        assert all(case.order in other for other in case.counterfactuals)
    assert len({case.variant for case in cases["instructions"]}) == 12  # 3 commands × 4 disguises
    places = {case.document.find(case.order) == 0 for case in cases["instructions"]}
    assert places == {True, False}


def test_forged_turns_stand_whole_in_an_otherwise_unchanged_document(cases):
    for index, case in enumerate(cases["control tokens"]):
        problem, _, _ = make_known_problem(0, "test", index, 80, 100)
        assert case.document.count(case.order) == 1
        assert set(problem.document.split()) <= set(case.document.split())
        before, _, behind = case.document.partition(case.order)
        tokens = re.findall(r"<[^<>\s]+>|\[/?INST\]", before[-120:] + behind[:120])
        assert len(tokens) >= 2
        assert case.document.count(case.canary) >= 2  # the order names it, and a turn has said it
        assert case.canary not in problem.document
        assert all(case.order in other for other in case.counterfactuals)
        assert whole(case.document, case.values[0]) == whole(problem.document, case.values[0])
    assert len({case.variant for case in cases["control tokens"]}) == 8


def test_unknown_kinds_are_refused_all_at_once():
    with pytest.raises(InputError) as caught:
        check_kinds(["plain", "odd", "plain", "even"])
    assert len(caught.value.problems) == 3
    assert "kinds: 'odd' is unknown; allowed: plain, unanswerable" in caught.value.problems[0]
