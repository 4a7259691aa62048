"""The prompts of a GRPO run as its trainer's data set, under any rate each with a token budget of its own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from infoagent.lm.prompts import Prompt, compressor_messages
from infoagent.recipes import GRPORecipe
from infoagent.training.preparation import Prepared

BUDGET_STREAM = 4
"""Keeps the draw of budgets apart from other draws by the same seed."""


def training_rows(prepared: Prepared, recipe: GRPORecipe) -> Any:
    """The trainer's data set: the chat of each prompt, and where its problem and negatives are found.

    Under any rate there is a row for every prompt of the run, each with a budget of its own.
    """
    from datasets import Dataset

    number = len(prepared.problems)
    rows: dict[str, list[Any]] = {"problem_index": list(range(number))}
    if recipe.reward.budget_range is not None:
        low, high = recipe.reward.budget_range
        budgets = draw_budgets(low, high, recipe.grpo.steps * recipe.grpo.prompts_per_step, recipe.seed)
        # every problem once before any comes again
        rows = {"problem_index": [i % number for i in range(len(budgets))], "budget": budgets}
    if recipe.grpo.proposals:
        from infoagent.training.group_proposals import PROPOSAL, group_proposals  # it brings torch, which --dry-run leaves alone

        known = group_proposals(recipe, prepared)
        rows[PROPOSAL] = [known.get(index, []) for index in rows["problem_index"]]
    rows["prompt"] = []
    for position, index in enumerate(rows["problem_index"]):
        prompt = Prompt.of(recipe.prompt)
        if "budget" in rows:
            prompt = replace(prompt, budget_words=None, budget_tokens=rows["budget"][position])
        problem = prepared.problems[index]
        rows["prompt"].append(compressor_messages(problem.document, problem.query, prompt, prepared.tokenizer))
    return Dataset.from_dict(rows)


def draw_budgets(low: int, high: int, number: int, seed: int) -> list[int]:
    """Whole numbers of tokens between low and high, evenly on a log scale: 8 to 16 is as much of a step as 16 to 32."""
    rng = np.random.default_rng([seed, BUDGET_STREAM])
    drawn = np.exp(rng.uniform(np.log(low - 0.5), np.log(high + 0.5), size=number))
    return [int(value) for value in np.clip(np.rint(drawn), low, high)]
