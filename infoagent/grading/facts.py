"""Facts in texts, judged without a model: does one stand in it, is one made up, does the text loop."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from typing import Any

import regex

from infoagent.grading.dates import find_dates
from infoagent.grading.notation import states_date, states_quantity, states_value
from infoagent.grading.quantities import compatible, quantity_places
from infoagent.grading.words import LETTERS, SPACELESS, Whole, has_spaceless, whole, words_and_signs

_NUMBER = re.compile(r"\d+(?:[.,]\d+)*")
_NAME = regex.compile(r"(?<!\w)(?=\p{Latin})\p{Lu}\p{Ll}{2,}\w*(?:[-'](?!s\b)\p{Lu}?\p{Ll}\w*)*")
"""A word of Latin letters that begins with a capital, to its end (YouTube, España), without the s of a possessor."""
_SENTENCE_START = re.compile(r"(?:^\s{0,50}|[.!?:]\**\s+|\n\s{0,50})[\"“„«(*_]{0,4}(?=\w)")
_ITEM = re.compile(r"^[ \t]*(?:#{1,6}|[-*•–]|(\d{1,3})[.)])[ \t]+", re.MULTILINE)

_ARTICLE = re.compile(r"\bthe\b|\ban?\b(?= [^\w\s]*\w)")
_LIKE_AN_ARTICLE = re.compile(r"\b(?:an?|the)$")

_NO_MINUS = r"(?<!(?<!\w)[-−])"
_FREE_SPACE = regex.compile(rf"(?<={SPACELESS})\s+(?={LETTERS})|(?<={LETTERS})\s+(?={SPACELESS})", regex.V1)


def normalise(text: str) -> str:
    """For finding a span in a text: lower case, one space between words, no thousands separators, no space before a
    percent or degree sign, nor beside a letter of a script without spaces, no articles (as SQuAD's answers are compared; but
    the A of vitamin A, behind which no word follows, is none)."""
    return " ".join(_ARTICLE.sub(" ", _with_articles(text)).split())


def _with_articles(text: str) -> str:
    text = compatible(text).casefold()
    text = re.sub(r"(?<=\d),(?=\d{3}\b)", "", text)
    text = re.sub(r"(?<=\d)\s+(?=[%°])", "", text)
    if has_spaceless(text):  # 136 次 and 136次
        text = _FREE_SPACE.sub("", text)
    return " ".join(text.split())


def states_fact(text: str, answer: str) -> bool:
    """Whether `answer` stands in `text` as a whole: normalised, not inside a longer word or number; or, for a quantity or a
    date, its value in another notation (`infoagent.grading.notation`).

    Words have borders only in scripts that set them apart (`infoagent.grading.words`): 东京 stands in 他出生在东京. Verdicts
    (yes, no, …) are looked for like any other word. Raises ValueError for an empty answer.
    """
    wanted = normalise(answer) or _with_articles(answer)
    if not wanted:
        raise ValueError("an empty answer stands in every text")
    # of the answer vitamin A, or A alone, a text may go on: vitamin A deficiency
    for prepare in (normalise, _with_articles) if _LIKE_AN_ARTICLE.search(wanted) else (normalise,):
        prepared = prepare(text)
        if wanted in prepared and stated_as_written(wanted).search(prepared) is not None:
            return True
    return states_value(text, answer)


def states_facts(text: str, facts: Sequence[str]) -> bool | None:
    """Whether `text` states all of the facts that an answer is made from; None where none could be looked for."""
    return all(states_fact(text, fact) for fact in facts) if facts else None


def stated_as_written(wanted: str) -> Whole:
    """Finds `wanted` where it is no part of a longer word, number or dotted name."""
    # 5 is no part of 3.5 or of v1.5, and not what -5 says
    before = rf"(?<!\.){_NO_MINUS if wanted[0].isdecimal() else ''}" if wanted[0].isalnum() and not has_spaceless(wanted[0]) else ""
    return whole(wanted, before, r"(?!\.\d)" if wanted[-1].isalnum() else "")


def unsupported_spans(compression: str, document: str, query: str = "") -> list[str]:
    """Numbers and names of `compression` that stand neither in `document` nor in `query`.

    A number stands there also where its quantity or date does in another notation (12 % for 0.12, 3 patients for three patients,
    2021-05-03 for 3 May 2021). A name is a word of Latin letters with a capital; one that begins a sentence, a line or an item of
    a list is taken for no name. Marks and numbers of a list are layout.
    """
    both = document + "\n" + query
    known = normalise(both)
    known_words = set(re.findall(r"\w+", known))
    known_numbers = set(_NUMBER.findall(known))
    compression = _without_known_dates(_without_layout(unicodedata.normalize("NFC", compression)), both)
    normalised = normalise(compression)
    found = [
        m[0]
        for m in _NUMBER.finditer(normalised)
        if m[0].rstrip(".,") not in known_numbers and not _has_quantity(normalised, m, both)
    ]
    starts = {m.end() for m in _SENTENCE_START.finditer(compression)}
    for match in _NAME.finditer(compression):
        parts = re.findall(r"\w+", normalise(match.group()))
        if match.start() not in starts and not all(p in known_words for p in parts):
            found.append(match.group())
    return found


def _without_layout(text: str) -> str:
    """`text` without the marks of headings and lists; a number is an item's where it counts on from 1."""
    expected = 1

    def blank(match: re.Match[str]) -> str:
        nonlocal expected
        if match[1] is not None:
            number = int(match[1])
            if number not in (1, expected):
                return match[0]
            expected = number + 1
        return ""

    return _ITEM.sub(blank, text)


