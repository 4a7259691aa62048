"""The recipes of eval/stress.py."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from infoagent.config import Section
from infoagent.recipes.sections import (
    CostSection,
    DataSection,
    Name,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PromptSection,
    Seed,
    plain_address,
)


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
            raise ValueError(
                "base_url and name (the model to ask for) belong together; leave out both for the local one"
            )
        return self


class LocalServerSection(Section):
    """`infoagent serve --generate`, started for the run and ended with it: one worker, one reply at a time."""

    model: Name = "smollm2-135m"
    """An embedded model, a hub id, or a directory, such as `infoagent merge` makes of an adapter."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"


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


class HardInputsRecipe(Section):
    """eval/stress.py inputs."""

    output_dir: Name


class LoadRecipe(Section):
    """eval/stress.py load: jobs that arrive by a Poisson process, whether or not the earlier ones are done."""

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
    """Its clients: 2 keep one worker busy; as many as the server batches otherwise."""
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
        labels = [condition.label for condition in self.conditions]
        if len(set(labels)) < len(labels):
            raise ValueError(
                f"conditions: the label {max(labels, key=labels.count)!r} stands twice; each needs its own"
            )
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {self.seeds}: one stands twice")
        switched = [c.label for c in self.conditions if c.prefix_cache is not None]
        if switched and not self.is_local:
            raise ValueError(
                f"conditions {switched[0]!r}: prefix_cache is the local server's; no stage is served by it, drop it"
            )
        return self
