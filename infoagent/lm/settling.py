"""The types of a recipe's models, settled before anything is identified by them.

Scripts call `settle` once, after a recipe is read and before it is used: where a model section says `dtype: auto`, the
recipe that comes back names a type, and so do run.json, records, keys and resumed runs. A directory that already holds
work goes on in the type that it began with. In a dry run nothing of torch is imported, and `auto` stays where only the
start can tell.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel

from infoagent.lm.machine import dtype
from infoagent.lm.machine.device import default_device
from infoagent.store import read_if_run
from infoagent.types import AUTO

logger = logging.getLogger(__name__)

FLOORS = ("unigram", "zlib")
"""Scorers that are no models, though their section has the fields of one."""
RecipeT = TypeVar("RecipeT", bound=BaseModel)
Place = tuple[str, ...]
WORK = (
    "checkpoint-*/infoagent.json", "round-*/checkpoint-*/infoagent.json", "candidates.jsonl", "records*.jsonl",
    "compressions/*/records*.jsonl", "scores/*",
)  # fmt: skip
"""What a run leaves that its continuation goes on with; a run.json alone binds nobody."""


def settle(recipe: RecipeT, dry_run: bool = False) -> RecipeT:
    """`recipe` with a type in the place of every `auto`. A line on stderr says which and why, when the first model is loaded:
    where the input is wrong, what is wrong with it stands alone.

    Raises InputError where accelerate's mixed precision asks for what the GPUs do not have, or where a server that is to
    be asked for its type does not answer.
    """
    began = _Began.read(getattr(recipe, "output_dir", None))
    choose, said = _foreseen if dry_run else _found, dict[str, None]()

    def replace(section: BaseModel, where: Place, url: str | None) -> str:
        held = began.type_of(section, where)
        chosen, why = (held, f"as {began.directory} began") if held is not None else choose(url)
        said[f"{chosen}: {why}" if chosen != AUTO else why] = None
        return chosen

    found: RecipeT = _replaced(recipe, (), None, replace)
    for line in said:
        dtype.note(f"dtype auto is {line}")
    if dry_run:
        dtype.say_notes()
    if not dry_run:
        _check({named for _, named in named_types(found)})
    return found


def named_types(recipe: BaseModel) -> list[tuple[str, str]]:
    """(place, type) of every section that names a type and not `auto`."""
    return [(".".join(where), named) for where, (_, named) in _named(recipe.model_dump(mode="json"), ())]


def planning_type(asked: str) -> str:
    """The type that an estimate is made for; where only the start can tell, the larger one."""
    return dtype.FLOAT32 if asked == AUTO else asked


def _found(url: str | None) -> tuple[str, str]:
    if url is not None:
        from infoagent.lm.scoring.client import read_health

        return str(read_health(url)["dtype"]), f"as {url} computes"
    choice = dtype.choose(default_device())
    return choice.dtype, choice.why


def _foreseen(url: str | None) -> tuple[str, str]:
    choice = dtype.foresee() if url is None else None
    if choice is None:
        return AUTO, "decided at the start; memory is estimated for float32, the larger one"
    return choice.dtype, choice.why


def _check(types: set[str]) -> None:
    """Raise InputError or warn where a device is asked to compute in what it has not."""
    asks_mixed = os.environ.get("ACCELERATE_MIXED_PRECISION", "no") == "bf16"
    if not (asks_mixed or dtype.BFLOAT16 in types):
        return
    device = default_device()
    dtype.check_mixed_precision(device)
    if dtype.is_emulated(dtype.BFLOAT16, device):
        logger.warning(
            "bfloat16 is emulated here and takes several times as long as float32: %s; dtype auto, and mixed_precision: "
            "'no' under accelerate, take float32",
            dtype.choose(device).why,
        )


# ---- what a directory began with --------------------------------------------------------------------------------


class _Began:
    """The types that stand in a directory's run.json; none where the directory holds no work yet."""

    def __init__(self, directory: str, sections: dict[Place, tuple[str | None, str]]) -> None:
        self.directory = directory
        self.sections = sections

    @classmethod
    def read(cls, directory: str | None) -> _Began:
        file = Path(directory or ".") / "run.json"
        if directory is None or not file.is_file() or not any(next(file.parent.glob(p), None) for p in WORK):
            return cls(str(directory), {})
        recipe = read_if_run(directory).get("recipe")
        return cls(directory, dict(_named(recipe, ())))

    def type_of(self, section: BaseModel, where: Place) -> str | None:
        """What the section of the same place and model had, else every section of the model, else all sections; None
        where these differ, or there is none."""
        name = _model_name(vars(section))
        if where in self.sections and self.sections[where][0] == name:
            return self.sections[where][1]
        for held in ({t for n, t in self.sections.values() if n == name}, {t for _, t in self.sections.values()}):
            if held:
                return held.pop() if len(held) == 1 else None
        return None


def _named(value: Any, where: Place) -> Iterator[tuple[Place, tuple[str | None, str]]]:
    """(place, (model, type)) of every section that names a type."""
    if isinstance(value, dict):
        if value.get("dtype") not in (None, AUTO):
            yield where, (_model_name(value), str(value["dtype"]))
        for key, part in value.items():
            yield from _named(part, (*where, str(key)))
    elif isinstance(value, list):
        for index, part in enumerate(value):
            yield from _named(part, (*where, str(index)))


def _model_name(fields: dict[str, Any]) -> str | None:
    return fields.get("name") or fields.get("model")


# ---- the recipe as a tree -------------------------------------------------------------------------------------


def _replaced(value: Any, where: Place, url: str | None, replace: Callable[[BaseModel, Place, str | None], str]) -> Any:
    """A copy in which `replace` has filled in every `auto`; `url` is that of the section around, which serves it."""
    if isinstance(value, list):
        return [_replaced(part, (*where, str(i)), None, replace) for i, part in enumerate(value)]
    if isinstance(value, dict):
        return {key: _replaced(part, (*where, str(key)), None, replace) for key, part in value.items()}
    if not isinstance(value, BaseModel) or getattr(value, "kind", None) in FLOORS:
        return value
    served = getattr(value, "url", None)
    changed: dict[str, Any] = {}
    for name in type(value).model_fields:
        old = getattr(value, name)
        if name == "dtype" and old == AUTO:
            if getattr(value, "kind", None) != "endpoint":  # whose own server decides
                changed[name] = replace(value, where, url)
        elif isinstance(old, BaseModel | list | dict):
            new = _replaced(old, (*where, name), served if name == "model" else None, replace)
            if new != old:
                changed[name] = new
    return value.model_copy(update=changed) if changed else value
