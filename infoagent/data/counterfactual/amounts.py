"""Another number, date or time of the same form: other in value, near in size, written the same way."""

from __future__ import annotations

import calendar
import re
import unicodedata
from collections.abc import Callable
from fractions import Fraction

import numpy as np

from infoagent.data.counterfactual import word_lists as words
from infoagent.data.counterfactual.spans import DIGITS, NUMBER_WORDS
from infoagent.grading.dates import parse_date
from infoagent.grading.number_words import ONES, TENS, word_value

ATTEMPTS = 40

_AMOUNT = re.compile(rf"{DIGITS}|\b(?i:{NUMBER_WORDS})\b")
_DIGITS_ONLY = re.compile(DIGITS)
_MONTH = re.compile("|".join(words.MONTHS))
_SCALE = re.compile("|".join(words.SCALES))
_SHORT_MONTH = re.compile(r"\b(?:" + "|".join(month[:3] for month in words.MONTHS) + r"|Sept)\b")
_IN_FIGURES = (
    re.compile(r"(?:\d{4}\s?年\s?)?(?P<month>\d{1,2})\s?月(?:\s?(?P<day>\d{1,2})\s?日)?"),
    re.compile(r"\d{4}[-./](?P<month>\d{1,2})[-./](?P<day>\d{1,2})"),
    re.compile(r"(?P<first>\d{1,2})[./](?P<second>\d{1,2})[./]\d{4}"),
)
LAST_YEAR = 2030


LARGEST_IN_WORDS = 10.0**15 - 1


def in_words(value: int) -> str:
    """The words of a whole number from 0 to a quadrillion less one: 25 → twenty-five."""
    if value < 20:
        return ONES[value]
    if value < 100:
        ten, one = divmod(value, 10)
        return TENS[ten] + (f"-{ONES[one]}" if one else "")
    for scale, size in sorted(words.SCALES.items(), key=lambda item: -item[1]):
        if value >= size:
            many, rest = divmod(value, size)
            return f"{in_words(many)} {scale}" + (f" {in_words(rest)}" if rest else "")
    raise AssertionError(value)


def amount_value(text: str) -> Fraction | None:
    """The value of the first amount in `text`, its scale word (million) included; None where there is none."""
    match = _AMOUNT.search(text)
    if match is None:
        return None
    value = _plain_value(match.group())
    scale = _SCALE.match(text[match.end() :].lstrip(" -"))
    return value * words.SCALES[scale.group()] if scale else value


def _plain_value(text: str) -> Fraction:
    return Fraction(text.replace(",", "")) if text[0].isdigit() else Fraction(word_value(text))


def ordinal_text(value: int) -> str:
    suffix = "th" if value % 100 in (11, 12, 13) else {1: "st", 2: "nd", 3: "rd"}.get(value % 10, "th")
    return f"{value}{suffix}"


def other_number(text: str, rng: np.random.Generator, at_most: float = float("inf")) -> str:
    """Another amount for `text`, which is one amount and no more: decimals, separators, words, size are kept.

    Round numbers stay as round, and one more step of 1 or more is always taken, so that the value differs.
    """
    value = _plain_value(text)
    digits = text.replace(",", "")
    if not text[0].isdigit():
        scaled = re.fullmatch(r"(?i)(.+)([ -](?:thousand|million|billion|trillion))", text)
        if scaled and word_value(scaled.group(1)) < 1000:
            return other_number(scaled.group(1), rng) + scaled.group(2)
        limit = min(float(value) * 2 + 4, LARGEST_IN_WORDS)
        new = _other_whole(int(value), rng, limit, 1 if value < 100 else _roundness(int(value)))
        words_of_it = in_words(new)
        return words_of_it.capitalize() if text[0].isupper() else words_of_it
    decimals = len(digits.partition(".")[2])
    whole = int(digits.replace(".", ""))
    step = _roundness(whole) if not decimals else 1
    new = _other_whole(whole, rng, at_most * 10**decimals, step)
    written = str(new).zfill(decimals + 1) if decimals else str(new)
    if decimals:
        written = f"{written[:-decimals]}.{written[-decimals:]}"
    elif digits.startswith("0") and len(digits) > 1:
        written = written.zfill(len(digits))
    if "," in text and new >= 1000 * 10**decimals:
        head, dot, tail = written.partition(".")
        written = f"{int(head):,}{dot}{tail}"
    return written


