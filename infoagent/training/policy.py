"""The policy that is trained and the frozen scorer that judges it."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from infoagent.lm.models import ModelReference, default_device, load_weights, resolve
from infoagent.lm.scoring.client import HttpScorer
from infoagent.lm.scoring.columns import ColumnScorer
from infoagent.lm.scoring.exact import Scorer
from infoagent.recipes import GRPORecipe
from infoagent.recipes.sections import ScorerSection
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.lora_options import lora_config, quantization_of
from infoagent.training.preparation import batch_shape, process_count

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


def frozen_scorer(recipe: TrainingRecipe, trainer: Any) -> ColumnScorer:
    """Who scores compressions in training: the policy's own base, the model that the recipe names, or a server.

    Never the moving policy: it would learn to write what only it can read. Where the policy's weights are sharded
    over processes (ZeRO-3, FSDP), the base cannot run a forward pass of its own, and every process gets a full copy
    unless the scorer is served.
    """
    if recipe.scorer.url is not None:
        return served_scorer(recipe.scorer)
    named = recipe.scorer.model
    if named is None and not is_sharded(trainer):
        policy = trainer.accelerator.unwrap_model(trainer.model)
        return Scorer(policy, recipe.scorer.memory_mib, base_only=True, remember=recipe.scorer.remember)
    section = named or recipe.model
    if named is None:
        logger.info("the policy is sharded over processes: loading a full copy of the base as the scorer")
    with _unsharded(trainer):
        model = load_weights(resolve(section.name, section.revision), section.dtype, str(trainer.accelerator.device))
    return Scorer(model.requires_grad_(False), recipe.scorer.memory_mib, remember=recipe.scorer.remember)


def served_scorer(section: ScorerSection) -> HttpScorer:
    assert section.url is not None
    return HttpScorer(section.url, section.patience_seconds, section.remember)


@contextlib.contextmanager
def _unsharded(trainer: Any) -> Iterator[None]:
    """Under ZeRO-3 transformers shards whatever it loads; the scorer must be whole on every process."""
    plugin = trainer.accelerator.state.deepspeed_plugin
    if plugin is None or plugin.zero_stage != 3:
        yield
        return
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()
    try:
        yield
    finally:
        plugin.set_deepspeed_weakref()


def is_sharded(trainer: Any) -> bool:
    accelerator = trainer.accelerator
    plugin = accelerator.state.deepspeed_plugin
    return bool(trainer.is_fsdp_enabled or (plugin is not None and plugin.zero_stage == 3))


def trainer_class(algorithm: str) -> Any:
    """TRL's trainer of the algorithm, `grpo` or `rloo`, with the shared prompt computed once for a group."""
    from infoagent.training.early_scoring import EarlyScoring
    from infoagent.training.phases import TimedPhases
    from infoagent.training.plain_prompts import PlainPrompts
    from infoagent.training.shared_prefix import SharedPrefix
    from infoagent.training.vllm_weights import ExactBase

    if algorithm == "rloo":
        from trl import RLOOTrainer as Trainer
    else:
        from trl import GRPOTrainer as Trainer
    mixed = (TimedPhases, EarlyScoring, SharedPrefix, PlainPrompts, ExactBase, Trainer)
    return type(f"SharedPrefix{Trainer.__name__}", mixed, {})


def trainer_arguments(recipe: GRPORecipe, quiet: bool) -> Any:
    """The recipe in TRL's words, with the defaults of TRL that do harm here overridden."""
    import torch
    from trl import GRPOConfig, RLOOConfig

    on_gpu = torch.cuda.is_available() and os.environ.get("ACCELERATE_USE_CPU", "false").lower() not in (
        "true",
        "1",
    )
    micro_batch, accumulation = batch_shape(recipe, process_count())
    grpo, vllm = recipe.grpo, recipe.vllm
    own: dict[str, Any] = {"loss_type": grpo.loss_type, "scale_rewards": grpo.scale_rewards}
    if grpo.algorithm == "rloo":
        own = {"normalize_advantages": False}
    if vllm.enabled:
        own |= {
            "use_vllm": True,
            "vllm_mode": vllm.mode,
            "vllm_gpu_memory_utilization": vllm.gpu_memory_utilization,
            "vllm_tensor_parallel_size": vllm.tensor_parallel_size,
            "vllm_max_model_length": vllm.max_model_length,
            "vllm_server_base_url": vllm.server_base_url,
            "vllm_enable_sleep_mode": vllm.enable_sleep_mode,
        }
    if vllm.enabled and grpo.algorithm == "grpo":  # its kernels round otherwise, so what it drew is weighted
        own["vllm_importance_sampling_correction"] = True
    return (RLOOConfig if grpo.algorithm == "rloo" else GRPOConfig)(
        output_dir=recipe.output_dir,
        seed=recipe.seed,
        data_seed=recipe.seed,
        max_steps=grpo.steps,
        per_device_train_batch_size=micro_batch,
        gradient_accumulation_steps=accumulation,
        steps_per_generation=accumulation,
        num_generations=grpo.num_generations,
        max_completion_length=grpo.max_completion_tokens,
        temperature=grpo.temperature,
        learning_rate=grpo.learning_rate,
        warmup_steps=grpo.warmup_steps,
        lr_scheduler_type=grpo.lr_scheduler,
        max_grad_norm=grpo.max_grad_norm,
        beta=grpo.beta,
        gradient_checkpointing=grpo.gradient_checkpointing,
        bf16=on_gpu and recipe.model.dtype == "bfloat16",
        use_cpu=not on_gpu,
        logging_steps=1,
        save_strategy="steps",
        save_steps=grpo.save_steps,
        logging_nan_inf_filter=False,  # it would log a NaN loss as 0.0; RunCallback stops the run instead
        report_to="none",  # infoagent.tracking writes the metrics, under the house's names
        remove_unused_columns=False,
        disable_tqdm=quiet,
        **own,
    )


@contextlib.contextmanager
def quiet_libraries() -> Iterator[None]:
    """Libraries' own bars off while weights load: the run shows one bar."""
    from transformers.utils import logging as transformers_logging

    transformers_logging.disable_progress_bar()
    try:
        yield
    finally:
        transformers_logging.enable_progress_bar()
