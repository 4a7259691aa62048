"""Candidate ranking for lexical substitution: how well every value of a kind takes one place, in arrays.

A place is compared with all values at once, so that another place costs a few passes over numbers, however many values a
large set brings. Shape legend: E values of a kind, Q questions that values have answered (a value may have several).
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from infoagent.data.counterfactual import word_lists as words
from infoagent.grading.words import split_words

PHRASE = "phrase"
"""The kind of an answer that holds no typed span."""

_ENDINGS = ("ing", "ed", "ly", "tion", "ment", "ity", "ism", "ness", "ance", "ence", "ous", "ious", "al", "ive", "ic",
            "able", "ible", "ful", "er", "or", "est", "ss", "s")  # fmt: skip
_QUESTION_WORDS = frozenset(("what", "which", "who", "whom", "whose", "when", "where", "why", "how", "many", "much"))
EMPTY_WORDS = frozenset(
    ("a", "an", "the", "of", "to", "in", "on", "at", "by", "for", "from", "with", "as", "and", "or", "is", "are", "was",
     "were", "be", "been", "did", "do", "does", "has", "have", "had", "it", "its", "their", "his", "her", "that", "this")
)  # fmt: skip

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Index = dict[Hashable, NDArray[np.intp]]


@dataclass(frozen=True)
class Entry:
    """A value of the lexicon, with the words that it was seen between, its topics, and the questions it answers."""

    text: str
    kind: str
    before: frozenset[str] = frozenset()
    after: frozenset[str] = frozenset()
    groups: frozenset[str] = frozenset()
    questions: tuple[frozenset[str], ...] = ()


@dataclass(frozen=True)
class Place:
    """Where a value stands: what candidates for it are compared with."""

    kind: str
    text: str
    before: str
    after: str
    group: str
    question: frozenset[str]


class FitTable:
    """The features of the values of one kind. `from_lists`: values of the word lists, which were seen nowhere and count as
    seen behind the word that stands before the place."""

    def __init__(self, kind: str, entries: Sequence[Entry], from_lists: bool = False) -> None:
        self.kind, self.from_lists = kind, from_lists
        self.texts = [e.text for e in entries]
        split = [split_words(text) for text in self.texts]
        self._words_E = np.array([len(parts) for parts in split], dtype=np.intp)
        self._before = _index([e.before for e in entries])
        self._after = _index([e.after for e in entries])
        self._groups = _index([e.groups for e in entries])
        self._first = _index([parts[:1] for parts in split])
        self._last = _index([parts[-1:] for parts in split])
        self._ending = _index([[_ending(text)] for text in self.texts])
        self._upper_E = _flags(text.isupper() for text in self.texts)
        self._questions = _Questions([e.questions for e in entries])
        if kind == PHRASE:
            self._capital_E = _flags(text[:1].isupper() for text in self.texts)
            self._opening = _index([[_opening(parts)] for parts in split])
        elif kind == "person":
            self._gender = _index([[gender_of(parts)] for parts in split])
            self._title_E = _flags(parts[0] in words.TITLES for parts in split)
        elif kind == "place":
            self._sort = _index([[words.places().get(text)] for text in self.texts])
            self._article_E = _flags(text in words.WITH_ARTICLE for text in self.texts)
        elif kind == "demonym":
            self._people_E = _flags(_is_people(text) for text in self.texts)

    def fits(self, place: Place) -> Floats:
        """(E,) how well each value takes the place: the sum of what they share; −5 and less means never."""
        old_words = split_words(place.text)
        before_E = self._in(self._before, place.before) if not self.from_lists else np.ones(len(self.texts), dtype=bool)
        fit_E = -1.0 * np.abs(len(old_words) - self._words_E)
        fit_E += 1.0 * before_E + 0.7 * self._in(self._after, place.after)
        if place.group:
            fit_E += 1.5 * self._in(self._groups, place.group)
        if len(old_words) > 1:
            fit_E += 1.5 * (self._in(self._last, old_words[-1]) | self._in(self._first, old_words[0]))
        fit_E -= 1.5 * ~self._in(self._ending, _ending(place.text))
        self._questions.add(fit_E, place.question)
        if place.kind == PHRASE:
            fit_E -= 1.5 * ((self._words_E > 1) & (len(old_words) == 1))
            fit_E -= 1.5 * (place.text[0].isupper() != self._capital_E)
            fit_E -= 3.0 * ~self._in(self._opening, _opening(old_words))
            return fit_E
        fit_E -= 1.0 * (place.text.isupper() != self._upper_E)
        the_E = before_E & (place.before == "the") if self.from_lists else self._in(self._before, "the")
        fit_E -= 2.0 * ((place.before == "the") != the_E)
        self._own_kind(fit_E, place, old_words)
        return fit_E

    def _own_kind(self, fit_E: Floats, place: Place, old_words: Sequence[str]) -> None:
        if place.kind == "person":
            gender = gender_of(old_words)
            other_E = ~self._in(self._gender, gender) & ~self._in(self._gender, "") & bool(gender)
            fit_E -= 10.0 * other_E + 10.0 * ((len(old_words) > 1) != (self._words_E > 1))
            fit_E -= 3.0 * ((old_words[0] in words.TITLES) != self._title_E)
        elif place.kind == "place":
            fit_E -= 3.0 * ~self._in(self._sort, words.places().get(place.text))
            country_E = self._in(self._sort, "country")
            fit_E -= 10.0 * (country_E & ((place.before == "the") != self._article_E))
        elif place.kind == "demonym":
            fit_E -= 10.0 * (_is_people(place.text) != self._people_E)

    def _in(self, index: Index, key: Hashable) -> Flags:
        flags_E = np.zeros(len(self.texts), dtype=bool)
        if key in index:
            flags_E[index[key]] = True
        return flags_E


class _Questions:
    """The questions that the values of a table have answered."""

    def __init__(self, questions: Sequence[Sequence[frozenset[str]]]) -> None:
        flat = [(e, q) for e, found in enumerate(questions) for q in found]
        self._entry_Q = np.array([e for e, _ in flat], dtype=np.intp)
        self._size_Q = np.array([len(q) for _, q in flat], dtype=np.intp)
        self._word = _index([q for _, q in flat])
        self._asked = _index([[q & _QUESTION_WORDS] for _, q in flat])
        self._entries, self._starts = np.unique(self._entry_Q, return_index=True)

    def add(self, fit_E: Floats, question: frozenset[str]) -> None:
        """Jaccard likeness of the place's question to the most alike one of each value, and whether one asks alike."""
        if not question or not len(self._entries):
            return
        shared_Q = np.zeros(len(self._entry_Q), dtype=np.intp)
        for word in question:
            if word in self._word:
                shared_Q[self._word[word]] += 1
        likeness_Q = shared_Q / (len(question) + self._size_Q - shared_Q)
        fit_E[self._entries] += 5.0 * np.maximum.reduceat(likeness_Q, self._starts)
        alike_Q = np.zeros(len(self._entry_Q), dtype=bool)
        alike_Q[self._asked.get(question & _QUESTION_WORDS, np.zeros(0, dtype=np.intp))] = True
        fit_E[self._entries] -= 1.0 * ~np.logical_or.reduceat(alike_Q, self._starts)


