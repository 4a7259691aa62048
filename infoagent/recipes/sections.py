"""Sections that several recipes share. The sentence under a field is its documentation."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infoagent.config import Section

Name = Annotated[str, Field(min_length=1)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


class ModelSection(Section):
    """Which language model."""

    name: Name = "smollm2-135m"
    """An embedded model (`infoagent models`), a hub id, or a local directory."""
    revision: str | None = None
    """Hub revision; None takes the default branch. Name a commit to make a run repeatable."""
    dtype: Literal["float32", "bfloat16"] = "bfloat16"
    """Weights and arithmetic. Log-softmax is always computed in float32."""
    adapter: str | None = None
    """A LoRA checkpoint directory to put on top."""


class DataSection(Section):
    """Which documents and questions."""

    name: Name = "records"
    """`records`, `python-reference`, `jsonl` or `text`; see `infoagent data ls`."""
    path: str | None = None
    """File or folder, for data that is not embedded."""
    split: Literal["train", "validation", "test", "all"] = "test"
    """Splits are by record, topic or file, never by passage."""
    limit: PositiveInt | None = None
    """At most so many problems, drawn by `seed`."""
    min_words: PositiveInt | None = None
    """Shortest document in words; None takes the data set's own (records 80, passages 120)."""
    max_words: PositiveInt | None = None
    """Longest document in words; None takes the data set's own (records 400, passages 250)."""
    truncate: Literal["error", "head", "tail", "middle"] = "error"
    """What to do with a document longer than the model's context: refuse it, or keep its head, its tail, or both
    ends without the middle."""
    seed: Seed = 0
    """Draws records, blanks and limits."""

    @model_validator(mode="after")
    def _words(self) -> DataSection:
        if self.min_words and self.max_words and self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is above max_words {self.max_words}")
        return self


class NegativesSection(Section):
    """How many documents of each kind stand beside the source. Drawn once, by seed, before training."""

    random: NonNegativeInt = 3
    """Other documents of the set: what they measure is which document."""
    topic: NonNegativeInt = 0
    """Documents of the same group."""
    sibling: NonNegativeInt = 0
    """Other parts of the same longer text."""
    counterfactual: NonNegativeInt = 4
    """The same document with the asked fact changed: what they measure is the fact."""
    seed: Seed = 0

    @property
    def total(self) -> int:
        return self.random + self.topic + self.sibling + self.counterfactual

    @model_validator(mode="after")
    def _some(self) -> NegativesSection:
        if self.total == 0:
            raise ValueError("at least one of random, topic, sibling, counterfactual must be above 0")
        return self


class PromptSection(Section):
    """What the compressor is told."""

    template: Name = "query-v1"
    """A versioned template of `infoagent.lm.prompts`."""
    budget_words: PositiveInt | None = None
    """Named in the prompt; None leaves the length to the model."""


class RewardSection(Section):
    """MI(z) − price · rate(z), in nats, with gates."""

    price: NonNegativeFloat = 0.02
    """Nats per unit of rate: what a token must carry to be worth its place."""
    rate: Literal["tokens", "bytes"] = "tokens"
    """Unit of the rate; bytes resist token games."""
    truncated_penalty_nats: NonNegativeFloat = 0.5
    """Subtracted when the text was cut off at the length limit."""
    gate_nats: Annotated[float, Field(le=0, allow_inf_nan=False)] = -1.0
    """The whole reward of an empty or looping text: below what silence would earn."""


class LoraSection(Section):
    """The adapter that is trained."""

    r: PositiveInt = 16
    alpha: PositiveInt = 32
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    targets: str | list[str] = "all-linear"
    """`all-linear` or a list of module names."""


class VllmSection(Section):
    """Generation by vLLM, passed through to TRL."""

    enabled: bool = False
    mode: Literal["colocate", "server"] = "colocate"
    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.3
    tensor_parallel_size: PositiveInt = 1
    max_model_length: PositiveInt | None = None
    server_base_url: str | None = None
    """For mode server: the address that `trl vllm-serve` printed."""
    enable_sleep_mode: bool = False
    """Frees vLLM's memory during the optimizer step (colocate)."""


class ScorerSection(Section):
    """Who computes log p(z | x, q) for the reward."""

    model: ModelSection | None = None
    """None: the base model itself, with the adapter disabled, at no extra memory. A frozen model by name else."""
    memory_mib: PositiveInt = 1024
    """Memory of a scoring pass in MiB, beside the weights and the cache of one document."""


class TrackingSection(Section):
    """Metrics go to metrics.jsonl always, and to W&B."""

    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    """auto: online where a login is found, offline else; never an interactive prompt. WANDB_MODE wins."""
    project: Name = "infoagent"
    group: str | None = None
    samples_every: PositiveInt = 5
    """Steps between two tables of sample compressions."""


class CostSection(Section):
    """For estimates of --dry-run only."""

    gflops_per_second: PositiveFloat = 100.0
    """Sustained rate of the machine; about 100 for two desktop cores, 300,000 for an H100 in bfloat16."""
    usd_per_hour: NonNegativeFloat = 0.0
    """Price of the machine."""
