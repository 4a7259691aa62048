"""Fits in arrays against the same rules written out for one value at a time."""

import numpy as np
import pytest

from infoagent.data.counterfactual import word_lists as words
from infoagent.data.counterfactual.fitting import (
    _QUESTION_WORDS,
    PHRASE,
    FitTable,
    Place,
    _ending,
    _is_people,
    _opening,
    gender_of,
    listed_as,
    listed_values,
)
from infoagent.data.counterfactual.lexicon import Lexicon, neighbours, question_words
from infoagent.data.counterfactual.spans import span_pattern, typed_spans
from infoagent.data.registry import load_data

PROBLEMS = [
    *load_data("records", split="train", limit=40, min_words=80, max_words=120).problems,
    *load_data("python-reference", split="validation").problems[:20],
]
LEXICON = Lexicon.from_problems(PROBLEMS)


def fit_of(place, entry, from_lists):
    before = {place.before} if from_lists else entry.before
    old, new = place.text.split(), entry.text.split()
    fit = -1.0 * abs(len(old) - len(new))
    fit += 1.0 * (place.before in before) + 0.7 * (place.after in entry.after)
    fit += 1.5 * (bool(place.group) and place.group in entry.groups)
    fit += 1.5 * (len(old) > 1 and (old[-1] == new[-1] or old[0] == new[0]))
    fit -= 1.5 * (_ending(place.text) != _ending(entry.text))
    if place.question and entry.questions:
        fit += 5.0 * max(len(place.question & q) / len(place.question | q) for q in entry.questions)
        fit -= 1.0 * all(place.question & _QUESTION_WORDS != q & _QUESTION_WORDS for q in entry.questions)
    if place.kind == PHRASE:
        fit -= 1.5 * (len(new) > 1 and len(old) == 1)
        fit -= 1.5 * (place.text[0].isupper() != entry.text[0].isupper())
        return fit - 3.0 * (_opening(old) != _opening(new))
    fit -= 1.0 * (place.text.isupper() != entry.text.isupper())
    fit -= 2.0 * ((place.before == "the") != ("the" in before))
    if place.kind == "person":
        genders = {gender_of(old), gender_of(new)} - {""}
        fit -= 10.0 * (len(genders) > 1) + 10.0 * ((len(old) > 1) != (len(new) > 1))
        fit -= 3.0 * ((old[0] in words.TITLES) != (new[0] in words.TITLES))
    elif place.kind == "place":
        fit -= 3.0 * (words.places().get(place.text) != words.places().get(entry.text))
        if words.places().get(entry.text) == "country":
            fit -= 10.0 * ((place.before == "the") != (entry.text in words.WITH_ARTICLE))
    elif place.kind == "demonym":
        fit -= 10.0 * (_is_people(place.text) != _is_people(entry.text))
    return fit


def places():
    for problem in PROBLEMS:
        match = span_pattern(problem.answer).search(problem.document)
        spans = [(s.kind, s.text, s.start, s.end) for s in typed_spans(problem.document)][:6]
        for kind, text, start, end in [*spans, *([(PHRASE, problem.answer, *match)] if match else [])]:
            around = neighbours(problem.document, start, end)
            yield Place(kind, text, *around, problem.group or "", question_words(problem.query))


@pytest.mark.parametrize("kind", sorted({place.kind for place in places()} & {*LEXICON.entries, "demonym", "drug"}))
def test_arrays_say_what_the_rules_say(kind):
    entries = LEXICON.of(kind)
    table = FitTable(kind, entries)
    for place in [p for p in places() if p.kind == kind][:12]:
        np.testing.assert_array_equal(table.fits(place), [fit_of(place, e, from_lists=False) for e in entries])
        listed = listed_values(listed_as(place))[:200]
        np.testing.assert_array_equal(
            FitTable(kind, listed, from_lists=True).fits(place), [fit_of(place, e, from_lists=True) for e in listed]
        )
