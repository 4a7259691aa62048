"""`infoagent plan`: the memory of a GRPO run on each launch configuration, and which one to take. Leaves torch alone."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from infoagent.config import load_recipe
from infoagent.costs import GIB, LAYOUTS, PROMPT_OVERHEAD_TOKENS, SINGLE, Architecture, Layout, Memory, step_memory
from infoagent.costs.known import known_architecture, unknown_model
from infoagent.costs.memory import Workload
from infoagent.lm.sizes import architecture_of
from infoagent.recipes import GRPORecipe
from infoagent.training.estimate import workload_of
from infoagent.types import AUTO

SLACK = 0.92
"""The part of a GPU that is planned with: the allocator's blocks never fit exactly."""
GPUS_PER_MACHINE = 8


def plan(arguments: argparse.Namespace) -> None:
    architecture = known_architecture(arguments.model) or architecture_of(arguments.model)
    if architecture is None:
        raise unknown_model(arguments.model)
    work = workload_of(_recipe(arguments), arguments.document_tokens + PROMPT_OVERHEAD_TOKENS, arguments.gpus)
    room = arguments.gpu_memory * GIB * SLACK
    found = [
        (layout, step_memory(architecture, work, layout, arguments.gpus, gpu_bytes=arguments.gpu_memory * GIB))
        for layout in _layouts(arguments.gpus, work)
    ]
    fitting = next((layout for layout, memory in found if memory.total <= room), None)
    remedies = [] if fitting else list(_remedies(architecture, work, arguments, room))
    if arguments.json:
        rows = [_row(layout, memory, room) for layout, memory in found]
        print(
            json.dumps(
                {
                    "model": arguments.model,
                    "parameters": architecture.parameters,
                    "gpus": arguments.gpus,
                    "gpu_memory_gib": arguments.gpu_memory,
                    "planned_with_gib": room / GIB,
                    "configurations": rows,
                    "take": fitting and fitting.name,
                    "remedies": remedies,
                },
                indent=2,
            )
        )
        return
    print(
        f"{arguments.model}: {architecture.parameters / 1e9:.2f} B weights, on {arguments.gpus} × {arguments.gpu_memory:g} "
        f"GiB, of which {room / GIB:.1f} are planned with; GiB of one GPU"
    )
    print(f"{'configuration':15}{'held':>8}{'sampling':>10}{'scoring':>9}{'update':>8}{'peak':>8}")
    for layout, memory in found:
        phases = [memory.phases.get(name, {}) for name in ("generation", "scoring", "update")]
        cells = [sum(part.values()) / GIB for part in (memory.held, *phases)]
        fits = "fits" if memory.total <= room else "too large"
        print(f"{layout.name:15}{cells[0]:8.1f}{cells[1]:10.1f}{cells[2]:9.1f}{cells[3]:8.1f}{memory.total / GIB:8.1f}  {fits}")
    print(_advice(fitting, found, arguments.gpus) if fitting else _refusal(remedies))


def _recipe(arguments: argparse.Namespace) -> GRPORecipe:
    """The options as the recipe that they would be, so that its bounds and its messages hold here too."""
    settings = {
        "model.dtype": "bfloat16" if arguments.dtype == AUTO else arguments.dtype,
        "grpo.prompts_per_step": arguments.prompts_per_step,
        "grpo.num_generations": arguments.group,
        "grpo.max_completion_tokens": arguments.completion_tokens,
        "grpo.micro_batch": "null" if arguments.micro_batch is None else arguments.micro_batch,
        "grpo.gradient_checkpointing": str(arguments.gradient_checkpointing).lower(),
        "lora.r": arguments.lora_rank,
        "lora.quantize": arguments.quantize,
        "scorer.memory_mib": arguments.scorer_memory,
        "vllm.enabled": str(arguments.sampler != "own").lower(),
    }
    if arguments.sampler != "own":
        settings["vllm.mode"] = arguments.sampler
    if arguments.scorer == "served":
        settings["scorer.url"] = "http://localhost:8400"
    return load_recipe(GRPORecipe, None, ["output_dir=unused", *(f"{key}={value}" for key, value in settings.items())])


