"""The form of a structured z: a JSON schema, checked before anything runs, and what a reply says under it.

A form asks with its properties in canonical order, so that two schemas that differ in key order are one form, with one
prompt, one grammar and one z.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from pathlib import Path
from typing import Any

from jsonschema import Draft4Validator, Draft6Validator, Draft7Validator, Draft201909Validator, Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from jsonschema.validators import extend, validator_for
from referencing import Registry

from infoagent.structured.canonical import NotJson, canonical, parse, plain, read_value
from infoagent.structured.references import reference_mistakes
from infoagent.types import InputError

SHOWN = 200
"""Characters of a reason."""
TYPES = ("array", "boolean", "integer", "null", "number", "object", "string")

DRAFTS = tuple(
    kind.META_SCHEMA["$schema"].rstrip("#")
    for kind in (Draft202012Validator, Draft201909Validator, Draft7Validator, Draft6Validator, Draft4Validator)
)


class Unfit(ValueError):
    """A reply that holds no z of the form: `cause` in a few words that can be counted, and a message of one line."""

    def __init__(self, cause: str, message: str) -> None:
        self.cause = cause
        super().__init__(message)


@dataclass(frozen=True)
class Form:
    """What z looks like: an object that fits `schema`, whose keys are sorted.

    `signature` is set where the form is the call of a function of that name: z are its arguments.
    """

    name: str
    schema: dict[str, Any]
    signature: str | None = None
    description: str = ""

    @property
    def request(self) -> str:
        """What a prompt says of the form."""
        if self.signature is None:
            return f"Reply with one JSON object that fits this JSON schema, and nothing else:\n{canonical(self.schema)}"
        about = f"  # {self.description}" if self.description else ""
        return (
            f"Reply with the arguments of one call of this function, as one JSON object and nothing else:\n{self.signature}{about}"
        )

    @property
    def identity(self) -> dict[str, Any]:
        """What decides the draws beside the prompt; the key order of a file is no part of it."""
        return {"name": self.name, "schema": self.schema, "signature": self.signature, "description": self.description}

    @property
    def is_closed(self) -> bool:
        """Whether every object in it lists all its keys and needs all: what servers call strict."""
        return all(
            node.get("additionalProperties") is False and set(node.get("required", ())) == set(node["properties"])
            for node in _nodes(self.schema)
            if isinstance(node.get("properties"), dict)
        )

    @cached_property
    def _validator(self) -> Any:
        found = extend(validator_for(self.schema, default=Draft202012Validator), {"multipleOf": _multiple_of})
        exact = parse(canonical(self.schema))
        exact.pop("$schema", None)  # a reference to the whole would take the class of that name, not this one
        return found(exact, registry=Registry())  # no reference is fetched from anywhere

    def read(self, reply: str) -> str:
        """The canonical z of a reply: its one JSON object, whatever words or code fence stand around it.

        Raises Unfit: "no JSON" without an object, "no object" for a list of them, "broken JSON" for one that does not
        parse, "two objects", "off the schema" with all that does not fit.
        """
        at = reply.find("{")
        if at < 0:
            raise Unfit("no JSON", f"the reply holds no JSON object: {_short(reply) or 'an empty reply'}")
        if _is_listed(reply, at):
            raise Unfit("no object", f"the reply is a list, not one object: {_short(reply)}")
        try:
            value, end = read_value(reply, at)
        except NotJson as error:
            raise Unfit("broken JSON", f"{error}: {_short(reply[at:])}") from error
        if "{" in reply[end:]:
            raise Unfit("two objects", f"the reply holds more than one object: {_short(reply[at:])}")
        try:
            errors = sorted(self._validator.iter_errors(value), key=lambda e: [str(part) for part in e.path])
            text = canonical(value)
        except RecursionError as error:
            raise Unfit("off the schema", f"nested too deep to be checked: {_short(reply[at:])}") from error
        except ArithmeticError as error:
            raise Unfit("off the schema", f"a number that cannot be checked: {_short(reply[at:])}") from error
        if errors:
            raise Unfit("off the schema", _short("; ".join(_where(e) + e.message for e in errors)))
        return text


def load_form(schema: str | Mapping[str, Any], name: str = "extraction", setting: str = "form.json_schema") -> Form:
    """A form from a schema file, or from the schema itself. Raises InputError, a line for each mistake."""
    if not isinstance(schema, str):
        return schema_form(schema, name, setting)
    path = Path(schema)
    if not path.is_file():
        raise InputError(f"{setting} = {schema!r}: no such file; give a JSON schema file, or the schema in its place")
    try:
        found = parse(path.read_text(encoding="utf-8"))
    except (NotJson, UnicodeDecodeError) as error:
        raise InputError(f"{setting} = {schema!r}: not JSON: {error}") from error
    return schema_form(plain(found), path.stem, f"{setting} = {schema!r}")


def schema_form(schema: Any, name: str, setting: str = "form.json_schema") -> Form:
    """A form from a JSON schema (draft 2020-12, or the one from 4 on that its $schema names) of an object.

    Raises InputError, a line for each mistake: no schema, a schema that every text fits, a needed key that is not
    allowed, and references that cannot be followed or leave the schema, which nobody here would fetch. Whether any text
    fits at all is not asked: a minimum may be above its maximum.
    """
    if not isinstance(schema, Mapping):
        raise InputError(f"{setting}: a JSON schema is an object, this is a {type(schema).__name__}")
    try:
        mistakes = list(_foreign(schema)) or _mistakes(_sorted(schema))
    except RecursionError as error:
        raise InputError(f"{setting}: nested too deep; write what repeats once, in $defs, and refer to it") from error
    if mistakes:
        raise InputError([f"{setting}: {line}" for line in mistakes])
    title = schema.get("title")
    safe = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "_" for c in title or name)[:64]
    return Form(safe or name, _sorted(schema), description=str(schema.get("description", "")))


def _foreign(value: Any, path: str = "") -> Iterator[str]:
    """What YAML and Python can hold and JSON cannot: dates, infinities, keys that are no text."""
    where = f"{path}: " if path else ""
    if isinstance(value, Mapping):
        for key, item in value.items():
            if isinstance(key, str):
                yield from _foreign(item, f"{path}.{key}" if path else key)
            else:
                yield f"{where}the key {key!r} is no text; put it in quotes (YAML takes no, on and yes for truth values)"
    elif isinstance(value, list | tuple):
        for number, item in enumerate(value):
            yield from _foreign(item, f"{path}.{number}" if path else str(number))
    else:
        try:
            parse(canonical(value))
        except TypeError as error:  # YAML takes 2020-01-01 for a date
            yield _short(f"{where}{value!r}: {error}; put a text in quotes")
        except NotJson as error:
            yield _short(f"{where}{value!r}: {error}")


def _mistakes(schema: dict[str, Any]) -> list[str]:
    draft = schema.get("$schema", DRAFTS[0])
    if not isinstance(draft, str) or draft.rstrip("#") not in DRAFTS:
        return [f"$schema = {draft!r}: no draft that is known here; leave it out, or name one of {', '.join(DRAFTS)}"]
    found = _flaws(schema, schema)
    if found:
        return found
    if schema.get("type") != "object":
        found.append(
            f"type = {schema.get('type')!r}: must be object at the top, with its properties; without a type this is no "
            "schema, and every text fits it"
        )
    elif not schema.get("properties"):
        found.append("properties: must name at least one; without any the form asks for nothing")
    elif schema.get("additionalProperties") is False and not schema.get("patternProperties"):
        absent = sorted(set(schema.get("required", ())) - set(schema["properties"]))
        found += [f"required: {name!r} is no property, and no others are allowed; no text fits" for name in absent]
    return found + reference_mistakes(schema, lambda inner: _flaws(inner, schema))


def _flaws(node: dict[str, Any], schema: dict[str, Any]) -> list[str]:
    """What its draft says against `node`, a part of `schema` or all of it."""
    kind = validator_for(schema, default=Draft202012Validator)
    meta = kind(kind.META_SCHEMA, format_checker=kind.FORMAT_CHECKER)
    found = []
    for error in meta.iter_errors(node):
        inner = best_match([error]) or error  # of "not valid under any", the branch that comes closest
        hint = f"; allowed: {', '.join(TYPES)}" if inner.absolute_path and inner.absolute_path[-1] == "type" else ""
        found.append(_short(f"no JSON schema: {_where(inner)}{inner.message}{hint}"))
    return list(dict.fromkeys(found))


def _multiple_of(validator: Any, step: Any, value: Any, schema: Any) -> Iterator[ValidationError]:
    """The library divides floats, by which 19.99 is no multiple of 0.01."""
    if validator.is_type(value, "number") and (Fraction(value) / Fraction(step)).denominator != 1:
        yield ValidationError(f"{value!r} is not a multiple of {step!r}")


def _is_listed(reply: str, at: int) -> bool:
    """Whether what begins at `at` stands in a JSON list; other brackets before it are words."""
    start = reply.find("[", 0, at)
    while start >= 0:
        end = start + 1
        with suppress(NotJson):
            end = read_value(reply, start)[1]
        if end > at:
            return True
        start = reply.find("[", end, at)
    return False


def _nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict):
        yield value
        for item in value.values():
            yield from _nodes(item)
    elif isinstance(value, list):
        for item in value:
            yield from _nodes(item)


def _sorted(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _sorted(value[key]) for key in sorted(value, key=str)}
    return [_sorted(item) for item in value] if isinstance(value, list | tuple) else value


def _where(error: ValidationError) -> str:
    path = ".".join(str(part) for part in error.absolute_path)
    return f"{path}: " if path else ""


def _short(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"
