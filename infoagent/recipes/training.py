"""What the recipes of all trainers have in common: one data set, one reward, one adapter."""

from __future__ import annotations

import os
import re

from pydantic import Field, field_validator

from infoagent.config import Section
from infoagent.recipes.sections import (
    AuditSection,
    CostSection,
    DataSection,
    LoraSection,
    ModelSection,
    Name,
    NegativesSection,
    PromptSection,
    RewardSection,
    ScorerSection,
    Seed,
    TrackingSection,
    ValidationSection,
)


class TrainingRecipe(Section):
    """The base of GRPORecipe, SFTRecipe and DPORecipe."""

    output_dir: Name
    """Checkpoints, metrics.jsonl, run.json and samples go here. ${NAME} stands for an environment variable, so that the
    runs of a W&B agent can part ways: runs/sweep/${WANDB_RUN_ID}."""
    seed: Seed = 0
    resume: bool = True
    """Go on from the last complete checkpoint in output_dir if there is one."""
    init_adapter: str | None = None
    """Start from this adapter (a warm start) instead of a fresh one."""
    model: ModelSection = ModelSection()
    data: DataSection = DataSection(split="train")
    more_data: list[DataSection] = Field(default=[])
    """Further data sets, trained on together with `data`; negatives come from the set of their problem."""
    prompt: PromptSection = PromptSection()
    negatives: NegativesSection = NegativesSection()
    reward: RewardSection = RewardSection()
    scorer: ScorerSection = ScorerSection()
    lora: LoraSection = LoraSection()
    validation: ValidationSection | None = None
    """Measure checkpoints on the validation split and name the best; None does neither."""
    audit: AuditSection = AuditSection()
    tracking: TrackingSection = TrackingSection()
    cost: CostSection = CostSection()

    @field_validator("output_dir")
    @classmethod
    def _environment(cls, path: str) -> str:
        names = re.findall(r"\$\{(\w+)\}", path)
        unset = [name for name in names if not os.environ.get(name)]
        if unset:
            raise ValueError(f"{path}: environment variable {unset[0]} is not set; set it, or name a plain directory")
        return re.sub(r"\$\{(\w+)\}", lambda found: os.environ[found[1]], path)

    @property
    def all_data(self) -> list[DataSection]:
        return [self.data, *self.more_data]
