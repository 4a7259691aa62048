"""From a recipe to what a trainer needs, checked before any model loads."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any

from infoagent.data.negatives import Counts, draw_negatives
from infoagent.data.registry import load_data
from infoagent.lm.context import fit_to_context
from infoagent.lm.models import (
    ModelReference,
    check_adapter,
    context_tokens,
    load_config,
    load_tokenizer,
    resolve,
)
from infoagent.lm.prompts import check_template, compressor_messages
from infoagent.recipes import GRPORecipe, ModelSection
from infoagent.types import InputError, Negative, Problem, ProblemSet


@dataclass(frozen=True)
class Prepared:
    """Everything that a training run knows before its model is loaded."""

    reference: ModelReference
    tokenizer: Any
    data: ProblemSet
    problems: list[Problem]
    negatives: list[tuple[Negative, ...]]


def prepare(recipe: GRPORecipe) -> Prepared:
    """Load data, find the model, fit documents to its context, draw negatives. Raises InputError, all mistakes of a
    stage at once."""
    check_template(recipe.prompt.template)
    if recipe.model.adapter is not None:
        raise InputError(
            "model.adapter: a run trains an adapter on the plain base; to start from one, name it as init_adapter"
        )
    if recipe.init_adapter is not None:
        check_adapter(recipe.init_adapter, recipe.model.name)
    data = load_data(**recipe.data.model_dump(exclude={"truncate"}))
    if len(data) < recipe.grpo.prompts_per_step:
        raise InputError(
            f"data: {len(data)} problems are fewer than grpo.prompts_per_step = {recipe.grpo.prompts_per_step}; "
            "bring more documents or lower it"
        )
    reference = resolve(recipe.model.name, recipe.model.revision)
    tokenizer = load_tokenizer(reference)
    if recipe.scorer.model is not None:
        _check_scorer(recipe.scorer.model, tokenizer)
    problems = fit_to_context(
        data.problems,
        tokenizer,
        context_tokens(load_config(reference)),
        recipe.grpo.max_completion_tokens,
        recipe.data.truncate,
        recipe.prompt.template,
        recipe.prompt.budget_words,
    )
    negatives = draw_negatives(problems, Counts(**recipe.negatives.model_dump(exclude={"seed"})), recipe.negatives.seed)
    return Prepared(reference, tokenizer, data, problems, negatives)


def _check_scorer(section: ModelSection, tokenizer: Any) -> None:
    """A scorer in training reads the policy's token ids, so it must share its vocabulary."""
    if section.adapter is not None:
        raise InputError("scorer.model.adapter: the scorer is a frozen model without an adapter; merge it first")
    other = load_tokenizer(resolve(section.name, section.revision))
    if other.get_vocab() != tokenizer.get_vocab():
        raise InputError(
            f"scorer.model.name = {section.name!r}: its vocabulary is not the policy's; name a model of the same family"
        )


def training_rows(prepared: Prepared, recipe: GRPORecipe) -> Any:
    """The trainer's data set: the chat of each problem, and where its problem and negatives are found."""
    from datasets import Dataset

    chats = [
        compressor_messages(p.document, p.query, recipe.prompt.template, recipe.prompt.budget_words)
        for p in prepared.problems
    ]
    return Dataset.from_dict({"prompt": chats, "problem_index": list(range(len(chats)))})


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


def process_count() -> int:
    """How many processes the launcher started."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"
