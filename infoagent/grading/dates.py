"""Calendar dates, read from text and compared: 3 May 2021, May 3rd, 2021-05-03 and 2021年5月3日 are one.

Understood are English names of months and their abbreviations, ISO dates, numbers with slashes or points where day and month
cannot be confused, and the Chinese and Japanese form. Not understood: weekdays, decades, centuries, ranges.
"""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterator
from dataclasses import dataclass

_NAMES = {calendar.month_name[i].casefold(): i for i in range(1, 13)}
_NAMES |= {calendar.month_abbr[i].casefold(): i for i in range(1, 13)} | {"sept": 9}
_MONTH = r"(?P<name>" + "|".join(sorted(_NAMES, key=len, reverse=True)) + r")\b\.?"
_DAY = r"(?P<day>[0-3]?\d)(?:st|nd|rd|th)?\b"
_YEAR = r"(?P<year>[12]\d{3})(?!\d|[.,]\d)"
_BEFORE = r"(?<![\d.,/-])(?<![A-Za-z])"
_FORMS = tuple(
    re.compile(form, re.IGNORECASE)
    for form in (
        rf"{_BEFORE}{_DAY}[ -](?:of )?{_MONTH}(?:,?[ -]{_YEAR})?",
        rf"{_BEFORE}{_MONTH} {_DAY}(?:,? {_YEAR})?(?!\d)",
        rf"{_BEFORE}{_MONTH},? {_YEAR}",
        rf"{_BEFORE}(?P<year>[12]\d{{3}})(?P<mark>[-/.])(?P<month>[01]?\d)(?P=mark)(?P<day>[0-3]?\d)(?!\d|[-/.]\d)",
        rf"{_BEFORE}(?P<one>[0-3]?\d)(?P<mark>[/.])(?P<two>[0-3]?\d)(?P=mark)(?P<year>[12]\d{{3}})(?!\d|[-/.]\d)",
        r"(?<!\d)(?P<year>[12]\d{3})\s?年\s?(?P<month>[01]?\d)\s?月(?:\s?(?P<day>[0-3]?\d)\s?日)?",
        r"(?<!\d)(?P<month>[01]?\d)\s?月\s?(?P<day>[0-3]?\d)\s?日",
    )
)


@dataclass(frozen=True)
class Date:
    """A day, a month of a year, or a day of any year; what is not said is None."""

    year: int | None
    month: int | None
    day: int | None

    def says(self, other: Date) -> bool:
        """Whether this date says all that `other` does: 3 May 2021 says May 2021."""
        pairs = ((self.year, other.year), (self.month, other.month), (self.day, other.day))
        return all(asked is None or own == asked for own, asked in pairs)


def find_dates(text: str) -> list[tuple[Date, int, int]]:
    """The dates of `text` with their places, in order; of overlapping readings the longest."""
    found = sorted(_readings(text), key=lambda place: (place[1] - place[2], place[1]))
    kept: list[tuple[Date, int, int]] = []
    taken = bytearray(len(text))
    for date, start, end in found:
        if not any(taken[start:end]):
            taken[start:end] = b"\1" * (end - start)
            kept.append((date, start, end))
    return sorted(kept, key=lambda place: place[1])


def parse_date(text: str) -> Date | None:
    """The date that `text` as a whole is, or None."""
    text = text.strip(" .,;:\"'“”()")
    return next((date for date, start, end in find_dates(text) if (start, end) == (0, len(text))), None)


def _readings(text: str) -> Iterator[tuple[Date, int, int]]:
    for form in _FORMS:
        for match in form.finditer(text):
            date = _date(match.groupdict())
            if date is not None:
                yield date, match.start(), match.end()


def _date(parts: dict[str, str | None]) -> Date | None:
    """The date of a match's groups; None for a day or month that does not exist, or two that may be either."""
    name = parts.get("name")
    month = _NAMES[name.casefold()] if name else _number(parts.get("month"))
    day, year = _number(parts.get("day")), _number(parts.get("year"))
    if parts.get("one"):
        one, two = _number(parts["one"]), _number(parts["two"])
        assert one is not None
        assert two is not None
        if parts["mark"] == "/" and one <= 12 and two <= 12 and one != two:
            return None
        day, month = (two, one) if two > 12 else (one, two)
    if month is None or not 1 <= month <= 12:
        return None
    if day is not None and not 1 <= day <= calendar.monthrange(year or 2024, month)[1]:
        return None
    return Date(year, month, day)


def _number(digits: str | None) -> int | None:
    return None if digits is None else int(digits)
