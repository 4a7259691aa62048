"""The recipe of eval/information.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from infoagent.config import Section
from infoagent.recipes.compressors import CompressorSection
from infoagent.recipes.cost_sections import CostSection
from infoagent.recipes.sections import DataSection, ModelSection, Name, NonNegativeInt, PositiveInt, Seed, TrackingSection

PRESETS: dict[str, dict[str, Any]] = {
    # N = M = 20, temperature 0.7, random documents alone; the printed value is clipped at 0 as in the paper
    "paper": {"documents": 20, "samples": 20, "counterfactuals": 0, "print_clipped": True, "compressor": {"temperature": 0.7}},
    # all of the error is in which documents: many of them, few samples
    "default": {"documents": 100, "samples": 2, "counterfactuals": 4},
    # whole topics, so that near documents are in the pool, and twice the counterfactuals
    "hard": {"documents": 60, "samples": 2, "counterfactuals": 8, "pool": "topics"},
    # what a reward sees: a few random documents and the counterfactuals
    "training": {"documents": 64, "samples": 1, "counterfactuals": 4, "far": 3},
}


class InformationRecipe(Section):
    """eval/information.py: how much a compressor says about its document, from easy candidates to hard ones."""

    output_dir: Name
    """Compressions, scores by content, scores.npz, information.json and run.json go here."""
    preset: Literal["paper", "default", "hard", "training"] = "default"
    """Gives documents, samples, counterfactuals, pool, far and the temperature where they are not set."""
    seed: Seed = 0
    data: DataSection = DataSection()
    compressor: CompressorSection = CompressorSection(label="frozen")
    scorer: ModelSection | None = None
    """A proxy that scores in the compressor's place; None: the compressor itself, which makes the value exact."""
    calibration: str | None = None
    """A file of `infoagent calibrate`: its critic scale is applied to a proxy's log-probabilities."""
    documents: Annotated[int, Field(ge=2)] = 100
    """Different documents in the pool; one question each."""
    samples: PositiveInt = 2
    """Compressions of each document. More documents tell more than more samples."""
    pool: Literal["spread", "topics"] = "spread"
    """`spread` draws documents from the whole set, `topics` takes whole topics one after the other."""
    near: NonNegativeInt = 0
    """With `far`: how many documents of the same topic are scored for each compression; 0 takes none."""
    far: Annotated[int, Field(ge=2)] | None = None
    """Score only so many documents drawn from the rest of the pool, weighted; None scores the whole pool."""
    counterfactuals: NonNegativeInt = 4
    """Versions of the own document with a fact changed."""
    missing: Literal["leave_out", "fewer", "refuse"] = "leave_out"
    """What happens to a document without so many counterfactuals. `leave_out`: another question on it, else another
    document, takes its place. `fewer`: it has the columns that there are. Both are counted. `refuse`: an error."""
    query: Literal["shared", "own_document"] = "shared"
    """`shared`: every column of a row stands under the row's question, which is I(X;Z|Q). `own_document`: each under
    its own, as in the paper's code, which is I(X,Q;Z)."""
    tokens: bool = True
    """Keep token log-probabilities: which tokens carry the information."""
    print_clipped: bool = False
    """Print max(0, value); everything that is kept is unclipped, because clipping breaks the bound."""
    batch_size: PositiveInt = 16
    memory_mib: PositiveInt = 1024
    """Memory of a scoring pass in MiB, beside the weights and the cache of one document."""
    tracking: TrackingSection = TrackingSection(wandb="disabled")
    cost: CostSection = CostSection()

    @model_validator(mode="before")
    @classmethod
    def _preset(cls, content: Any) -> Any:
        if not isinstance(content, dict):
            return content
        name = content.get("preset", "default")
        preset = PRESETS.get(name, {}) if isinstance(name, str) else {}
        merged = {**preset, **content}
        compressor = content.get("compressor", {"label": "frozen"})
        if isinstance(compressor, dict):
            merged["compressor"] = {**preset.get("compressor", {}), **compressor}
        return merged

    @model_validator(mode="after")
    def _possible(self) -> InformationRecipe:
        if self.compressor.kind != "lm":
            raise ValueError(f"compressor.kind {self.compressor.kind!r}: only `lm` compressors have log-probabilities")
        if self.compressor.form is not None or self.compressor.thinking is not None:
            raise ValueError("compressor: form and thinking are measured by eval/frozen.py; leave them out here")
        if self.near == 1:
            raise ValueError("near 1: one near document tells nothing about the others; set near to 0, or to 2 or more")
        if self.near and self.far is None:
            raise ValueError(f"near {self.near} without far: set far as well, or near to 0 to score the whole pool")
        if self.far is not None and self.near + self.far >= self.documents:
            raise ValueError(f"near {self.near} + far {self.far}: not below documents {self.documents}; leave far out")
        if self.calibration is not None and self.scorer is None:
            raise ValueError("calibration without scorer: a compressor that scores itself needs none")
        return self
