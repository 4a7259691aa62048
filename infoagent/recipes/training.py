"""What the recipes of all trainers have in common: one data set, one reward, one adapter."""

from __future__ import annotations

import os
import re

from pydantic import Field, field_validator, model_validator

from infoagent.config import Section
from infoagent.recipes.cost_sections import CostSection
from infoagent.recipes.lora_section import LoraSection
from infoagent.recipes.sections import (
    AuditSection,
    DataSection,
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
    thinking: bool | None = None
    """A compressor is trained without thoughts: None and false turn off a model's thinking where it has one; true is
    refused."""
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

    @field_validator("thinking")
    @classmethod
    def _without(cls, thinking: bool | None) -> bool | None:
        if thinking:
            raise ValueError(
                "true: is not trained, for a z behind a thought cannot be scored as it was drawn; leave it out, and "
                "measure thinking with eval/frozen.py (compressors.thinking)"
            )
        return thinking

    @model_validator(mode="after")
    def _asks_for_none(self) -> TrainingRecipe:
        if self.prompt.template.startswith("think-"):
            raise ValueError(f"prompt.template: {self.prompt.template!r} asks for a thought, which is not trained; take query-v1")
        return self

    @property
    def samples_read(self) -> list[str]:
        """Directories whose candidates.jsonl decides what is learnt."""
        return []

    @property
    def all_data(self) -> list[DataSection]:
        return [self.data, *self.more_data]