def _without_known_dates(text: str, document: str) -> str:
    for date, start, end in reversed(find_dates(text)):
        if states_date(document, date):
            text = text[:start] + " " * (end - start) + text[end:]
    return text


def _has_quantity(text: str, number: re.Match[str], document: str) -> bool:
    """Whether the quantity that a number of `text` belongs to, unit and all, stands in the document by its value."""
    own = [q for q, start, end in quantity_places(text) if start <= number.start() and number.end() <= end]
    return any(states_quantity(document, q) for q in own)


REPEATS = 3
"""So often in a row a pattern of words stands at the end of a looping text."""
LEAST_UNITS = 6
"""A loop of words is at least so long, in words and signs."""
RUN = 24
RUN_PERIOD = 8
"""A shorter pattern (inside a word, or of signs) makes a loop of so many characters; it is of 8 at most."""
ID_REPEATS = 5
LEAST_IDS = 13
ID_PERIOD = 12
"""Bounds for token ids alone, which do not tell digits from words: no number below 10^15 has such a pattern."""


def is_looping(said: str | Sequence[int]) -> bool:
    """Whether a text ends in a loop: the same words 3 times in a row, at least 6 words and signs in all; or the last 24
    characters repeat a pattern of up to 8 of them (hahaha…, -----…).

    Numbers are no loops, however often a digit or a group of digits stands in them, and neither is a row of numbers: a pattern
    of words holds a letter, a pattern of characters no digit. The text may end in the middle of its pattern. Where there is no
    text, token ids can be given: then the same 1 to 12 ids 5 times in a row are a loop, at least 13 in all, since numbers
    repeat ids as well (1,000,000,000).
    """
    if not isinstance(said, str):
        ids = list(said)
        sizes = range(1, min(ID_PERIOD, len(ids) // ID_REPEATS) + 1)
        return any(_repeats(ids, size, max(ID_REPEATS, -(-LEAST_IDS // size))) for size in sizes)
    units = words_and_signs(said)
    for ending in (units, units[:-1]):  # the last word may be cut off
        for size in range(1, len(ending) // REPEATS + 1):
            if _repeats(ending, size, max(REPEATS, -(-LEAST_UNITS // size))) and _says_words(ending[-size:]):
                return True
    run = said[-RUN:]
    periodic = any(run[period:] == run[:-period] for period in range(1, RUN_PERIOD + 1))
    return len(run) == RUN and periodic and not any(c.isdigit() for c in run)


def _repeats(sequence: Sequence[Any], size: int, times: int) -> bool:
    """Whether the last `size` items stand `times` times in a row at the end."""
    long = size * times
    return len(sequence) >= long and sequence[-long:-size] == sequence[size - long :]


def _says_words(pattern: Sequence[str]) -> bool:
    return any(character.isalpha() for unit in pattern for character in unit)
