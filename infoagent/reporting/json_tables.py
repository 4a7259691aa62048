"""Markdown tables from JSON: a recipe (YAML) says which numbers stand where, and in what form.

    let:     {trained: comparison.json > 0 > values}     # names for places; a place starts at a file or at such a name
    columns: {"": "$row", MI (nats): "{trained > $row > difference:± .2f}"}
    rows:    [mi/nats, mi/hard_nats]                      # strings, or mappings of further variables; or the place of a
                                                          # list: a row for each element, $row its number

Steps of a place are keys and numbers; `0:10` takes a part of a list, `label=BM25 1` the elements of which that holds,
`count` their number; a list of numbers is shown as its mean. ` or ` stands between places of which the first that is there
counts, `1 - ` before one for the rest to one, `?` behind the last for a number that need not be there (`–`).

Forms: Python's (`.2f`, `.0%`); `± .2f` the value and half of its interval; `[] .2f` the value and its interval.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from infoagent.files import read_json, read_jsonl
from infoagent.types import InputError

NONE: Mapping[str, Any] = MappingProxyType({})
FIELD = re.compile(r"\{([^{}]*?)(\?)?(?::((?:± |\[\] )?[+,]?[.\d]*[a-z%]?))?\}")


def markdown_table(recipe: str, directory: Path) -> str:
    """The table of a recipe; files are looked for from `directory`. InputError names a place where nothing is."""
    try:
        parts = yaml.safe_load(recipe)
        names, columns, rows = parts.get("let", {}), parts["columns"], parts["rows"]
    except (yaml.YAMLError, AttributeError, KeyError, TypeError) as error:
        raise InputError(f"{directory}: a table's recipe wants `columns` and `rows`: {error}") from error
    if isinstance(rows, str):
        try:
            rows = [str(number) for number in range(len(value_at(rows, directory, names)))]
        except (KeyError, IndexError) as error:
            raise InputError(f"{directory}: nothing at {rows}") from error
    lines = ["| " + " | ".join(columns) + " |", "|---" * len(columns) + "|"]
    for row in rows:
        variables = row if isinstance(row, dict) else {"row": row}
        cells = [_cell(_filled(template, variables), directory, names, variables) for template in columns.values()]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _filled(text: str, variables: Mapping[str, Any]) -> str:
    return re.sub(r"\$(\w+)", lambda name: str(variables[name[1]]), text)


def _cell(template: str, directory: Path, names: Mapping[str, str], variables: Mapping[str, Any]) -> str:
    def shown(field: re.Match[str]) -> str:
        places, optional, form = field.groups()
        for place in places.split(" or "):
            try:
                value = value_at(place.removeprefix("1 - "), directory, names, variables)
            except (KeyError, IndexError):
                continue
            return formatted(value, form or "", rest=place.startswith("1 - "))
        if optional:
            return "–"
        raise InputError(f"{directory}: nothing at {places}")

    return FIELD.sub(shown, template)


def value_at(place: str, directory: Path, names: Mapping[str, str] = NONE, variables: Mapping[str, Any] = NONE) -> Any:
    """What stands at `summary.json > summaries > label=frozen > values`. KeyError where nothing does."""
    first, *steps = place.split(" > ")
    while first in names:
        first, *before = _filled(names[first], variables).split(" > ")
        steps = before + steps
    value = _content(directory / first)
    for step in steps:
        value = _step(value, step)
    if value is None or value == []:
        raise KeyError(place)
    return value


def _step(value: Any, step: str) -> Any:
    if not isinstance(value, list):
        return value[step]
    if step == "count":
        return len(value)
    if re.fullmatch(r"-?\d+", step):
        return value[int(step)]
    if part := re.fullmatch(r"(-?\d*):(-?\d*)", step):
        return value[slice(*(int(end) if end else None for end in part.groups()))]
    if "=" in step:
        key, wanted = step.split("=", 1)
        return [element for element in value if _inside(element, key) == wanted]
    return value[0][step] if len(value) == 1 else [element[step] for element in value if step in element]


def _inside(element: Any, key: str) -> str:
    for part in key.split("."):
        element = element[part]
    return str(element)


@cache
def _content(path: Path) -> Any:
    return read_jsonl(path) if path.suffix == ".jsonl" else read_json(path, kind=object)


def formatted(value: Any, form: str, rest: bool = False) -> str:
    """A value in a form; an interval is {value, low, high}, an estimate {infonce_nats or value_nats, ci_nats}."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, str) or not form:
        return str(value)
    kind, _, form = form.rpartition(" ")
    if isinstance(value, list):
        value = sum(value) / len(value)
    low: float | None = None
    high: float | None = None
    if isinstance(value, dict):
        if "ci_nats" in value or "low" in value:
            low, high = value["ci_nats"] if "ci_nats" in value else (value["low"], value["high"])
        else:
            kind = ""  # a count, which has no interval
        value = next(value[key] for key in ("value", "infonce_nats", "value_nats") if key in value)
    if rest:
        value, low, high = 1 - value, None if high is None else 1 - high, None if low is None else 1 - low
    text = format(value, form)
    if not kind:
        pass
    elif low is None or high is None:
        text += " (interval unknown)"
    elif kind == "±":
        text = f"{text.rstrip('%')} ± {format((high - low) / 2, form.lstrip('+'))}"
    else:
        text += f" [{format(low, form).rstrip('%')}, {format(high, form).rstrip('%')}]"
    return text.replace("%", " %").replace("-", "−")
