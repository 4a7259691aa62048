"""Where the references of a JSON schema lead: to a schema within it, and in no circle."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from referencing import Registry, Resource
from referencing.exceptions import Unresolvable
from referencing.jsonschema import DRAFT202012

REFERENCES = ("$ref", "$dynamicRef", "$recursiveRef")
IN_PLACE = ("allOf", "anyOf", "oneOf", "not", "if", "then", "else", "dependentSchemas", "dependencies")
"""Keywords whose schemas are asked of the same value, other than those of properties and items."""


def reference_mistakes(schema: dict[str, Any], flaws: Callable[[dict[str, Any]], list[str]]) -> list[str]:
    """A line for each reference of a valid schema that cannot be followed, leads to what is no schema (`flaws` says why;
    only places that hold schemas are checked with the whole), or comes back to itself with the same value.

    A tree whose nodes hold nodes is no circle: each round goes a level down in the reply.
    """
    root = Resource.from_contents(schema, DRAFT202012)
    draft = schema.get("$schema", "https://json-schema.org/draft/2020-12/schema")
    left = [(root, Registry().resolver_with_root(root))]
    found: list[str] = []
    beside: dict[int, list[int]] = {}  # a schema, and those that are asked of the same value
    followed: list[tuple[str, int]] = []
    while left:
        resource, resolver = left.pop()
        node = resource.contents
        if not isinstance(node, dict) or id(node) in beside:
            continue
        beside[id(node)] = [id(inner) for inner in _in_place(node)]
        if node.get("$schema", draft) != draft:
            found.append(f"$schema {node['$schema']!r}: another draft than at the top; write all in one")
        try:
            left += [(inner, resolver.in_subresource(inner)) for inner in resource.subresources()]
        except ValueError as error:
            found.append(f"$id: no address: {error}")
        for keyword in (keyword for keyword in REFERENCES if keyword in node):
            named = f"{keyword} {node[keyword]!r}"
            try:
                target = resolver.lookup(node[keyword])
            except (Unresolvable, ValueError, TypeError, AttributeError):  # the latter on the way through a value
                found.append(f"{named}: leads nowhere; references must stay within the schema, as #/$defs/NAME")
                continue
            if isinstance(target.contents, bool):
                continue
            if not isinstance(target.contents, dict):
                found.append(f"{named}: leads to {target.contents!r}, which is no schema")
            elif said := flaws(target.contents):
                found += [f"{named}: {line}" for line in said]
            else:
                beside[id(node)].append(id(target.contents))
                followed.append((named, id(node)))
                left.append((Resource.from_contents(target.contents, DRAFT202012), target.resolver))
    found += [
        f"{named}: leads back to itself without a property or an item between; no reply could be checked"
        for named, node in followed
        if node in _reached(node, beside)
    ]
    return list(dict.fromkeys(found))


def _in_place(node: dict[str, Any]) -> list[Any]:
    found: list[Any] = []
    for value in (node[keyword] for keyword in IN_PLACE if keyword in node):
        found += value if isinstance(value, list) else [value, *value.values()] if isinstance(value, dict) else []
    return found


def _reached(start: int, beside: dict[int, list[int]]) -> set[int]:
    """Schemas that are asked of the same value as `start`; it is one itself only in a circle."""
    found: set[int] = set()
    left = list(beside[start])
    while left:
        node = left.pop()
        if node not in found:
            found.add(node)
            left += beside.get(node, [])
    return found
