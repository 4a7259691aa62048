"""What a sweep will run: every combination of its grid, checked before any of them starts. Imports no torch."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoagent.config import load_recipe
from infoagent.recipes import CORE_RECIPES, SweepFile
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.run_directory import complete_checkpoints, find_resume_point
from infoagent.types import InputError, Mistakes

LONGEST_NAME = 100


@dataclass(frozen=True)
class SweepRun:
    """One combination: what it is called, what it changes, and the command that trains it."""

    name: str
    parameters: dict[str, Any]
    recipe: TrainingRecipe
    command: list[str]

    @property
    def directory(self) -> Path:
        return Path(self.recipe.output_dir)


def plan_sweep(path: str | Path, out: str | Path) -> tuple[SweepFile, list[SweepRun]]:
    """The sweep file and its runs in the order of the grid, the last parameter changing fastest.

    Raises InputError with every mistake of the file, or of its combinations under the recipe's schema.
    """
    sweep = load_recipe(SweepFile, path)
    schema = CORE_RECIPES.get("/".join(Path(sweep.program).parts[-2:]))
    if schema is None or not issubclass(schema, TrainingRecipe):
        allowed = [name for name, known in CORE_RECIPES.items() if issubclass(known, TrainingRecipe)]
        raise InputError(f"{path}: program = {sweep.program!r}: must be one of {', '.join(allowed)}")
    if not Path(sweep.program).is_file():
        raise InputError(f"{path}: program = {sweep.program!r}: is not below this directory; run from the root of the checkout")

    runs, mistakes = [], Mistakes()
    for name, parameters in combinations(sweep):
        overrides = [*sweep.fixed, *(_override(key, value) for key, value in parameters.items())]
        overrides.append(_override("output_dir", str(Path(out) / name)))
        with mistakes.of(f"{path}: {name}: "):
            recipe = load_recipe(schema, sweep.recipe, overrides)
            # a directory that another recipe trained in is refused here, not by the third run of the night
            find_resume_point(recipe.output_dir, recipe.model_dump(mode="json"), recipe.resume)
            launcher = [sys.executable if item == "${interpreter}" else item for item in sweep.launcher]
            runs.append(SweepRun(name, parameters, recipe, [*launcher, sweep.program, sweep.recipe, *overrides, *sweep.options]))
    mistakes.end()
    return sweep, runs


def combinations(sweep: SweepFile) -> list[tuple[str, dict[str, Any]]]:
    """(name, parameters) of each run; the name says the value of each parameter that has `values`."""
    keys = list(sweep.parameters)
    grid = [
        dict(zip(keys, values, strict=True)) for values in itertools.product(*(sweep.parameters[key].all_values for key in keys))
    ]
    varied = [key for key in keys if sweep.parameters[key].values is not None]
    ends = [key.rsplit(".", 1)[-1] for key in varied]
    labels = [end if ends.count(end) == 1 else key for key, end in zip(varied, ends, strict=True)]
    names = [
        "_".join(f"{label}-{_text(parameters[key])}" for label, key in zip(labels, varied, strict=True)) or "run"
        for parameters in grid
    ]
    return [
        (name if names.count(name) == 1 and len(name) <= LONGEST_NAME else _hashed(name, parameters), parameters)
        for name, parameters in zip(names, grid, strict=True)
    ]


def _text(value: Any) -> str:
    """A value as a part of a file name."""
    if isinstance(value, dict):
        return "_".join(f"{key}-{_text(part)}" for key, part in value.items())
    if isinstance(value, list):
        return "-".join(_text(part) for part in value)
    text = str(value).lower() if isinstance(value, bool) else str(value)
    return re.sub(r"[^\w.+-]+", "-", text)


def _hashed(name: str, parameters: dict[str, Any]) -> str:
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()[:8]
    return f"{name[: LONGEST_NAME - 9]}-{digest}"


def _override(key: str, value: Any) -> str:
    """JSON is YAML: what is parsed on the other side is this value and no other."""
    return f"{key}={json.dumps(value, ensure_ascii=False)}"


def best_checkpoint(directory: Path) -> Path:
    """The best checkpoint by validation where that was measured, else the last complete one. Raises FileNotFoundError."""
    from infoagent.training.run_directory import read_best

    complete = complete_checkpoints(directory)
    if not complete:
        raise FileNotFoundError(f"{directory}: no complete checkpoint")
    best = read_best(directory)
    return next((checkpoint for checkpoint in complete if best is not None and checkpoint.name == best["checkpoint"]), complete[-1])
