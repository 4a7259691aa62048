"""What a training run will take, as text: for --dry-run. Imports neither torch nor the model."""

from __future__ import annotations

from collections.abc import Sequence

from infoagent.costs import (
    GIB,
    PROMPT_OVERHEAD_TOKENS,
    TOKENS_PER_WORD,
    Architecture,
    GRPOEstimate,
    Memory,
    Rates,
    Workload,
    estimate_grpo,
    step_memory,
)
from infoagent.data.negatives import Counts, take_negatives
from infoagent.data.registry import load_data
from infoagent.grading.words import count_words
from infoagent.lm.machine.rates import machine_rates
from infoagent.lm.settling import planning_type
from infoagent.lm.sizes import architecture_of
from infoagent.progress import duration
from infoagent.recipes import GRPORecipe
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.preparation import batch_shape, check_enough, load_trainable, process_count
from infoagent.training.validation_checks import validation_data
from infoagent.types import Problem


def workload_of(recipe: GRPORecipe, prompt_tokens: int, processes: int) -> Workload:
    """What one of `processes` does in a step of the recipe. Raises InputError where they cannot share it."""
    micro_batch, accumulation = batch_shape(recipe, processes)
    vllm = recipe.vllm
    return Workload(
        prompt_tokens=prompt_tokens,
        completion_tokens=recipe.grpo.max_completion_tokens,
        group=recipe.grpo.num_generations,
        completions=micro_batch * accumulation,
        micro_batch=micro_batch,
        dtype=planning_type(recipe.model.dtype),
        lora_rank=recipe.lora.r,
        gradient_checkpointing=recipe.grpo.gradient_checkpointing,
        quantized=recipe.lora.quantize == "4bit",
        sampler=vllm.mode if vllm.enabled else "own",
        sampler_share=vllm.gpu_memory_utilization,
        scorer="base" if recipe.scorer.url is None else "served",
        scorer_mib=recipe.scorer.memory_mib,
    )


def usable_problems(recipe: TrainingRecipe) -> tuple[list[Problem], list[str]]:
    """The problems that a run can train on, and what is left out or has too few negatives, a line each; of the validation
    data too. Raises InputError where nothing is left, or where the recipe refuses what is short."""
    counts = Counts(**recipe.negatives.counts)
    problems: list[Problem] = []
    lines: list[str] = []
    validated = validation_data(recipe)
    trained = load_trainable(recipe.all_data)
    for number, data in enumerate((*trained, *(load_data(**s.asked) for s in validated))):
        drawn = take_negatives(data.problems, counts, recipe.negatives.seed)
        if number < len(trained):
            problems += drawn.problems
        told = [f"left out, {cause}: {number}" for cause, number in data.left_out.items()]
        lines += [f"  {data.name} ({data.split}): {line}" for line in (*told, *drawn.lines)]
    return problems, lines


def plan_grpo(recipe: GRPORecipe) -> tuple[list[str], int, GRPOEstimate | None, Memory | None]:
    """(what is left out, problems, estimate, memory of one process on the CPU); the last two are None for a hub model
    whose configuration is not on this machine."""
    problems, left_out = usable_problems(recipe)
    check_enough(len(problems), ("grpo.prompts_per_step", recipe.grpo.prompts_per_step))
    lengths = [count_words(p.document) for p in problems]
    longest = round(max(lengths) * TOKENS_PER_WORD + PROMPT_OVERHEAD_TOKENS)
    processes = process_count()
    work = workload_of(recipe, longest, processes)
    architecture = architecture_of(recipe.model.name, recipe.model.revision)
    if architecture is None:
        return left_out, len(problems), None, None
    estimate = _estimate(recipe, architecture, lengths, recipe.grpo.steps)
    return left_out, len(problems), estimate, step_memory(architecture, work, processes=processes, device="cpu")


def rates_of(recipe: TrainingRecipe) -> Rates:
    """Of the machine that the recipe is for."""
    return machine_rates(recipe.cost.gflops_per_second, recipe.model.dtype)


def _estimate(
    recipe: GRPORecipe, architecture: Architecture, document_words: Sequence[int], steps: int
) -> GRPOEstimate:
    return estimate_grpo(
        architecture,
        steps=steps,
        prompts_per_step=recipe.grpo.prompts_per_step,
        num_generations=recipe.grpo.num_generations,
        completion_tokens=recipe.grpo.max_completion_tokens,
        document_words=sum(document_words) / len(document_words),
        counterfactual=recipe.negatives.hard,
        other_negatives=recipe.negatives.total - recipe.negatives.hard,
        has_kl=recipe.grpo.beta > 0,
        rates=rates_of(recipe),
        usd_per_hour=recipe.cost.usd_per_hour,
    )


def describe_rest(recipe: GRPORecipe, problems: Sequence[Problem], done: int) -> str:
    """A line: the time that the steps after `done` take on this machine."""
    architecture = architecture_of(recipe.model.name, recipe.model.revision)
    if architecture is None:
        return f"the configuration of {recipe.model.name} is not on this machine; no estimate without it"
    left = recipe.grpo.steps - done
    found = _estimate(recipe, architecture, [count_words(p.document) for p in problems], left)
    return (
        f"about {duration(3600 * found.hours)} here for {left} steps of {found.gflops_per_step:,.0f} GFLOP, "
        f"{rates_of(recipe).line}"
    )


def describe_memory(memory: Memory) -> str:
    """The peak in a line, with its largest parts."""
    parts = sorted([*memory.held.items(), *memory.phases[memory.peak_phase].items()], key=lambda part: -part[1])
    named = ", ".join(f"{name} {value / GIB:.1f}" for name, value in parts[:4])
    return f"memory: about {memory.total / GIB:.1f} GiB on the CPU ({named}) beside the heap's holes; on GPUs: infoagent plan"


def describe_grpo(recipe: GRPORecipe) -> str:
    """The plan in a few lines."""
    left_out, problems, estimate, memory = plan_grpo(recipe)
    completions = recipe.grpo.prompts_per_step * recipe.grpo.num_generations
    lines = [
        f"plan: {recipe.grpo.steps} steps of {recipe.grpo.prompts_per_step} problems × {recipe.grpo.num_generations} "
        f"completions, from {problems} problems of {' + '.join(s.name for s in recipe.all_data)}",
        *left_out,
    ]
    if estimate is None or memory is None:
        lines.append(
            f"estimate: the configuration of {recipe.model.name} is not on this machine; no estimate without it"
        )
        return "\n".join(lines)
    lines += [
        f"tokens a step: at most {estimate.generated_tokens_per_step:,.0f} generated ({completions} completions), "
        f"{estimate.scored_tokens_per_step:,.0f} scored",
        f"compute: {estimate.gflops_per_step:,.0f} GFLOP a step; {rates_of(recipe).line} "
        f"{estimate.seconds_per_step:,.0f} s a step, {duration(3600 * estimate.hours)} in all",
        describe_memory(memory),
        f"money: {estimate.usd:.2f} $ at {recipe.cost.usd_per_hour:.2f} $ an hour",
    ]
    return "\n".join(lines)
