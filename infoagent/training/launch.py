"""The processes of a launch (world size and rank), and how a step is divided over them."""

from __future__ import annotations

import os
from pathlib import Path

from infoagent.files import read_json
from infoagent.recipes import GRPORecipe
from infoagent.types import InputError

STARTERS = {"SLURM_STEP_NUM_TASKS": "srun", "OMPI_COMM_WORLD_SIZE": "mpirun", "PMI_SIZE": "mpirun"}
"""What says how many processes were started, and by whom, where that is not accelerate or torchrun."""


def process_count() -> int:
    """How many processes the launcher started. Raises InputError where another starter made several of them that know
    nothing of each other: each would train alone and write over the others."""
    if "WORLD_SIZE" not in os.environ:
        for name, starter in STARTERS.items():
            if int(os.environ.get(name, "1")) > 1:
                raise InputError(
                    f"{name} = {os.environ[name]}: {starter} started several processes that know nothing of each other; "
                    "let it start one process a machine, accelerate launch"
                )
    return int(os.environ.get("WORLD_SIZE", "1"))


def check_one_process(script: str) -> None:
    """Raise InputError under a launcher that started several processes: samples are drawn and written by one."""
    if process_count() > 1:
        raise InputError(f"{script}: runs in one process, {process_count()} were started; launch it with plain python")


def is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"


def is_sharded_launch() -> bool:
    """Did `accelerate launch` ask for ZeRO-3 or FSDP? Told by what it puts into the environment."""
    return is_on("ACCELERATE_USE_FSDP") or (is_on("ACCELERATE_USE_DEEPSPEED") and zero_stage() == 3)


def zero_stage() -> int:
    """The stage of ZeRO that was asked for. Raises InputError for a DeepSpeed file that does not say it."""
    file = os.environ.get("ACCELERATE_DEEPSPEED_CONFIG_FILE", "none")
    if file == "none":
        return int(os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE", "2"))  # accelerate's own default
    stage = read_json(Path(file)).get("zero_optimization", {}).get("stage")
    if not isinstance(stage, int):
        raise InputError(f"{file}: zero_optimization.stage = {stage!r}; set it to 0, 1, 2 or 3")
    return stage


def is_on(name: str) -> bool:
    """Is the switch of that name on in the environment?"""
    return os.environ.get(name, "false").lower() in ("true", "1")


def batch_shape(recipe: GRPORecipe, processes: int) -> tuple[int, int]:
    """(completions in one forward pass of one process, accumulation steps) that make the recipe's step.

    Raises InputError where the step cannot be divided over `processes`.
    """
    completions = recipe.grpo.prompts_per_step * recipe.grpo.num_generations
    micro = recipe.grpo.micro_batch or min(recipe.grpo.num_generations, max(1, completions // processes))
    if completions % (micro * processes):
        raise InputError(
            f"grpo.prompts_per_step × grpo.num_generations = {completions} completions cannot be divided into "
            f"micro_batch {micro} × {processes} processes; change one of them"
        )
    return micro, completions // (micro * processes)