def _index(keys: Iterable[Iterable[Hashable]]) -> Index:
    places: dict[Hashable, list[int]] = defaultdict(list)
    for number, found in enumerate(keys):
        for key in found:
            places[key].append(number)
    return {key: np.array(numbers, dtype=np.intp) for key, numbers in places.items()}


def _flags(values: Iterable[bool]) -> Flags:
    return np.fromiter(values, dtype=bool)


def _ending(text: str) -> str:
    return next((e for e in _ENDINGS if text.endswith(e)), "")


def _opening(parts: Sequence[str]) -> str:
    return parts[0].casefold() if len(parts) > 1 and parts[0].casefold() in EMPTY_WORDS else ""


def gender_of(parts: Sequence[str]) -> str:
    """f, m, or an empty string where the name does not tell."""
    if parts[0] in ("Mrs", "Mrs.", "Ms", "Ms.", "Queen", "Princess", "Lady"):
        return "f"
    if parts[0] in ("Mr", "Mr.", "King", "Prince", "Lord", "Sir", "Pope"):
        return "m"
    return words.first_names().get(parts[0], "") if len(parts) > 1 else ""


def _is_people(text: str) -> bool:
    country = words.demonyms()[text]
    return country.people == text and country.adjective != text


def listed_as(place: Place) -> tuple[str, ...]:
    """Which values of the word lists could stand in the place; places with equal names share them."""
    if place.kind == "place":
        return ("place", words.places().get(place.text) or "city")
    if place.kind in ("demonym", "drug"):
        return (place.kind,)
    if place.kind != "person":
        return ()
    parts = place.text.split()
    if len(parts) == 1:
        is_given = place.text in words.common_first_names()
        return ("person", "given", gender_of(parts)) if is_given else ("person", "family")
    return ("person", "titled", parts[0]) if parts[0] in words.TITLES else ("person", "whole", gender_of(parts))


def listed_values(name: tuple[str, ...]) -> list[Entry]:
    """Values from the word lists under a name of `listed_as`, for a kind that the pool may have too little of."""
    texts: Iterable[str] = ()
    if name[:1] == ("place",):
        texts = (text for text, sort in words.places().items() if sort == name[1])
    elif name == ("demonym",):
        texts = words.demonyms()
    elif name == ("drug",):
        texts = words.DRUGS
    elif name[:2] == ("person", "family"):
        texts = words.last_names()
    elif name[:2] == ("person", "titled"):
        texts = (f"{name[2]} {family}" for family in words.last_names())
    elif name[:1] == ("person",):
        every = sorted(words.common_first_names())
        given = [n for n in every if words.first_names().get(n, name[2]) == name[2]]
        family = words.last_names()
        texts = given
        if name[1] == "whole":  # every given name with one family name, far apart in the alphabet
            texts = (f"{n} {family[(37 * i) % len(family)]}" for i, n in enumerate(given or every))
    return [Entry(text, name[0]) for text in texts]
