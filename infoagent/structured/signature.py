"""A Python function signature as a form: what a tool call may hold. The text is read, never run.

signature_form("def record(name: str, age: int | None = None): 'A patient.'")
"""

from __future__ import annotations

import ast
from typing import Any

from infoagent.structured.form import Form, schema_form
from infoagent.types import InputError

PLAIN = {"str": "string", "int": "integer", "float": "number", "bool": "boolean", "None": "null"}
KNOWN = "str, int, float, bool, None, list[…], dict[str, …], Literal[…], Optional[…], and unions with |"


def signature_form(text: str, setting: str = "form.signature") -> Form:
    """The form of a call. A parameter without a default is needed; others may be left out.

    Raises InputError, a line for each parameter that has no type, or one without a JSON counterpart.
    """
    function = _function(text, setting)
    arguments = function.args
    if arguments.vararg or arguments.kwarg:
        raise InputError(f"{setting}: * and ** parameters have no names to fill in; name each parameter")
    parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
    if not parameters:
        raise InputError(f"{setting}: {function.name} takes nothing; a call of it would tell nothing")
    in_order = len(parameters) - len(arguments.kwonlyargs)
    optional = {p.arg for p in parameters[in_order - len(arguments.defaults) : in_order]}
    optional |= {p.arg for p, d in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if d is not None}
    properties: dict[str, Any] = {}
    mistakes = []
    for parameter in parameters:
        try:
            if parameter.annotation is None:
                raise ValueError(f"has no type; write {parameter.arg}: str")
            properties[parameter.arg] = _schema(parameter.annotation)
        except (ValueError, SyntaxError) as error:  # the latter of a type in quotes
            mistakes.append(f"{setting}: {parameter.arg} {error}")
    twice = sorted({p.arg for p in parameters if [q.arg for q in parameters].count(p.arg) > 1})
    mistakes += [f"{setting}: {name} stands twice" for name in twice]
    if mistakes:
        raise InputError(mistakes)
    schema = {
        "type": "object",
        "properties": properties,
        "additionalProperties": False,
        "required": sorted(set(properties) - optional),
    }
    description = " ".join((ast.get_docstring(function) or "").split())
    found = schema_form(schema, function.name, setting)
    return Form(function.name, found.schema, f"{function.name}({ast.unparse(arguments)})", description)


def _function(text: str, setting: str) -> ast.FunctionDef:
    last = text.strip().splitlines()[-1] if text.strip() else ""
    for body in ("", ": ...", " ..."):  # a bare header is a signature too
        try:
            tree = ast.parse(text.strip() + body)
        except (SyntaxError, ValueError):
            continue
        if len(tree.body) == 1 and isinstance(tree.body[0], ast.FunctionDef):
            return tree.body[0]
    raise InputError(
        f"{setting}: {last[:60]!r} is no signature of one function; write it as in Python: def record(name: str, age: int)"
    )


def _schema(node: ast.expr) -> dict[str, Any]:
    """The JSON schema of an annotation. Raises ValueError."""
    match node:
        case ast.Constant(value=None):
            return {"type": "null"}
        case ast.Constant(value=str() as quoted):  # a type in quotes
            return _schema(ast.parse(quoted, mode="eval").body)
        case ast.Name(id=name) if name in PLAIN:
            return {"type": PLAIN[name]}
        case ast.Name(id="list") | ast.Name(id="List"):
            return {"type": "array"}
        case ast.Name(id="dict") | ast.Name(id="Dict"):
            return {"type": "object"}
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _any_of([left, right])
        case ast.Subscript(value=of, slice=inner):
            return _subscript(getattr(of, "attr", getattr(of, "id", "")), inner)
    raise ValueError(f"is of type {ast.unparse(node)}, which JSON has none for; allowed: {KNOWN}")


def _subscript(name: str, inner: ast.expr) -> dict[str, Any]:
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    match name, parts:
        case (("list" | "List"), [item]):
            return {"type": "array", "items": _schema(item)}
        case (("dict" | "Dict"), [ast.Name(id="str"), item]):
            return {"type": "object", "additionalProperties": _schema(item)}
        case "Optional", [item]:
            return _any_of([item, ast.Constant(None)])
        case "Union", _:
            return _any_of(parts)
        case "Literal", _ if all(isinstance(p, ast.Constant) and isinstance(p.value, str | int | bool) for p in parts):
            return {"enum": [p.value for p in parts if isinstance(p, ast.Constant)]}
    raise ValueError(f"is of type {name}[{ast.unparse(inner)}], which JSON has none for; allowed: {KNOWN}")


def _any_of(nodes: list[ast.expr]) -> dict[str, Any]:
    found: list[dict[str, Any]] = []
    for node in nodes:
        schema = _schema(node)
        found += schema["anyOf"] if set(schema) == {"anyOf"} else [schema]
    return {"anyOf": found}
