"""The stages of a fit, in their order: what each runs, from which recipe, and what it leaves.

    check        reads the documents and says what the others will take              (infoagent/applications/fit/check.py)
    warm-start   train/sft.py        the best pieces of each document, imitated          → DIR/warm-start/checkpoint-N
    train        train/grpo.py       reinforcement learning from there, to a budget  → DIR/train/checkpoint-N
    evaluate     eval/checkpoint.py  held-out documents, at equal length             → DIR/evaluate
    report       infoagent report, infoagent card                                    → DIR/report.html

Each is a process of its own, and every one goes on where it was killed.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoagent.applications.fit.check import draws_unsaid
from infoagent.applications.fit.launching import as_launched, launch_command, read_launch
from infoagent.applications.fit.recipes import Content, FitPlan
from infoagent.config import checked_recipe
from infoagent.evaluation.estimate import describe_evaluation
from infoagent.lm.settling import settle
from infoagent.recipes import EvaluationRecipe, GRPORecipe, SFTRecipe
from infoagent.recipes.training import TrainingRecipe
from infoagent.shipped import module_command, shipped
from infoagent.training.estimate import describe_grpo, describe_sft
from infoagent.training.run_directory import complete_checkpoints, find_resume_point, read_best
from infoagent.training.sweep.grid import best_checkpoint
from infoagent.types import InputError

Command = list[str]


@dataclass(frozen=True)
class Stage:
    """A stage that runs in processes of its own."""

    name: str
    title: str
    commands: Callable[[FitPlan, Path], list[Command]]
    """Given the plan and where its recipe lies."""
    result: Callable[[FitPlan], str | None]
    """What it leaves; None as long as that is not there."""
    recipe: Callable[[FitPlan], Content] | None = None
    schema: Any = None
    estimate: Callable[[Any], str] | None = None
    is_launched: bool = False
    """By accelerate, as --launch says; the others are one process on the device that models are loaded on."""

    def recipe_file(self, plan: FitPlan) -> Path:
        return plan.settings.out / "recipes" / f"{STAGES.index(self) + 1}-{self.name}.yaml"

    def log_file(self, plan: FitPlan) -> Path:
        return plan.settings.out / "logs" / f"{STAGES.index(self) + 1}-{self.name}.log"

    def described(self, plan: FitPlan) -> str:
        """Its commands, and what they will take; torch is not imported."""
        lines = [shlex.join(command) for command in self.commands(plan, self.recipe_file(plan))]
        if self.recipe is not None and self.estimate is not None:
            with as_launched(read_launch(plan.settings.launch_config)) if self.is_launched else nullcontext(), draws_unsaid():
                recipe = settle(checked_recipe(self.schema, self.recipe(plan), self.name), dry_run=True)
                lines += self.estimate(recipe).splitlines()
        return "\n".join(f"  {line}" for line in lines)

    def check_resumable(self, plan: FitPlan) -> None:
        """Raise InputError where its directory holds work of other settings that matter."""
        if self.recipe is None or not issubclass(self.schema, TrainingRecipe):
            return  # an evaluation computes what its records lack
        content = self.recipe(plan)
        recipe = checked_recipe(self.schema, content, self.name)
        try:
            find_resume_point(recipe.output_dir, recipe.model_dump(mode="json"), recipe.resume)
        except InputError as error:
            raise InputError([f"--out {plan.settings.out}: stage {self.name}: {line}" for line in error.problems]) from None


def warm_start_commands(_: FitPlan, recipe: Path) -> list[Command]:
    return [[sys.executable, str(shipped("train/sft.py")), str(recipe)]]


def train_commands(plan: FitPlan, recipe: Path) -> list[Command]:
    file = plan.settings.launch_config
    return [[*launch_command(file, read_launch(file)), str(shipped("train/grpo.py")), str(recipe)]]


def evaluate_commands(_: FitPlan, recipe: Path) -> list[Command]:
    return [[sys.executable, str(shipped("eval/checkpoint.py")), str(recipe)]]


def report_commands(plan: FitPlan, _: Path) -> list[Command]:
    infoagent, out = module_command("infoagent.cli"), plan.settings.out
    checkpoint = checkpoint_of(plan, "train") or str(out / "train" / "checkpoint-N")
    runs = [str(out / name) for name in ("evaluate", "train", "warm-start")]
    return [
        [*infoagent, "report", *runs, "--out", str(out / "report.html")],
        [*infoagent, "card", checkpoint, "--evaluation", str(out / "evaluate")],
    ]


def describe_comparison(recipe: EvaluationRecipe) -> str:
    """As `describe_evaluation`, the checkpoint counted before it is there: it does what its frozen self does."""
    trained = recipe.compressors[0].model_copy(update={"label": "trained"})
    return describe_evaluation(recipe.model_copy(update={"compressors": [*recipe.compressors, trained]}))


def checkpoint_of(plan: FitPlan, stage: str) -> str | None:
    """The best checkpoint of a training stage by validation, the last where none was measured; None before there is one."""
    directory = plan.settings.out / stage
    return str(best_checkpoint(directory)) if complete_checkpoints(directory) else None


def tokens_of(plan: FitPlan, stage: str) -> int:
    """Mean tokens of the best checkpoint's compressions on the validation documents; the budget where that is not known."""
    best = read_best(plan.settings.out / stage)
    measured = [] if best is None else [row["rate/tokens"] for row in best["history"] if row["step"] == best["step"]]
    return max(1, round(measured[0])) if measured else plan.settings.budget


def _there(plan: FitPlan, name: str) -> str | None:
    path = plan.settings.out / name
    return str(path) if path.exists() else None


STAGES = (
    Stage(
        "warm-start",
        "imitate the best pieces of each document, chosen by the reward",
        warm_start_commands,
        lambda plan: checkpoint_of(plan, "warm-start"),
        lambda plan: plan.warm_start(),
        SFTRecipe,
        describe_sft,
    ),
    Stage(
        "train",
        "reinforcement learning against information minus length",
        train_commands,
        lambda plan: checkpoint_of(plan, "train"),
        lambda plan: plan.train(checkpoint_of(plan, "warm-start")),
        GRPORecipe,
        describe_grpo,
        is_launched=True,
    ),
    Stage(
        "evaluate",
        "the best checkpoint beside the frozen model and BM25, on held-out documents",
        evaluate_commands,
        lambda plan: _there(plan, "evaluate/pairs.json"),
        lambda plan: plan.evaluate(checkpoint_of(plan, "train"), tokens_of(plan, "train")),
        EvaluationRecipe,
        describe_comparison,
    ),
    Stage("report", "report and model card", report_commands, lambda plan: _there(plan, "report.html")),
)