def _roundness(value: int) -> int:
    """The power of ten that value is a multiple of, small enough that at least two digits of freedom are left."""
    step = 1
    while value and value % (step * 10) == 0 and value // (step * 10) >= 10:
        step *= 10
    return step


def _other_whole(value: int, rng: np.random.Generator, at_most: float, step: int) -> int:
    """A multiple of `step` between about half and twice `value`, never value itself, 0 or 1, never above at_most."""
    low, high = max(2, int(value * 0.5)), max(value + 6 * step, int(value * 1.7))
    if len(str(high)) > len(str(value)) and value >= 10:  # 80 becomes no 105: the number of digits is seen at once
        high = max(10 ** len(str(value)) - 1, value + step)
    high = int(min(high, at_most))
    low = min(low, max(high - 5 * step, 2))
    candidates = range(-(-low // step), high // step + 1)
    for _ in range(ATTEMPTS):
        if not len(candidates):
            break
        new = step * candidates[int(rng.integers(len(candidates)))]
        if new != value and new > 1:
            return new
    return value - step if value - step > 0 else value + step


def other_amounts(text: str, rng: np.random.Generator) -> str:
    """Every amount in `text` changed (a blood pressure has two); units, signs and scale words stay."""
    percent = re.search(r"%|percent|per cent", text) is not None

    def change(match: re.Match[str]) -> str:
        at_most = 100.0 if percent and _plain_value(match.group()) <= 100 else float("inf")
        return other_number(match.group(), rng, at_most)

    return _plural_unit(text, _AMOUNT.sub(change, text))


def _plural_unit(old: str, new: str) -> str:
    """`one mile` → `four miles`: the unit of 1 is singular, that of any other number of a free unit is not."""
    match = re.fullmatch(r"(?i)(?:1|one) ([a-z]+)", old)
    if match and match.group(1) in words.UNITS:
        return new.removesuffix(match.group(1)) + plural(match.group(1))
    return new


def plural(noun: str) -> str:
    irregular = {"foot": "feet", "inch": "inches", "century": "centuries", "mph": "mph", "bpm": "bpm"}
    if noun in irregular:
        return irregular[noun]
    if noun.endswith("s") and not noun.endswith("ss"):  # it is one already: the Broncos
        return noun
    if noun.endswith(("ss", "x", "ch", "sh")):
        return noun + "es"
    return noun[:-1] + "ies" if noun.endswith("y") and noun[-2:-1] not in tuple("aeiou") else noun + "s"


def other_year(text: str, rng: np.random.Generator) -> str:
    """A year near by (1 to 15 years off), never in the future of a past year; BC and AD stay."""

    def change(match: re.Match[str]) -> str:
        year = int(match.group())
        latest = max(year, LAST_YEAR - 5)
        while True:
            new = year + int(rng.integers(1, 16)) * (1 if rng.random() < 0.5 else -1)
            if 0 < new <= latest:
                return str(new)

    return re.sub(r"\d+", change, text)


def other_date(text: str, rng: np.random.Generator) -> str:
    """Another day and month of the same year, another month, decade or century; days stay valid."""
    if decade := re.fullmatch(r"(\d{3})0s", text):
        shift = int(rng.integers(1, 6)) * (1 if rng.random() < 0.5 else -1)
        new = int(decade.group(1)) + shift
        return f"{new if new <= LAST_YEAR // 10 - 1 else new - 2 * abs(shift)}0s"
    if "centur" in text:
        ordinal = re.match(r"\S+?(?=[ -]centur)", text)
        assert ordinal is not None
        return other_ordinal(ordinal.group(), rng, at_most=21) + text[ordinal.end() :]
    if iso := re.fullmatch(r"(\d{4})-(\d\d)-(\d\d)", text):
        month = int(rng.integers(1, 13))
        return f"{iso.group(1)}-{month:02d}-{_day(rng, month):02d}"
    if form := next((found for pattern in _IN_FIGURES if (found := pattern.fullmatch(text))), None):
        return _other_in_figures(form, rng)
    month = int(rng.integers(12))
    text = _SHORT_MONTH.sub(words.MONTHS[month][:3], _MONTH.sub(words.MONTHS[month], text))

    def change(match: re.Match[str]) -> str:
        day = _day(rng, month + 1)
        return ordinal_text(day) if match.group(2) else str(day)

    return re.sub(r"(?<!\d)(\d{1,2})(st|nd|rd|th)?(?!\d)", change, text, count=1)


def _other_in_figures(form: re.Match[str], rng: np.random.Generator) -> str:
    """Another day and month that is read as a date, as wide as the old one."""
    for _ in range(ATTEMPTS * ATTEMPTS):
        month = int(rng.integers(1, 13))
        drawn = {"month": month, "day": _day(rng, month)}
        if "first" in form.groupdict():
            of_month, of_day = ("first", "second") if int(form["second"]) > 12 else ("second", "first")
            drawn = {of_month: month, of_day: drawn["day"]}
        text = form.group()
        for name, value in sorted(drawn.items(), key=lambda item: -form.start(item[0])):
            start, end = form.span(name)
            if start >= 0:
                width = end - start if "月" not in text or text[start] == "0" else 1
                text = text[:start] + str(value).zfill(width) + text[end:]
        if parse_date(text) is not None and text != form.group():
            return text
    raise AssertionError(form.group())


def _day(rng: np.random.Generator, month: int) -> int:
    return int(rng.integers(1, calendar.monthrange(2023, month)[1] + 1))  # 2023: a year without a 29 February


def in_digits_of(old: str, new: str) -> str:
    """`new` with digits of the script that `old` is written in: ٢٧ becomes ٣٩ and not 39."""
    native = next((c for c in old if c.isdecimal() and not c.isascii()), None)
    if native is None:
        return new
    zero = ord(native) - unicodedata.decimal(native)
    return new.translate({ord("0") + value: zero + value for value in range(10)})


def other_time(text: str, rng: np.random.Generator) -> str:
    """Another time of day (up to 12:59 for one up to 12:59, which may be of a 12-hour clock); as round as it was."""
    if text in ("noon", "midnight"):
        return "midnight" if text == "noon" else "noon"
    twelve = re.search(r"[ap]\.?m", text) is not None
    match = re.match(r"(\d{1,2})((?::\d\d)*)", text)
    assert match is not None
    hour, rest = match.group(1), match.group(2)
    new = int(rng.integers(1, 13)) if twelve or int(hour) <= 12 else int(rng.integers(0, 24))
    written = f"{new:02d}" if len(hour) == 2 and hour.startswith("0") else str(new)
    minutes = ""
    for part in rest.split(":")[1:]:
        step = 15 if int(part) % 15 == 0 else 5 if int(part) % 5 == 0 else 1
        minutes += ":00" if part == "00" else f":{step * int(rng.integers(60 // step)):02d}"
    return written + minutes + text[match.end() :]


def other_ordinal(text: str, rng: np.random.Generator, at_most: int | None = None) -> str:
    """Another place in a row: 3rd → 5th, tenth → sixth."""
    lower = text.casefold()
    value = int(re.sub(r"\D", "", text)) if text[0].isdigit() else words.ORDINAL_WORDS.index(lower)
    highest = min(at_most or value + 9, value + 9 if text[0].isdigit() else len(words.ORDINAL_WORDS) - 1)
    spread = [v for v in range(max(2, min(value, highest) - 6), min(highest, value + 6) + 1) if v != value]
    new = spread[int(rng.integers(len(spread)))]
    if text[0].isdigit():
        return ordinal_text(new)
    return words.ORDINAL_WORDS[new].capitalize() if text[0].isupper() else words.ORDINAL_WORDS[new]


def other_code(text: str, rng: np.random.Generator) -> str:
    """The same identifier with other digits."""
    return _DIGITS_ONLY.sub(lambda m: other_number(m.group(), rng), text)


BY_ARITHMETIC: dict[str, Callable[[str, np.random.Generator], str]] = {
    "money": other_amounts, "percentage": other_amounts, "quantity": other_amounts, "number": other_amounts,
    "year": other_year, "date": other_date, "time": other_time, "ordinal": other_ordinal,
}  # fmt: skip
"""The kinds whose new value is computed from the old one."""


def same_value(kind: str, old: str, new: str) -> bool:
    """Whether two texts of a computed kind mean the same value."""
    if kind in ("money", "percentage", "quantity", "number"):
        values = [[_plain_value(m) for m in _AMOUNT.findall(text)] for text in (old, new)]
        return values[0] == values[1]
    return old.casefold() == new.casefold()
