"""The recipe of eval/frozen.py and eval/checkpoint.py."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PositiveFloat, model_validator

from infoagent.config import Section
from infoagent.recipes.compressors import WRITERS, CompressorSection, EndpointSection, VariantSection
from infoagent.recipes.cost_sections import CostSection
from infoagent.recipes.sections import (
    DataSection,
    EngineSection,
    ModelSection,
    Name,
    NegativesSection,
    NonNegativeFloat,
    PositiveInt,
    Seed,
    TrackingSection,
    refuse_twice,
)


class ServedSection(EngineSection):
    """The vLLM engines of an evaluation, one for each base; all of them stay until it ends, side by side."""

    self_check: bool = True
    """Before an engine is used, transformers scores a few rows, and the engine must agree. The model is loaded for that
    and dropped; set it to false where one device cannot hold it."""


class PredictorSection(ModelSection):
    """Who answers from the compression."""

    label: Name | None = None
    """Its name in tables; None: the model's."""
    kind: Literal["lm", "vllm", "endpoint"] = "lm"
    """`lm` runs here; `vllm` runs here in vLLM's engine; `endpoint` is asked over HTTP."""
    mode: Literal["likelihood", "generation"] | None = None
    """`likelihood`: log p of every choice as the complete reply, or of the reference answer (its perplexity).
    `generation`: the predictor writes, and its reply is graded. None: likelihood for an lm, generation for the others."""
    template: Name | None = None
    """A predictor template of `infoagent.lm.prompts`; None: answer-v1, choice-v1 where choices are graded."""
    max_tokens: PositiveInt = 48
    """Longest reply."""
    temperature: NonNegativeFloat = 0.0
    """0 is greedy; the paper takes 0.6."""
    endpoint: EndpointSection | None = None
    provider: str | None = None
    """Whose price: openai, anthropic, …; None takes the one that the model's name tells."""

    @model_validator(mode="after")
    def _fits(self) -> PredictorSection:
        if (self.kind == "endpoint") != (self.endpoint is not None):
            raise ValueError(f"{self.name!r}: kind endpoint and the section endpoint (base_url) belong together")
        if self.kind == "endpoint" and self.mode == "likelihood":
            raise ValueError(f"{self.name!r}: an endpoint writes replies; set mode to generation")
        if self.kind == "endpoint" and self.adapter is not None:
            raise ValueError(f"{self.name!r}: an endpoint takes no adapter; name the served adapter as the model")
        return self

    @property
    def title(self) -> str:
        return self.label or self.name

    @property
    def how(self) -> str:
        return self.mode or ("likelihood" if self.kind == "lm" else "generation")

    @property
    def engine(self) -> str:
        """Of a local predictor."""
        return "vllm" if self.kind == "vllm" else "hf"

    @property
    def model(self) -> ModelSection:
        """The plain model section of a local predictor."""
        return ModelSection(name=self.name, revision=self.revision, dtype=self.dtype, adapter=self.adapter)


class GradingSection(Section):
    """How a written reply is judged."""

    method: Literal["auto", "choice", "exact", "numeric", "math", "code", "judge"] = "auto"
    """auto: the letter or text of a choice where there are choices, a number with its unit where the answer is one,
    else normalised exact match. math: the final answer is the same number or expression. code: it passes the problem's
    tests. judge: a model decides, and its agreement with the former is reported."""
    relative_tolerance: Annotated[float, Field(ge=0, lt=1)] = 0.01
    """Of numbers."""
    judge: PredictorSection | None = None
    """With method judge: who decides."""
    execute: bool = False
    """With method code: run what predictors write on this machine, kept apart from it (`infoagent/grading/sandbox.py` says
    how far), so it must be said."""
    unprotected: bool = False
    """With execute: run it also where the machine cannot keep it apart, and it may read your files and keys. For a
    container or virtual machine that is made for it; `infoagent doctor` says whether it is needed."""
    trial_seconds: PositiveFloat = 10.0
    """With method code: longest run of one reply with its tests."""
    trial_memory_mib: Annotated[int, Field(ge=64)] = 512
    """With method code: address space of one, and of its tests."""

    @model_validator(mode="after")
    def _judge(self) -> GradingSection:
        if (self.method == "judge") != (self.judge is not None):
            raise ValueError("method judge and the section judge (a model) belong together")
        if self.method == "code" and not self.execute:
            raise ValueError("method code runs what a model wrote on this machine; set execute to true if you want that")
        if self.execute and self.method != "code":
            raise ValueError(f"execute runs code, and method {self.method} has none to run; set method to code, or drop it")
        if self.unprotected and not self.execute:
            raise ValueError("unprotected is about code that is run; set execute to true, or drop it")
        return self


