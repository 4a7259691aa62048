"""The recipe of train/grpo.py."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infoagent.config import Section
from infoagent.recipes.sections import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, VllmSection
from infoagent.recipes.training import TrainingRecipe


class GRPOSection(Section):
    """The algorithm. Defaults follow what is known to be unbiased by length (dr_grpo, no reward scaling)."""

    algorithm: Literal["grpo", "rloo"] = "grpo"
    """`rloo`: the baseline of a completion is the mean of its siblings alone, whole texts are weighted and the KL
    stands in the reward; loss_type and scale_rewards then have no effect."""
    steps: PositiveInt = 100
    prompts_per_step: PositiveInt = 2
    """Different problems in one optimizer step, over all processes together."""
    num_generations: Annotated[int, Field(ge=2)] = 8
    """Completions of each problem: the group whose mean is the baseline."""
    max_completion_tokens: PositiveInt = 40
    micro_batch: PositiveInt | None = None
    """Completions in one forward and backward of one process; None takes num_generations. Completions of one prompt
    share its computation, so all completions of the step at once are fastest where memory allows."""
    learning_rate: PositiveFloat = 2e-4
    warmup_steps: NonNegativeInt = 3
    lr_scheduler: Literal["constant_with_warmup", "linear", "cosine"] = "constant_with_warmup"
    max_grad_norm: PositiveFloat = 1.0
    temperature: PositiveFloat = 1.0
    """At 1, untruncated, the frozen scorer is the sampler of step 0."""
    beta: NonNegativeFloat = 0.01
    """KL to the frozen base, nats of reward per nat of KL: word salad that still names the fact pays for it."""
    loss_type: Literal["dr_grpo", "dapo", "grpo", "bnpo"] = "dr_grpo"
    scale_rewards: Literal["none", "group", "batch"] = "none"
    gradient_checkpointing: bool = False
    save_steps: PositiveInt = 25
    save_total_limit: PositiveInt | None = None
    """Keep so many checkpoints; None keeps all."""
    profile_steps: NonNegativeInt = 0
    """Record so many steps, after two to warm up, with torch's profiler: profile.txt, profile.json.gz. Slows them."""

    @model_validator(mode="after")
    def _micro_batch(self) -> GRPOSection:
        completions = self.prompts_per_step * self.num_generations
        if self.micro_batch and completions % self.micro_batch:
            raise ValueError(f"micro_batch {self.micro_batch} does not divide prompts_per_step × num_generations = {completions}")
        return self


class GRPORecipe(TrainingRecipe):
    """train/grpo.py: reinforcement learning of a compressor against MI − price · rate."""

    grpo: GRPOSection = GRPOSection()
    vllm: VllmSection = VllmSection()

    @model_validator(mode="after")
    def _reachable(self) -> GRPORecipe:
        self.reward.check_length(self.grpo.max_completion_tokens)
        return self
