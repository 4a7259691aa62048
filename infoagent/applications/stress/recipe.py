"""The recipes of eval/applications/stress.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from infoagent.config import Section
from infoagent.recipes.cost_sections import CostSection
from infoagent.recipes.evaluation import CompressorSection, EvaluationRecipe, PredictorSection, VariantSection
from infoagent.recipes.sections import (
    DataSection,
    Name,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PromptSection,
    Seed,
    plain_address,
    refuse_twice,
)
from infoagent.types import Dtype


class StageSection(Section):
    """Who does one stage of a job: an OpenAI-compatible chat server."""

    base_url: str | None = None
    """Up to and including /v1; None: the local server of this recipe."""
    name: Name | None = None
    """The model to ask for; None: the one that the local server has."""
    api_key_env: str | None = None
    """The environment variable that holds the key; None for a server without one."""
    max_tokens: PositiveInt = 24
    """Longest reply."""
    temperature: NonNegativeFloat = 0.0
    extra: dict[str, Any] = Field(default_factory=dict)
    """More fields of the request's body."""
    provider: str | None = None
    """Whose price: openai, anthropic, …; None takes the one that the model's name tells."""

    @field_validator("base_url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        return None if url is None else plain_address(url).rstrip("/")

    @model_validator(mode="after")
    def _named(self) -> StageSection:
        if (self.base_url is None) != (self.name is None):
            raise ValueError("base_url and name (the model to ask for) belong together; leave out both for the local one")
        return self


class LocalServerSection(Section):
    """`infoagent serve --generate`, started for the run and ended with it: one worker, one reply at a time."""

    model: Name = "smollm2-135m"
    """An embedded model, a hub id, or a directory, such as `infoagent merge` makes of an adapter."""
    dtype: Dtype = "auto"
    """As that of a model section."""


class ConditionSection(Section):
    """One way in which all loads are run."""

    label: Name
    """Its name in tables."""
    prefixes: Literal["shared", "own"] = "shared"
    """`shared`: jobs on one document begin alike, so a server may have read it. `own`: a mark before each document makes
    every prompt differ from its first words on. The mark stands after the question in the former, so that prompts are
    equally long."""
    prefix_cache: NonNegativeInt | None = None
    """Prompts that the local server keeps; 0 switches its prefix cache off, None takes its default. A remote server has
    its own switch."""


class LoadRecipe(Section):
    """eval/applications/stress.py load: jobs that arrive by a Poisson process, whether or not the earlier ones are done."""

    output_dir: Name
    job: Literal["compress, answer", "compress", "answer"] = "compress, answer"
    """The stages of a job, one after the other; `answer` alone reads the whole document."""
    seeds: list[Seed] = Field(default=[0, 1, 2], min_length=1)
    """Every load is run once for each, on an idle server; intervals are over these runs, so at least three."""
    jobs: Annotated[int, Field(ge=2)] = 40
    """Arrivals in a run."""
    loads: list[PositiveFloat] = Field(default=[0.4, 0.7, 0.9, 1.2], min_length=1)
    """Arrivals a second, as shares of the capacity that the probe found under the first condition: the same rates for
    all conditions. Above 1 a queue grows as long as jobs come."""
    rates_per_second: list[PositiveFloat] | None = None
    """Arrivals a second, in place of `loads`."""
    conditions: list[ConditionSection] = Field(min_length=1)
    probe_jobs: Annotated[int, Field(ge=4)] = 16
    """Jobs of the closed loop that finds a condition's capacity and warms it up."""
    probe_clients: PositiveInt = 2
    """Its clients: 2 keep one worker busy; as many as the server batches otherwise. Six rounds of them are the fewest
    jobs."""
    data: DataSection = DataSection()
    documents: PositiveInt = 8
    """So many of the data's documents are asked about, drawn at random for each job."""
    prompt: PromptSection = PromptSection()
    """Of the compressor."""
    compressor: StageSection = StageSection()
    predictor: StageSection = StageSection(max_tokens=12)
    server: LocalServerSection = LocalServerSection()
    """Started where a stage names no server."""
    stream: bool = True
    """Ask for tokens as they come: without it the time to the first one is not known."""
    timeout_seconds: PositiveFloat = 120.0
    """Of one request, from its first byte to its last."""
    stall_seconds: PositiveFloat = 20.0
    """The longest pause within a reply that has begun."""
    spending_limit_usd: NonNegativeFloat = 5.0
    """A plan whose worst case is above it is not begun."""
    cost: CostSection = CostSection()

    @model_validator(mode="after")
    def _rounds(self) -> LoadRecipe:
        if self.probe_jobs < 6 * self.probe_clients:
            raise ValueError(
                f"probe_jobs = {self.probe_jobs}: {self.probe_clients} clients need at least {6 * self.probe_clients} to find "
                "the capacity"
            )
        return self

    @property
    def stages(self) -> list[tuple[str, StageSection]]:
        """(compress or answer, who does it), in order."""
        sections = {"compress": self.compressor, "answer": self.predictor}
        return [(name, sections[name]) for name in self.job.split(", ")]

    @property
    def is_local(self) -> bool:
        return any(stage.base_url is None for _, stage in self.stages)

    @model_validator(mode="after")
    def _possible(self) -> LoadRecipe:
        refuse_twice("conditions", [condition.label for condition in self.conditions])
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds}: one stands twice")
        switched = [c.label for c in self.conditions if c.prefix_cache is not None]
        if switched and not self.is_local:
            raise ValueError(f"conditions {switched[0]!r}: prefix_cache is the local server's; no stage is served by it, drop it")
        return self


