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
from numpy.typing import NDArray

from infoagent.data.counterfactual import word_lists as words
from infoagent.data.counterfactual.amounts import BY_ARITHMETIC, amount_value, in_digits_of, other_code, same_value
from infoagent.data.counterfactual.fitting import EMPTY_WORDS, PHRASE, Entry, FitTable, Floats, Place, listed_as, listed_values
from infoagent.data.counterfactual.spans import NAME_KINDS, NEGATED, Span, span_pattern, starts_sentence, typed_spans
from infoagent.data.counterfactual.word_classes import Phrases, WordClasses
from infoagent.grading.notation import is_polar
from infoagent.grading.words import MARKS, bare_words
from infoagent.types import Problem

ATTEMPTS = 40
SHORTLIST = 8
"""So many of the best candidates are drawn from: fewer would repeat themselves, more would fit worse."""
KEPT_PLACES = 64
SWAPPED_KINDS = (*NAME_KINDS, "drug", "code")
"""Kinds whose new value is one that was seen elsewhere; the others are computed."""

_PLAIN = regex.compile(
    rf"(?!(?:it|them|him|her)(?:self|selves)?$)[\p{{L}}{MARKS[1:-1]}]+(?:[ '’-]+[\p{{L}}{MARKS[1:-1]}]+)*", regex.V1
)
"""Words and nothing else: a formula or a quotation fits no other place."""
_ONE_THING = re.compile(rf"[ -](?!(?:{'|'.join(sorted(EMPTY_WORDS))})\b)[a-z]")


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
        self._fits: dict[Place, tuple[Floats, list[str]]] = {}
        self._tables: dict[str, FitTable] = {}
        self._lists: dict[tuple[str, tuple[str, ...]], tuple[FitTable, NDArray[np.intp]]] = {}

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
                kind = next((s.kind for s in spans if (s.start, s.end) == place), None)
                free = not any(s.start < place[1] and place[0] < s.end for s in spans)
                if kind is None and free and _PLAIN.fullmatch(source.answer):
                    kind = PHRASE
                if kind is not None and (kind == PHRASE or kind in SWAPPED_KINDS):
                    around = neighbours(source.text, *place)
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

    @cached_property
    def _phrases(self) -> Phrases:
        return self._classes.phrases(self._table(PHRASE).texts)

    def fits(self, place: Place) -> tuple[Floats, list[str]]:
        """(fits, texts) of every value that could stand in the place. Kept, since a problem asks for one place often."""
        if place not in self._fits:
            if len(self._fits) >= KEPT_PLACES:
                self._fits.clear()
            pool = self._table(place.kind)
            fits, texts = pool.fits(place), pool.texts
            if place.kind == PHRASE:
                fits = fits + 5.0 * self._classes.likeness(place.text, self._phrases)
            if place.kind in ("person", "place", "demonym") or len(pool.texts) < SHORTLIST:
                listed, fresh = self._listed(place.kind, listed_as(place))
                fits = np.concatenate([fits, listed.fits(place)[fresh]])
                texts = texts + [listed.texts[int(i)] for i in fresh]
            kept = np.flatnonzero(fits > -5)
            self._fits[place] = (fits[kept], [texts[int(i)] for i in kept])
        return self._fits[place]

    def _table(self, kind: str) -> FitTable:
        if kind not in self._tables:
            self._tables[kind] = FitTable(kind, self.of(kind))
        return self._tables[kind]

    def _listed(self, kind: str, name: tuple[str, ...]) -> tuple[FitTable, NDArray[np.intp]]:
        """Values of the word lists, and which of them the pool does not have."""
        if (kind, name) not in self._lists:
            known = set(self._table(kind).texts)
            table = FitTable(kind, listed_values(name), from_lists=True)
            fresh = [i for i, text in enumerate(table.texts) if text not in known]
            self._lists[kind, name] = (table, np.array(fresh, dtype=np.intp))
        return self._lists[kind, name]


def neighbours(document: str, start: int, end: int) -> tuple[str, str]:
    """The words (or signs) before and after a piece of the document, in lower case."""
    before = re.search(r"([\w'’]+|[^\w\s])\s*$", document[max(0, start - 24) : start])
    after = re.match(r"\s*([\w'’]+|[^\w\s])", document[end : end + 24])
    return before.group(1).casefold() if before else "", after.group(1).casefold() if after else ""


def question_words(query: str) -> frozenset[str]:
    return frozenset(bare_words(query.casefold())) - EMPTY_WORDS


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
    A computed value (numbers, dates) may stand in the document only where none of ATTEMPTS others does not. There is none
    for the one of `one child`: the noun behind another number would have to be a plural. `query`
    and `group` say more about the place: answers to like questions and values of the same topic fit better.
    """
    avoided = {a.casefold() for a in avoid} | {span.text.casefold()}
    if span.kind == "comparative":
        return _new_or_none(words.opposites()[span.text.casefold()], avoided)
    if span.kind == "negation":
        return _new_or_none(other_polarity(span.text), avoided)
    if span.kind == "number" and amount_value(span.text) == 1 and _ONE_THING.match(document, span.end):
        return None
    if span.kind in BY_ARITHMETIC or (span.kind == "code" and re.search(r"\d", span.text)):
        return _computed(span, rng, document, avoided)
    old, known = span.text.casefold(), document.casefold()
    text = span.text
    if span.kind == PHRASE and starts_sentence(document, span.start):
        text = text[:1].casefold() + text[1:]
    around = neighbours(document, span.start, span.end)
    place = Place(lexicon.kind(span), text, *around, group, question_words(query))
    with_demonym = _with_demonym(span, document)
    for candidate in _ranked(*lexicon.fits(place), rng):
        lower = candidate.casefold()
        if with_demonym and candidate not in with_demonym:
            continue
        if lower.endswith(("'s", "’s")):
            continue
        if lower not in avoided and lower not in old and old not in lower and lower not in known:
            return candidate
    return None


def _with_demonym(span: Span, document: str) -> frozenset[str]:
    """The countries whose demonyms are known, where the document has one of the old country: it has to change as well."""
    country = next((c for c in words.COUNTRIES if c.name == span.text), None)
    if country is None or not any(span_pattern(form).search(document) for form in (country.adjective, country.people)):
        return frozenset()
    return frozenset(c.name for c in words.COUNTRIES)


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
        text = in_digits_of(span.text, change(span.text, rng))
        if text.casefold() in avoided or same_value(span.kind, span.text, text):
            continue
        if not re.search(rf"(?<![\w.,]){re.escape(text)}(?!\w)", document):
            return text
        fallback = fallback or text
    return fallback


def _ranked(fits: Floats, texts: Sequence[str], rng: np.random.Generator) -> Iterator[str]:
    """Candidates, the fitting ones first; among SHORTLIST of about equal fit the order is drawn."""
    spread = rng.random(len(fits))  # ties are broken by lot
    order = np.lexsort((spread, -fits))
    for start in range(0, len(order), SHORTLIST):
        block = order[start : start + SHORTLIST]
        yield from (texts[int(block[int(i)])] for i in rng.permutation(len(block)))
