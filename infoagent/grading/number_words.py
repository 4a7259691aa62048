"""Numbers in English words: what they are worth, and texts with them written in digits.

A number is read whole or not at all: two hundred and fifty is 250 and never a 2 with words behind it, and of `nineteen ninety`,
which is a year to some and no number to others, nothing is read.
"""
# ruff: noqa: SIM905 - a list of words reads best as one text

from __future__ import annotations

import re

ONES = ("zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen").split()  # fmt: skip
TENS = "zero ten twenty thirty forty fifty sixty seventy eighty ninety".split()
SCALES = {"hundred": 100, "dozen": 12, "thousand": 1_000, "million": 10**6, "billion": 10**9, "trillion": 10**12}

_ONE, _TEN, _SCALE, _LARGE = "|".join(ONES[1:10]), "|".join(TENS[2:]), "|".join(SCALES), "thousand|million|billion|trillion"
_BELOW_100 = rf"(?:(?:{_TEN})(?:[ -](?:{_ONE}))?|{'|'.join(ONES[10:])}|{_ONE})"
_BELOW_1000 = rf"(?:{_BELOW_100}[ -](?:hundred|dozen)(?:(?: and)?[ -]{_BELOW_100})?|{_BELOW_100})"
_NUMBER = re.compile(rf"{_BELOW_1000}(?:[ -](?:{_LARGE})(?:(?: and)?[ -]{_BELOW_1000})?){{0,5}}", re.IGNORECASE)
_SCALED = re.compile(rf"({_BELOW_1000})[ -]({_LARGE})", re.IGNORECASE)
_WORD = rf"(?:{'|'.join(sorted([*ONES[1:], *TENS[2:]], key=len, reverse=True))})"
_AND = r"(?:(?<=hundred)|(?<=thousand)|(?<=million)|(?<=billion)) and "
_ORDINAL = "first|third|fourth|fifth|sixth|seventh|eighth|ninth"  # a ten-second pause is no ordinal
_RUN = re.compile(
    rf"\b(?<!\d[ -])(?>{_WORD}\b(?:(?:[ -]|{_AND})(?:{_WORD}|{_SCALE})\b){{0,25}})(?!-(?:{_ORDINAL})\b)", re.IGNORECASE
)
"""All number words that stand together; not what goes on a number in digits (2 thousand, 3 million)."""


def word_value(text: str) -> int:
    """The value of a number in words: twenty-five → 25, two hundred and six → 206. ValueError for other words."""
    total = part = 0
    for word in re.split(r"[ -]+", text.casefold()):
        if word == "and":
            continue
        if word in ONES:
            part += ONES.index(word)
        elif word in TENS:
            part += 10 * TENS.index(word)
        elif word in ("hundred", "dozen"):
            part = max(part, 1) * SCALES[word]
        elif word in SCALES:
            total, part = total + max(part, 1) * SCALES[word], 0
        else:
            raise ValueError(f"{word!r} is no number word")
    return total + part


def in_digits(text: str) -> str:
    """`text` with its numbers in words written in digits (three million as 3 million), but for `one` alone, which is mostly none
    (no one, the one)."""
    return _RUN.sub(_digits, text)


def _digits(match: re.Match[str]) -> str:
    words = match[0]
    if words.casefold() == "one" or _NUMBER.fullmatch(words) is None:
        return words
    if scaled := _SCALED.fullmatch(words):
        return f"{word_value(scaled[1])} {scaled[2]}"
    return str(word_value(words))
