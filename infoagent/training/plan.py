"""What a training run will take, as text: for --dry-run. Imports neither torch nor the model."""

from __future__ import annotations

from infoagent.costs import GRPOEstimate, estimate_grpo
from infoagent.data.registry import load_data
from infoagent.lm.sizes import architecture_of
from infoagent.recipes import GRPORecipe
from infoagent.training.preparation import batch_shape, check_trainable, process_count


def plan_grpo(recipe: GRPORecipe) -> tuple[int, GRPOEstimate | None]:
    """(problems, estimate); no estimate for a hub model whose configuration is not on this machine."""
    check_trainable(recipe.all_data)
    problems = [
        problem
        for section in recipe.all_data
        for problem in load_data(**section.model_dump(exclude={"truncate"})).problems
    ]
    micro_batch, _ = batch_shape(recipe, process_count())
    architecture = architecture_of(recipe.model.name, recipe.model.revision)
    if architecture is None:
        return len(problems), None
    words = sum(len(p.document.split()) for p in problems) / len(problems)
    return len(problems), estimate_grpo(
        architecture,
        dtype=recipe.model.dtype,
        steps=recipe.grpo.steps,
        prompts_per_step=recipe.grpo.prompts_per_step,
        num_generations=recipe.grpo.num_generations,
        micro_batch=micro_batch,
        completion_tokens=recipe.grpo.max_completion_tokens,
        document_words=words,
        negatives=recipe.negatives.total,
        lora_rank=recipe.lora.r,
        has_kl=recipe.grpo.beta > 0,
        gflops_per_second=recipe.cost.gflops_per_second,
        usd_per_hour=recipe.cost.usd_per_hour,
    )


def describe_grpo(recipe: GRPORecipe) -> str:
    """The plan in a few lines."""
    problems, estimate = plan_grpo(recipe)
    completions = recipe.grpo.prompts_per_step * recipe.grpo.num_generations
    lines = [
        f"plan: {recipe.grpo.steps} steps of {recipe.grpo.prompts_per_step} problems × {recipe.grpo.num_generations} "
        f"completions, from {problems} problems of {' + '.join(s.name for s in recipe.all_data)}",
    ]
    if estimate is None:
        lines.append(
            f"estimate: the configuration of {recipe.model.name} is not on this machine; no estimate without it"
        )
        return "\n".join(lines)
    lines += [
        f"tokens a step: at most {estimate.generated_tokens_per_step:,.0f} generated ({completions} completions), "
        f"{estimate.scored_tokens_per_step:,.0f} scored",
        f"compute: {estimate.gflops_per_step:,.0f} GFLOP a step; at {recipe.cost.gflops_per_second:,.0f} GFLOP/s "
        f"{estimate.seconds_per_step:,.0f} s a step, {estimate.hours:.2f} h in all",
        f"memory: about {estimate.memory_gib:.1f} GiB (weights, adapter with optimizer, activations, logits)",
        f"money: {estimate.usd:.2f} $ at {recipe.cost.usd_per_hour:.2f} $ an hour",
    ]
    return "\n".join(lines)
