"""Strict recipes: YAML plus dotted overrides, checked against a pydantic schema, every mistake reported at once.

    recipe = load_recipe(GRPORecipe, "configs/train/records.yaml", ["reward.price=0.05"])

A mistake is an `InputError` with one line per problem: where, what, what is allowed. No value is converted
silently: `12.7` is no integer, `"3"` is no number, and `1e-5` is a number although YAML 1.1 calls it a string.
"""

from __future__ import annotations

import argparse
import difflib
import errno
import gc
import logging
import os
import sys
import types
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError, field_validator

from infoagent.arguments import COUNT, Parser
from infoagent.logs import add_log_level, plain_streams, set_up_logging
from infoagent.parsing import DEPTH, whole_number
from infoagent.recipe_files import LONGEST_PLAIN, parse_yaml, recipe_content, shortened
from infoagent.types import InputError, Mistakes, RunFailed, one_line

logger = logging.getLogger(__name__)


LARGEST = 1e12
"""Of any number in a recipe: beyond every count, amount and weight that a run could have."""


class Section(BaseModel):
    """A part of a recipe: unknown keys and wrong types are errors; the text under a field is its documentation."""

    model_config = ConfigDict(extra="forbid", strict=True, use_attribute_docstrings=True, validate_default=True)

    @field_validator("*", mode="after")
    @classmethod
    def _within_arithmetic(cls, value: Any) -> Any:
        """Whatever a field's own limits say: no NaN, no infinity, nothing that overflows where it is multiplied."""
        for number in value if isinstance(value, list | tuple) else (value,):
            if isinstance(number, int | float) and not abs(number) <= LARGEST:
                raise ValueError(f"must be a finite number of at most {LARGEST:g}")
        return value


RecipeT = TypeVar("RecipeT", bound=Section)


SCRIPTS: dict[str, type[Section]] = {}
"""By script the schema of its recipes: infoagent.recipes and infoagent.applications.recipes, once imported, put theirs here."""
REPORTED = 20
"""Mistakes of a recipe that are told one by one."""


def load_recipe(schema: type[RecipeT], path: str | Path | None, overrides: Sequence[str] = ()) -> RecipeT:
    """Read `path` (None: only defaults), apply `overrides` ("a.b=c") and validate against `schema`.

    Raises InputError with one line per mistake in file and overrides together.
    """
    content: Any = {} if path is None else recipe_content(path)
    where = "defaults" if path is None else str(path)
    _check_whose(schema, set(content), where)
    mistakes = Mistakes()
    for override in overrides:
        with mistakes.of():
            apply_override(content, override)
    with mistakes.of():
        recipe = checked_recipe(schema, content, where)
    mistakes.end()
    return recipe


def _check_whose(schema: type[BaseModel], keys: set[str], where: str) -> None:
    """Raise InputError where a file's keys are those of another script's recipes: advice on each would lead nowhere."""
    if keys <= set(schema.model_fields):
        return
    names = [name for name, known in SCRIPTS.items() if keys <= set(known.model_fields)]
    own = next((name for name, known in SCRIPTS.items() if known is schema), None)
    if names and own is not None:
        raise InputError(f"{where}: is a recipe of {' or '.join(names)}; run that, or give one of {own}")


def checked_recipe(schema: type[RecipeT], content: Any, where: str) -> RecipeT:
    """What `where` holds, validated against `schema`. Raises InputError with one line per mistake."""
    try:
        return schema.model_validate(content)
    except ValidationError as error:
        found = error.errors()
        problems = [_explain(schema, dict(e), where) for e in found[:REPORTED]]
        if len(found) > REPORTED:
            problems.append(f"{where}: and {len(found) - REPORTED} more mistakes")
        raise InputError(problems) from None


def recipe_keys(path: str | Path) -> set[str]:
    """The top-level keys of a recipe file, from which its kind is told. Raises InputError for a missing file."""
    return set(recipe_content(path))


def apply_override(content: dict[str, Any], override: str) -> None:
    """Put the value of `override` ("a.b=c") into the content of a recipe. Raises InputError for what is none."""
    key, sign, text = override.partition("=")
    if not sign or not key or any(not part for part in key.split(".")):
        raise InputError(f"{shortened(repr(override), 80)}: an override is written key=value or section.key=value")
    shown = shortened(repr(override), 80)
    value = parse_yaml(text, f"override {shown}")
    node: Any = content
    parts = key.split(".")
    if len(parts) > DEPTH:
        raise InputError(f"{shown}: names {len(parts)} sections in each other; no recipe has so many")
    for depth, part in enumerate(parts):
        last = depth == len(parts) - 1
        if isinstance(node, list):
            index = whole_number(part)
            if index is None or index >= len(node):
                raise InputError(f"{shown}: {'.'.join(parts[:depth])} is a list of {len(node)}; give an index below that")
            if last:
                node[index] = value
            else:
                node = node[index]
        elif isinstance(node, dict):
            if last:
                node[part] = value
            else:
                if not isinstance(node.get(part), dict | list):
                    node[part] = {}
                node = node[part]
        else:
            raise InputError(f"{shown}: {'.'.join(parts[:depth])} is a value, not a section")


def _section_at(schema: type[BaseModel], location: Sequence[Any]) -> type[BaseModel] | None:
    """The section class that `location` points into, or None where the path leaves the schema."""
    annotation: Any = schema
    for part in location:
        if isinstance(part, int):
            continue
        if get_origin(annotation) is dict:
            annotation = get_args(annotation)[1]  # `part` is a name of the user's
            continue
        section = _first_section(annotation)
        if section is None or part not in section.model_fields:
            return None
        annotation = section.model_fields[part].annotation
    return _first_section(annotation)


