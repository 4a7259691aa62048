"""TRL's GRPO and RLOO trainers: which one, what is mixed into it, and the recipe in its arguments."""

from __future__ import annotations

import os
from typing import Any

import torch
from trl import GRPOConfig, GRPOTrainer, RLOOConfig, RLOOTrainer

from infoagent.recipes import GRPORecipe
from infoagent.training.compaction_loop import CompactionLoop, Course, course_of
from infoagent.training.early_scoring import EarlyScoring
from infoagent.training.engine import on_one_device
from infoagent.training.group_proposals import GroupProposals
from infoagent.training.launch import batch_shape, process_count
from infoagent.training.phases import TimedPhases
from infoagent.training.plain_prompts import PlainPrompts
from infoagent.training.prompt_rows import has_order
from infoagent.training.resumption import ResumedExactly
from infoagent.training.shared_prefix import SharedPrefix
from infoagent.training.vllm_weights import ExactBase

__all__ = ["course_of", "trainer_arguments", "trainer_class"]


def trainer_class(algorithm: str, course: Course | None = None) -> Any:
    """TRL's trainer of the algorithm, `grpo` or `rloo`, with the shared prompt computed once for a group; with a course in the loop."""
    trainer = RLOOTrainer if algorithm == "rloo" else GRPOTrainer
    mixed = (
        TimedPhases,
        EarlyScoring,
        CompactionLoop,
        GroupProposals,
        SharedPrefix,
        PlainPrompts,
        ExactBase,
        ResumedExactly,
        trainer,
    )
    return type(f"SharedPrefix{trainer.__name__}", mixed, {"course": course})


def trainer_arguments(recipe: GRPORecipe, quiet: bool) -> Any:
    """The recipe in TRL's words, with the defaults of TRL that do harm here overridden."""
    on_gpu = torch.cuda.is_available() and os.environ.get("ACCELERATE_USE_CPU", "false").lower() not in ("true", "1")
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
    arguments = (RLOOConfig if grpo.algorithm == "rloo" else GRPOConfig)(
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
        shuffle_dataset=not has_order(recipe),
        disable_tqdm=quiet,
        **own,
    )
    return on_one_device(arguments)
