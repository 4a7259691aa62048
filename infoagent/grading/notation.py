"""The same value in another notation: a number, an amount or a date that a text writes differently from the answer.

`$1577.00` is stated by a table's `(1,577)`, `0.12` by `12 %`, `3 May 2021` by `2021-05-03`, `three days` by `3 days`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

from infoagent.grading.dates import Date, find_dates, parse_date
from infoagent.grading.number_words import in_digits
from infoagent.grading.quantities import Quantity, parse_quantity, quantity_places, same_value

POLAR = frozenset(
    ("yes", "no", "maybe", "true", "false", "sí", "si", "oui", "non", "ja", "nein", "vielleicht", "sim", "não", "sì", "да",
     "нет", "是", "否", "不是", "对", "错", "はい", "いいえ", "예", "아니요", "نعم", "لا", "हाँ", "हां", "नहीं", "ใช่", "ไม่ใช่")
)  # fmt: skip


def is_polar(answer: str) -> bool:
    """Whether an answer is yes, no, maybe, true or false: a verdict on the text, whatever words of it look alike."""
    return answer.strip(" .,;:!?\"'“”。！").casefold() in POLAR


def has_value(answer: str) -> bool:
    """Whether an answer is a quantity or a date, so that other notations of it can be told."""
    return _value(answer) is not None


def value_places(text: str, answer: str) -> list[tuple[int, int]]:
    """Where `text` states the value of `answer`, in any notation; empty for an answer that is no quantity or date."""
    value = _value(answer)
    if value is None:
        return []
    if isinstance(value, Date):
        return [(start, end) for date, start, end in _dates(text) if date.says(value)]
    accounts = answer.strip().startswith("(")
    return [
        (start, end)
        for found, start, end in _quantities(text)
        if any(same_value(q, value) for q in _signs(found, accounts or _in_brackets(text, start, end)))
    ]


def states_value(text: str, answer: str) -> bool:
    """Whether `text` states the value of `answer` in some notation, numbers in words among them."""
    if _value(answer) is None:
        return False
    return bool(value_places(text, answer)) or ((digits := in_digits(text)) != text and bool(value_places(digits, answer)))


def states_quantity(text: str, quantity: Quantity) -> bool:
    """Whether a quantity of the same value stands in `text`, numbers in words among them."""
    return any(same_value(found, quantity) for form in dict.fromkeys((text, in_digits(text))) for found, _, _ in _quantities(form))


def states_date(text: str, date: Date) -> bool:
    """Whether `text` holds a date that says all that `date` does."""
    return any(found.says(date) for found, _, _ in _dates(text))


def same_in_value(one: str, other: str) -> bool:
    """Whether two texts are quantities or dates of the same value; they may differ in notation."""
    return has_value(other) and bool(value_places(other, one))


def _signs(found: Quantity, either: bool) -> Iterator[Quantity]:
    """A number in brackets is a loss to an accountant and an aside to others."""
    yield found
    if either:
        yield replace(found, value=-found.value)


def _in_brackets(text: str, start: int, end: int) -> bool:
    return text[max(0, start - 3) : start].rstrip(" $€£¥").endswith("(") and text[end : end + 1] == ")"


@lru_cache(maxsize=1024)
def _value(answer: str) -> Date | Quantity | None:
    return parse_date(answer) or parse_quantity(answer, any_unit=False)


@lru_cache(maxsize=128)
def _dates(text: str) -> list[tuple[Date, int, int]]:
    return find_dates(text)


@lru_cache(maxsize=128)
def _quantities(text: str) -> list[tuple[Quantity, int, int]]:
    """The quantities of a text that are no part of a date."""
    dated = bytearray(len(text))
    for _, start, end in _dates(text):
        dated[start:end] = b"\1" * (end - start)
    return [(quantity, start, end) for quantity, start, end in quantity_places(text) if not any(dated[start:end])]
