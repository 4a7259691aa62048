"""The recipe of eval/applications/deep_research.py."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from infoagent.baselines import PICKERS
from infoagent.config import Section
from infoagent.recipes.cost_sections import CostSection
from infoagent.recipes.evaluation import CompressorSection, EndpointSection, PredictorSection, ServedSection
from infoagent.recipes.sections import (
    DataSection,
    Name,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PromptSection,
    Seed,
    TrackingSection,
    plain_address,
    refuse_twice,
)

JUDGE_TOKENS = 120
"""Of the JSON object that a judge in mode generation replies."""
Dimension = Literal["comprehensiveness", "depth", "instruction following", "readability"]


class TasksSection(Section):
    """What reports are written on."""

    path: str | None = None
    """A JSONL file: id, task, and optionally reference (a report to compare with) and facts (values that a report should
    state). None: tasks built from the `records` of search.corpus.data, where everything that is asked is known."""
    limit: PositiveInt = 20
    """So many of the file's tasks, the first ones; or so many are built."""
    records: PositiveInt = 2
    """Built tasks: records that one task asks about."""
    facts: PositiveInt = 2
    """Built tasks: facts that are asked of each record."""


class CorpusSection(Section):
    """Documents on this machine, found by BM25. One of the three."""

    data: DataSection | None = None
    """The documents of a registered data set."""
    folder: str | None = None
    """All .txt, .md and .pdf files below a folder, in passages."""
    file: str | None = None
    """A JSONL file with id and text, and optionally title and address, in each row."""
    max_words: PositiveInt = 250
    """Longest passage of a folder's files."""
    skip_bad_files: bool = False
    """Leave out the files of a folder that cannot be read, each named; false: refuse it, all of them named."""

    @model_validator(mode="after")
    def _one(self) -> CorpusSection:
        given = [name for name in ("data", "folder", "file") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(f"data, folder, file: give one of the three, got {len(given)}")
        return self


class WebSection(Section):
    """A search API in Brave's form and a reader API (page → text) in Jina's, by key, recorded as they answer."""

    search_url: Name = "https://api.search.brave.com/res/v1/web/search"
    search_key_env: str | None = "BRAVE_API_KEY"
    """The environment variable that holds the key; None for a server without one."""
    reader_url: Name = "https://r.jina.ai"
    reader_key_env: str | None = "JINA_API_KEY"
    responses: str | None = None
    """File to which every response is appended; None: responses.jsonl in output_dir."""
    replay: bool = False
    """Answer from `responses` alone: no network, no key, nothing to pay."""
    timeout_seconds: PositiveFloat = 30.0
    """Of one response, from its request to its last byte."""
    retries: NonNegativeInt = 3
    """After 429, 5xx and broken connections; never after a time-out, which may have to be paid."""
    backoff_seconds: PositiveFloat = 1.0
    usd_per_search: NonNegativeFloat = 0.0
    """Price of one search; it counts against spending_limit_usd."""
    usd_per_fetch: NonNegativeFloat = 0.0
    """Price of reading one page."""

    @field_validator("search_url", "reader_url")
    @classmethod
    def _address(cls, url: str) -> str:
        return plain_address(url)


class SearchSection(Section):
    """Where sources come from: `corpus` or `web`."""

    corpus: CorpusSection | None = None
    web: WebSection | None = None
    concurrency: Annotated[int, Field(ge=1, le=64)] = 4
    """Searches, and pages, at a time."""

    @model_validator(mode="after")
    def _one(self) -> SearchSection:
        if (self.corpus is None) == (self.web is None):
            raise ValueError("corpus and web: give one of the two")
        return self


class SystemSection(CompressorSection):
    """One research system: what its predictor gets to read of each source. `full-document` hands over whole sources,
    `lead` and its like sentences, `lm` a compression for the query, `closed-book` nothing at all."""

    prompt: PromptSection = PromptSection()
    endpoint: EndpointSection | None = None
    """An `lm` that is asked over HTTP; its name there is model.name."""
    provider: str | None = None
    """Whose price, with `endpoint`; None takes the one that the model's name tells."""
    engine: Literal["hf", "vllm"] = "hf"
    """Who runs an `lm` of this machine."""

    @model_validator(mode="after")
    def _writes(self) -> SystemSection:
        if self.kind in PICKERS and PICKERS[self.kind].told:
            raise ValueError(f"{self.label!r}: kind {self.kind} needs questions with known evidence; take another kind")
        if self.endpoint is not None and (self.kind != "lm" or self.model.adapter is not None):
            raise ValueError(f"{self.label!r}: endpoint belongs to kind lm, without an adapter: name the served one as the model")
        return self

    @property
    def writer(self) -> PredictorSection:
        """Of an `lm`: who writes the compressions."""
        kind: Literal["lm", "vllm", "endpoint"] = "vllm" if self.engine == "vllm" else "lm"
        return PredictorSection(
            **self.model.model_dump(),
            kind="endpoint" if self.endpoint is not None else kind,
            mode="generation",
            max_tokens=self.max_tokens,
            temperature=self.temperature,
            endpoint=self.endpoint,
            provider=self.provider,
        )


class JudgeSection(Section):
    """Who judges reports, and by what."""

    model: PredictorSection = PredictorSection()
    """In mode likelihood (the default of an lm): the expected score over the likelihoods of 1 to 10, for each text alone.
    In mode generation: both reports together, a JSON object with scores from 0 to 10."""
    weights: dict[Dimension, NonNegativeFloat] = Field(
        default={"comprehensiveness": 0.25, "depth": 0.25, "instruction following": 0.25, "readability": 0.25}
    )
    """Of the dimensions; what is left out is not scored."""
    citations: Literal["lexical", "judge"] = "lexical"
    """Whether a cited source says the sentence: by its words, numbers and names, or asked of the judge."""

    @model_validator(mode="after")
    def _possible(self) -> JudgeSection:
        if self.model.how == "generation" and self.model.max_tokens < JUDGE_TOKENS:
            raise ValueError(
                f"model.max_tokens {self.model.max_tokens}: the scores of both reports take up to {JUDGE_TOKENS} tokens; raise it"
            )
        if not sum(self.weights.values()) > 0:
            raise ValueError("weights: at least one must be above 0")
        return self


class ResearchRecipe(Section):
    """eval/applications/deep_research.py: plan, search, read, compress, report; systems that differ in the compression alone."""

    output_dir: Name
    tasks: TasksSection = TasksSection()
    search: SearchSection
    systems: list[SystemSection] = Field(min_length=1)
    """The first is what the others are compared with."""
    checkpoint: str | None = None
    """An adapter: a system like the first `lm` one, with it on top, joins the list."""
    predictor: PredictorSection = PredictorSection(max_tokens=2000, temperature=0.6)
    """Plans the queries and writes the report; max_tokens and temperature are the report's."""
    plan_tokens: PositiveInt = 256
    """Longest plan."""
    queries: PositiveInt = 8
    """Of each task."""
    sources: PositiveInt = 10
    """Of each query."""
    source_characters: PositiveInt = 8000
    """Of each source; what is beyond is read by nobody."""
    runs: PositiveInt = 1
    """Each task is done so many times, with other draws; systems share plan and sources of a run."""
    judge: JudgeSection | None = JudgeSection()
    """None: no rubric; facts and citations are still counted."""
    batch_size: PositiveInt = 8
    """Texts that a model of this machine writes together."""
    memory_mib: PositiveInt = 1024
    """Memory of a scoring pass in MiB, beside the weights and the cache of one document."""
    vllm: ServedSection = ServedSection()
    spending_limit_usd: NonNegativeFloat = 5.0
    """Endpoints and web APIs are asked until this much was spent in output_dir, earlier runs included; then the run
    stops, and goes on where it was when it is called again with a higher limit."""
    seed: Seed = 0
    """Of the replies that are drawn; the corpus and built tasks follow search.corpus.data.seed."""
    tracking: TrackingSection = TrackingSection(wandb="disabled")
    cost: CostSection = CostSection()

    @model_validator(mode="after")
    def _possible(self) -> ResearchRecipe:
        labels = [s.label for s in self.systems]
        refuse_twice("systems", labels)
        if self.predictor.mode == "likelihood":
            raise ValueError("predictor.mode 'likelihood': a report has to be written; leave the mode out")
        data = None if self.search.corpus is None else self.search.corpus.data
        if self.tasks.path is None and (data is None or data.name != "records" or data.split == "all"):
            raise ValueError(
                "tasks.path: must be given, since tasks are built from records alone (search.corpus.data.name records, one split)"
            )
        if self.tasks.path is None and data is not None and data.limit is None:
            raise ValueError("search.corpus.data.limit: must be given for built tasks: the number of records searched")
        return self

    @property
    def planner(self) -> PredictorSection:
        return self.predictor.model_copy(update={"mode": "generation", "max_tokens": self.plan_tokens})

    @property
    def reporter(self) -> PredictorSection:
        return self.predictor.model_copy(update={"mode": "generation"})

    @property
    def asked(self) -> list[PredictorSection]:
        """Every language model of the recipe, judge included."""
        judges = [] if self.judge is None else [self.judge.model]
        return [self.reporter, *(s.writer for s in self.systems if s.kind == "lm"), *judges]
