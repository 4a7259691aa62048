"""What a run on hard inputs will do, checked as far as it goes before a model loads. Imports no torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infoagent.applications.stress.recipe import HardInputsRecipe
from infoagent.baselines import PICKERS, check_extractive
from infoagent.data.sets.hard_cases import HARD_KINDS, HardCase, HardKind, Settings, check_kinds, make_cases
from infoagent.evaluation.records import content_key
from infoagent.evaluation.trained import trained_beside
from infoagent.lm.models import find_model
from infoagent.lm.prompts import check_predictor_template, check_prompt
from infoagent.recipes.compressors import CompressorSection
from infoagent.types import InputError, Problem


@dataclass(frozen=True)
class InputsPlan:
    """Everything that is decided before a model loads. `pair`: labels of the trained compressor and its frozen self."""

    recipe: HardInputsRecipe
    cases: list[HardCase]
    compressors: list[CompressorSection]
    pair: tuple[str, str] | None
    revisions: dict[str, dict[str, str | None]]
    """By label: of the base and of the adapter."""
    contexts: dict[str, int]
    """By label: tokens that its model holds."""


def plan_inputs(recipe: HardInputsRecipe) -> InputsPlan:
    """Draw the cases, check names, adapter, prompts and context. Raises InputError with all mistakes; loads no weights."""
    mistakes: list[str] = []
    kinds: list[HardKind] = list(HARD_KINDS)
    if recipe.kinds is not None:
        try:
            check_kinds(recipe.kinds)
        except InputError as error:
            mistakes += error.problems
        kinds = [kind for kind in HARD_KINDS if kind in recipe.kinds]
    compressors, pair = _with_checkpoint(recipe)
    revisions, contexts = {}, {}
    for section in compressors:
        try:
            check_prompt(section.prompt)
            model = find_model(section.model)
            contexts[section.label] = min(model.context_tokens, recipe.context_tokens or model.context_tokens)
            revisions[section.label] = model.identity
        except InputError as error:
            mistakes += [line for line in error.problems if line not in mistakes]
    if recipe.predictor is not None:
        try:
            check_predictor_template(recipe.predictor.template, "predictor")
        except InputError as error:
            mistakes += error.problems
    if recipe.predictor is not None and recipe.predictor.kind == "lm":
        try:
            find_model(recipe.predictor)
        except InputError as error:
            mistakes += [line for line in error.problems if line not in mistakes]
    if mistakes:
        raise InputError(mistakes)
    settings = Settings(recipe.seed, recipe.min_words, recipe.max_words, max(contexts.values()), recipe.counterfactuals)
    cases = make_cases(kinds, recipe.cases, settings)
    for section in compressors:
        if section.kind in PICKERS:
            check_extractive(section.kind, [problem_of(c) for c in cases if c.refusal is None and c.values])
    return InputsPlan(recipe, cases, compressors, pair, revisions, contexts)


def _with_checkpoint(recipe: HardInputsRecipe) -> tuple[list[CompressorSection], tuple[str, str] | None]:
    """The grid, the trained compressor added; (its label, that of its frozen self)."""
    grid = recipe.as_evaluation().grid
    if recipe.checkpoint is None:
        return grid, None
    frozen = next(section for section in grid if section.kind == "lm")
    trained = trained_beside(frozen, recipe.checkpoint, [section.label for section in grid])
    trained = trained.model_copy(update={"curve": trained.label})
    return [*grid, trained], (trained.label, frozen.label)


def row_key(plan: InputsPlan, section: CompressorSection, case: HardCase) -> str:
    return content_key(
        kind="stress",
        case=case.key,
        compressor=identity_of(plan, section),
        seed=plan.recipe.seed,
        context_tokens=plan.contexts[section.label],
        long=plan.recipe.long,
    )


def identity_of(plan: InputsPlan, section: CompressorSection) -> dict[str, Any]:
    return {**section.model_dump(exclude={"label", "curve"}), **plan.revisions[section.label]}


def problem_of(case: HardCase) -> Problem:
    return Problem(case.id, case.document, case.query, case.id, answer=case.values[0] if case.values else None)
