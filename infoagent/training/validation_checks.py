"""What validation will do, checked before any model loads."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from infoagent.data.negative_kinds import is_hard
from infoagent.lm.prompts import Prompt, compressor_ids
from infoagent.recipes.sections import DataSection, ValidationSection
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.launch import is_sharded_launch
from infoagent.training.preparation import Prepared, prepare
from infoagent.training.prompt_rows import draw_budgets
from infoagent.types import InputError

LOWER_IS_BETTER = frozenset({"rate/tokens", "rate/bytes", "distortion/fact_missing", "faithfulness/unsupported"})
HARD_METRICS = frozenset({"mi/hard_nats", "objective/hard_nats"})
DEFAULT_PRICE = 0.02
"""Of the objective where a budget moves the price of training: checkpoints compare under one price only."""


@dataclass(frozen=True)
class ValidationPlan:
    """Problems, negatives and prompts of validation, and when and how it is done."""

    prepared: Prepared
    prompts: list[list[int]]
    budgets: list[int | None]
    """Tokens that each prompt names."""
    metric: str
    every: int
    max_tokens: int
    temperature: float
    price: float
    batch_size: int
    seed: int


def plan_validation(recipe: TrainingRecipe, completion_tokens: int, save_steps: int, quiet: bool = False) -> ValidationPlan | None:
    """The plan, or None where the recipe names no validation. Raises InputError, all mistakes at once."""
    section = recipe.validation
    if section is None:
        return None
    mistakes = _mistakes(recipe, section, save_steps)
    if mistakes:
        raise InputError(mistakes)
    first, *more = validation_data(recipe)
    prepared = prepare(
        recipe.model_copy(update={"data": first, "more_data": more}), completion_tokens, for_training=False, quiet=quiet
    )
    bare = sum(all(not is_hard(n) for n in drawn) for drawn in prepared.negatives)
    if section.metric in HARD_METRICS and bare:
        raise InputError(
            f"validation.metric = {section.metric!r}: {bare} of {len(prepared.problems)} validation problems have no "
            "counterfactual document (negatives.missing = fill); set negatives.missing to leave_out, or choose another metric"
        )
    if section.metric == "distortion/fact_missing" and all(p.answer is None for p in prepared.problems):
        raise InputError("validation.metric = 'distortion/fact_missing': the data has no answers; choose another metric")
    budgets: list[int | None] = [recipe.prompt.budget_tokens] * len(prepared.problems)
    if recipe.reward.budget_range is not None:  # one budget for each problem, the same at every checkpoint
        low, high = recipe.reward.budget_range
        budgets = [*draw_budgets(low, high, len(prepared.problems), section.seed)]
    prompt = Prompt.of(recipe.prompt, thinking=False)
    prompts = [
        compressor_ids(prepared.tokenizer, p.document, p.query, replace(prompt, budget_tokens=budget))
        for p, budget in zip(prepared.problems, budgets, strict=True)
    ]
    return ValidationPlan(
        prepared=prepared,
        prompts=prompts,
        budgets=budgets,
        metric=section.metric,
        every=section.every or save_steps,
        max_tokens=completion_tokens,
        temperature=section.temperature,
        price=_price(recipe, section),
        batch_size=section.batch_size,
        seed=section.seed,
    )


def _mistakes(recipe: TrainingRecipe, section: ValidationSection, save_steps: int) -> list[str]:
    mistakes = [
        f"data.split = 'all' ({data.name}): trains on the validation problems too; set it to train, or remove validation"
        for data in recipe.all_data
        if data.split == "all"
    ]
    if section.every is not None and section.every % save_steps:
        mistakes.append(
            f"validation.every = {section.every}: must be a multiple of save_steps = {save_steps}, since only a "
            "checkpoint can be the best one"
        )
    if section.metric in HARD_METRICS and not recipe.negatives.hard:
        mistakes.append(f"validation.metric = {section.metric!r}: needs negatives.counterfactual above 0")
    return [*mistakes, *sharding_mistakes()]


def sharding_mistakes() -> list[str]:
    """Why this launch cannot validate; empty where it can."""
    if not is_sharded_launch():
        return []
    return [
        "validation: cannot be done while the policy is sharded over processes (ZeRO-3, FSDP); remove the section "
        "and compare the checkpoints with eval/checkpoint.py"
    ]


def drawn_of(prepared: Prepared, plan: ValidationPlan | None) -> list[dict[str, Any]]:
    """What was left out of the data of a run and of its validation, for run.json."""
    return [*prepared.drawn, *([] if plan is None else plan.prepared.drawn)]


def validation_data(recipe: TrainingRecipe) -> list[DataSection]:
    """What is validated on, a section for each of the recipe's data sets; none where the recipe names no validation."""
    section = recipe.validation
    return [] if section is None else [_validation_split(data, section) for data in recipe.all_data]


def _validation_split(data: DataSection, section: ValidationSection) -> DataSection:
    return data.model_copy(update={"split": "validation", "limit": section.limit})


def _price(recipe: TrainingRecipe, section: ValidationSection) -> float:
    if section.price is not None:
        return section.price
    return DEFAULT_PRICE if recipe.reward.budget is not None else recipe.reward.first_price
