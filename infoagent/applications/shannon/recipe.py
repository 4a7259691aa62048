"""The recipe of train/shannon.py."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from infoagent.config import Section
from infoagent.recipes.grpo import GRPORecipe, GRPOSection
from infoagent.recipes.lora_section import LoraSection
from infoagent.recipes.sections import (
    AuditSection,
    DataSection,
    ModelSection,
    Name,
    NegativesSection,
    PositiveFloat,
    PositiveInt,
    PromptSection,
    RewardSection,
    ScorerSection,
    Seed,
    TrackingSection,
)

Share = Annotated[float, Field(gt=0, le=1)]


class TinyLMSection(Section):
    """The language model that is trained from scratch to describe documents."""

    steps: PositiveInt = 800
    batch: PositiveInt = 256
    learning_rate: PositiveFloat = 3e-3
    hidden: PositiveInt = 128
    layers: PositiveInt = 2
    seed: Seed = 0


class ShannonRecipe(Section):
    """train/shannon.py: does training come near a limit that is known?"""

    output_dir: Name
    """The tiny model, a directory for each run, shannon.json and the plot go here."""
    prices: list[PositiveFloat] = Field(default=[0.05, 0.35, 0.7], min_length=1)
    """Nats per token, a run for each price and seed."""
    seeds: list[Seed] = Field(default=[0, 1, 2], min_length=1)
    """Of training: its problems, its adapter and its samples. The tiny model is the same for all."""
    processes: PositiveInt = 2
    """Runs side by side, one thread each."""
    lm: TinyLMSection = TinyLMSection()
    data: DataSection = DataSection(name="shannon", split="train")
    """Problems to train on; each seed draws its own."""
    test: DataSection = DataSection(name="shannon", split="test")
    """Problems on which policies and optimum are compared."""
    negatives: NegativesSection = NegativesSection(random=0, counterfactual=31)
    longest: PositiveInt = 4
    """Every string of at most so many tokens is tried for the optimum; a policy may write as many before it ends."""
    lora: LoraSection = LoraSection()
    grpo: GRPOSection = GRPOSection()
    truncated_penalty_nats: PositiveFloat = 2.0
    """High enough that no text that was cut off can beat the best one that ends."""
    samples: PositiveInt = 16
    """Of each test problem, at temperature 1."""
    goal: Share = 0.9
    """Share of the optimum's reward that counts as reached."""

    @model_validator(mode="after")
    def _consistent(self) -> ShannonRecipe:
        wrong = []
        for name, values in (("prices", self.prices), ("seeds", self.seeds)):
            if len(set(values)) < len(values):
                wrong.append(f"{name} {values}: a value stands twice; each is a run of its own")
        for name, section in (("data", self.data), ("test", self.test)):
            if section.name != "shannon":
                wrong.append(f"{name}.name {section.name!r}: must be shannon, the source whose limits are known")
        if self.grpo.max_completion_tokens != self.longest + 1:
            wrong.append(
                f"grpo.max_completion_tokens {self.grpo.max_completion_tokens}: must be longest + 1 = {self.longest + 1}, "
                "so that the policy writes no string that is not tried"
            )
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def run(self, price: float, seed: int) -> GRPORecipe:
        """The recipe of train/grpo.py for one price and seed."""
        return GRPORecipe(
            output_dir=f"{self.output_dir}/price-{price:g}-seed-{seed}",
            seed=seed,
            model=ModelSection(name=f"{self.output_dir}/lm", dtype="float32"),
            data=self.data.model_copy(update={"seed": seed}),
            prompt=PromptSection(template="plain-v1"),
            negatives=self.negatives,
            reward=RewardSection(price=price, truncated_penalty_nats=self.truncated_penalty_nats),
            scorer=ScorerSection(remember=1_000_000),  # 72 documents, and few different texts
            lora=self.lora,
            grpo=self.grpo,
            audit=AuditSection(enabled=False),
            tracking=TrackingSection(wandb="disabled"),
        )
