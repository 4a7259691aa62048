"""One spelling for each JSON value, so that key order, white space and the spelling of numbers carry no information.

    canonical(parse('{"b": 1.50, "a": [1e2]}')) == '{"a":[100],"b":1.5}'

Keys are sorted by code point, nothing stands between tokens, strings hold their characters themselves, and a number is
an integer or a decimal without a zero too many. This is near RFC 8785, which sorts keys by UTF-16 units (another order
only beyond U+FFFF), and whose numbers are doubles: these are exact, since the digits of a long number may be what a text
tells. Strings and the order of lists are information and stay as they are.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from decimal import Decimal
from typing import Any

from infoagent.parsing import check_depth

MOST_DIGITS = 400
"""Of a number, written out: beyond the range of a double, and of any fact."""


class Exact(Decimal):
    """A decimal that messages show as JSON writes it."""

    __repr__ = Decimal.__str__


class NotJson(ValueError):
    """A text is no JSON, or JSON that means more than one thing; the message says why."""


def parse(text: str) -> Any:
    """The value of a JSON text, numbers exact: int where they are whole, else Decimal. Raises NotJson."""
    value, end = read_value(text, len(text) - len(text.lstrip()))
    if text[end:].strip():
        raise NotJson(f"something stands behind the value: {text[end:].strip()[:40]!r}")
    return value


def read_value(text: str, at: int) -> tuple[Any, int]:
    """The value that begins at `at`, and where it ends. Raises NotJson."""
    decoder = json.JSONDecoder(parse_float=_decimal, parse_int=_integer, parse_constant=_refuse, object_pairs_hook=_once)
    try:
        value, end = decoder.raw_decode(text, at)
        check_depth(value)
        halves = any("\ud800" <= sign <= "\udfff" for string in _strings(value) for sign in string)
    except json.JSONDecodeError as error:
        raise NotJson(f"{error.msg} at character {error.pos}") from error
    except RecursionError as error:
        raise NotJson("nested too deep") from error
    except ValueError as error:
        if isinstance(error, NotJson):
            raise
        raise NotJson(str(error)) from error
    if halves:
        raise NotJson("a string holds half a surrogate pair")
    return value, end


def canonical(value: Any) -> str:
    """The canonical text of a JSON value: of `parse`, or of plain Python with floats."""
    match value:
        case dict():
            pairs = (f"{canonical(str(key))}:{canonical(value[key])}" for key in sorted(value))
            return "{" + ",".join(pairs) + "}"
        case list() | tuple():
            return "[" + ",".join(canonical(item) for item in value) + "]"
        case bool() | None | str():
            return json.dumps(value, ensure_ascii=False)
        case float():
            return _number(_decimal(repr(value)))
        case int() | Decimal():
            return _number(value)
    raise TypeError(f"{type(value).__name__} is no JSON value")


def plain(value: Any) -> Any:
    """The value with floats in the place of decimals, for libraries that know no other numbers."""
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    return float(value) if isinstance(value, Decimal) else value


def _number(value: int | Decimal) -> str:
    if isinstance(value, int):
        return str(value)
    text = format(value, "f")  # exact, other than normalize, which rounds to 28 digits
    return text.rstrip("0").rstrip(".") if "." in text else text


def _integer(literal: str) -> int:
    if len(literal) > MOST_DIGITS:
        raise NotJson(f"a number of {len(literal)} digits")
    return int(literal)


def _decimal(literal: str) -> int | Decimal:
    """Whole numbers become int: 1.0 is 1, in JSON and in JSON Schema."""
    try:
        value = Exact(literal)
    except ArithmeticError as error:
        raise NotJson(f"a number out of range: {literal[:40]}") from error
    if not value.is_finite() or len(literal) > MOST_DIGITS or abs(value.adjusted()) > MOST_DIGITS:
        raise NotJson(f"a number out of range: {literal[:40]}")
    return int(value) if value == value.to_integral_value() else value


def _refuse(literal: str) -> Any:
    raise NotJson(f"{literal} is no number of JSON")


def _once(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise NotJson(f"the key {next(n for n in names if names.count(n) > 1)!r} stands twice")
    return found


def _strings(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, item in value.items():
            yield key
            yield from _strings(item)
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item)