class EvaluationRecipe(Section):
    """eval/frozen.py and eval/checkpoint.py: the same evaluator for frozen models and trained checkpoints."""

    output_dir: Name
    seeds: list[Seed] = Field(default=[0], min_length=1)
    """The whole grid is drawn once for each."""
    data: list[DataSection] = Field(default=[DataSection()], min_length=1)
    compressors: list[CompressorSection] = Field(min_length=1)
    variants: list[VariantSection] = Field(default_factory=list)
    """Prompts; each lm compressor is tried with each of them, in place of its own."""
    compare: list[Annotated[list[Name], Field(min_length=2, max_length=2)]] = Field(default_factory=list)
    """Pairs of labels [new, old] to be held against each other problem by problem, at equal length too. eval/checkpoint.py
    holds the checkpoint against `old` as well where `new` is the frozen compressor whose place it takes."""
    predictors: list[PredictorSection] = Field(default=[PredictorSection()])
    """May be empty: then only information, rate and facts are measured."""
    grading: GradingSection = GradingSection()
    negatives: NegativesSection = NegativesSection(random=7, counterfactual=4)
    engine: Literal["hf", "vllm"] = "hf"
    """Who writes compressions and scores them: transformers, or vLLM (`pip install 'infoagent[vllm]'`), which takes other
    draws from the same distribution. Predictors say theirs by `kind`."""
    vllm: ServedSection = ServedSection()
    samples: PositiveInt = 1
    """Compressions of each problem. More documents tell more than more samples."""
    batch_size: PositiveInt = 16
    memory_mib: PositiveInt = 1024
    """Memory of a scoring pass in MiB, beside the weights and the cache of one document."""
    checkpoint: str | None = None
    """eval/checkpoint.py: the adapter to compare with the first `lm` compressor of the list."""
    price: NonNegativeFloat = 0.02
    """Nats per token: the trade-off at which trained and frozen are compared."""
    spending_limit_usd: NonNegativeFloat = 5.0
    """Endpoints are asked until this much was spent in output_dir, earlier runs included; then no request is sent."""
    resamples: Annotated[int, Field(ge=50)] = 1000
    """Of the bootstrap over documents in analysis.json."""
    tracking: TrackingSection = TrackingSection(wandb="disabled")
    cost: CostSection = CostSection()

    @model_validator(mode="after")
    def _labels(self) -> EvaluationRecipe:
        refuse_twice("compressors", [c.label for c in self.grid])
        refuse_twice("predictors", [p.title for p in self.predictors])
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds}: one stands twice")
        if self.variants and not any(c.kind in WRITERS for c in self.compressors):
            raise ValueError("variants: no compressor is of kind lm, so nothing is tried with them")
        labels = [c.label for c in self.grid]
        for pair in self.compare:
            for label in pair:
                if label not in labels:
                    raise ValueError(f"compare: {label!r} is no compressor's label; allowed: {', '.join(labels)}")
            if pair[0] == pair[1]:
                raise ValueError(f"compare: {pair[0]!r} is held against itself; name two")
        return self

    @property
    def grid(self) -> list[CompressorSection]:
        """The compressors, each lm once for every variant."""
        found = []
        for compressor in self.compressors:
            if compressor.kind not in WRITERS or not self.variants:
                found.append(compressor)
                continue
            for variant in self.variants:
                found.append(
                    compressor.model_copy(
                        update={
                            "label": f"{compressor.label}, {variant.label}",
                            "curve": compressor.curve or compressor.label,
                            "prompt": variant.prompt,
                            "max_tokens": variant.max_tokens or compressor.max_tokens,
                        }
                    )
                )
        return found
