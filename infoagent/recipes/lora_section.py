"""The section of the adapter, in the recipes of all trainers."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infoagent.config import Section
from infoagent.recipes.sections import PositiveInt


class LoraSection(Section):
    """The adapter that is trained."""

    r: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: str | list[str] = "all-linear"
    """`all-linear` or a list of module names."""
    rslora: bool = False
    """Scale by alpha / √r in place of alpha / r, so that a high rank learns as fast as a low one."""
    dora: bool = False
    """Learn the magnitude of each weight column apart from its direction. vLLM cannot serve such an adapter: merge it
    first (`infoagent merge`)."""
    activated: bool = False
    """The adapter acts from the prompt's instruction on, and the document is read by the frozen base (PEFT's activated LoRA), in
    training without a gradient. It cannot be merged, nor served by vLLM."""
    quantize: Literal["none", "4bit"] = "none"
    """4bit keeps the frozen base in 4-bit nf4 (QLoRA); needs bitsandbytes and a CUDA device."""
    # An init such as PiSSA or OLoRA is not offered: it takes a part of the base's weights into the adapter, so the
    # model with its adapter disabled is no longer the frozen base, and that is who scores.

    @model_validator(mode="after")
    def _targets(self) -> LoraSection:
        names = self.targets if isinstance(self.targets, list) else [self.targets]
        if not names or not all(names):
            raise ValueError("targets: must be all-linear or a list of at least one module name, e.g. [q_proj, v_proj]")
        return self

    @model_validator(mode="after")
    def _one_variant(self) -> LoraSection:
        if self.activated and self.dora:
            raise ValueError("activated with dora: PEFT computes one of them; drop one")
        return self
