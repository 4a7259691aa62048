"""The policy that is trained: the base with a LoRA adapter, fresh or of an earlier run."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from infoagent.lm.machine.device import default_device
from infoagent.lm.models import LoadedModel, adapter_revision, load_weights
from infoagent.lm.reference import ModelReference
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.lora_options import invocation_of, lora_config, quantization_of
from infoagent.training.preparation import Prepared


def load_policy(recipe: TrainingRecipe, reference: ModelReference) -> tuple[Any, Any]:
    """(model, LoRA configuration): the base and a fresh adapter for the trainer to add, or an adapted model and None."""
    quantization = quantization_of(recipe.lora, recipe.model.dtype)
    # the trainer moves a plain model to its device; a quantised one must be loaded where it stays
    device = "cpu" if quantization is None else default_device()
    model = load_weights(reference, recipe.model.dtype, device, quantization)
    if quantization is not None:
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)  # the trainer's own setting
    if recipe.init_adapter is None:
        return model, lora_config(recipe.lora, invocation_of(recipe, reference))
    from infoagent.lm.adapter_fit import attach

    return attach(model, recipe.init_adapter, reference, trainable=True), None


def load_to_sample(recipe: TrainingRecipe, prepared: Prepared, adapter: str | None) -> tuple[LoadedModel, Any]:
    """(the base with `adapter` on top, or the base alone and None; the fresh LoRA that a trainer then adds or None)."""
    model, fresh = load_policy(recipe.model_copy(update={"init_adapter": adapter}), prepared.reference)
    model = model.to(default_device()).eval()
    return LoadedModel(prepared.reference, model, prepared.tokenizer, recipe.model.dtype, adapter), fresh


def policy_name(adapter: str | None) -> str:
    """What identifies a policy: the hash of its adapter, or `base`."""
    return "base" if adapter is None else adapter_revision(adapter)


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Libraries' own bars off while weights load: the run shows one bar."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()
