"""The recipe of eval/applications/proxies.py: a grid of compressions, and who scores them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from infoagent.config import Section
from infoagent.recipes.evaluation import EvaluationRecipe
from infoagent.recipes.sections import ModelSection, Name, NonNegativeInt, PositiveInt, plain_address, refuse_twice

TRAINED = "trained adapter"


class ProxySection(Section):
    """One scorer of the compressions."""

    label: Name
    """Its name in tables."""
    kind: Literal["lm", "unigram", "zlib"] = "lm"
    """`lm` reads the compressor's prompt and tells how likely the text is. The floors read no question: `unigram` counts
    the words of the document (smoothed by those of all documents), `zlib` counts the bytes that the text adds to the
    compressed document."""
    model: ModelSection = ModelSection()
    """Of an lm; with an adapter the trained policy scores."""
    layers: PositiveInt | None = None
    """Of an lm: only its first so many layers, and its own head on top. None: all."""
    weight_bits: Annotated[int, Field(ge=2, le=8)] | None = None
    """Of an lm: the matrices of its layers rounded to so many bits (groups of 32 weights, each with its scale). What the
    rounding does to values is measured; the arithmetic stays in `model.dtype`, so nothing gets faster here."""
    url: str | None = None
    """Of an lm: where `infoagent serve` offers this model; None: it is computed here."""

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        return None if url is None else plain_address(url)

    @model_validator(mode="after")
    def _fits(self) -> ProxySection:
        changed = [name for name in ("layers", "weight_bits") if getattr(self, name) is not None]
        if self.kind != "lm":
            given = [*changed, *(["url"] if self.url else []), *(["model"] if self.model != ModelSection() else [])]
            if given:
                raise ValueError(f"{self.label!r}: {given[0]} belongs to kind lm, not to {self.kind}")
        if changed and (self.url or self.model.adapter):
            other = "url" if self.url else "model.adapter"
            raise ValueError(
                f"{self.label!r}: {changed[0]} changes weights that are loaded here, and does not go with {other}; drop one"
                + ("" if self.url else " (`infoagent merge` makes one model of both)")
            )
        if self.url and self.model.adapter:
            raise ValueError(f"{self.label!r}: a served scorer takes no adapter; merge it (`infoagent merge`) and serve that")
        return self


class ProxyRecipe(EvaluationRecipe):
    """eval/applications/proxies.py: the same compressions under several scorers; the rest is as for eval/frozen.py. `checkpoint`: an
    adapter on the first lm compressor's model that scores as well."""

    scorers: list[ProxySection] = Field(min_length=1)
    """Held against the self-score: that of the compressor's own frozen model, which the grid computes anyway."""
    calibration_documents: NonNegativeInt = 12
    """Problems of each data set's validation split on which each scorer's critic scale is fitted; 0: no calibration."""
    trusted_correlation: Annotated[float, Field(gt=0, lt=1)] = 0.8
    """A scorer is trusted where the lower end of the interval of its rank correlation with the self-score, over
    compressions, is at least this (at level 1 − 0.05 / k for k scorers), and no difference between two compressors that
    the self-score shows is turned round."""

    @model_validator(mode="after")
    def _scorers(self) -> ProxyRecipe:
        labels = [s.label for s in self.scorers]
        refuse_twice("scorers", labels)
        for taken, what in (("self", "the compressor's own score"), (TRAINED, "the checkpoint")):
            if taken in labels:
                raise ValueError(f"scorers: the label {taken!r} is {what}; name yours otherwise")
        if self.calibration_documents and any(d.split == "validation" for d in self.data):
            raise ValueError(
                "calibration_documents are taken from the validation split, which data evaluates; set data.N.split to test, or "
                "calibration_documents to 0"
            )
        if self.engine != "hf":
            raise ValueError("engine vllm: scorers that are changed or compared need transformers; set engine to hf")
        return self

    @property
    def studied(self) -> list[ProxySection]:
        """The scorers, and the trained one where a checkpoint is named."""
        if self.checkpoint is None:
            return self.scorers
        base = next((c.model for c in self.compressors if c.kind == "lm"), self.compressors[0].model)
        trained = ProxySection(label=TRAINED, model=base.model_copy(update={"adapter": self.checkpoint}))
        return [*self.scorers, trained]

    def calibration(self) -> EvaluationRecipe:
        """The grid of other documents on which critic scales are fitted: the same compressors, nobody answers."""
        data = [d.model_copy(update={"split": "validation", "limit": self.calibration_documents}) for d in self.data]
        return self.model_copy(update={"data": data, "predictors": [], "output_dir": f"{self.output_dir}/calibration"})
