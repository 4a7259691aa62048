"""The prompts of a GRPO run as its trainer's data set, under any rate each with a token budget of its own."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from infoagent.lm.prompts import Prompt, compressor_messages
from infoagent.recipes import GRPORecipe
from infoagent.training.launch import batch_shape, process_count
from infoagent.training.preparation import Prepared
from infoagent.types import InputError, Problem

BUDGET_STREAM = 4
"""Keeps the draw of budgets apart from other draws by the same seed."""
COURSE_STREAM = 6
"""The same for the order of problems and of histories."""
NEWS = "news"
"""Of a row in the loop: what was said since the last compaction. The row's chat is that of the first compaction; later ones begin
with a memory that is not written yet."""
QUERY = "query"
"""Of a row in the loop: what its problem asks, for a template that names it."""
PLACE = "compaction"
"""Of a row in the loop: which compaction of its history it is, from 1."""


def has_order(recipe: GRPORecipe) -> bool:
    """Whether the rows stand in the order in which the run takes them, a row for every prompt: shuffled, a problem would come again
    before others came once, and more steps would change the order of those that are done."""
    return recipe.grpo.loop is not None or recipe.reward.budget_range is not None


def training_rows(prepared: Prepared, recipe: GRPORecipe) -> Any:
    """The trainer's data set: the chat of each prompt, and where its problem and negatives are found.

    Under any rate there is a row for every prompt of the run, each with a budget of its own; in the loop as well, history after
    history, the compactions of each in their order and under one budget.
    """
    from datasets import Dataset

    number, prompts = len(prepared.problems), recipe.grpo.steps * recipe.grpo.prompts_per_step
    rows: dict[str, list[Any]] = {"problem_index": list(range(number))}
    together = 1
    if recipe.grpo.loop is not None:
        courses = courses_of(prepared.problems, recipe)
        together = len(courses[0])
        rows["problem_index"] = course_order(courses, prompts, recipe.seed, recipe.grpo.prompts_per_step)
        rows[PLACE] = [i % together + 1 for i in range(prompts)]
        rows[NEWS] = [prepared.problems[index].news for index in rows["problem_index"]]
        rows[QUERY] = [prepared.problems[index].query for index in rows["problem_index"]]
    elif has_order(recipe):
        rows["problem_index"] = course_order([[i] for i in range(number)], prompts, recipe.seed, recipe.grpo.prompts_per_step)
    if recipe.reward.budget_range is not None:
        low, high = recipe.reward.budget_range
        drawn = draw_budgets(low, high, prompts // together, recipe.seed)
        rows["budget"] = [tokens for tokens in drawn for _ in range(together)]
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
        read = problem.document if recipe.grpo.loop is None else rows[NEWS][position]
        rows["prompt"].append(compressor_messages(read, problem.query, prompt, prepared.tokenizer))
    return Dataset.from_dict(rows)


def courses_of(problems: Sequence[Problem], recipe: GRPORecipe) -> list[list[int]]:
    """Of each history the indices of its problems, shortest first. Raises InputError where the data are no growing conversations,
    where histories have lost a compaction, and where a step is not one of whole histories on every process."""
    grpo = recipe.grpo
    found: dict[str, list[int]] = defaultdict(list)
    for index, problem in enumerate(problems):
        if problem.news is None or problem.part_of is None:
            raise InputError(
                f"grpo.loop: data.name = {recipe.data.name!r} is no growing conversation; take histories or record-histories, or "
                "grpo.loop=null"
            )
        found[problem.part_of].append(index)
    courses = [sorted(indices, key=lambda i: len(problems[i].document)) for indices in found.values()]
    rounds = max(map(len, courses))
    short = sum(len(course) < rounds for course in courses)
    if short:
        raise InputError(
            f"grpo.loop: {short} of {len(courses)} histories have a compaction with fewer than negatives.counterfactual = "
            f"{recipe.negatives.counterfactual} counterfactual histories; lower it, raise data.every, or set negatives.missing to fill"
        )
    if grpo.prompts_per_step % rounds:
        raise InputError(
            f"grpo.prompts_per_step = {grpo.prompts_per_step}: a step in the loop is one of whole histories, each with {rounds} "
            f"compactions; set it to a multiple of {rounds}"
        )
    micro_batch, accumulation = batch_shape(recipe, process_count())
    if micro_batch * accumulation % (rounds * grpo.num_generations):
        raise InputError(
            f"grpo.loop: {rounds} compactions × {grpo.num_generations} completions of a history are divided over processes, of which "
            f"each has {micro_batch * accumulation} of a step; raise grpo.prompts_per_step, or start fewer processes"
        )
    return courses


def course_order(courses: Sequence[Sequence[int]], prompts: int, seed: int, per_step: int) -> list[int]:
    """Problem indices, `prompts` of them: whole courses, each once before any comes again, each time in another order, and none twice
    in a step of `per_step` prompts where there are enough. More prompts go on where fewer end."""
    rng, order, together = np.random.default_rng([seed, COURSE_STREAM]), list[int](), per_step // len(courses[0])
    while len(order) * len(courses[0]) < prompts:
        begun = order[len(order) - len(order) % together :]  # of a step that the next pass fills
        order += sorted(map(int, rng.permutation(len(courses))), key=begun.__contains__)
    return [index for course in order for index in courses[course]][:prompts]


def draw_budgets(low: int, high: int, number: int, seed: int) -> list[int]:
    """Whole numbers of tokens between low and high, evenly on a log scale: 8 to 16 is as much of a step as 16 to 32."""
    rng = np.random.default_rng([seed, BUDGET_STREAM])
    drawn = np.exp(rng.uniform(np.log(low - 0.5), np.log(high + 0.5), size=number))
    return [int(value) for value in np.clip(np.rint(drawn), low, high)]
