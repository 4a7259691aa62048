"""What the recipes of all trainers have in common: one data set, one reward, one adapter."""

from __future__ import annotations

from pydantic import Field

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
    """Checkpoints, metrics.jsonl, run.json and samples go here."""
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

    @property
    def all_data(self) -> list[DataSection]:
        return [self.data, *self.more_data]
