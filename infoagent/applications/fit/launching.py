"""How the training stage of a fit is launched: the file of accelerate's, what its processes will find in their environment, and
what they would refuse, told before anything is computed. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoagent.lm.machine.cores import threads
from infoagent.lm.machine.told import device_told
from infoagent.recipe_files import parse_yaml
from infoagent.recipes import GRPORecipe
from infoagent.shipped import module_command
from infoagent.training.launch import batch_shape
from infoagent.training.validation_checks import sharding_mistakes
from infoagent.types import InputError


def default_launch() -> str:
    """One GPU where torch finds an accelerator, as the other stages do, else the CPU."""
    return "cpu" if device_told().kind == "cpu" else "single_gpu"


@dataclass(frozen=True)
class Launch:
    """What a file of accelerate's asks for. `sharding`: the variables by which a process learns of FSDP or DeepSpeed."""

    processes: int
    machines: int
    use_cpu: bool
    mixed_precision: str
    sharding: dict[str, str]

    @property
    def environment(self) -> dict[str, str]:
        """Of its processes, as far as the code here looks at it."""
        found = {"ACCELERATE_USE_CPU": str(self.use_cpu).lower(), **self.sharding}
        return found | ({"WORLD_SIZE": str(self.processes)} if self.processes > 1 else {})


def read_launch(file: Path) -> Launch:
    """Raises InputError for a file that is none of accelerate's. What it does not say is one process on what there is."""
    try:
        content = parse_yaml(file.read_text(encoding="utf-8"), f"--launch {file}")
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"--launch {file}: cannot be read ({error})") from None
    if not isinstance(content, dict):
        raise InputError(f"--launch {file}: must be a file of accelerate's, as `accelerate config` writes it")
    return Launch(
        processes=_number(content, "num_processes", file),
        machines=_number(content, "num_machines", file),
        use_cpu=content.get("use_cpu") is True,
        mixed_precision=str(content.get("mixed_precision", "no")),
        sharding=_sharding(content),
    )


def _number(content: dict[str, Any], name: str, file: Path) -> int:
    value = content.get(name, 1)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InputError(f"--launch {file}: {name} = {value!r}: must be a whole number of at least 1")
    return value


def _sharding(content: dict[str, Any]) -> dict[str, str]:
    kind = content.get("distributed_type")
    if kind == "FSDP":
        return {"ACCELERATE_USE_FSDP": "true"}
    if kind != "DEEPSPEED":
        return {}
    section = content.get("deepspeed_config")
    section = section if isinstance(section, dict) else {}
    found = {"ACCELERATE_USE_DEEPSPEED": "true"}
    if "deepspeed_config_file" in section:
        return found | {"ACCELERATE_DEEPSPEED_CONFIG_FILE": str(section["deepspeed_config_file"])}
    return found | {"ACCELERATE_DEEPSPEED_ZERO_STAGE": str(section.get("zero_stage", 2))}


@contextmanager
def as_launched(launch: Launch) -> Iterator[None]:
    """With the environment that its processes will have: rules and estimates that look there say what those would say."""
    before = {name: os.environ.get(name) for name in launch.environment}
    os.environ.update(launch.environment)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def launch_mistakes(name: str, launch: Launch, recipe: GRPORecipe) -> list[str]:
    """What the processes of a launch would refuse, once the stages before theirs are done."""
    if launch.machines > 1:
        return [
            f"--launch {name}: starts {launch.machines} machines, on each of which somebody has to call accelerate; name a launch of "
            "one machine, or run the recipes of --dry-run by hand"
        ]
    mistakes = []
    with as_launched(launch):
        try:
            batch_shape(recipe, launch.processes)
        except InputError as error:
            mistakes += [f"{line}{_fitting(recipe, launch.processes)}" for line in error.problems]
        if recipe.validation is not None:
            mistakes += [f"{line} (train.validation=null)" for line in sharding_mistakes()]
    return [f"--launch {name}: {line}" for line in mistakes]


def _fitting(recipe: GRPORecipe, processes: int) -> str:
    """The largest micro-batch that the step can be divided into, if there is one."""
    grpo = recipe.grpo
    each, rest = divmod(grpo.prompts_per_step * grpo.num_generations, processes)
    if rest:
        return ", as by train.grpo.prompts_per_step"
    most = grpo.micro_batch or grpo.num_generations
    return f", as by train.grpo.micro_batch={max(n for n in range(1, min(each, most) + 1) if each % n == 0)}"


def launch_command(file: Path, launch: Launch) -> list[str]:
    """accelerate gives a process on the CPU one thread unless it is told, and takes the file's word for bfloat16."""
    more = []
    if launch.use_cpu and launch.processes == 1:
        more += ["--num_cpu_threads_per_process", str(threads())]
    if launch.mixed_precision == "bf16" and not launch.use_cpu and not device_told().bfloat16:
        more += ["--mixed_precision", "no"]
    return [*module_command("accelerate.commands.launch"), "--config_file", str(file), *more]
