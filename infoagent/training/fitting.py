"""Fitting an adapter to chosen texts with TRL: rows of token ids, their order, and the trainers' arguments.

A row holds the very ids that were sampled. Texts are never tokenised again: a model may sample ids that its tokenizer
would not make of the same text, and the reward was earned by the ids.
"""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from trl import DPOConfig, DPOTrainer, SFTConfig

from infoagent.lm.prompts import Prompt, compressor_ids, end_of_turn_id
from infoagent.lm.scoring.exact import continuation_ids
from infoagent.recipes import DPORecipe, SFTRecipe
from infoagent.recipes.sections import PromptSection
from infoagent.recipes.sft import FitSection
from infoagent.training.candidates import Candidate
from infoagent.training.carried import carried_reading
from infoagent.training.engine import on_one_device
from infoagent.training.preparation import Prepared
from infoagent.training.resumption import AdapterReadBack

TokenRow = dict[str, list[int]]

WINDOW_STEPS = 8
"""Batches are filled from so many steps' worth of examples, sorted by length: little padding, and still a mixture."""
NO_LOSS = -100
"""The label that PyTorch's cross-entropy leaves out."""


def imitation_rows(prepared: Prepared, recipe: SFTRecipe, kept: Sequence[Candidate]) -> list[TokenRow]:
    """Prompt and completion; the loss is on the completion alone, its end of turn included where one was sampled. With `sft.carry`
    the prompt holds what a compactor reads (`infoagent.training.carried`) in place of the whole history. Under any rate it asks for
    as many tokens as the completion has: whatever the length, such a text is a right answer to a budget."""
    rows, asked = [], recipe.prompt
    for candidate in kept:
        if recipe.reward.budget_range is not None:
            asked = asked.model_copy(update={"budget_words": None, "budget_tokens": candidate.scored.compression.rate_tokens})
        prefix, completion = _ids(prepared, asked, candidate, recipe.sft.carry)
        rows.append({"input_ids": prefix + completion, "labels": [NO_LOSS] * len(prefix) + completion})
    return rows


def preference_rows(prepared: Prepared, prompt: PromptSection, pairs: Sequence[tuple[Candidate, Candidate]]) -> list[TokenRow]:
    """Prompt, chosen and rejected completion, each with its end of turn where one was sampled."""
    rows = []
    for better, worse in pairs:
        (prefix, chosen), (_, rejected) = _ids(prepared, prompt, better), _ids(prepared, prompt, worse)
        rows.append({"prompt_ids": prefix, "chosen_ids": chosen, "rejected_ids": rejected})
    return rows


def _ids(prepared: Prepared, prompt: PromptSection, candidate: Candidate, carry: bool = False) -> tuple[list[int], list[int]]:
    """(prompt, sampled completion) as the policy met and wrote them, or is to meet them in the loop."""
    problem, tokenizer = candidate.scored.problem, prepared.tokenizer
    document = carried_reading(problem, candidate.scored.compression.text) if carry else problem.document
    prefix = compressor_ids(tokenizer, document, problem.query, Prompt.of(prompt, thinking=False))
    return prefix, list(continuation_ids(candidate.scored.compression, end_of_turn_id(tokenizer)))


def training_order(lengths: Sequence[int], batch_size: int, epochs: int, seed: int) -> list[int]:
    """Positions of the examples as they are trained on, `epochs` times over, each epoch in a drawn order of its own.

    Within a window of WINDOW_STEPS batches examples are sorted by length, then whole batches change places. An epoch's
    rest that fills no batch stands at its end.
    """
    order: list[int] = []
    for epoch in range(epochs):
        rng = np.random.default_rng([seed, epoch])
        shuffled = rng.permutation(len(lengths))
        batches: list[list[int]] = []
        for start in range(0, len(shuffled), WINDOW_STEPS * batch_size):
            window = sorted((int(i) for i in shuffled[start : start + WINDOW_STEPS * batch_size]), key=lambda i: lengths[i])
            batches += [window[at : at + batch_size] for at in range(0, len(window), batch_size)]
        whole = [batch for batch in batches if len(batch) == batch_size]
        rest = [batch for batch in batches if len(batch) < batch_size]
        order += [i for b in rng.permutation(len(whole)) for i in whole[int(b)]] + [i for batch in rest for i in batch]
    return order


def step_count(examples: int, section: FitSection) -> int:
    """Optimizer steps of a fit; the last one takes what is left."""
    return math.ceil(examples * section.epochs / section.batch_size)


def data_set(rows: Sequence[TokenRow], section: FitSection, seed: int) -> Any:
    """The rows as the trainer goes through them, from the first to the last."""
    from datasets import Dataset

    lengths = [sum(len(ids) for name, ids in row.items() if name != "labels") for row in rows]
    return Dataset.from_list([rows[i] for i in training_order(lengths, section.batch_size, section.epochs, seed)])


def sft_arguments(recipe: SFTRecipe, output_dir: str, steps: int, quiet: bool) -> SFTConfig:
    """The recipe in TRL's words."""
    own = {"dataset_kwargs": {"skip_prepare_dataset": True}}  # rows hold token ids and labels already
    return on_one_device(SFTConfig(**_shared_arguments(recipe, recipe.sft, output_dir, steps, quiet), **own))


def dpo_arguments(recipe: DPORecipe, steps: int, quiet: bool) -> DPOConfig:
    """The recipe in TRL's words."""
    dpo = recipe.dpo
    own = {"beta": dpo.beta, "loss_type": [dpo.loss_type], "label_smoothing": dpo.label_smoothing}
    return on_one_device(DPOConfig(**_shared_arguments(recipe, dpo, recipe.output_dir, steps, quiet), **own))


class PairTrainer(AdapterReadBack, DPOTrainer):
    """TRL's DPO trainer on rows that hold token ids already."""

    def _prepare_dataset(self, dataset: Any, *_: Any, **__: Any) -> Any:
        return dataset


def _shared_arguments(
    recipe: SFTRecipe | DPORecipe, section: FitSection, output_dir: str, steps: int, quiet: bool
) -> dict[str, Any]:
    import torch

    on_gpu = torch.cuda.is_available() and os.environ.get("ACCELERATE_USE_CPU", "false").lower() not in ("true", "1")
    micro_batch = section.micro_batch or section.batch_size
    return {
        "output_dir": output_dir,
        "seed": recipe.seed,
        "data_seed": recipe.seed,
        "max_steps": steps,
        "per_device_train_batch_size": micro_batch,
        "gradient_accumulation_steps": section.batch_size // micro_batch,
        "train_sampling_strategy": "sequential",  # `data_set` has drawn the order
        "learning_rate": section.learning_rate,
        "warmup_steps": section.warmup_steps,
        "lr_scheduler_type": section.lr_scheduler,
        "max_grad_norm": section.max_grad_norm,
        "max_length": None,  # documents were fitted to the context; a cut would take the completion
        "gradient_checkpointing": section.gradient_checkpointing,
        "bf16": on_gpu and recipe.model.dtype == "bfloat16",
        "use_cpu": not on_gpu,
        "logging_steps": 1,
        "save_strategy": "steps",
        "save_steps": section.save_steps,
        "logging_nan_inf_filter": False,  # it would log a NaN loss as 0.0; FitCallback stops the run instead
        "report_to": "none",  # infoagent.tracking writes the metrics, under the house's names
        "remove_unused_columns": False,
        "disable_tqdm": quiet,
    }