def _first_section(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType, list, dict):
        for argument in get_args(annotation):
            found = _first_section(argument)
            if found is not None:
                return found
    return None


def _explain(schema: type[BaseModel], error: dict[str, Any], where: str) -> str:
    location = error["loc"]
    key = ".".join(str(part) for part in location)
    value = error.get("input")
    if error["type"] == "extra_forbidden":
        section = _section_at(schema, location[:-1])
        known = list(section.model_fields) if section else []
        close = difflib.get_close_matches(str(location[-1])[:LONGEST_PLAIN], known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"allowed here: {', '.join(known)}"
        return f"{where}: {shortened(key)}: unknown key; {hint}"
    if error["type"] == "missing":
        return f"{where}: {key}: must be given"
    message = error["msg"].removeprefix("Value error, ").removeprefix("Input ")
    if error["type"] == "value_error":  # written by a validator of ours: says everything itself
        return f"{where}: {key + ': ' if key else ''}{message}"
    kind = type(value).__name__
    return f"{where}: {shortened(key)} = {shortened(repr(value))} ({kind}): {shortened(message)}"


def recipe_yaml(recipe: Section) -> str:
    """The resolved recipe as YAML, defaults filled in."""
    return yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)


# ---- scripts -------------------------------------------------------------------------------------------------


def script_parser(description: str | None) -> argparse.ArgumentParser:
    """A parser with what every script takes: its docstring as help, and --log-level."""
    parser = Parser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_log_level(parser)
    return parser


def script_arguments(argv: Sequence[str] | None, description: str | None, grid: bool = False) -> argparse.Namespace:
    """What the scripts of train/ and eval/ that run a recipe take: RECIPE [key=value ...] [--dry-run] [--quiet]; those
    that run a grid take --limit and --shard as well."""
    parser = script_parser(description)
    parser.add_argument("recipe", help="path of a YAML recipe, see configs/")
    parser.add_argument("overrides", nargs="*", metavar="key=value", help="override a key, e.g. reward.price=0.05")
    parser.add_argument("--dry-run", action="store_true", help="show the resolved recipe and an estimate, then stop")
    parser.add_argument("--quiet", action="store_true", help="no progress bars, a line a minute")
    if grid:
        parser.add_argument("--limit", type=COUNT, metavar="N", help="at most N problems of each data set")
        parser.add_argument("--shard", metavar="I/N", help="do the I-th of N parts; without it, the rest and the summary")
    return parser.parse_intermixed_args(argv)  # options may stand between overrides


def _leave_process_group() -> None:
    """Of a launch of several processes: torch's threads that are still there when the interpreter goes can abort one
    after all of its work is done, and the launch then has failed. They go with the wrapped model and its group."""
    distributed = sys.modules.get("torch.distributed")  # whoever did not import it has no group
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        gc.collect()  # trainer and model hold each other
        distributed.destroy_process_group()


def exit_code(main: Callable[[], int | None]) -> int:
    """Run `main` under the house's exit codes: 0 done, 1 the run failed, 2 the user's input is wrong.

    Log lines go to stderr from here on; --log-level, once parsed, says which."""
    with plain_streams(), _nothing_left_to_say():
        set_up_logging()
        try:
            code = _all_said(main)
            _leave_process_group()
            return code
        except InputError as error:
            if os.environ.get("RANK", "0") == "0":  # under a launcher every rank finds the same mistake
                for line in error.problems:
                    print(f"error: {line}", file=sys.stderr)
            return 2
        except RunFailed as error:
            print(f"failed: {error}", file=sys.stderr)
            return 1
        except BrokenPipeError:
            return 1  # the reader of our output left, as in `infoagent data show | head`
        except (OSError, MemoryError, FloatingPointError, RuntimeError) as error:
            if isinstance(error, RuntimeError) and not _is_out_of_memory(error):
                raise
            logger.debug("where it happened", exc_info=error)
            print(f"failed: {_of_the_machine(error)}", file=sys.stderr)
            return 1
        except KeyboardInterrupt:
            print("interrupted", file=sys.stderr)
            return 130


def _all_said(main: Callable[[], int | None]) -> int:
    """What `main` returns, once all that it printed is written: a full disk is met here, and not when the interpreter goes."""
    try:
        code = main() or 0
    except SystemExit:  # of --help and --version
        sys.stdout.flush()
        raise
    sys.stdout.flush()
    return code


@contextmanager
def _nothing_left_to_say() -> Iterator[None]:
    """What cannot be written is dropped at the end: the interpreter would try again, fail aloud and make the exit code 120."""
    try:
        yield
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):
                with suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _is_out_of_memory(error: BaseException) -> bool:
    """Torch's own too, of a device and of this machine; told by name and words, for torch is not imported here."""
    said = str(error)
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError" or "can't allocate memory" in said


def _of_the_machine(error: Exception) -> str:
    """What a full disk, a read-only directory, too little memory or numbers that left their type's range say, in one line."""
    again = "run the same command again: it goes on from what is complete"
    said = one_line(" ".join(str(error).split()))
    if _is_out_of_memory(error):
        return f"out of memory ({said or 'no more to be had'}); take smaller batches, and {again}"
    said = said or type(error).__name__
    if not isinstance(error, OSError):
        return said  # it says itself what to do
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return f"{said}; free some space and {again}"
    return f"{said}; mend that and {again} (--log-level debug tells where)"