class HardInputsRecipe(Section):
    """eval/applications/stress.py inputs: seeded cases of each kind, and how often each compressor fails in which way."""

    output_dir: Name
    seed: Seed = 0
    """Draws the cases, and the compressions."""
    kinds: list[Name] | None = None
    """Kinds of `infoagent.data.sets.hard_cases`; None takes all."""
    cases: PositiveInt = 24
    """Of each kind."""
    min_words: PositiveInt = 80
    max_words: PositiveInt = 100
    """Of the records that cases are made of."""
    compressors: list[CompressorSection] = Field(min_length=1)
    variants: list[VariantSection] = Field(default_factory=list)
    """Prompts; each lm compressor is tried with each of them, in place of its own."""
    checkpoint: str | None = None
    """An adapter that takes the place of the first `lm` compressor and is paired with it, case by case."""
    predictor: PredictorSection | None = PredictorSection(mode="generation", max_tokens=16)
    """Who answers from the compression; None: nobody."""
    counterfactuals: NonNegativeInt = 4
    """Versions of a document with the asked value changed, for the information about it; 0 scores nothing."""
    context_tokens: PositiveInt | None = None
    """Treat every model as if it held no more than this, so that enormous documents stay affordable; None: its own."""
    long: Literal["parts", "error"] = "parts"
    """A document beyond the context is compressed part by part, or refused."""
    batch_size: PositiveInt = 16
    memory_mib: PositiveInt = 1024
    """Memory of a scoring pass in MiB, beside the weights and the cache of one document."""
    spending_limit_usd: NonNegativeFloat = 5.0
    """An endpoint is asked until this much was spent in output_dir, earlier runs included; then no request is sent."""
    cost: CostSection = CostSection()

    @model_validator(mode="after")
    def _possible(self) -> HardInputsRecipe:
        if any(c.kind == "closed-book" for c in self.compressors):
            raise ValueError("compressors: closed-book compresses nothing, so no input is hard for it; drop it")
        if any(c.model.adapter for c in self.compressors):
            raise ValueError("compressors: name the adapter as checkpoint, so that it is paired with its frozen self")
        if self.checkpoint is not None and not any(c.kind == "lm" for c in self.compressors):
            raise ValueError("compressors: none is of kind lm, whose place the checkpoint could take")
        if self.predictor is not None and self.predictor.how != "generation":
            raise ValueError("predictor: replies are looked at, so its mode must be generation")
        if self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is above max_words {self.max_words}")
        self.as_evaluation()  # its labels must differ as those of any grid
        return self

    def as_evaluation(self) -> EvaluationRecipe:
        """The grid's own recipe: what its compressors and its replies are made by."""
        return EvaluationRecipe(
            output_dir=self.output_dir,
            compressors=self.compressors,
            variants=self.variants,
            predictors=[] if self.predictor is None else [self.predictor],
            batch_size=self.batch_size,
            memory_mib=self.memory_mib,
            spending_limit_usd=self.spending_limit_usd,
            cost=self.cost,
        )
