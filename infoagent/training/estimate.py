"""What a training run will take, as text: for --dry-run. Imports neither torch nor the model."""

from __future__ import annotations

import math
from collections.abc import Sequence

from infoagent.costs import (
    GIB,
    PROMPT_OVERHEAD_TOKENS,
    TOKENS_PER_WORD,
    Memory,
    TrainingWork,
    Workload,
    fit_memory,
    step_memory,
    training_work,
)
from infoagent.data.negatives import take_negatives
from infoagent.data.registry import load_data
from infoagent.grading.words import count_words
from infoagent.lm.dry_run import machine_money, not_here, read_tokens
from infoagent.lm.machine.rates import machine_rates
from infoagent.lm.settling import planning_type
from infoagent.lm.sizes import architecture_of
from infoagent.progress import duration
from infoagent.recipes import DPORecipe, GRPORecipe, SFTRecipe
from infoagent.recipes.sft import FitSection
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.launch import batch_shape, process_count
from infoagent.training.prompt_rows import courses_of
from infoagent.training.selection import half_doublings
from infoagent.training.trainable import check_enough, check_start, load_trainable
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
    data too. Raises InputError where nothing is left, where the recipe refuses what is short, and for what `check_start` refuses."""
    check_start(recipe)
    counts = recipe.negatives.counts
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


def _work(
    recipe: TrainingRecipe,
    words: Sequence[float],
    groups: int,
    sampling: tuple[int, int],
    has_reference: bool,
    texts: int | None = None,
    proposed: int = 0,
    readings: int = 1,
) -> TrainingWork | None:
    """`words` of each document; `sampling`: completions of each and their tokens; the rest as `training_work`. None: the sizes
    are unknown."""
    architecture = architecture_of(recipe.model.name, recipe.model.revision)
    if architecture is None:
        return None
    return training_work(
        architecture,
        groups=groups,
        samples=sampling[0],
        completion_tokens=sampling[1],
        document_words=sum(words) / len(words),
        counterfactual=recipe.negatives.hard,
        other_negatives=recipe.negatives.total - recipe.negatives.hard,
        has_reference=has_reference,
        texts=texts,
        reads_apart=recipe.lora.activated,
        proposed=proposed,
        readings=readings,
    )


def _step(recipe: GRPORecipe, words: Sequence[float]) -> TrainingWork | None:
    sampling = (recipe.grpo.num_generations, recipe.grpo.max_completion_tokens)
    return _work(recipe, words, recipe.grpo.prompts_per_step, sampling, recipe.grpo.beta > 0)


def _words(recipe: TrainingRecipe, problems: Sequence[Problem]) -> list[float]:
    """Of each document, the words that the compressor reads."""
    return [read_tokens(count_words(p.document) * TOKENS_PER_WORD, recipe.prompt) / TOKENS_PER_WORD for p in problems]


def _unknown(recipe: TrainingRecipe) -> str:
    return f"{not_here(recipe.model)}; no estimate without it"


def describe_rest(recipe: GRPORecipe, problems: Sequence[Problem], done: int) -> str:
    """A line: the time that the steps after `done` take on this machine."""
    step = _step(recipe, _words(recipe, problems))
    if step is None:
        return _unknown(recipe)
    left, rates = recipe.grpo.steps - done, machine_rates(recipe.cost.gflops_per_second, recipe.model.dtype)
    return (
        f"about {duration(left * step.compute.seconds(rates))} here for {left} steps of {step.compute.gflop:,.0f} GFLOP, "
        f"{rates.line}"
    )


def describe_memory(memory: Memory) -> str:
    """The peak in a line, with its largest parts."""
    parts = sorted([*memory.held.items(), *memory.phases[memory.peak_phase].items()], key=lambda part: -part[1])
    named = ", ".join(f"{name} {value / GIB:.1f}" for name, value in parts[:4])
    return f"memory: about {memory.total / GIB:.1f} GiB on the CPU ({named}) beside the heap's holes; on GPUs: infoagent plan"


def describe_grpo(recipe: GRPORecipe) -> str:
    """The plan in a few lines."""
    problems, left_out = usable_problems(recipe)
    check_enough(len(problems), ("grpo.prompts_per_step", recipe.grpo.prompts_per_step))
    if recipe.grpo.loop is not None:
        courses_of(problems, recipe)  # what a run would refuse
    words, processes = _words(recipe, problems), process_count()
    workload = workload_of(recipe, round(max(words) * TOKENS_PER_WORD + PROMPT_OVERHEAD_TOKENS), processes)
    lines = [
        f"plan: {recipe.grpo.steps} steps of {recipe.grpo.prompts_per_step} problems × {recipe.grpo.num_generations} "
        f"completions, from {len(problems)} problems of {' + '.join(s.name for s in recipe.all_data)}",
        *left_out,
    ]
    architecture, step = architecture_of(recipe.model.name, recipe.model.revision), _step(recipe, words)
    if architecture is None or step is None:
        return "\n".join([*lines, f"estimate: {_unknown(recipe)}"])
    rates = machine_rates(recipe.cost.gflops_per_second, recipe.model.dtype)
    completions, seconds = recipe.grpo.prompts_per_step * recipe.grpo.num_generations, step.compute.seconds(rates)
    lines += [
        f"tokens a step: at most {step.generated_tokens:,.0f} generated ({completions} completions), "
        f"{step.scored_tokens:,.0f} scored",
        f"compute: {step.compute.gflop:,.0f} GFLOP a step; {rates.line} {seconds:,.0f} s a step, "
        f"{duration(recipe.grpo.steps * seconds)} in all",
        describe_memory(step_memory(architecture, workload, processes=processes, device="cpu")),
        machine_money(recipe.grpo.steps * seconds, recipe.cost),
    ]
    return "\n".join(lines)


def describe_sft(recipe: SFTRecipe) -> str:
    """The plan in a few lines."""
    problems, left_out = usable_problems(recipe)
    groups = min(recipe.sft.problems_per_round or len(problems), len(problems))
    kept, by_quantile = most_kept(recipe), recipe.selection.quantile is not None
    # how many texts sources and other runs propose is known when they do, and a quantile keeps its share of all of them
    about = "about" if by_quantile and recipe.sampling.proposals is not None else "at most"
    ties = " (more where rewards are equal)" if by_quantile else ""
    texts = recipe.sft.rounds * groups * kept * recipe.sft.epochs
    plan = (
        f"plan: {recipe.sft.rounds} rounds of {groups} problems × {_texts(recipe)}, from {len(problems)} "
        f"problems of {_names(recipe)}; {about} {groups * kept} texts kept in a round{ties}, {recipe.sft.epochs} epochs of "
        f"{recipe.sft.batch_size} a step"
    )
    return "\n".join([plan, *left_out, *_fit(recipe, recipe.sft, _words(recipe, problems), recipe.sft.rounds * groups, texts)])


def most_kept(recipe: SFTRecipe) -> int:
    """Of a problem, the most texts that `best_of_n` keeps where no two rewards are equal: of n in rising order, counted from 0, those from
    q · (n − 1) on; of two or more never all, for one is no better than their mean. Under any rate so many of each length."""
    rule, texts, budgets = recipe.selection.rule, recipe.sampling.texts, recipe.reward.budget_range
    lengths = 1 if budgets is None else half_doublings(budgets[1]) - half_doublings(budgets[0]) + 1
    if rule["top"] is not None:
        return min(int(rule["top"]) * lengths, max(texts, int(rule["top"])))
    above = texts - math.ceil(rule["quantile"] * (texts - 1) - 1e-9)  # a place that is whole but for rounding is whole
    return min(above, max(1, texts - 1))


def describe_dpo(recipe: DPORecipe) -> str:
    """The plan in a few lines."""
    problems, left_out = usable_problems(recipe)
    number = len(problems)
    source, groups = f"{number} × {_texts(recipe)} of its own", number
    if recipe.candidates:
        source, groups = f"samples of {', '.join(recipe.candidates)}", 0
    pairs = number * recipe.pairs.per_problem
    plan = (
        f"plan: at most {pairs} pairs from {source}, on {number} problems of {_names(recipe)}; {recipe.dpo.epochs} "
        f"epochs of {recipe.dpo.batch_size} pairs a step"
    )
    return "\n".join([plan, *left_out, *_fit(recipe, recipe.dpo, _words(recipe, problems), groups, 2 * pairs * recipe.dpo.epochs)])


def _texts(recipe: SFTRecipe | DPORecipe) -> str:
    """`8 samples`, `8 samples and 16 proposals`: what the scorer reads of a problem, at most."""
    samples, proposed = recipe.sampling.samples, recipe.sampling.texts - recipe.sampling.samples
    return " and ".join(f"{number} {what}" for number, what in ((samples, "samples"), (proposed, "proposals")) if number)


def _names(recipe: TrainingRecipe) -> str:
    return " and ".join(section.name for section in recipe.all_data)


def _fit(recipe: SFTRecipe | DPORecipe, section: FitSection, words: Sequence[float], groups: int, texts: int) -> list[str]:
    completion, is_preference = recipe.sampling.max_completion_tokens, isinstance(recipe, DPORecipe)
    sampling, more = recipe.sampling, recipe.sampling.proposals
    readings = 1 if more is None else 1 + more.shorten_rounds + more.yardstick
    work = _work(
        recipe, words, groups, (sampling.samples, completion), is_preference, texts, sampling.texts - sampling.samples, readings
    )
    architecture = architecture_of(recipe.model.name, recipe.model.revision)
    if work is None or architecture is None:
        return [f"estimate: {_unknown(recipe)}"]
    rates = machine_rates(recipe.cost.gflops_per_second, recipe.model.dtype)
    seconds = work.compute.seconds(rates)
    memory = fit_memory(
        architecture,
        dtype=planning_type(recipe.model.dtype),
        rows=(section.micro_batch or section.batch_size) * (2 if is_preference else 1),
        tokens=round(max(words) * TOKENS_PER_WORD) + PROMPT_OVERHEAD_TOKENS + completion,
        lora_rank=recipe.lora.r,
        gradient_checkpointing=section.gradient_checkpointing,
    )
    return [
        f"tokens: at most {work.generated_tokens:,.0f} generated, {work.scored_tokens:,.0f} scored, "
        f"{work.trained_tokens:,.0f} trained on",
        f"compute: {rates.line} {duration(seconds)} in all",
        describe_memory(memory),
        machine_money(seconds, recipe.cost),
    ]