def _layouts(gpus: int, work: Workload) -> tuple[Layout, ...]:
    """From simple to involved; weights in 4 bits cannot be sharded."""
    if gpus == 1:
        return (SINGLE,)
    return tuple(layout for layout in LAYOUTS if not (work.quantized and layout.shards_weights))


def _row(layout: Layout, memory: Memory, room: float) -> dict[str, Any]:
    return {
        "name": layout.name,
        "peak_gib": memory.total / GIB,
        "peak_phase": memory.peak_phase,
        "fits": memory.total <= room,
        "held_gib": {name: value / GIB for name, value in memory.held.items()},
        "phases_gib": {phase: {name: value / GIB for name, value in terms.items()} for phase, terms in memory.phases.items()},
    }


def _advice(layout: Layout, found: list[tuple[Layout, Memory]], gpus: int) -> str:
    memory = dict(found)[layout]
    largest = sorted([*memory.held.items(), *memory.phases[memory.peak_phase].items()], key=lambda item: item[1], reverse=True)
    terms = ", ".join(f"{name} {value / GIB:.1f}" for name, value in largest[:4])
    name, machines = layout.name, -(-gpus // GPUS_PER_MACHINE)
    launch = f"--num_processes {gpus} " if gpus > 1 else ""
    if machines > 1:
        name = "two_nodes" if name == "multi_gpu" else name
        launch += f"--num_machines {machines} --machine_rank RANK --main_process_ip HOST "
    return (
        f"take {name}: {memory.total / GIB:.1f} GiB at the peak, in {memory.peak_phase} ({terms})\n"
        f"accelerate launch --config_file accelerate_configs/{name}.yaml {launch}train/grpo.py RECIPE"
    )


def _remedies(architecture: Architecture, work: Workload, arguments: argparse.Namespace, room: float) -> Iterator[dict[str, Any]]:
    """Changes of the recipe after which a configuration fits, each with the largest pass and the simplest one."""
    checkpointing = ("grpo.gradient_checkpointing=true", {"gradient_checkpointing": True})
    sampled = "" if work.sampler == "own" else " vllm.enabled=false"  # an engine takes no policy on weights in 4 bits
    quantized = (f"lora.quantize=4bit{sampled}", {"quantized": True, "sampler": "own"})
    apart = ("scorer.url=… vllm.enabled=true vllm.mode=server on GPUs of their own", {"sampler": "server", "scorer": "served"})
    fewer = (f"grpo.prompts_per_step={arguments.gpus}", {"completions": min(work.completions, work.group)})
    levers: tuple[tuple[tuple[str, dict[str, Any]], ...], ...] = (
        (),
        (checkpointing,),
        (quantized, checkpointing),
        (apart,),
        (apart, checkpointing),
        (fewer, quantized, checkpointing),
    )
    for chosen in levers:
        changed = replace(work, **{name: value for _, changes in chosen for name, value in changes.items()})
        sizes = [size for size in range(min(work.micro_batch, changed.completions), 0, -1) if changed.completions % size == 0]
        for size, layout in ((size, layout) for size in sizes for layout in _layouts(arguments.gpus, changed)):
            sized = replace(changed, micro_batch=size)
            memory = step_memory(architecture, sized, layout, arguments.gpus, gpu_bytes=arguments.gpu_memory * GIB)
            if memory.total <= room:
                setting = [text for text, _ in chosen]
                if size != work.micro_batch:
                    setting.insert(0, f"grpo.micro_batch={size}")
                yield {"set": " ".join(setting), "take": layout.name, "peak_gib": memory.total / GIB}
                break


def _refusal(remedies: list[dict[str, Any]]) -> str:
    if not remedies:
        return "none fits, nor would any in 4 bits, with scorer and sampler elsewhere: take more or larger GPUs"
    offers = "; ".join(f"{r['set']} ({r['take']}, {r['peak_gib']:.1f} GiB)" for r in remedies[:3])
    return f"none fits; what would: {offers}"
