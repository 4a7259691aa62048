"""The recipe of train/grpo.py."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infoagent.config import Section
from infoagent.recipes.sections import NonNegativeFloat, NonNegativeInt, PositiveFloat, PositiveInt, VllmSection
from infoagent.recipes.training import TrainingRecipe


class LoopSection(Section):
    """Compaction trained as it is used: for data of growing conversations (`data.name: histories`, `record-histories`)."""

    discount: Annotated[float, Field(ge=0, le=1)] = 0.0
    """Of what later memories earn: 0 pays each memory for itself, 1 as much for what the later ones keep of it."""


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
    proposals: list[str] = Field(default=[])
    """Directories with the candidates.jsonl of train/sft.py or train/dpo.py: the best text that they know for a problem takes the
    place of its group's last sample, and is imitated as far as it leads over the policy."""
    loop: LoopSection | None = None
    """Each sample of a history's group is a course of its own: it writes a memory, reads it with the next turns, writes the next, and
    every memory is judged against the whole history so far. None: a document is read whole, and compressed once."""
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

    @model_validator(mode="after")
    def _beside_proposals(self) -> GRPOSection:
        if not self.proposals:
            return self
        mistakes = {
            f"algorithm {self.algorithm!r}": (self.algorithm != "grpo", "set it to grpo"),
            f"scale_rewards {self.scale_rewards!r}": (self.scale_rewards != "none", "set it to none"),
            f"num_generations {self.num_generations}": (self.num_generations < 3, "two samples of the policy beside one; raise it"),
            f"beta {self.beta:g}": (
                self.beta > 0,
                "no KL on texts that were not sampled; set it to 0, and reward.parts.fluency above 0",
            ),
        }
        wrong = [f"{what} with proposals: {why}" for what, (is_wrong, why) in mistakes.items() if is_wrong]
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    @model_validator(mode="after")
    def _beside_loop(self) -> GRPOSection:
        if self.loop is None:
            return self
        if self.algorithm != "grpo" or self.scale_rewards != "none":
            raise ValueError(f"algorithm {self.algorithm!r}, scale_rewards {self.scale_rewards!r} with loop: take grpo and none")
        if self.proposals:
            raise ValueError("proposals with loop: a proposal for a memory that another memory led to is not known; drop one")
        return self


class GRPORecipe(TrainingRecipe):
    """train/grpo.py: reinforcement learning of a compressor against MI − price · rate."""

    grpo: GRPOSection = GRPOSection()
    vllm: VllmSection = VllmSection()

    @property
    def samples_read(self) -> list[str]:
        return self.grpo.proposals

    @model_validator(mode="after")
    def _reachable(self) -> GRPORecipe:
        self.reward.check_length(self.grpo.max_completion_tokens)
        if self.grpo.loop is not None:
            self._check_loop()
        if self.grpo.proposals and self.vllm.enabled:
            raise ValueError(
                "grpo.proposals with vllm.enabled: the engine has no log-probability of a text it did not sample; drop one"
            )
        if self.vllm.enabled and self.lora.quantize != "none":
            raise ValueError(
                f"vllm.enabled with lora.quantize {self.lora.quantize!r}: to hand the policy over, its adapter is merged into the "
                "quantised base and taken out again, and the frozen base is no longer what it was; drop one"
            )
        if self.grpo.proposals and self.reward.budget_range is not None:
            raise ValueError("grpo.proposals with reward.budget_range: a text fits one budget, the prompts name many; drop one")
        return self

    def _check_loop(self) -> None:
        wrong = {
            "vllm.enabled": (self.vllm.enabled, "each memory waits for the one before, which is not offered with an engine"),
            "validation": (
                self.validation is not None,
                "it would compress each history once; measure with eval/applications/compaction.py",
            ),
            "prompt.pick_tokens": (
                self.prompt.pick_tokens is not None,
                "a memory and its turns are read whole, and what was not picked would be forgotten; drop it",
            ),
            "data.truncate": (
                self.data.truncate != "error",
                "what a memory lost and what was cut could not be told apart; set it to error",
            ),
        }
        mistakes = [f"{name} with grpo.loop: {why}" for name, (is_wrong, why) in wrong.items() if is_wrong]
        if mistakes:
            raise ValueError("; ".join(mistakes))
