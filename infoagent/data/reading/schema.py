"""What a row must look like, and every place where it does not.

    SCHEMA = {"question": TEXT, "evidence": ListOf({"page": WHOLE}, least=1), "note": Maybe(STRING)}
    mistakes_in({"question": "", "evidence": []}, SCHEMA)
    → field 'question': must be a string that is not empty, this one is empty
      field 'evidence': must be a list of at least 1

Fields beyond those of a schema are allowed: published sets have many that are not needed here.
"""

from __future__ import annotations

import hashlib
import logging
import re
import reprlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Union

from infoagent.types import InputError

REPORTED = 20
SHOWN_CHARACTERS = 40
HALF_PAIR = re.compile("[\ud800-\udfff]")
"""Half a surrogate pair: JSON can write one, and no file in UTF-8 can hold it."""

log = logging.getLogger(__name__)
_SHORT = reprlib.Repr()
_SHORT.maxlevel = 2
_SHORT.maxlist = _SHORT.maxtuple = _SHORT.maxdict = 3
_SHORT.maxstring = _SHORT.maxother = SHOWN_CHARACTERS


@dataclass(frozen=True)
class Unreadable:
    """In the place of a row's content: why it could not be read."""

    reason: str


@dataclass(frozen=True)
class Kind:
    """A plain value: what it must be, in words, and the test."""

    what: str
    fits: Callable[[Any], bool]


@dataclass(frozen=True)
class ListOf:
    """A list of at least `least` values."""

    item: Schema
    least: int = 0


@dataclass(frozen=True)
class MapOf:
    """An object whose keys are names of the data's own."""

    item: Schema


@dataclass(frozen=True)
class Maybe:
    """A value that may be absent or null."""

    item: Schema


Schema = Union[Kind, ListOf, MapOf, Maybe, "dict[str, Schema]"]

TEXT = Kind("a string that is not empty", lambda v: isinstance(v, str) and bool(v.strip()))
STRING = Kind("a string", lambda v: isinstance(v, str))
WHOLE = Kind("a whole number", lambda v: isinstance(v, int) and not isinstance(v, bool))
NUMBER = Kind("a number", lambda v: isinstance(v, int | float) and not isinstance(v, bool))
IDENTITY = Kind("a string that is not empty, or a whole number", lambda v: TEXT.fits(v) or WHOLE.fits(v))


def mistakes_in(value: Any, schema: Schema, field: str = "") -> Iterator[str]:
    """One line for each place where `value` is not of the schema: the field, what it must be, what it is."""
    name = f"field {field!r}" if field else "a row"
    if isinstance(value, Unreadable):
        yield value.reason
    elif isinstance(schema, Maybe):
        if value is not None:
            yield from mistakes_in(value, schema.item, field)
    elif isinstance(schema, Kind):
        if not schema.fits(value):
            yield f"{name}: must be {schema.what}, {_what_it_is(value)}"
        elif isinstance(value, str) and HALF_PAIR.search(value):
            yield f"{name}: holds half a surrogate pair, which is no text"
    elif isinstance(schema, ListOf):
        if not isinstance(value, list):
            yield f"{name}: must be a list, {_what_it_is(value)}"
        elif len(value) < schema.least:
            yield f"{name}: must be a list of at least {schema.least}, this one has {len(value)}"
        else:
            for number, item in enumerate(value):
                yield from mistakes_in(item, schema.item, f"{field}[{number}]")
    elif not isinstance(value, dict):
        yield f"{name}: must be an object, {_what_it_is(value)}"
    elif isinstance(schema, MapOf):
        for key, item in value.items():
            yield from mistakes_in(item, schema.item, f"{field}.{key}")
    else:
        for key, inner in schema.items():
            path = f"{field}.{key}" if field else key
            if key in value:
                yield from mistakes_in(value[key], inner, path)
            elif not isinstance(inner, Maybe):
                yield f"field {path!r}: missing; needed are {', '.join(schema)}"


def shown(value: Any) -> str:
    """A value for a message, on one line: its type, and what it is, cut to some 40 characters a string."""
    return "null" if value is None else f"{type(value).__name__} {_SHORT.repr(value)}"


def _what_it_is(value: Any) -> str:
    if value is None:
        return "it is null"
    return "this one is empty" if isinstance(value, str) and not value.strip() else f"got {shown(value)}"


class Mistakes:
    """The mistakes of one source, gathered row by row, so that all are reported at once."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.lines: list[str] = []
        self.rows = 0
        self._places: dict[str, str] = {}

    def fit(self, where: str, value: Any, schema: Schema) -> bool:
        """Whether the row at `where` is of the schema; if not, its mistakes are kept."""
        self.rows += 1
        before = len(self.lines)
        self.add(where, mistakes_in(value, schema))
        return len(self.lines) == before

    def add(self, where: str, mistakes: Iterable[str]) -> None:
        self.lines += [f"{where}: {mistake}" for mistake in mistakes]

    def unique(self, where: str, field: str, value: str) -> bool:
        """Whether no problem had this id before; if one had, that is a mistake of the row at `where`."""
        if value in self._places:
            self.add(where, [f"field {field!r}: {value!r} stands already at {self._places[value]}; ids must differ"])
            return False
        self._places[value] = where
        return True

    def settle(self) -> None:
        """Raise InputError with at most 20 of the mistakes and the number of the others, or where no row was read."""
        if self.lines:
            raise InputError(reported(self.lines, self.source, "mistakes"))
        if not self.rows:
            raise InputError(f"{self.source}: holds no row; is it the right file?")


class Identities:
    """Ids of a published set, which may stand there more than once: the set is read as it is, and each place is told."""

    def __init__(self, source: str) -> None:
        self.source = source
        self._places: dict[str, str] = {}
        self._contents: dict[str, set[Any]] = {}
        self._lines: list[str] = []

    def one(self, where: str, value: str | int, content: Any) -> str | None:
        """`value` as text, with `#2`, `#3` … after it where another problem has it. None where this problem, told by
        its `content`, has stood under this id before: it is no second one."""
        name = str(value)
        held = self._contents.setdefault(name, set())
        if content in held:
            self._lines.append(f"{where}: {name!r} stands already, all alike, at {self._places[name]}; left out")
            return None
        held.add(content)
        free, number = name, 1
        while free in self._places:
            number += 1
            free = f"{name}#{number}"
        if free != name:
            self._lines.append(f"{where}: {name!r} stands already at {self._places[name]}; this one is called {free!r}")
        self._places[free] = where
        return free

    def report(self) -> None:
        """Log each repetition, at most 20 of them and the number of the others."""
        for line in reported(self._lines, self.source, "repeated ids"):
            log.warning("%s", line)


def reported(lines: list[str], source: str, what: str) -> list[str]:
    """At most 20 of `lines`, and the number of the others."""
    more = len(lines) - REPORTED
    return lines[:REPORTED] + ([f"{source}: and {more} more {what}"] if more > 0 else [])


class Texts:
    """Long texts that many problems share: each is held once, and hashed once."""

    def __init__(self) -> None:
        self._held: dict[str, tuple[str, str]] = {}

    def one(self, text: str) -> tuple[str, str]:
        """(the one object of this text, its id: `sha256:` and 16 hexadecimal digits)."""
        if text not in self._held:
            self._held[text] = (text, "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16])
        return self._held[text]
