"""Serialisation of dataclasses: the JSON object of a record, and the record of a JSON object.

An object holds the fields in their order. A field that is None is left out, unless `always` says that null tells
something there. What a file holds beside the fields of its type is kept in `extra`, in the place of the last.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable, Mapping
from dataclasses import MISSING, Field, asdict, field, fields, is_dataclass
from functools import cache
from typing import Any, TypeVar

T = TypeVar("T")
Json = dict[str, Any]
"""A JSON object: a line of a file, or what is ready to be written."""
EXTRA = "extra"


class MissingField(ValueError):
    """An object lacks a field that its type needs; says which."""


def always(**more: Any) -> Any:
    """A field that is written even where it is None."""
    return field(metadata={"always": True}, **more)


def as_json(value: Any) -> Any:
    """A record, or what holds records, as plain dicts and lists. A type without `extra` is written with all its fields."""
    if is_dataclass(value) and not isinstance(value, type):
        write = getattr(value, "to_json", None)
        return write() if write else object_of(value) if hasattr(value, EXTRA) else asdict(value)
    if isinstance(value, Mapping):
        return {key: as_json(v) for key, v in value.items()}
    if isinstance(value, list | tuple) and value and not isinstance(value[0], float | int | str):
        return [as_json(v) for v in value]
    return value


def object_of(record: Any) -> dict[str, Any]:
    """The fields of a dataclass, and its extra ones behind them."""
    found = {
        f.name: as_json(value)
        for f in fields(record)
        if f.name != EXTRA and ((value := getattr(record, f.name)) is not None or f.metadata.get("always"))
    }
    return found | dict(getattr(record, EXTRA, {}))


def from_json(cls: type[T], row: Any) -> T:
    """A `cls` of a JSON object. Raises MissingField."""
    if not isinstance(row, Mapping):
        raise MissingField("object")
    read = getattr(cls, "from_json", None)
    return typing.cast(T, read(row)) if read else record_of_object(cls, row)


def record_of_object(cls: type[T], row: Mapping[str, Any]) -> T:
    """As `from_json`, by the fields of `cls` alone."""
    values: dict[str, Any] = {}
    readers = _readers(typing.cast(Any, cls))
    for name, (reader, f) in readers.items():
        if name in row:
            try:
                values[name] = reader(row[name]) if reader and row[name] is not None else row[name]
            except MissingField as error:
                raise MissingField(f"{name}.{error}") from None
        elif f.default is MISSING and f.default_factory is MISSING:
            raise MissingField(name)
    if any(f.name == EXTRA for f in fields(cls)):  # type: ignore[arg-type]
        values[EXTRA] = {name: value for name, value in row.items() if name not in readers}
    return cls(**values)


Reader = Callable[[Any], Any]


@cache
def _readers(cls: Any) -> dict[str, tuple[Reader | None, Field[Any]]]:
    hints = typing.get_type_hints(cls)
    return {f.name: (_reader(hints[f.name]), f) for f in fields(cls) if f.name != EXTRA}


def _reader(hint: Any) -> Reader | None:
    """How a value of an annotation is read; None: as it is."""
    if is_dataclass(hint):
        return lambda value: from_json(typing.cast(type, hint), value)
    options = [o for o in typing.get_args(hint) if o is not type(None)]
    if typing.get_origin(hint) in (types.UnionType, typing.Union) and len(options) == 1:
        return _reader(options[0])
    if typing.get_origin(hint) is dict and (each := _reader(options[1])) is not None:
        return lambda table: {key: each(value) for key, value in table.items()}
    if typing.get_origin(hint) is list and (one := _reader(options[0])) is not None:
        return lambda values: [one(value) for value in values]
    return None
