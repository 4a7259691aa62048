"""The policy that is trained and the frozen scorer that judges it."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from infoagent.lm.machine.device import default_device
from infoagent.lm.models import ModelReference, load_weights
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.lora_options import lora_config, quantization_of

logger = logging.getLogger(__name__)


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
        return model, lora_config(recipe.lora)
    from infoagent.lm.adapter_fit import attach

    return attach(model, recipe.init_adapter, reference, trainable=True), None


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Libraries' own bars off while weights load: the run shows one bar."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()
