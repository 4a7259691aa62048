"""The recipe of eval/frozen.py and eval/checkpoint.py."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from infoagent.config import Section
from infoagent.recipes.sections import (
    CostSection,
    DataSection,
    ModelSection,
    Name,
    NegativesSection,
    NonNegativeFloat,
    PositiveFloat,
    PositiveInt,
    PromptSection,
    Seed,
    TrackingSection,
)


class CompressorSection(Section):
    """One compressor of the evaluation grid."""

    label: Name
    """Its name in tables."""
    kind: Literal["lm", "full-document", "closed-book"] = "lm"
    """`lm` writes a compression; the two anchors hand over the whole document, or nothing."""
    model: ModelSection = ModelSection()
    prompt: PromptSection = PromptSection()
    max_tokens: PositiveInt = 40
    temperature: PositiveFloat = 1.0
    """1 where the scorer is the sampler; otherwise the value is read as a bound."""


class EvaluationRecipe(Section):
    """eval/frozen.py and eval/checkpoint.py: the same evaluator for frozen models and trained checkpoints."""

    output_dir: Name
    seed: Seed = 0
    data: list[DataSection] = Field(default=[DataSection()], min_length=1)
    compressors: list[CompressorSection] = Field(min_length=1)
    predictors: list[ModelSection] = Field(default=[ModelSection()], min_length=1)
    negatives: NegativesSection = NegativesSection(random=7, counterfactual=4)
    samples: PositiveInt = 1
    """Compressions of each problem. More documents tell more than more samples."""
    batch_size: PositiveInt = 16
    memory_mib: PositiveInt = 1024
    """Memory of a scoring pass in MiB, beside the weights and the cache of one document."""
    checkpoint: str | None = None
    """eval/checkpoint.py: the adapter to compare with the first `lm` compressor of the list."""
    price: NonNegativeFloat = 0.02
    """Nats per token: the trade-off at which trained and frozen are compared."""
    tracking: TrackingSection = TrackingSection(wandb="disabled")
    cost: CostSection = CostSection()

    @model_validator(mode="after")
    def _labels(self) -> EvaluationRecipe:
        labels = [c.label for c in self.compressors]
        twice = sorted({label for label in labels if labels.count(label) > 1})
        if twice:
            raise ValueError(f"compressors: the label {twice[0]!r} stands twice; each needs its own")
        return self
