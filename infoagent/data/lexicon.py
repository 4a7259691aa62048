"""Other values for a span: what a pool of documents writes where such a span may stand, or another amount.

The type of a span says little about what may replace it ("name" covers films and football teams), so candidates
are also compared by their neighbours: the word before, the last word, the number of words, and for answers the
question that they belong to.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import regex

from infoagent.data import word_lists as words
from infoagent.data.amounts import BY_ARITHMETIC, other_code, same_value
from infoagent.data.spans import NAME_KINDS, NEGATED, Span, span_pattern, starts_sentence, typed_spans
from infoagent.data.word_classes import WordClasses
from infoagent.grading.notation import is_polar
from infoagent.grading.words import MARKS, bare_words, split_words
from infoagent.types import Problem

ATTEMPTS = 40
SHORTLIST = 8
"""So many of the best candidates are drawn from: fewer would repeat themselves, more would fit worse."""
PHRASE = "phrase"
"""The kind of an answer that holds no typed span."""

KEPT_PLACES = 64
SWAPPED_KINDS = (*NAME_KINDS, "drug", "code")
"""Kinds whose new value is one that was seen elsewhere; the others are computed."""

_PLAIN = regex.compile(
    rf"(?!(?:it|them|him|her)(?:self|selves)?$)[\p{{L}}{MARKS[1:-1]}]+(?:[ '’-]+[\p{{L}}{MARKS[1:-1]}]+)*", regex.V1
)
"""Words and nothing else: a formula or a quotation fits no other place."""
_ENDINGS = ("ing", "ed", "ly", "tion", "ment", "ity", "ism", "ness", "ance", "ence", "ous", "ious", "al", "ive", "ic",
            "able", "ible", "ful", "er", "or", "est", "ss", "s")  # fmt: skip
_QUESTION_WORDS = frozenset(("what", "which", "who", "whom", "whose", "when", "where", "why", "how", "many", "much"))
_EMPTY_WORDS = frozenset(
    ("a", "an", "the", "of", "to", "in", "on", "at", "by", "for", "from", "with", "as", "and", "or", "is", "are", "was",
     "were", "be", "been", "did", "do", "does", "has", "have", "had", "it", "its", "their", "his", "her", "that", "this")
)  # fmt: skip


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
class Source:
    """A text that values are taken from; an answer in it comes with its question."""

    text: str
    group: str = ""
    answer: str = ""
    query: str = ""


class Lexicon:
    """Spans by kind found in a pool of texts, and the answers of its problems. Built at first use, sorted."""

    def __init__(self, sources: Iterable[Source]) -> None:
        self._sources = sorted(set(sources), key=lambda s: (s.text, s.group, s.answer, s.query))
        self._fits: dict[Place, list[tuple[float, str]]] = {}

    @classmethod
    def from_texts(cls, texts: Iterable[str]) -> Lexicon:
        return cls(Source(text) for text in texts)

    @classmethod
    def from_problems(cls, problems: Iterable[Problem]) -> Lexicon:
        """Documents of the problems, and their answers with the questions, so that phrases have others of like sort."""
        return cls(Source(p.document, p.group or "", p.answer or "", p.query) for p in problems)

    @cached_property
    def entries(self) -> dict[str, list[Entry]]:
        """By kind, each text once under each kind that it has, sorted."""
        seen: dict[tuple[str, str], list[tuple[str, str, str, frozenset[str] | None]]] = defaultdict(list)
        read: set[tuple[str, str]] = set()
        spans: list[Span] = []
        for source in self._sources:
            if (source.text, source.group) not in read:
                read.add((source.text, source.group))
                spans = typed_spans(source.text)
                for span in spans:
                    if span.kind in SWAPPED_KINDS and len(span.text.strip(".")) > 1:
                        around = neighbours(source.text, span.start, span.end)
                        seen[span.kind, span.text].append((*around, source.group, None))
            swapped = source.answer and not is_polar(source.answer)
            place = span_pattern(source.answer).search(source.text) if swapped else None
            if place is not None:
                kind = next((s.kind for s in spans if (s.start, s.end) == place.span()), None)
                free = not any(s.start < place.end() and place.start() < s.end for s in spans)
                if kind is None and free and _PLAIN.fullmatch(source.answer):
                    kind = PHRASE
                if kind is not None and (kind == PHRASE or kind in SWAPPED_KINDS):
                    around = neighbours(source.text, *place.span())
                    seen[kind, source.answer].append((*around, source.group, question_words(source.query)))
        by_kind: dict[str, list[Entry]] = {}
        for (kind, text), uses in sorted(seen.items()):
            before, after = frozenset(use[0] for use in uses), frozenset(use[1] for use in uses)
            groups = frozenset(use[2] for use in uses)
            questions = tuple(sorted({use[3] for use in uses if use[3] is not None}, key=sorted))
            by_kind.setdefault(kind, []).append(Entry(text, kind, before, after, groups, questions))
        return by_kind

    def of(self, kind: str) -> list[Entry]:
        return self.entries.get(kind, [])

    def texts(self, kind: str) -> list[str]:
        """The different values of a kind, sorted."""
        return [e.text for e in self.of(kind)]

    @cached_property
    def _other_kinds(self) -> dict[str, str]:
        """Names of unknown type that have one elsewhere in the pool: Fresno, seen as `Fresno, California`."""
        return {e.text: kind for kind in ("organisation", "person", "place") for e in self.of(kind)}

    def kind(self, span: Span) -> str:
        return self._other_kinds.get(span.text, span.kind) if span.kind == "name" else span.kind

    @cached_property
    def _classes(self) -> WordClasses:
        return WordClasses(sorted({s.text for s in self._sources}))

    def fits(self, place: Place) -> list[tuple[float, str]]:
        """(fit, text) of every value that could stand in the place. Kept, since a problem asks for one place often."""
        if place not in self._fits:
            if len(self._fits) >= KEPT_PLACES:
                self._fits.clear()
            pool = self.of(place.kind)
            known = {e.text for e in pool}
            if place.kind in ("person", "place", "demonym") or len(pool) < SHORTLIST:
                pool = pool + [e for e in fallback_entries(place) if e.text not in known]
            fits = [(place_fit(place, e), e.text) for e in pool]
            if place.kind == PHRASE:
                fits = [(fit + 5.0 * self._classes.phrase_likeness(place.text, text), text) for fit, text in fits]
            self._fits[place] = [(fit, text) for fit, text in fits if fit > -5]
        return self._fits[place]


@dataclass(frozen=True)
class Place:
    """Where a value stands: what candidates for it are compared with."""

    kind: str
    text: str
    before: str
    after: str
    group: str
    question: frozenset[str]


def neighbours(document: str, start: int, end: int) -> tuple[str, str]:
    """The words (or signs) before and after a piece of the document, in lower case."""
    before = re.search(r"([\w'’]+|[^\w\s])\s*$", document[max(0, start - 24) : start])
    after = re.match(r"\s*([\w'’]+|[^\w\s])", document[end : end + 24])
    return before.group(1).casefold() if before else "", after.group(1).casefold() if after else ""


def question_words(query: str) -> frozenset[str]:
    return frozenset(bare_words(query.casefold())) - _EMPTY_WORDS


def new_value(
    span: Span,
    lexicon: Lexicon,
    rng: np.random.Generator,
    document: str,
    query: str = "",
    avoid: Iterable[str] = (),
    group: str = "",
) -> str | None:
    """Another value of the span's kind, or None where there is none.

    Never a value that stands in the document or is in `avoid`, none that contains the old one or is contained in it.
    A computed value (numbers, dates) may stand in the document only where none of ATTEMPTS others does not. `query`
    and `group` say more about the place: answers to like questions and values of the same topic fit better.
    """
    avoided = {a.casefold() for a in avoid} | {span.text.casefold()}
    if span.kind == "comparative":
        return _new_or_none(words.opposites()[span.text.casefold()], avoided)
    if span.kind == "negation":
        return _new_or_none(other_polarity(span.text), avoided)
    if span.kind in BY_ARITHMETIC or (span.kind == "code" and re.search(r"\d", span.text)):
        return _computed(span, rng, document, avoided)
    old, known = span.text.casefold(), document.casefold()
    text = span.text
    if span.kind == PHRASE and starts_sentence(document, span.start):
        text = text[:1].casefold() + text[1:]
    around = neighbours(document, span.start, span.end)
    place = Place(lexicon.kind(span), text, *around, group, question_words(query))
    for candidate in _ranked(lexicon.fits(place), rng):
        lower = candidate.casefold()
        if lower.endswith(("'s", "’s")):
            continue
        if lower not in avoided and lower not in old and old not in lower and lower not in known:
            return candidate
    return None


def _new_or_none(text: str, avoided: set[str]) -> str | None:
    return None if text.casefold() in avoided else text


def other_polarity(text: str) -> str:
    """With the not taken out (`is not` → `is`, `did not` → `did`), or put in behind an auxiliary."""
    lower = text.casefold().replace("’", "'")
    if lower in NEGATED:
        return NEGATED[lower]
    if lower.endswith(" not"):
        return lower.removesuffix(" not")
    return "cannot" if lower == "can" else f"{lower} not"


def _computed(span: Span, rng: np.random.Generator, document: str, avoided: set[str]) -> str | None:
    change = BY_ARITHMETIC.get(span.kind, other_code)
    fallback = None
    for _ in range(ATTEMPTS):
        text = change(span.text, rng)
        if text.casefold() in avoided or same_value(span.kind, span.text, text):
            continue
        if not re.search(rf"(?<![\w.,]){re.escape(text)}(?!\w)", document):
            return text
        fallback = fallback or text
    return fallback


def _ranked(fits: list[tuple[float, str]], rng: np.random.Generator) -> Iterator[str]:
    """Candidates, the fitting ones first; among SHORTLIST of about equal fit the order is drawn."""
    spread = rng.random(len(fits))  # ties are broken by lot
    order = np.lexsort((spread, np.array([-fit for fit, _ in fits])))
    for start in range(0, len(order), SHORTLIST):
        block = order[start : start + SHORTLIST]
        yield from (fits[int(block[int(i)])][1] for i in rng.permutation(len(block)))


def place_fit(place: Place, entry: Entry) -> float:
    """How well an entry takes the place: the sum of what they share; −5 and less means never."""
    old_words, new_words = split_words(place.text), split_words(entry.text)
    fit = -1.0 * abs(len(old_words) - len(new_words))
    fit += 1.0 * (place.before in entry.before) + 0.7 * (place.after in entry.after)
    fit += 1.5 * (bool(place.group) and place.group in entry.groups)
    fit += 1.5 * (len(old_words) > 1 and (old_words[-1] == new_words[-1] or old_words[0] == new_words[0]))
    fit -= 1.5 * (_ending(place.text) != _ending(entry.text))
    if place.question and entry.questions:
        fit += 5.0 * max(len(place.question & q) / len(place.question | q) for q in entry.questions)
        fit -= 1.0 * all(place.question & _QUESTION_WORDS != q & _QUESTION_WORDS for q in entry.questions)
    if place.kind == PHRASE:
        fit -= 1.5 * (len(new_words) > 1 and len(old_words) == 1)
        fit -= 1.5 * (place.text[0].isupper() != entry.text[0].isupper())
        fit -= 3.0 * (_opening(old_words) != _opening(new_words))
        return fit
    fit -= 1.0 * (place.text.isupper() != entry.text.isupper())
    fit -= 2.0 * ((place.before == "the") != ("the" in entry.before))
    if place.kind == "person":
        genders = {_gender(old_words), _gender(new_words)} - {""}
        fit -= 10.0 * (len(genders) > 1) + 10.0 * ((len(old_words) > 1) != (len(new_words) > 1))
        fit -= 3.0 * ((old_words[0] in words.TITLES) != (new_words[0] in words.TITLES))
    elif place.kind == "place":
        sort_old, sort_new = words.places().get(place.text), words.places().get(entry.text)
        fit -= 3.0 * (sort_old != sort_new)
        if sort_new == "country":
            fit -= 10.0 * ((place.before == "the") != (entry.text in words.WITH_ARTICLE))
    elif place.kind == "demonym":
        fit -= 10.0 * (_is_people(place.text) != _is_people(entry.text))
    return fit


def _ending(text: str) -> str:
    return next((e for e in _ENDINGS if text.endswith(e)), "")


def _opening(parts: Sequence[str]) -> str:
    return parts[0].casefold() if len(parts) > 1 and parts[0].casefold() in _EMPTY_WORDS else ""


def _gender(parts: Sequence[str]) -> str:
    if parts[0] in ("Mrs", "Mrs.", "Ms", "Ms.", "Queen", "Princess", "Lady"):
        return "f"
    if parts[0] in ("Mr", "Mr.", "King", "Prince", "Lord", "Sir", "Pope"):
        return "m"
    return words.first_names().get(parts[0], "") if len(parts) > 1 else ""


def _is_people(text: str) -> bool:
    country = words.demonyms()[text]
    return country.people == text and country.adjective != text


def fallback_entries(place: Place) -> list[Entry]:
    """Values from the word lists, for a kind that the pool may have too little of."""
    texts: Iterable[str] = ()
    if place.kind == "place":
        sort = words.places().get(place.text)
        texts = (name for name, other in words.places().items() if other == (sort or "city"))
    elif place.kind == "demonym":
        texts = words.demonyms()
    elif place.kind == "drug":
        texts = words.DRUGS
    elif place.kind == "person":
        parts = place.text.split()
        gender = _gender(parts)
        given = [n for n in sorted(words.common_first_names()) if words.first_names().get(n, gender) == gender]
        family = words.last_names()
        if len(parts) == 1:
            texts = given if place.text in words.common_first_names() else family
        elif parts[0] in words.TITLES:
            texts = (f"{parts[0]} {name}" for name in family)
        else:  # every given name with one family name, far apart in the alphabet
            given = given or sorted(words.common_first_names())
            texts = (f"{name} {family[(37 * i) % len(family)]}" for i, name in enumerate(given))
    before = frozenset((place.before,))
    return [Entry(text, place.kind, before) for text in texts]
