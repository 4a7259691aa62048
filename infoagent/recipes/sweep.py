"""The sweep file of `infoagent sweep`: a W&B sweep file as `wandb sweep` takes it, read strictly.

What both runners make of `command` is the same: `${program}` and `${args_no_hyphens}` are filled in, the recipe is the
first plain word after the program, and further key=value items hold for every run.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from infoagent.config import Section
from infoagent.recipes.sections import Name

PROGRAM, ARGUMENTS = "${program}", "${args_no_hyphens}"
MACROS = ("${env}", "${interpreter}", PROGRAM, ARGUMENTS)


class SweepMetric(Section):
    """What W&B orders its runs by; a grid does not need it."""

    name: Name
    """A name of infoagent/tracking.py."""
    goal: Literal["minimize", "maximize"] = "minimize"


class SweepParameter(Section):
    """What a key of the recipe takes. A mapping as a value takes the place of a whole section: so two keys change
    together."""

    values: Annotated[list[Any], Field(min_length=1)] | None = None
    """A run for each."""
    value: Any = None
    """The same in every run."""

    @model_validator(mode="after")
    def _one(self) -> SweepParameter:
        if (self.values is None) == ("value" not in self.model_fields_set):
            raise ValueError("must have either values, a list, or value")
        if None in self.all_values:
            raise ValueError("null cannot be varied, a W&B agent passes it as a text; write KEY=null in command instead")
        if any(value in self.all_values[:i] for i, value in enumerate(self.all_values)):
            raise ValueError(f"a value stands twice in {self.all_values}; keep one")
        return self

    @property
    def all_values(self) -> list[Any]:
        return [self.value] if self.values is None else self.values


class SweepFile(Section):
    """infoagent sweep, wandb sweep: a script run once for each combination of values."""

    program: Name
    """A script of train/."""
    method: str
    """`grid`; the others of W&B need its server."""
    metric: SweepMetric | None = None
    parameters: Annotated[dict[Name, SweepParameter], Field(min_length=1)]
    """By the recipe's dotted keys."""
    command: list[str]
    """Launcher, ${program}, the recipe, ${args_no_hyphens}, output_dir=…/${WANDB_RUN_ID}."""
    name: str | None = None
    description: str | None = None
    project: str | None = None
    entity: str | None = None

    @field_validator("method")
    @classmethod
    def _grid(cls, method: str) -> str:
        if method in ("random", "bayes"):
            raise ValueError(f"{method!r} is chosen by W&B's server: run `wandb sweep FILE` and the `wandb agent` it names")
        if method != "grid":
            raise ValueError(f"{method!r}: must be grid")
        return method

    @field_validator("command")
    @classmethod
    def _command(cls, command: list[str]) -> list[str]:
        for macro in (PROGRAM, ARGUMENTS):
            if command.count(macro) != 1:
                raise ValueError(f"{macro} must stand in it once")
        for item in command:
            if item.startswith("${") and item.endswith("}") and item not in MACROS:
                raise ValueError(f"{item}: the scripts take key=value, use {', '.join(MACROS)}")
            if "${envvar:" in item:  # an agent fills them in once, before it knows its first run
                raise ValueError(f"{item}: a W&B agent fills this in once for all runs; write output_dir=…/${{WANDB_RUN_ID}}")
        if not [item for item in command[: command.index(PROGRAM)] if item != "${env}"]:
            raise ValueError(f"what starts the program must stand before {PROGRAM}, e.g. python or accelerate launch")
        tail = command[command.index(PROGRAM) + 1 :]
        if not tail or tail[0] in MACROS or tail[0].startswith("-") or "=" in tail[0]:
            raise ValueError(f"the recipe must stand right after {PROGRAM}")
        return command

    @model_validator(mode="after")
    def _own_directory(self) -> SweepFile:
        if "output_dir" in self.parameters:
            raise ValueError("parameters.output_dir: each run gets a directory of its own; take it out")
        return self

    @property
    def recipe(self) -> str:
        """Path of the recipe that is varied."""
        return self.command[self.command.index(PROGRAM) + 1]

    @property
    def launcher(self) -> list[str]:
        """The command up to the program."""
        return [item for item in self.command[: self.command.index(PROGRAM)] if item != "${env}"]

    @property
    def fixed(self) -> list[str]:
        """key=value items that hold for every run, without output_dir."""
        return [item for item in self._tail if "=" in item and not item.startswith(("-", "output_dir="))]

    @property
    def options(self) -> list[str]:
        """Options such as --quiet."""
        return [item for item in self._tail if item.startswith("-")]

    @property
    def _tail(self) -> list[str]:
        return [item for item in self.command[self.command.index(PROGRAM) + 2 :] if item != ARGUMENTS]
