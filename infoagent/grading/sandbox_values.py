"""Serialisation of plain values between the process of a program under test and the process of its checker. Part of the
other side of infoagent.grading.sandbox: a bare interpreter imports it, so it imports nothing of the package.

What arrives is built anew from Python's own types, so nothing of the sender's is ever called: no `__eq__`, no `__reduce__`.
Numbers, text, bytes, None, lists, tuples, sets, dictionaries and their views, ranges, deques, Decimal and Fraction are
values, and a subclass of one is sent as that. A function or an iterator stays where it is and is known by a number: to call
it, or to ask it for the next value, is a request."""

from __future__ import annotations

import json
import os
import sys
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Any

MOST_BYTES = 4 * 2**20
"""Of one message."""
MOST_DEPTH = 64
"""Of lists within lists."""
MOST_ITEMS = 100_000
"""Of an iterator of the tests, which is sent as a whole."""
SMALL = 2**63
KEPT = ("call", "next")
"""What is asked of what stays with the other side."""


class Unsendable(Exception):
    """No value, or too much of one; the message says what."""


class NoValue(Unsendable):
    """Of a type that is not sent."""


class Garbled(Exception):
    """What arrived is no message. Its sender is no friend."""


class Ended(Exception):
    """The other side is gone."""


class Channel:
    """Messages over a socket: four bytes of length, then JSON in ASCII."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def send(self, message: object) -> None:
        """Raises Unsendable for more than MOST_BYTES, Ended."""
        data = json.dumps(message).encode()
        if len(data) > MOST_BYTES:
            raise Unsendable(f"{len(data) / 2**20:.1f} MiB, of {MOST_BYTES / 2**20:.0f} at most")
        data = len(data).to_bytes(4, "big") + data
        while data:
            try:
                data = data[os.write(self.descriptor, data) :]
            except (BrokenPipeError, ConnectionResetError) as error:
                raise Ended from error

    def receive(self) -> Any:
        """Raises Ended, Garbled."""
        size = int.from_bytes(self._read(4), "big")
        if size > MOST_BYTES:
            raise Garbled(f"a message of {size} bytes")
        try:
            return json.loads(self._read(size))
        except (ValueError, RecursionError) as error:
            raise Garbled("no JSON") from error

    def _read(self, size: int) -> bytes:
        parts, left = [], size
        while left:
            try:
                part = os.read(self.descriptor, min(left, 2**16))
            except ConnectionResetError as error:
                raise Ended from error
            if not part:
                raise Ended
            parts.append(part)
            left -= len(part)
        return b"".join(parts)


def encode(value: Any, keep: Callable[[str, Any], int | None], depth: int = 0) -> Any:
    """As JSON: null, booleans, small integers, floats and most texts stand for themselves, all else is a list that begins
    with its kind. `keep(kind, value)` gives a number to a function or iterator that is not sent, or None if it is no such
    thing. Raises Unsendable."""
    if depth > MOST_DEPTH:
        raise Unsendable(f"lists within lists, more than {MOST_DEPTH} deep")
    if value is None or isinstance(value, bool):
        return value
    for types, kind, parts in _ATOMS:
        if isinstance(value, types):
            sent = parts(value)
            return sent if kind is None or isinstance(sent, (int, float)) else [kind, sent]
    if isinstance(value, str):
        plain = str.__str__(value)
        if any("\ud800" <= c <= "\udfff" for c in plain):  # JSON would join two halves
            return ["str", plain.encode("utf-8", "surrogatepass").hex()]
        return plain
    for kind, types in _MANY.items():
        if isinstance(value, types):
            return [kind, *(encode(item, keep, depth + 1) for item in value)]
    for kind, types in _PAIRS.items():
        if isinstance(value, types):
            pairs = value if kind == "items" else value.items()
            return [kind, *([encode(k, keep, depth + 1), encode(v, keep, depth + 1)] for k, v in pairs)]
    for name, module in (("Decimal", "decimal"), ("Fraction", "fractions")):
        if module in sys.modules and isinstance(value, getattr(sys.modules[module], name)):
            return [name, str(value)]
    for kind, is_one in (("call", callable(value)), ("next", hasattr(type(value), "__next__"))):
        if is_one:
            number = keep(kind, value)
            if number is not None:
                return [kind, number]
            if kind == "next":
                items = list(islice(value, MOST_ITEMS + 1))
                if len(items) > MOST_ITEMS:
                    raise Unsendable(f"an iterator over more than {MOST_ITEMS} values")
                return ["iterator", *(encode(item, keep, depth + 1) for item in items)]
    raise NoValue(f"a value of type {type(value).__name__}")


def _integer(value: int) -> int | str:
    plain = int(value)
    return plain if -SMALL <= plain < SMALL else hex(plain)


_ATOMS: tuple[tuple[Any, str | None, Callable[[Any], Any]], ...] = (
    (int, "int", _integer),
    (float, None, float),
    (complex, "complex", lambda v: [v.real, v.imag]),
    (bytes, "bytes", lambda v: bytes(v).hex()),
    (bytearray, "bytearray", lambda v: bytes(v).hex()),
    (range, "range", lambda v: [hex(v.start), hex(v.stop), hex(v.step)]),
)
_MANY: dict[str, Any] = {
    "list": list, "tuple": tuple, "set": set, "frozenset": frozenset, "deque": deque, "keys": type({}.keys()),
    "values": type({}.values()),
}  # fmt: skip
_PAIRS: dict[str, Any] = {"dict": dict, "items": type({}.items())}
_BUILD: dict[str, Callable[[list[Any]], Any]] = {
    "list": list,
    "iterator": iter,
    "tuple": tuple,
    "set": set,
    "frozenset": frozenset,
    "deque": deque,
    "keys": lambda items: dict.fromkeys(items).keys(),
    "values": lambda items: dict(enumerate(items)).values(),
}


def decode(sent: Any, kept: Callable[[str, int], Any]) -> Any:
    """The value; `kept(kind, number)` stands for a function or iterator that was not sent. Raises Garbled."""
    try:
        return _decode(sent, kept)
    except (ArithmeticError, AttributeError, LookupError, RecursionError, TypeError, ValueError) as error:
        raise Garbled(f"no value: {error}") from error


def _decode(sent: Any, kept: Callable[[str, int], Any]) -> Any:
    if sent is None or isinstance(sent, bool | int | float | str):
        return sent
    kind, parts = sent[0], sent[1:]
    if kind in _BUILD:
        return _BUILD[kind]([_decode(part, kept) for part in parts])
    if kind in _PAIRS:
        built = {_decode(key, kept): _decode(value, kept) for key, value in parts}
        return built if kind == "dict" else built.items()
    [part] = parts
    if kind == "int":
        return int(part, 16)
    if kind == "str":
        return bytes.fromhex(part).decode("utf-8", "surrogatepass")
    if kind == "complex":
        return complex(*part)
    if kind in ("bytes", "bytearray"):
        return bytes.fromhex(part) if kind == "bytes" else bytearray.fromhex(part)
    if kind == "range":
        return range(*(int(end, 16) for end in part))
    if kind == "Decimal":
        from decimal import Decimal  # seldom

        return Decimal(part)
    if kind == "Fraction":
        from fractions import Fraction

        return Fraction(part)
    if kind in KEPT and type(part) is int:
        return kept(kind, part)
    raise ValueError(f"kind {kind!r}")


class Remote:
    """A function or iterator of the other side, for the tests. `ask` sends one request and gives the value back."""

    def __init__(self, number: int, ask: Callable[..., Any], name: str = "candidate") -> None:
        self.number = number
        self._ask = ask
        self.__name__ = self.__qualname__ = name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        return self._ask("call", self.number, arguments, named)


class RemoteIterator:
    def __init__(self, number: int, ask: Callable[..., Any]) -> None:
        self.number = number
        self._ask = ask

    def __iter__(self) -> Iterator[Any]:
        return self

    def __next__(self) -> Any:
        return self._ask("next", self.number, (), {})
