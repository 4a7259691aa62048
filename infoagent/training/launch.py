"""The processes of a launch (world size and rank), and how a step is divided over them."""

from __future__ import annotations

import os

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
    if os.environ.get("ACCELERATE_USE_FSDP", "").lower() in ("true", "1"):
        return True
    return (
        os.environ.get("ACCELERATE_USE_DEEPSPEED", "").lower() in ("true", "1")
        and os.environ.get("ACCELERATE_DEEPSPEED_ZERO_STAGE") == "3"
    )


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
