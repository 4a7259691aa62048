"""The schema of each recipe. The sentence under a field is its documentation."""

from __future__ import annotations

from typing import Annotated, Any, Literal

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


class GRPOSection(Section):
    """The algorithm. Defaults follow what is known to be unbiased by length (dr_grpo, no reward scaling)."""

    steps: PositiveInt = 100
    prompts_per_step: PositiveInt = 2
    """Different problems in one optimizer step, over all processes together."""
    num_generations: Annotated[int, Field(ge=2)] = 8
    """Completions of each problem: the group whose mean is the baseline."""
    max_completion_tokens: PositiveInt = 40
    micro_batch: PositiveInt | None = None
    """Completions in one forward and backward of one process; None takes num_generations."""
    learning_rate: PositiveFloat = 2e-4
    warmup_steps: NonNegativeInt = 3
    lr_scheduler: Literal["constant_with_warmup", "linear", "cosine"] = "constant_with_warmup"
    max_grad_norm: PositiveFloat = 1.0
    temperature: PositiveFloat = 1.0
    """At 1, untruncated, the frozen scorer is the sampler of step 0."""
    beta: NonNegativeFloat = 0.01
    """KL to the frozen base, nats of reward per nat of KL: word salad that still names the fact pays for it."""
    loss_type: Literal["dr_grpo", "dapo", "grpo", "bnpo"] = "dr_grpo"
    scale_rewards: Literal["none", "group", "batch"] = "none"
    gradient_checkpointing: bool = False
    save_steps: PositiveInt = 25
    save_total_limit: PositiveInt | None = None
    """Keep so many checkpoints; None keeps all."""

    @model_validator(mode="after")
    def _micro_batch(self) -> GRPOSection:
        completions = self.prompts_per_step * self.num_generations
        if self.micro_batch and completions % self.micro_batch:
            raise ValueError(
                f"micro_batch {self.micro_batch} does not divide prompts_per_step × num_generations = {completions}"
            )
        return self


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


class GRPORecipe(Section):
    """train/grpo.py: reinforcement learning of a compressor against MI − price · rate."""

    output_dir: Name
    """Checkpoints, metrics.jsonl, run.json and samples go here."""
    seed: Seed = 0
    resume: bool = True
    """Go on from the last complete checkpoint in output_dir if there is one."""
    init_adapter: str | None = None
    """Start from this adapter (a warm start) instead of a fresh one."""
    model: ModelSection = ModelSection()
    data: DataSection = DataSection(split="train")
    prompt: PromptSection = PromptSection()
    negatives: NegativesSection = NegativesSection()
    reward: RewardSection = RewardSection()
    scorer: ScorerSection = ScorerSection()
    lora: LoraSection = LoraSection()
    grpo: GRPOSection = GRPOSection()
    vllm: VllmSection = VllmSection()
    tracking: TrackingSection = TrackingSection()
    cost: CostSection = CostSection()


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


PRESETS: dict[str, dict[str, Any]] = {
    # N = M = 20, temperature 0.7, random documents alone; the printed value is clipped at 0 as in the paper
    "paper": {
        "documents": 20,
        "samples": 20,
        "counterfactuals": 0,
        "print_clipped": True,
        "compressor": {"temperature": 0.7},
    },
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
        if self.near == 1:
            raise ValueError("near 1: one near document tells nothing about the others; set near to 0, or to 2 or more")
        if self.near and self.far is None:
            raise ValueError(f"near {self.near} without far: set far as well, or near to 0 to score the whole pool")
        if self.far is not None and self.near + self.far >= self.documents:
            raise ValueError(f"near {self.near} + far {self.far}: not below documents {self.documents}; leave far out")
        if self.calibration is not None and self.scorer is None:
            raise ValueError("calibration without scorer: a compressor that scores itself needs none")
        return self


RECIPES: dict[str, type[Section]] = {
    "train/grpo.py": GRPORecipe, "eval/frozen.py": EvaluationRecipe, "eval/information.py": InformationRecipe,
}  # fmt: skip


def recipe_schema(keys: set[str]) -> type[Section]:
    """The schema whose fields cover most of `keys`: recipes carry no type field, their keys tell."""
    return max(RECIPES.values(), key=lambda schema: len(keys & set(schema.model_fields)))
