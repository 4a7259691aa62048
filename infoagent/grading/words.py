"""Word segmentation of text in any script: where words begin and end, and how many there are.

White space sets words apart in most scripts; in Chinese, Japanese, Thai, Lao, Khmer and Burmese nothing does. There words are
found by ICU (Unicode text segmentation, UAX #29, with ICU's dictionaries). A border of a word is asked for only where UAX #29
joins letters into words: `cat` does not stand in `concatenate`, while 东京 stands in 在东京出生.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import regex
from icu4py.breakers import WordBreaker

SPACELESS = r"[[\p{L}--\p{WB=ALetter}--\p{WB=Hebrew_Letter}][\p{Ideographic}]]"
"""Letters (as a class of `regex`, version 1) of scripts that set no words apart: those that UAX #29 joins to no letter of another
kind. Katakana is among them, and joined to itself."""
LETTERS = rf"[[\p{{L}}\p{{N}}_]--{SPACELESS}]"
"""Letters and digits that make a word with the letters and digits beside them."""
MARKS = r"[\p{M}\u200c\u200d]"
"""Combining marks (vowel signs, accents) and joiners: part of the letter before them, in every script."""
KATAKANA = r"\p{WB=Katakana}"
NUMERALS = "[〇零一二三四五六七八九十百千万萬亿億兆两兩]"
"""三 is no part of 十三: what stands beside a Han numeral may make it another number."""
SCALING = "[十百千万萬亿億兆]"
"""Numerals that make another number of the digits before them: 100万 is a million."""

PREFIXES = {r"\p{Arabic}": "[وف]?[بكلس]?", r"\p{Hebrew}": "[והש]?[בכלמ]?"}
"""By script, the conjunctions and prepositions of one letter that are written on to the next word: القاهرة stands in بالقاهرة."""
LEAST_PREFIXED = 3
"""A shorter word with a prefix is too often another word."""
ENDED = r"\p{Hangul}"
"""Korean words take their particles on at the end: 서울 stands in 서울에서, and is not told from 서울역."""
WESTERN = r"[\p{Latin}\p{Greek}\p{Cyrillic}\p{N}_]"
"""Letters that say another word where they stand inside one; in other scripts that may be the same word, inflected."""

_SPACELESS = regex.compile(SPACELESS, regex.V1)
_LETTER = regex.compile(LETTERS, regex.V1)
_WESTERN = regex.compile(WESTERN)
_KATAKANA = regex.compile(KATAKANA)
_NUMERAL = regex.compile(NUMERALS)
_RUN = regex.compile(rf"[\p{{L}}\p{{N}}_{MARKS[1:-1]}]+", regex.V1)
_UNIT = regex.compile(rf"\d+(?:[.,:'’/\s]\d+)*(?![\p{{L}}_])|{_RUN.pattern}|[^\s]", regex.V1)
_HELD = regex.compile(r"[\p{L}\p{N}]")


def has_spaceless(text: str) -> bool:
    """Whether a letter of `text` is of a script that is written without spaces between words."""
    return not text.isascii() and _SPACELESS.search(text) is not None


def split_words(text: str) -> list[str]:
    """The words of a text, in order and as they are written.

    A piece between white space is a word, punctuation and all (for such text this is `text.split()`); of a piece with letters
    of a script without spaces, the words that ICU finds in it, without its punctuation.
    """
    if not has_spaceless(text):
        return text.split()
    found: list[str] = []
    for piece in text.split():
        found += list(_segments(piece)) or [piece] if has_spaceless(piece) else [piece]
    return found


@lru_cache(maxsize=4096)
def count_words(text: str) -> int:
    """How many words a text has, as `split_words` finds them."""
    return len(split_words(text))


def bare_words(text: str) -> list[str]:
    """Runs of letters, marks and digits, without punctuation: don't is two, हिन्दी one, and 東京で two."""
    found: list[str] = []
    for match in _RUN.finditer(text):
        found += _segments(match[0]) if has_spaceless(match[0]) else (match[0],)
    return found


def words_and_signs(text: str) -> list[str]:
    """Words, numbers with their separators (1,000,000 is one), and signs, each its own."""
    found: list[str] = []
    for match in _UNIT.finditer(text):
        found += _segments(match[0]) if has_spaceless(match[0]) else (match[0],)
    return found


