"""Recipe sections: what the machine and endpoints cost."""

from __future__ import annotations

from pydantic import Field

from infoagent.config import Section
from infoagent.recipes.sections import Name, NonNegativeFloat, PositiveFloat


class PriceSection(Section):
    """What a model behind an endpoint asks, in USD per million tokens; 0 for a server of one's own."""

    input: NonNegativeFloat
    """Of the prompt."""
    output: NonNegativeFloat
    """Of the completion."""
    cached: NonNegativeFloat | None = None
    """Of the part of the prompt that the server had cached; None: as `input`."""


class CostSection(Section):
    """The machine, for estimates of --dry-run only, and the prices of endpoints."""

    gflops_per_second: PositiveFloat | None = None
    """Sustained rate of the machine that the run is for, 300,000 for an H100 in bfloat16; None: this machine's, measured
    for some seconds and kept for an hour."""
    usd_per_hour: NonNegativeFloat = 0.0
    """Price of the machine."""
    prices: dict[Name, PriceSection] = Field(default_factory=dict)
    """By the model's name, e.g. {my-model: {input: 0.2, output: 0.8}}: they win over the table of genai-prices."""
