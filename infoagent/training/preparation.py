"""From a recipe to what a trainer needs, checked before any model loads."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from infoagent.data.negatives import Counts, take_negatives
from infoagent.data.registry import DATA_SETS, load_data
from infoagent.lm.context import fit_to_context
from infoagent.lm.models import (
    ModelReference,
    check_adapter,
    context_tokens,
    load_config,
    load_tokenizer,
    pinned,
    resolve,
)
from infoagent.lm.prompts import Prompt, check_template, compressor_messages
from infoagent.lm.scoring.client import check_served
from infoagent.recipes import DataSection, GRPORecipe, ModelSection
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.lora_options import check_lora
from infoagent.types import InputError, Negative, Problem, ProblemSet

if TYPE_CHECKING:  # --dry-run leaves torch alone
    from infoagent.lm.scoring.columns import ColumnScorer
    from infoagent.reward import MIReward

BUDGET_STREAM = 4
"""Keeps the draw of budgets apart from other draws by the same seed."""
STARTERS = {"SLURM_STEP_NUM_TASKS": "srun", "OMPI_COMM_WORLD_SIZE": "mpirun", "PMI_SIZE": "mpirun"}
"""What says how many processes were started, and by whom, where that is not accelerate or torchrun."""


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
    check_template(recipe.prompt.template)
    if recipe.model.adapter is not None:
        raise InputError(
            "model.adapter: a run trains an adapter on the plain base; to start from one, name it as init_adapter"
        )
    if recipe.init_adapter is not None:
        check_adapter(recipe.init_adapter, recipe.model.name)
    if for_training:
        sets = load_trainable(recipe.all_data)
    else:
        sets = [load_data(**section.model_dump(exclude={"truncate"})) for section in recipe.all_data]
    total = sum(len(data) for data in sets)
    check_enough(total, least)
    if recipe.reward.answer_weight and not any(p.answer for data in sets for p in data.problems):
        raise InputError(
            f"reward.answer_weight = {recipe.reward.answer_weight:g}: none of the {total} problems has an answer; "
            "set it to 0, or bring data with the field `answer`"
        )
    reference = resolve(recipe.model.name, recipe.model.revision)
    check_lora(recipe.lora, reference)
    if recipe.init_adapter is not None:
        from infoagent.lm.adapter_fit import check_fit  # it brings torch, which --dry-run leaves alone

        check_fit(recipe.init_adapter, reference)
    tokenizer = load_tokenizer(reference)
    if recipe.scorer.model is not None:
        _check_scorer(recipe.scorer.model, tokenizer)
    if recipe.scorer.url is not None:
        judge = recipe.scorer.model or recipe.model
        check_served(recipe.scorer.url, pinned(resolve(judge.name, judge.revision)), judge.dtype, tokenizer)
    problems: list[Problem] = []
    negatives: list[tuple[Negative, ...]] = []
    about: list[dict[str, Any]] = []
    counts = Counts(**recipe.negatives.counts)
    prompt = Prompt.of(recipe.prompt, thinking=False)
    if recipe.reward.budget_range is not None:
        prompt = replace(prompt, budget_tokens=recipe.reward.budget_range[1])
    for section, data in zip(recipe.all_data, sets, strict=True):
        context = context_tokens(load_config(reference))
        fitted = fit_to_context(data.problems, tokenizer, context, completion_tokens, section.truncate, prompt)
        drawn = take_negatives(fitted, counts, recipe.negatives.seed, quiet)
        problems += drawn.problems
        negatives += drawn.negatives
        about.append(drawn.about(data))
    check_enough(len(problems), least, total - len(problems))
    return Prepared(reference, tokenizer, " + ".join(data.revision for data in sets), problems, negatives, about)


def check_enough(problems: int, least: tuple[str, int], left_out: int = 0) -> None:
    """Raise InputError where a setting needs more problems than there are."""
    if problems < least[1]:
        without = f" ({left_out} more have too few negatives)" if left_out else ""
        raise InputError(
            f"data: {problems} problems{without} are fewer than {least[0]} = {least[1]}; bring more documents or lower it"
        )


def check_trainable(sections: Sequence[DataSection]) -> None:
    """Raise InputError for data that is for evaluation only."""
    mistakes = []
    for section in sections:
        known = DATA_SETS.get(section.name)
        if known is not None and known.evaluation_only:
            mistakes.append(
                f"data.name = {section.name!r}: is for evaluation only and is not trained on; "
                f"train on one of {', '.join(d.name for d in DATA_SETS.values() if not d.evaluation_only)}"
            )
        elif section.split in ("validation", "test"):
            mistakes.append(
                f"data.split = {section.split!r} of {section.name}: is kept for evaluation; train on split train, or on "
                "all where nothing of it will be reported"
            )
    if mistakes:
        raise InputError(mistakes)


def load_trainable(sections: Sequence[DataSection]) -> list[ProblemSet]:
    """The data of a training recipe. Raises InputError for what is for evaluation only: by the name of its set, or because
    its file says so under whatever name it is read."""
    check_trainable(sections)
    sets = [load_data(**section.model_dump(exclude={"truncate"})) for section in sections]
    marked = [
        f"data: {data.name} is for evaluation only, {data.benchmark}" for data in sets if data.benchmark is not None
    ]
    if marked:
        raise InputError(marked)
    return sets


def build_reward(recipe: TrainingRecipe, prepared: Prepared, scorer: ColumnScorer | None = None) -> MIReward:
    """The reward of a recipe. The scorer may be set later, once a trainer has built its model."""
    from infoagent.reward import MIReward, Objective, Price

    section = recipe.reward
    any_rate = section.budget_range is not None
    return MIReward(
        problems=prepared.problems,
        negatives=prepared.negatives,
        tokenizer=prepared.tokenizer,
        price=Price(
            section.first_price,
            section.rate,
            section.truncated_penalty_nats,
            section.gate_nats,
            section.unsupported_nats,
            section.over_nats if any_rate else 0.0,
            section.under_nats if any_rate else 0.0,
        ),
        template=recipe.prompt.template,
        budget_words=recipe.prompt.budget_words,
        budget_tokens=recipe.prompt.budget_tokens,
        sentences=recipe.prompt.sentences,
        scorer=scorer,
        objective=Objective(section.objective, section.clip_nats, section.information_weight, section.answer_weight),
        max_failed_share=section.max_failed_share,
        watch_only=recipe.negatives.watch_only,
    )


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
    rows["prompt"] = []
    for position, index in enumerate(rows["problem_index"]):
        prompt = Prompt.of(recipe.prompt)
        if "budget" in rows:
            prompt = replace(prompt, budget_words=None, budget_tokens=rows["budget"][position])
        problem = prepared.problems[index]
        rows["prompt"].append(compressor_messages(problem.document, problem.query, prompt))
    return Dataset.from_dict(rows)


def draw_budgets(low: int, high: int, number: int, seed: int) -> list[int]:
    """Whole numbers of tokens between low and high, evenly on a log scale: 8 to 16 is as much of a step as 16 to 32."""
    rng = np.random.default_rng([seed, BUDGET_STREAM])
    drawn = np.exp(rng.uniform(np.log(low - 0.5), np.log(high + 0.5), size=number))
    return [int(value) for value in np.clip(np.rint(drawn), low, high)]


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
    """How many processes the launcher started. Raises InputError where another starter made several of them that know
    nothing of each other: each would train alone and write over the others."""
    if "WORLD_SIZE" not in os.environ:
        for name, starter in STARTERS.items():
            if int(os.environ.get(name, "1")) > 1:
                raise InputError(
                    f"{name} = {os.environ[name]}: {starter} started several processes that know nothing of each other; "
                    "let it start one process a machine, accelerate launch"
                )
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main_process() -> bool:
    return os.environ.get("RANK", "0") == "0"
