"""What train/sft.py and train/dpo.py will take, as text: for --dry-run. Imports neither torch nor the model."""

from __future__ import annotations

from infoagent.costs import PROMPT_OVERHEAD_TOKENS, TOKENS_PER_WORD, FitEstimate, estimate_fit, fit_memory
from infoagent.grading.words import count_words
from infoagent.lm.settling import planning_type
from infoagent.lm.sizes import architecture_of
from infoagent.progress import duration
from infoagent.recipes import DPORecipe, SFTRecipe
from infoagent.recipes.sft import FitSection
from infoagent.training.estimate import describe_memory, rates_of, usable_problems


def describe_sft(recipe: SFTRecipe) -> str:
    """The plan in a few lines."""
    problems, words, longest, left_out = _data(recipe)
    groups = min(recipe.sft.problems_per_round or problems, problems)
    kept = recipe.selection.top or max(1, round((1 - (recipe.selection.quantile or 1.0)) * recipe.sampling.samples))
    texts = recipe.sft.rounds * groups * kept * recipe.sft.epochs
    lines = [
        f"plan: {recipe.sft.rounds} rounds of {groups} problems × {recipe.sampling.samples} samples, from {problems} "
        f"problems of {_names(recipe)}; at most {groups * kept} texts kept in a round, {recipe.sft.epochs} epochs of "
        f"{recipe.sft.batch_size} a step"
    ]
    return "\n".join(
        lines + left_out + _estimate(recipe, recipe.sft, (words, longest), recipe.sft.rounds * groups, texts, False)
    )


def describe_dpo(recipe: DPORecipe) -> str:
    """The plan in a few lines."""
    problems, words, longest, left_out = _data(recipe)
    source = f"samples of {', '.join(recipe.candidates)}"
    groups = 0
    if not recipe.candidates:
        groups, source = problems, f"{problems} × {recipe.sampling.samples} own samples"
    pairs = problems * recipe.pairs.per_problem
    lines = [
        f"plan: at most {pairs} pairs from {source}, on {problems} problems of {_names(recipe)}; {recipe.dpo.epochs} "
        f"epochs of {recipe.dpo.batch_size} pairs a step"
    ]
    return "\n".join(
        lines + left_out + _estimate(recipe, recipe.dpo, (words, longest), groups, 2 * pairs * recipe.dpo.epochs, True)
    )


def _data(recipe: SFTRecipe | DPORecipe) -> tuple[int, float, int, list[str]]:
    """(problems, mean words of a document, words of the longest, what is left out)."""
    problems, left_out = usable_problems(recipe)
    lengths = [count_words(problem.document) for problem in problems]
    return len(lengths), sum(lengths) / len(lengths), max(lengths), left_out


def _names(recipe: SFTRecipe | DPORecipe) -> str:
    return " and ".join(section.name for section in recipe.all_data)


def _estimate(
    recipe: SFTRecipe | DPORecipe, section: FitSection, words: tuple[float, int], groups: int, texts: int,
    is_preference: bool,
) -> list[str]:  # fmt: skip
    """`words` of a document: the mean and the longest."""
    architecture = architecture_of(recipe.model.name, recipe.model.revision)
    if architecture is None:
        return [f"estimate: the configuration of {recipe.model.name} is not on this machine; no estimate without it"]
    estimate: FitEstimate = estimate_fit(
        architecture,
        groups=groups,
        samples=recipe.sampling.samples,
        completion_tokens=recipe.sampling.max_completion_tokens,
        document_words=words[0],
        counterfactual=recipe.negatives.hard,
        other_negatives=recipe.negatives.total - recipe.negatives.hard,
        texts=texts,
        has_reference=is_preference,
        rates=rates_of(recipe),
        usd_per_hour=recipe.cost.usd_per_hour,
    )
    completion = recipe.sampling.max_completion_tokens
    memory = fit_memory(
        architecture,
        dtype=planning_type(recipe.model.dtype),
        rows=(section.micro_batch or section.batch_size) * (2 if is_preference else 1),
        tokens=round(words[1] * TOKENS_PER_WORD) + PROMPT_OVERHEAD_TOKENS + completion,
        lora_rank=recipe.lora.r,
        gradient_checkpointing=section.gradient_checkpointing,
    )
    return [
        f"tokens: at most {estimate.generated_tokens:,.0f} generated, {estimate.scored_tokens:,.0f} scored, "
        f"{estimate.trained_tokens:,.0f} trained on",
        f"compute: {rates_of(recipe).line} {duration(3600 * estimate.hours)} in all",
        describe_memory(memory),
        f"money: {estimate.usd:.2f} $ at {recipe.cost.usd_per_hour:.2f} $ an hour",
    ]
