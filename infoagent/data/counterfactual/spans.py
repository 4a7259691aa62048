"""Typed spans of English text: numbers with their units, dates, names, negations, comparatives.

Regular expressions and word lists, no model: a span is found in microseconds and always the same. The longest match
wins, among equally long ones the more specific kind, and spans never overlap.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

import regex

from infoagent.data.counterfactual import word_lists as words
from infoagent.grading.dates import find_dates
from infoagent.grading.number_words import ONES, TENS
from infoagent.grading.words import LETTERS, MARKS, Whole, whole

KINDS = (
    "money", "percentage", "date", "year", "time", "quantity", "ordinal", "code", "drug", "person", "place", "demonym",
    "organisation", "name", "comparative", "negation", "number",
)  # fmt: skip
"""From the most specific to the least."""

NAME_KINDS = ("person", "place", "demonym", "organisation", "name")
KEPT_TEXTS = 64
"""So many texts keep their spans: whoever changes facts of a text asks for them again with each fact."""

_MONTH = "(?:" + "|".join(words.MONTHS) + ")"
DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?)"
_ONE = "(?:" + "|".join(sorted([*ONES[1:], *TENS[2:]], key=len, reverse=True)) + ")"
_SCALE = "(?:" + "|".join(words.SCALES) + ")"
MOST_WORDS = 25
"""Of a number in words, behind the first: all numbers below a quadrillion have fewer."""
NUMBER_WORDS = rf"(?:{_ONE}(?:(?:[ -]|(?<=hundred) and |(?<=thousand) and )(?:{_ONE}|{_SCALE})){{0,{MOST_WORDS}}})"
AMOUNT = rf"(?:(?:{DIGITS}|{NUMBER_WORDS})(?:[ -]{_SCALE})?)"
# digits stand between letters of scripts without spaces: 在1932年
_START = rf"(?<!{LETTERS})(?<![$€£¥])(?<!\d[.,:])"
_END = rf"(?!{LETTERS}|{MARKS}|[.,:]\d)"
_CURRENCY = "(?:" + "|".join(words.CURRENCIES) + ")"
_UNIT = "(?:" + "|".join(f"{unit}(?:s|es)?" for unit in words.UNITS) + "|feet|inches|centuries)"
_SYMBOL = "(?:" + "|".join(re.escape(s) for s in sorted(words.SYMBOLS, key=len, reverse=True)) + ")"
_ORDINAL = r"(?<!\w-)(?:\d+(?:st|nd|rd|th)|(?:" + "|".join(words.ORDINAL_WORDS[2:]) + r"))"
_PARTS = "|".join((*words.ORDINAL_WORDS[2:], "quarter"))
_CENTURY = _ORDINAL.replace("|(?:second", "|(?:first|second") + r"(?:[ -])centur(?:y|ies)"
_DAY = r"\d{1,2}(?:st|nd|rd|th)?"
_ERA = r"(?:BC|BCE|AD|CE|B\.C\.|A\.D\.)"

_NUMBERED = r"[A-Z]{1,4}-\d{2,}\b"
"""ORD-1217, which is no name Order ORD and a number."""

AUXILIARIES = ("is", "are", "was", "were", "can", "could", "will", "would", "should", "must")
NEGATED = {
    "cannot": "can", "can't": "can", "won't": "will", "isn't": "is", "aren't": "are", "wasn't": "was",
    "weren't": "were", "couldn't": "could", "wouldn't": "would", "shouldn't": "should", "never": "always",
    "no longer": "still", "without": "with",
}  # fmt: skip
"""A negated word and what stands in its place once the negation is gone; `AUX not` loses its not by rule."""

_PATTERNS: dict[str, regex.Pattern[str]] = {
    kind: regex.compile(pattern, regex.V1)
    for kind, pattern in {
        "money": rf"(?<![\w$€£¥])(?:US|A|C|AU)?[$€£¥]\s?{AMOUNT}(?:bn|[mk])?\b{_END}|{_START}{AMOUNT} {_CURRENCY}\b",
        "percentage": rf"{_START}{AMOUNT}(?:\s?%|[ -](?:percent|per cent|percentage points?)\b)",
        "date": rf"{_START}\d{{4}}-\d\d-\d\d{_END}"
        rf"|\b{_MONTH} {_DAY}, \d{{4}}{_END}|{_START}{_DAY} (?:of )?{_MONTH}(?:,? \d{{4}})?{_END}"
        rf"|\b{_MONTH} {_DAY}{_END}|\b{_MONTH},? \d{{4}}{_END}|{_START}\d{{3}}0s\b|{_START}{_CENTURY}\b(?: {_ERA})?",
        "year": rf"{_START}(?:1\d{{3}}|20\d\d){_END}(?!\s?%)|{_START}\d{{1,4}} {_ERA}|\b(?:AD|A\.D\.) \d{{1,4}}{_END}",
        "time": rf"{_START}(?:[01]?\d|2[0-3]):[0-5]\d(?::[0-5]\d)?(?:\s?[ap]\.?m\b\.?)?{_END}"
        rf"|{_START}(?:1[0-2]|[1-9])\s?(?:am|pm|a\.m\.|p\.m\.)(?!\w)|\b(?:noon|midnight)\b",
        "quantity": rf"{_START}{DIGITS}(?:/{DIGITS})?\s?{_SYMBOL}(?![\w/²³])|{_START}{AMOUNT}[ -]{_UNIT}\b(?!-)",
        # metres per second, and a third party, of which there is no eighth
        "ordinal": rf"{_START}(?!second\b(?:(?<=\b(?:per|each|every) second)|(?<=\ban? second)(?! \w)))"
        rf"(?!third[ -]part(?:y|ies)\b){_ORDINAL}\b(?! time)",
        "code": r"`[^`\n]{1,40}`|\b[a-z_]\w+(?:\.[a-z_]\w*)+\b(?:\(\))?|\b\w*[A-Za-z]_\w+\b(?:\(\))?|\b[a-z]\w+\(\)"
        rf"|\b{_NUMBERED}|\bv?\d+(?:\.\d+){{2,}}\b",
        "camel": r"\b(?!Mc|Mac|De|Di|La|Le|Van|Fitz)[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+\b",
        "drug": r"(?i:\b(?:" + "|".join(words.DRUGS) + r"|[a-z]{3,}(?:" + "|".join(words.DRUG_ENDINGS) + r"))\b)",
        "comparative": r"\b(?:" + "|".join(sorted(words.opposites(), key=len, reverse=True)) + r")\b",
        "negation": rf"\b(?:(?:{'|'.join(AUXILIARIES)}|did|does|do|has|have|had|may|might) not\b(?! only)"
        rf"|(?:{'|'.join(AUXILIARIES)})\b(?! not\b|n?['’]t)|(?:{'|'.join(NEGATED)})\b)".replace("'t", "['’]t"),
        # twenty-first is an ordinal and two-thirds a share: no 20 and no 2 that another number could stand for
        "number": rf"(?<!\d{{4}}[–-]){_START}{AMOUNT}{_END}(?!(?:[ -]{_ONE})?-(?:first|(?:{_PARTS})s?)\b)",
    }.items()
}

_UPPER = "[A-ZÀ-ÖØ-ÞĀŁŚŠŽ]"
_TOKEN = (
    rf"(?!{_NUMBERED})(?:(?:Dr|Mr|Mrs|Ms|Prof|St|Gen|Col|Sen|Gov)\.|U\.S\.(?:A\.)?|(?:{_UPPER}\.){{2,}}(?= )|{_UPPER}\.(?= {_UPPER})"
    rf"|{_UPPER}\w*(?:['’](?!s\b)\w+|-(?:(?:la|le|de|sur|upon|on|in|al|el)-)?{_UPPER}\w*)*)"
)
_JOIN = "(?:" + "|".join(words.LOWER_NAME_PARTS) + ")"
_NAME = re.compile(rf"(?<![\w'’.°-]){_TOKEN}(?:(?: {_JOIN})? {_TOKEN})*")
_NO_MONTH = re.compile(r"(?<![A-Za-z\d])(?!of\b)[a-z]|[A-Z]{2}")
"""may 12 of them, and names of months that are not written as usual."""
_SPEAKER = "(?:User|Assistant|System|Tool): "
_SENTENCE_END = re.compile(rf"(?:^|[.!?]['\"”)\]]*\s+|\n\s*|[•*-]\s|(?:^|\n){_SPEAKER})[\"“'(\[]*$")
_ABBREVIATION = re.compile(rf"(?:\b(?:Dr|Mr|Mrs|Ms|Prof|St|Gen|Col|Sen|Gov|vs|No|c|ca)|\b{_UPPER})\.\s$")
_PRONOUN_ONE = re.compile(r"(?i)\b(?:no|any|some|every|each|the|this|that|which|another) $")
_COUNTED = re.compile(r" (?!of\b|another\b|or\b|can\b|must\b|has\b|is\b|may\b|would\b)[a-z]")
_ONE_ALONE = re.compile(r"(?<![\w-])[Oo]ne(?!\w)")
_SHARE = re.compile(rf"(?<![\w-])(?i:{_ONE})-(?:first|(?:{_PARTS})s?)(?!\w)")
_NO_COUNT = ("date", "year", "time", "ordinal", "code")
"""Kinds that hold numbers which count nothing."""
_NO_FAMILY = words.NOT_FAMILY_NAMES | words.ORGANISATION_HEADS | words.PLACE_HEADS


@dataclass(frozen=True)
class Span:
    """A piece of a text: `text == document[start:end]`."""

    kind: str
    text: str
    start: int
    end: int


def typed_spans(document: str) -> list[Span]:
    """All typed spans of a text in order, none overlapping another."""
    return list(_typed_spans(document))


@lru_cache(maxsize=KEPT_TEXTS)
def _typed_spans(document: str) -> tuple[Span, ...]:
    found = [*_matches(document), *_names(document)]
    found.sort(key=lambda s: (s.start - s.end, KINDS.index(s.kind), s.start))
    taken = bytearray(len(document))
    kept = []
    for span in found:
        if not any(taken[span.start : span.end]):
            taken[span.start : span.end] = b"\1" * (span.end - span.start)
            kept.append(span)
    return tuple(sorted(kept, key=lambda s: s.start))


def is_number(text: str) -> bool:
    """Whether a whole text is a number, and no year or any other kind."""
    if text.casefold() == "one":  # which in a text is one only where it counts something
        return True
    return any(s.kind == "number" and s.text == text.casefold() for s in typed_spans(text.casefold()))


def uncounting(document: str) -> list[tuple[int, int]]:
    """The places in which a number is another fact than the same number elsewhere: dates, times, ordinals, codes, shares
    (two-thirds), and each `one` that counts nothing (no one, one of them, one must)."""
    ones = [m.span() for m in _ONE_ALONE.finditer(document) if not _counts_one(document, m)]
    # 1200 alone reads as a year and may count things all the same
    dated = [s for s in typed_spans(document) if s.kind in _NO_COUNT and not s.text.isdigit()]
    return [(s.start, s.end) for s in dated] + [m.span() for m in _SHARE.finditer(document)] + ones


def overlaps(place: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    return any(start < place[1] and place[0] < end for start, end in others)


def span_pattern(span: str) -> Whole:
    """Finds `span` as a whole: not inside a longer word (where the script has words apart) or number."""
    return whole(span, r"(?<![.,])" if span[:1].isdigit() else "", r"(?![.,]\d)" if span[-1:].isdigit() else "")


def starts_sentence(document: str, position: int) -> bool:
    before = document[max(0, position - 12) : position]
    return bool(_SENTENCE_END.search(before)) and not _ABBREVIATION.search(before)


def _matches(document: str) -> Iterator[Span]:
    is_code = _PATTERNS["code"].search(document) is not None
    for kind, pattern in _PATTERNS.items():
        if kind == "camel" and not is_code:  # YouTube in prose is a name, TypeError beside os.path is code
            continue
        for match in pattern.finditer(document):
            if kind == "number" and match.group() == "one" and not _counts_one(document, match):
                continue
            start, end = match.span()
            if document[start] == "`":  # the marks around the code are no part of it: it stands without them elsewhere
                text = document[start + 1 : end - 1]
                start, end = end - 1 - len(text.lstrip()), start + 1 + len(text.rstrip())
            if start < end:
                yield Span("code" if kind == "camel" else kind, document[start:end], start, end)
    for _, start, end in find_dates(document):  # in figures, with a short month, or 1973年10月6日
        text = document[start:end].rstrip(".")
        if not _NO_MONTH.search(text):
            yield Span("date", text, start, start + len(text))


def _counts_one(document: str, match: re.Match[str] | regex.Match[str]) -> bool:
    """Whether `one` is a number: not in no one, one another, one of the, the one."""
    if _PRONOUN_ONE.search(document[max(0, match.start() - 12) : match.start()]):
        return False
    return _COUNTED.match(document, match.end()) is not None


def _names(document: str) -> Iterator[Span]:
    lower_words = set(re.findall(r"(?<![\w'’-])[a-z][\w'’-]*", document))
    inner: set[str] = set()  # capitalised words that stand inside a sentence: those are names at its start, too
    pieces: list[tuple[int, int]] = []
    for match in _NAME.finditer(document):
        start, end = match.span()
        at_start = starts_sentence(document, start)
        start, first = _without_openers(document, start, end, lower_words if at_start else set())
        end = _without_closers(document, start, end)
        if end - start < 2:
            continue
        pieces.append((start, end))
        if not (at_start and first):
            inner.update(document[start:end].split())
    surnames: set[str] = set()
    spans = []
    for start, end in pieces:
        text = document[start:end]
        alone = " " not in text
        if alone and starts_sentence(document, start) and text not in inner and not known_name(text):
            continue
        if alone and text in _NO_FAMILY:  # the University: says what, not which
            continue
        kind = name_kind(text, document[end : end + 40])
        if kind == "person" and not alone:
            surnames.add(text.split()[-1])
        spans.append(Span(kind, text, start, end))
    for span in spans:
        known_person = span.kind == "name" and span.text in surnames
        yield Span("person", span.text, span.start, span.end) if known_person else span


def _without_openers(document: str, start: int, end: int, lower_words: set[str]) -> tuple[int, bool]:
    """Where the name begins behind function words (and, at a sentence's start, behind words that also stand in lower
    case); with whether nothing was cut off."""
    first = True
    while start < end:
        word = re.match(r"\S+", document[start:end])
        assert word is not None
        text = word.group()
        usual = text in words.NOT_NAMES or text in words.LOWER_NAME_PARTS or text == "the"
        if not usual and not (first and text.casefold() in lower_words):
            break
        start += word.end() + 1
        first = False
    return start, first


def _without_closers(document: str, start: int, end: int) -> int:
    while start < end:
        text = document[start:end]
        word = text.rsplit(" ", 1)[-1]
        if word in words.NOT_NAMES or word in words.LOWER_NAME_PARTS or word in ("the", "I"):
            end -= len(word) + (1 if " " in text else 0)
        else:
            break
    return end


def known_name(text: str) -> bool:
    """Whether one word is a name even at the start of a sentence."""
    return text in words.places() or text in words.demonyms() or (len(text) > 1 and text.isupper())


def name_kind(text: str, after: str = "") -> str:
    """The kind of a capitalised piece of text, from its words and from what follows it."""
    parts = text.split()
    if text in words.places() or text in ("U.S.", "U.S.A."):
        return "place"
    if text in words.demonyms():
        return "demonym"
    if (parts[-1] in words.ORGANISATION_HEADS and len(parts) > 1) or "&" in parts:
        return "organisation"
    if parts[0] in words.ORGANISATION_OPENINGS and len(parts) > 2 and parts[1] == "of":
        return "organisation"
    if len(parts) > 1 and (parts[-1] in words.PLACE_HEADS or parts[0] in words.PLACE_OPENINGS):
        return "place"
    following = re.match(r", (" + _UPPER + r"\w+(?: " + _UPPER + r"\w+)?)", after)
    if following and words.places().get(following.group(1)) in ("state", "country", "county"):
        return "place"
    if len(parts) > 1 and parts[0] in words.TITLES and parts[1] != "of":
        return "person"
    if _is_person(parts):
        return "person"
    if len(parts) > 1 and re.match(r" \(" + "".join(p[0] for p in parts if p[0].isupper()) + r"\)", after):
        return "organisation"
    return "name"


def _is_person(parts: list[str]) -> bool:
    if len(parts) == 1:
        return parts[0] in words.common_first_names() and parts[0] not in words.ALSO_WORDS
    if not 2 <= len(parts) <= 4 or "of" in parts or parts[0] not in words.first_names():
        return False
    last = parts[-1]
    if last in words.last_names():
        return True
    if parts[0] in words.demonyms() or parts[0] in words.CONTINENTS or last in _NO_FAMILY or last.isupper():
        return False
    # Carolina Panthers is a team: a plural that is no family name
    return not re.search(r"(?:[^s]s|tion|ment|ing|ism|ity|ance|ence|ure|ology)$", last)
