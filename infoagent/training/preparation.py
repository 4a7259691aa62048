"""From a recipe to what a trainer needs, checked before any model loads."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from infoagent.data.negatives import take_negatives
from infoagent.data.registry import load_data
from infoagent.lm.context import fit_to_context
from infoagent.lm.models import find_model
from infoagent.lm.prompts import Prompt
from infoagent.lm.reference import ModelReference
from infoagent.lm.scoring.client import check_served
from infoagent.recipes import ModelSection
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.lora_options import check_lora, invocation_of
from infoagent.training.trainable import check_enough, check_start, load_trainable
from infoagent.types import InputError, Negative, Problem


@dataclass(frozen=True)
class Prepared:
    """Everything that a training run knows before its model is loaded."""

    reference: ModelReference
    tokenizer: Any
    data_revision: str
    problems: list[Problem]
    negatives: list[tuple[Negative, ...]]
    drawn: list[dict[str, Any]] = field(default_factory=list)
    """What was left out of each data set or has too few negatives, by cause: for run.json."""


def prepare(
    recipe: TrainingRecipe,
    completion_tokens: int,
    least: tuple[str, int] = ("one step", 1),
    for_training: bool = True,
    quiet: bool = False,
) -> Prepared:
    """Load data, find the model, fit documents to its context, draw negatives. Raises InputError, all mistakes of a
    stage at once. `least` names the setting that needs so many problems; data that is for evaluation is refused
    unless it is not `for_training`."""
    check_start(recipe)
    sets = load_trainable(recipe.all_data) if for_training else [load_data(**s.asked) for s in recipe.all_data]
    total = sum(len(data) for data in sets)
    check_enough(total, least)
    if recipe.reward.answer_weight and not any(p.answer for data in sets for p in data.problems):
        raise InputError(
            f"reward.answer_weight = {recipe.reward.answer_weight:g}: none of the {total} problems has an answer; "
            "set it to 0, or bring data with the field `answer`"
        )
    model = find_model(recipe.model)
    reference = model.reference
    check_lora(recipe.lora, reference, recipe.init_adapter)
    invocation_of(recipe, reference)
    if recipe.init_adapter is not None:
        from infoagent.lm.adapter_fit import check_fit  # it brings torch, which --dry-run leaves alone

        check_fit(recipe.init_adapter, reference)
    tokenizer = model.tokenizer
    context = model.context_tokens
    if recipe.scorer.model is not None:
        _check_scorer(recipe.scorer.model, tokenizer)
        context = min(context, find_model(recipe.scorer.model).context_tokens)  # it reads the documents too
    if recipe.scorer.url is not None:
        scorer = recipe.scorer.model or recipe.model
        served = check_served(recipe.scorer.url, find_model(scorer).pinned.reference, scorer.dtype, tokenizer)
        context = min(context, served or context)
    problems: list[Problem] = []
    negatives: list[tuple[Negative, ...]] = []
    about: list[dict[str, Any]] = []
    counts = recipe.negatives.counts
    prompt = Prompt.of(recipe.prompt, thinking=False)
    if recipe.reward.budget_range is not None:
        prompt = replace(prompt, budget_tokens=recipe.reward.budget_range[1])
    for section, data in zip(recipe.all_data, sets, strict=True):
        fitted = fit_to_context(data.problems, tokenizer, context, completion_tokens, section.truncate, prompt)
        drawn = take_negatives(fitted, counts, recipe.negatives.seed, quiet)
        problems += drawn.problems
        negatives += drawn.negatives
        about.append(drawn.about(data))
    check_enough(len(problems), least, total - len(problems))
    return Prepared(reference, tokenizer, " + ".join(data.revision for data in sets), problems, negatives, about)


def _check_scorer(section: ModelSection, tokenizer: Any) -> None:
    """A scorer in training reads the policy's token ids, so it must share its vocabulary."""
    if section.adapter is not None:
        raise InputError("scorer.model.adapter: the scorer is a frozen model without an adapter; merge it first")
    if find_model(section).tokenizer.get_vocab() != tokenizer.get_vocab():
        raise InputError(
            f"scorer.model.name = {section.name!r}: its vocabulary is not the policy's; name a model of the same family"
        )
