"""Blankable spans: code terms, dates, times, numbers and names of English text that a cloze question may ask for.

A span is whole: no piece of a date, a version, a range or a longer number, no mark of a list, no reference. It is of one
form (a year, a share, a person …), so that wrong choices of the same form can be drawn. What stands in quotation marks is
a code term only where it looks like one, or where the text around it holds code.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from infoagent.data.counterfactual import word_lists as words
from infoagent.data.counterfactual.spans import name_kind

KINDS = ("code term", "date", "time", "number", "name")

_MONTH = "(?:" + "|".join(words.MONTHS) + ")"
_CODE_PASSAGE = re.compile(r"\w\(\)|\b[A-Za-z]\w*_\w+\b|\b__\w+__\b|`[^`\n]+`|>>>|::=")
_QUOTED = re.compile(r'"([^"\n]*)"')
_CODE_MARK = re.compile(r"[_=(){}\[\]<>*@\\|#]|\w\.\w")
_CODE_WORD = re.compile(r"[A-Za-z_*@.][^\s,]{1,39}|[a-z]+ [a-z]+")
_IDENTIFIER = re.compile(r"\b[A-Za-z]\w+(?:\.\w+)+\b(?:\(\))?|\b\w*[A-Za-z]_\w+\b(?:\(\))?")
_FILE_NAME = re.compile(r"[\w.]+\.[a-z]{2,4}|[^\W_]*_\w+(?:\(\))?")
_CAMEL = re.compile(r"\b(?!Mc|Mac)[A-Z][a-z0-9]+(?:[A-Z][a-z0-9]+)+\b")
_DATE = re.compile(
    rf"(?<![\w-])\d{{4}}-\d\d-\d\d(?![\w-])|\b{_MONTH} \d{{1,2}}, \d{{4}}\b|(?<![\w.,-])\d{{1,2}} {_MONTH}(?:,? \d{{4}})?\b"
    rf"|\b{_MONTH} (?:\d{{4}}|\d{{1,2}})(?![\w-])|\b(?:{'|'.join(words.WEEKDAYS)})\b"
)
_TIME = re.compile(r"(?<![\w.:])(?:[01]?\d|2[0-3]):[0-5]\d(?:\s?[ap]\.?m\b\.?)?(?![\w:])")
_NUMBER = re.compile(
    r"(?<![\w.,:/+–−-])[$€£]?\d+(?:,\d{3})*(?:\.\d+)?(?:\s?(?:%|percent|million|billion|thousand))?"
    r"(?![\w%]|[.,:/–−-]\w|['’]\w)"
)
_MARKER = re.compile(r"(?:^|[\n.:;!?])[ \t]*(?:[*•-][ \t]*)?\(?\d{1,3}[.)](?=\s)|\(\d{1,2}\)|\[\d[\d,;– -]*\]", re.MULTILINE)
_UPPER = "[A-ZÀ-ÖØ-Þ]"
_TITLES = ("Dr", "Mr", "Mrs", "Ms", "Prof", "St")
_NAME = re.compile(
    rf"(?<=[a-z,;] )(?:(?:{'|'.join(_TITLES)})\. )?{_UPPER}[\w'’-]+(?: (?:of |de |van |von )?{_UPPER}[\w'’-]+){{0,7}}"
)
_CAPITAL_BEFORE = re.compile(rf"({_UPPER}[\w'’.-]*) $")
_COUNTED = re.compile(r"\s\d")  # Figure 2
_CONTRACTION = re.compile(r"(?i)(?:I|you|he|she|it|we|they|that|there|here|what|who|how|where|let)['’]\w{1,2}|\w+n['’]t")
_SPOKEN_WORDS = (
    "Ah Aha Alright Anyway Bye Dear Eh Goodbye Great Hello Hey Hi Hmm Huh Mm Mmm No Nope Oh Ok OK Okay Ooh Please Right Sir "
    "Madam Sorry Sure Thank Thanks Uh Um Wait Welcome Well Wow Yeah Yep Yes"
)
_SPOKEN = frozenset(_SPOKEN_WORDS.split())


@dataclass(frozen=True)
class Blank:
    """A span that could be blanked: `text` at `start`; what stands in its place must be of the same kind and form."""

    kind: str
    form: str
    text: str
    start: int

    @property
    def end(self) -> int:
        return self.start + len(self.text)


def blanks_of(text: str) -> list[Blank]:
    """The spans of `text` that could be blanked, in order, none overlapping another; the earlier of KINDS goes first."""
    taken = bytearray(len(text))
    for marker in _MARKER.finditer(text):
        taken[marker.start() : marker.end()] = b"\1" * (marker.end() - marker.start())
    kept: list[Blank] = []
    for found in (_code_terms(text), _dates(text), _times(text), _numbers(text), _names(text)):
        for blank in found:
            if not any(taken[blank.start : blank.end]):
                taken[blank.start : blank.end] = b"\1" * len(blank.text)
                kept.append(blank)
    return sorted(kept, key=lambda blank: blank.start)


def _code_terms(text: str) -> Iterator[Blank]:
    is_code = _CODE_PASSAGE.search(text) is not None
    for match in _QUOTED.finditer(text):
        inner = match.group(1)
        looks = _CODE_MARK.search(inner) is not None and inner[-1:] not in ".,;!? "
        if 2 <= len(inner) <= 40 and (looks or (is_code and _CODE_WORD.fullmatch(inner))) and inner[0] not in " ,;":
            yield Blank("code term", "code term", inner, match.start(1))
    for match in _IDENTIFIER.finditer(text):
        if is_code or _FILE_NAME.fullmatch(match.group()):
            yield Blank("code term", "code term", match.group(), match.start())
    for match in _CAMEL.finditer(text) if is_code else ():
        yield Blank("code term", "code term", match.group(), match.start())


def _dates(text: str) -> Iterator[Blank]:
    for match in _DATE.finditer(text):
        form = re.sub(r"[A-Z]\w+", "weekday" if match.group() in words.WEEKDAYS else "month", match.group())
        yield Blank("date", re.sub(r"\d+", "0", form), match.group(), match.start())


def _times(text: str) -> Iterator[Blank]:
    for match in _TIME.finditer(text):
        yield Blank("time", "time", match.group(), match.start())


def _numbers(text: str) -> Iterator[Blank]:
    for match in _NUMBER.finditer(text):
        yield Blank("number", number_form(match.group()), match.group(), match.start())


def number_form(text: str) -> str:
    """What a number is written as: with which sign or word for its size, else as a year, a decimal, or a count."""
    sign = re.sub(r"[\d.,\s]", "", text)
    if sign:
        return sign
    if re.fullmatch(r"1\d{3}|20\d\d", text):
        return "year"
    return "decimal" if "." in text else "count"


def _names(text: str) -> Iterator[Blank]:
    lower = set(re.findall(r"(?<![\w'’-])[a-zà-öø-þ][\w-]*", text))
    for match in _NAME.finditer(text):
        before = _CAPITAL_BEFORE.search(text, max(0, match.start() - 40), match.start())
        if before is not None and not _is_no_name(before.group(1)):  # Tracey | Breheny
            continue
        start, end = _trimmed(text, match.start(), match.end())
        name = text[start:end]
        alone = " " not in name and (name.casefold() in lower and not name.isupper())
        named = len(name) > 1 and name.rstrip(".") not in _TITLES and name not in (*words.MONTHS, *words.WEEKDAYS)
        if named and not alone and not _COUNTED.match(text, end):
            yield Blank("name", "acronym" if name.isupper() else name_kind(name, text[end : end + 40]), name, start)


def _trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The name without words around it that are none, and without a possessive ending."""
    while start < end:
        word = re.match(r"\S+", text[start:end])
        assert word is not None
        if not _is_no_name(word.group()):
            break
        start = min(end, start + word.end() + 1)
    while start < end and _is_no_name(last := text[start:end].rsplit(" ", 1)[-1]):
        end = max(start, end - len(last) - 1)
    possessive = re.search(r"['’]s?$", text[start:end])
    return start, end - (len(possessive.group()) if possessive else 0)


def _is_no_name(word: str) -> bool:
    usual = word in words.NOT_NAMES or word in _SPOKEN or word in words.LOWER_NAME_PARTS
    return usual or _CONTRACTION.fullmatch(word) is not None
