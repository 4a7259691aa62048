"""Which engine was asked for, and whether it is the one that runs.

Launchers and libraries fall back without a word: DeepSpeed on the CPU can come back as plain data parallelism, or as
processes that each believe to be rank 0 of 1 and all train alone on all of the data; FSDP on the CPU comes back as
data parallelism; one process that sees several GPUs is spread over them by threads, unless `on_one_device` keeps it. So
what the launcher's environment asks for is held against accelerate's state and torch's process group once the trainer
is built, and against the class of the wrapped model when training begins.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import TrainerCallback

from infoagent.lm.machine.device import default_device, settle_deepspeed
from infoagent.training.launch import is_on, process_count, zero_stage
from infoagent.types import InputError, RunFailed

ALONE, DATA_PARALLEL = "one process", "data parallel"
REMEDY = (
    "launch with accelerate launch --config_file accelerate_configs/NAME.yaml and leave ACCELERATE_USE_CPU unset; "
    "on the CPU cpu, cpu_2proc and cpu_zero2 do what they say"
)


@dataclass(frozen=True)
class Engine:
    """How one process takes part: `name` is ALONE, DATA_PARALLEL, ZeRO-0 to ZeRO-3, FSDP 1 or FSDP 2."""

    name: str
    processes: int
    rank: int

    def __str__(self) -> str:
        return f"{self.name}, rank {self.rank} of {self.processes}"


def settle_engine() -> Engine:
    """The engine that the launcher's environment asks for; to be called before a trainer is built.

    Raises InputError for a DeepSpeed file that does not say its stage.
    """
    settle_deepspeed()
    processes, rank = process_count(), int(os.environ.get("RANK", "0"))
    if is_on("ACCELERATE_USE_DEEPSPEED"):
        if default_device() == "cpu":
            _leave_out_shared_memory()
        return Engine(f"ZeRO-{zero_stage()}", processes, rank)
    if is_on("ACCELERATE_USE_FSDP"):
        return Engine(f"FSDP {os.environ.get('FSDP_VERSION', '1')}", processes, rank)
    return Engine(DATA_PARALLEL if processes > 1 else ALONE, processes, rank)


def check_same_engine(output_dir: str, before: Mapping[str, Any], now: Engine) -> None:
    """Raise InputError where `now` cannot take over the optimizer of checkpoints of the run that run.json, `before`, is of:
    trainers go on without it and say nothing, or end in a traceback. A run.json that names no engine is let pass."""
    if "engine" not in before:
        return
    saved, read = (_checkpoint_kind(e) for e in (Engine(before["engine"], before.get("processes", 1), 0), now))
    if saved != read:
        raise InputError(
            f"output_dir = {output_dir!r}: its checkpoints are of {saved}, and {read} cannot take over their optimizer; launch it as "
            "before, or begin anew from its last adapter: init_adapter=CHECKPOINT and another output_dir"
        )


def _checkpoint_kind(engine: Engine) -> str:
    """Checkpoints of one kind are read by all engines of it. ZeRO's hold one part of the optimizer for each process."""
    if engine.name in (ALONE, DATA_PARALLEL):
        return "one process or data parallel"
    if engine.name.startswith("FSDP"):
        return "FSDP"
    stage = "ZeRO-1 or ZeRO-2" if engine.name in ("ZeRO-1", "ZeRO-2") else engine.name
    return f"{stage} over {engine.processes} processes"


def on_one_device(arguments: Any) -> Any:
    """A trainer's arguments, with which a process takes one of the GPUs that it sees: TRL refuses threads over several."""
    arguments._n_gpu = min(1, arguments.n_gpu)  # transformers counts all of them where no launcher gave it one
    return arguments


def check_engine(trainer: Any, asked: Engine) -> None:
    """Raise RunFailed unless the trainer runs on the engine that was `asked` for, now and when it begins to train."""
    import torch.distributed as dist

    accelerator = trainer.accelerator
    name = _state_name(accelerator.state)
    _compare(asked, Engine(name, accelerator.num_processes, accelerator.process_index), "by accelerate's state")
    if dist.is_available() and dist.is_initialized():
        _compare(asked, Engine(name, dist.get_world_size(), dist.get_rank()), "by torch's process group")
    trainer.add_callback(_AsAsked(trainer, asked))


class _AsAsked(TrainerCallback):
    """What is known only when training begins: the model is wrapped by then, and the state of a checkpoint is read."""

    def __init__(self, trainer: Any, asked: Engine) -> None:
        self.trainer = trainer
        self.asked = asked

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        state.compute_steps(args, state.max_steps)  # save_steps may have changed since that checkpoint, whose number was read
        model = self.trainer.model_wrapped
        used = Engine(wrapper_name(model), self.asked.processes, self.asked.rank)
        _compare(self.asked, used, f"by the model's class, {type(model).__name__}")
        if self.asked.name != ALONE and self.asked.rank == 0 and not args.disable_tqdm:
            print(f"engine: {self.asked.name} over {self.asked.processes} processes, as asked", file=sys.stderr)


def wrapper_name(model: Any) -> str:
    """The name of the engine that a wrapped model belongs to; ALONE for a bare one."""
    import torch
    from torch.distributed.fsdp import FSDPModule, FullyShardedDataParallel

    if isinstance(model, torch.nn.parallel.DistributedDataParallel):
        return DATA_PARALLEL
    if isinstance(model, FSDPModule):
        return "FSDP 2"
    if isinstance(model, FullyShardedDataParallel):
        return "FSDP 1"
    if isinstance(model, torch.nn.DataParallel):
        return "threads over several GPUs"
    if hasattr(model, "zero_optimization_stage"):  # a DeepSpeedEngine, without importing deepspeed to know
        return f"ZeRO-{model.zero_optimization_stage()}"
    return ALONE


def _compare(asked: Engine, used: Engine, where: str) -> None:
    if used != asked:
        raise RunFailed(f"engine: asked for {asked}; in use is {used} {where}; {REMEDY}")


def _state_name(state: Any) -> str:
    kind = state.distributed_type.value
    if kind == "DEEPSPEED":
        return f"ZeRO-{state.deepspeed_plugin.zero_stage}"
    if kind == "FSDP":
        return f"FSDP {state.fsdp_plugin.fsdp_version}"
    return ALONE if kind == "NO" else DATA_PARALLEL


def _leave_out_shared_memory() -> None:
    """On the CPU gloo alone carries what DeepSpeed sends. It would compile a kernel for reductions through shared memory
    at its first start, which takes a minute and fails where there is no compiler."""
    import deepspeed

    deepspeed.ops.__compatible_ops__["deepspeed_shm_comm"] = False