def _segments(text: str) -> Iterator[str]:
    """ICU's words of `text` that hold a letter or a digit."""
    # the tailorings of languages concern other breaks than words: the root locale serves all
    return (segment for segment in WordBreaker(text, "und") if _HELD.search(segment))


def left_border(text: str) -> str:
    """A pattern (of `regex`, version 1) that matches where `text` may begin as a whole: not inside a word, but for prefixes
    that are written on to it."""
    first = text[:1]
    if _LETTER.match(first):
        begins = rf"(?<!{LETTERS}{MARKS}*)"
        prefixes = [p for script, p in PREFIXES.items() if regex.match(script, first)]
        if not prefixes or len(text) < LEAST_PREFIXED:
            return begins
        return rf"(?:{begins}|(?<={begins}{prefixes[0]}))"
    return _own_border(first, r"(?<!{})")


def right_border(text: str) -> str:
    """A pattern (of `regex`, version 1) that matches where `text` may end as a whole: not inside a word or a letter."""
    # a vowel sign or an accent is no end of a letter
    base = text.rstrip() and regex.sub(rf"{MARKS}+$", "", text, flags=regex.V1)[-1:]
    if _LETTER.match(base):
        ending = rf"(?!{ENDED})" if regex.match(ENDED, base) and len(text) > 1 else ""
        scaled = f"|{SCALING}" if base.isdecimal() else ""
        return rf"(?!{MARKS}|{ending}{LETTERS}{scaled})"
    return rf"(?!{MARKS})" + _own_border(base, r"(?!{})")


def _own_border(character: str, look: str) -> str:
    for own in (_KATAKANA, _NUMERAL):
        if own.match(character):
            return look.format(own.pattern)
    return ""


def contains(text: str, span: str) -> bool:
    """Whether `span` stands in `text` in any form that its script allows: as a whole, or with a letter at its edge that is not
    Latin, Greek, Cyrillic or a digit, inside a word too (निजी बिल in निजी बिलों). Case is folded."""
    span, text = span.strip().casefold(), text.casefold()
    if not span or span not in text:
        return False
    before = rf"(?<!{WESTERN})" if _WESTERN.match(span[0]) else ""
    after = rf"(?!{WESTERN})" if _WESTERN.match(span[-1]) else ""
    if in_western_letters(span):
        return whole(span).search(text) is not None
    return regex.search(before + regex.escape(span) + after, text, regex.V1) is not None


def in_western_letters(text: str) -> bool:
    """Whether both edges of `text` are Latin, Greek or Cyrillic letters, digits or signs."""
    return not (_within_words(text[:1]) or _within_words(text[-1:]))


def _within_words(character: str) -> bool:
    return character.isalpha() and not _WESTERN.match(character)


class Whole:
    """Finds a text as it is written, as a whole word or words, as its `pattern` does. The text is looked for as a string and the
    borders, of which there are few kinds, by patterns that are compiled once: a pattern for each text, with its classes of letters,
    took more time to compile than all searches with it."""

    def __init__(self, text: str, before: str, after: str) -> None:
        self.text = text
        self._borders = before + left_border(text), right_border(text) + after
        self._left, self._right = map(_border, self._borders)

    @property
    def pattern(self) -> str:
        return self._borders[0] + regex.escape(self.text) + self._borders[1]

    def places(self, text: str) -> Iterator[tuple[int, int]]:
        """(start, end) of each of its places in characters, from the left, none overlapping another."""
        start = text.find(self.text)
        while start >= 0:
            end = start + len(self.text)
            stands = self._left.match(text, start) and self._right.match(text, end)
            if stands:
                yield start, end
            start = text.find(self.text, max(end, start + 1) if stands else start + 1)

    def search(self, text: str) -> tuple[int, int] | None:
        """The first of its places."""
        return next(self.places(text), None)

    def replaced(self, text: str, new: str) -> tuple[str, int]:
        """(`text` with `new` in each of its places, how many these are)."""
        pieces, at, count = [], 0, 0
        for start, end in self.places(text):
            pieces += [text[at:start], new]
            at, count = end, count + 1
        return "".join((*pieces, text[at:])), count


@lru_cache(maxsize=1024)
def _border(pattern: str) -> regex.Pattern[str]:
    return regex.compile(pattern, regex.V1)


@lru_cache(maxsize=4096)
def whole(text: str, before: str = "", after: str = "") -> Whole:
    """Finds `text` as a whole; `before` and `after` are patterns of no width that must hold beside it."""
    return Whole(text, before, after)
