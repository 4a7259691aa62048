"""Sections that several recipes share. The sentence under a field is its documentation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from infoagent.address import address_mistakes
from infoagent.config import Section
from infoagent.data.fact_types import FACT_TYPES, WEIGHTS
from infoagent.data.negative_kinds import NEGATIVES, Counts, hard_kinds
from infoagent.pricing.parts import check_weights
from infoagent.types import Dtype

Name = Annotated[str, Field(min_length=1)]
PositiveInt = Annotated[int, Field(ge=1)]
NonNegativeInt = Annotated[int, Field(ge=0)]
PositiveFloat = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NonNegativeFloat = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Seed = Annotated[int, Field(ge=0, lt=2**32)]


def plain_address(url: str) -> str:
    """`url`. Raises ValueError unless it is an http or https address without credentials or query."""
    if address_mistakes(url):
        raise ValueError("must be a plain http or https address, e.g. http://127.0.0.1:8400")
    return url


class ModelSection(Section):
    """Which language model."""

    name: Name = "smollm2-135m"
    """An embedded model (`infoagent models`), a hub id, a local directory, or a GGUF file."""
    revision: str | None = None
    """Hub revision; None takes the default branch. Name a commit to make a run repeatable."""
    dtype: Dtype = "auto"
    """Weights and arithmetic. auto: bfloat16 on an accelerator that has it, and on a processor that has it and is faster
    in it, by a product that is timed once; float32 else. Run, records and keys name the type that was taken. Log-softmax
    is always computed in float32."""
    adapter: str | None = None
    """A LoRA checkpoint directory to put on top."""


class DataSection(Section):
    """Which documents and questions."""

    name: Name = "records"
    """`records`, `python-reference`, your own `jsonl` or `text`, or a published set; see `infoagent data ls`."""
    path: str | None = None
    """File or folder, for data that is not embedded. None: a published set is read from the hub."""
    revision: str | None = None
    """Commit of a set that is read from the hub; None takes the pinned one of `infoagent data ls`."""
    questions: str | None = None
    """File of `infoagent questions`, for documents that bring none (text, wildchat, fineweb); None: cloze questions."""
    split: Literal["train", "validation", "test", "all"] = "test"
    """Splits are by record, topic or file, never by passage."""
    limit: PositiveInt | None = None
    """At most so many problems, drawn by `seed`."""
    min_words: PositiveInt | None = None
    """Shortest document in words; None takes the data set's own (records 80, passages 120)."""
    max_words: PositiveInt | None = None
    """Longest document in words; None takes the data set's own (records 400, passages 250)."""
    evidence_tokens: PositiveInt | None = None
    """financebench: pages are added to the answering ones up to so many tokens (words × 1.5); None: 8000."""
    skip_bad_files: bool = False
    """text: leave out the files that cannot be read, each named and counted; false: refuse the folder, all of them named."""
    every: PositiveInt | None = None
    """Histories: turns between two compactions; None: 3."""
    compactions: PositiveInt | None = None
    """Histories: how often each is compacted, a problem every time; None: 5."""
    facts: dict[str, NonNegativeFloat] | None = None
    """Histories: the weight of each type of fact that a memory may lose: numbers, dates, names, identifiers (1 each), rules (0)."""
    truncate: Literal["error", "head", "tail", "middle"] = "error"
    """What to do with a document longer than the model's context: refuse it, or keep its head, its tail, or both
    ends without the middle."""
    seed: Seed = 0
    """Draws records, blanks and limits."""

    @field_validator("facts")
    @classmethod
    def _types(cls, weights: dict[str, float] | None) -> dict[str, float] | None:
        if unknown := sorted(set(weights or ()) - set(FACT_TYPES)):
            raise ValueError(f"{', '.join(unknown)}: no type of fact; allowed: {', '.join(FACT_TYPES)}")
        if weights is not None and not any({**WEIGHTS, **weights}.values()):
            raise ValueError("every type has the weight 0, so that no fact could be lost; give one a weight")
        return weights

    @model_validator(mode="after")
    def _words(self) -> DataSection:
        if self.min_words and self.max_words and self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is above max_words {self.max_words}")
        return self

    @property
    def asked(self) -> dict[str, Any]:
        """The arguments of `infoagent.data.registry.load_data`."""
        return self.model_dump(exclude={"truncate"})


class NegativesSection(Section):
    """How many documents of each kind stand beside the source. Drawn once, by seed, before training. Texts that differ only in
    white space, case or Unicode form are one document, and none stands as a negative of itself."""

    random: NonNegativeInt = 3
    """Other documents of the set: what they measure is which document."""
    topic: NonNegativeInt = 0
    """Documents of the same group."""
    sibling: NonNegativeInt = 0
    """Other parts of the same longer text."""
    counterfactual: NonNegativeInt = 4
    """The same document with the asked fact changed: what they measure is the fact."""
    # a further row of the table has its number as well, 0 unless it is named
    __annotations__.update({**dict.fromkeys(NEGATIVES, "NonNegativeInt"), **__annotations__})
    vars().update({**dict.fromkeys(NEGATIVES, 0), **vars()})
    watch_only: bool = False
    """Score the counterfactual ones and log them (mi/hard_nats), but pay nothing for them: what a policy learns without
    them can then be seen."""
    missing: Literal["leave_out", "fill", "refuse"] = "leave_out"
    """What happens to a problem that has fewer of a kind than asked for. `leave_out`: it is not used, and counted. `fill`:
    other negatives, the hardest that there are, take the missing places, so that every problem has as many candidates; how
    many problems that concerns is counted. `refuse`: an error that counts all of them."""
    seed: Seed = 0

    @property
    def counts(self) -> Counts:
        """How many of each kind, and what happens where there are fewer."""
        told = {"random", "topic", "sibling", "counterfactual", "missing"}
        return Counts(**self.model_dump(include=told), more={k: getattr(self, k) for k in NEGATIVES if k not in told})

    @property
    def total(self) -> int:
        return sum(getattr(self, kind) for kind in NEGATIVES)

    @property
    def hard(self) -> int:
        """How many have the facts changed."""
        return sum(getattr(self, kind) for kind in hard_kinds())

    @model_validator(mode="after")
    def _some(self) -> NegativesSection:
        if self.total == 0:
            raise ValueError(f"at least one of {', '.join(NEGATIVES)} must be above 0")
        if self.watch_only and self.total == self.hard:
            raise ValueError("watch_only with counterfactual documents alone: nothing is paid for; add random ones")
        if self.watch_only and self.missing == "fill":
            raise ValueError(
                "watch_only with missing fill: what takes the place of a watched document would be paid for; "
                "set missing to leave_out"
            )
        return self


class PromptSection(Section):
    """What the compressor is told."""

    template: Name = "query-v1"
    """A versioned template of `infoagent.lm.prompts`."""
    budget_words: PositiveInt | None = None
    """Named in the prompt; None leaves the length to the model."""
    budget_tokens: PositiveInt | None = None
    """The same in tokens: what an any-rate adapter (reward.budget_range) has learnt to follow."""
    sentences: PositiveInt | None = None
    """The exact number of sentences: for the templates sentences-…, which need it and take no budget."""
    pick_tokens: Annotated[int, Field(ge=16)] | None = None
    """Of the document the compressor reads so many tokens: the sentences that BM25 finds for the question, the best last. None:
    all of it."""

    @model_validator(mode="after")
    def _one_length(self) -> PromptSection:
        if self.budget_words is not None and self.budget_tokens is not None:
            raise ValueError("budget_words and budget_tokens are both set; name one")
        counts_sentences = self.template.startswith("sentences-")
        if counts_sentences and self.sentences is None:
            raise ValueError(f"template {self.template!r} names a number of sentences; set sentences, e.g. to 3")
        if not counts_sentences and self.sentences is not None:
            raise ValueError(f"sentences {self.sentences}: template {self.template!r} names none; set template to sentences-v1")
        if counts_sentences and (self.budget_words or self.budget_tokens):
            raise ValueError(f"template {self.template!r} names no budget beside its number of sentences; drop the budget")
        return self


class RewardSection(Section):
    """What a compression earns minus what it costs, in nats, with gates; the parts stand in
    infoagent/pricing/parts.py."""

    objective: Literal["infonce", "clipped", "tv"] = "infonce"
    """`infonce`: log K + log r, the estimate itself. `clipped`: the lead over each negative counts up to clip_nats.
    `tv`: total variation, at most 1 whatever the scorer says."""
    clip_nats: PositiveFloat = 3.0
    """For `clipped`: the most that the lead over one negative counts, either way."""
    critic_scale: PositiveFloat = 1.0
    """Factor on the scorer's log-probabilities, where it reads other than the policy read (grpo.loop); any is a bound, that of
    `infoagent calibrate` the best."""
    information_weight: NonNegativeFloat = 1.0
    """Weight of the objective."""
    answer_weight: NonNegativeFloat = 0.0
    """Weight of log p(answer | z, q) − log p(answer | no notes, q) under the frozen base (information bottleneck)."""
    unsupported_nats: NonNegativeFloat = 0.0
    """Paid for each number or name that the document does not have."""
    price: NonNegativeFloat | None = None
    """Nats per unit of rate: what a token must carry to be worth its place. None: 0.02; 0 under budget_range."""
    rate: Literal["tokens", "bytes"] = "tokens"
    """Unit of the rate; bytes resist token games."""
    budget: PositiveFloat | None = None
    """Mean rate to meet: the price is moved until it is met (dual ascent). In place of a price."""
    price_start: NonNegativeFloat = 0.02
    """With `budget`: the price of the first steps."""
    price_step: PositiveFloat = 0.01
    """With `budget`: nats per unit that the price moves in a step for each 100 % that the mean rate is off."""
    price_max: PositiveFloat = 0.5
    """With `budget`: the price stays between 0 and this."""
    price_warmup_steps: NonNegativeInt = 5
    """With `budget`: steps before the price moves, while the policy first learns what to keep."""
    budget_range: Annotated[list[PositiveInt], Field(min_length=2, max_length=2)] | None = None
    """[low, high]: any rate. Each prompt names a budget in tokens, drawn from this range (evenly on a log scale)."""
    over_nats: NonNegativeFloat = 0.1
    """With `budget_range`: paid for each token beyond the prompt's budget."""
    under_nats: NonNegativeFloat = 0.02
    """With `budget_range`: paid for each token short of the prompt's budget."""
    truncated_penalty_nats: NonNegativeFloat = 0.5
    """Subtracted when the text was cut off at the length limit."""
    gate_nats: Annotated[float, Field(le=0, allow_inf_nan=False)] = -1.0
    """The whole reward of an empty or looping text: below what silence would earn."""
    parts: dict[str, Annotated[float, Field(allow_inf_nan=False)]] | None = None
    """Weights in nats of further parts, by name: rows of infoagent/pricing/parts.py that have no key here."""
    max_failed_share: Annotated[float, Field(ge=0, le=1)] = 0.1
    """The run stops when the scorer fails on more than this share of the last 100 compressions."""

    @model_validator(mode="after")
    def _possible(self) -> RewardSection:
        if self.information_weight == self.answer_weight == 0:
            raise ValueError("information_weight and answer_weight are both 0: nothing rewards what is kept; raise one")
        chosen = [name for name in ("price", "budget") if getattr(self, name) is not None]
        if len(chosen) == 2:
            raise ValueError(
                f"price {self.price} and budget {self.budget:g} are both set: give a price, or a budget for which the price is found"
            )
        if self.budget is not None and self.budget_range is not None:
            raise ValueError("budget and budget_range are both set: one mean rate for all, or a budget in each prompt")
        if self.budget is not None and self.budget < 1:
            raise ValueError(f"budget {self.budget:g}: must be at least 1")
        if self.budget is not None and self.price_start > self.price_max:
            raise ValueError(f"price_start {self.price_start:g} is above price_max {self.price_max:g}")
        if self.budget_range is not None and self.budget_range[0] > self.budget_range[1]:
            raise ValueError(f"budget_range {self.budget_range}: the first number must not be above the second")
        if self.budget_range is not None and self.rate != "tokens":
            raise ValueError("budget_range names tokens in the prompt; set rate to tokens")
        check_weights(self.parts or {})
        return self

    @property
    def first_price(self) -> float:
        """Nats per unit of rate in the first step."""
        if self.price is not None:
            return self.price
        return self.price_start if self.budget is not None else 0.0 if self.budget_range is not None else 0.02

    def check_length(self, max_completion_tokens: int) -> None:
        """Raise ValueError where a budget can never be reached. Bytes have no limit that is known before."""
        highest = None if self.budget_range is None else self.budget_range[1]
        for name, value in (("budget", self.budget), ("budget_range", highest)):
            if value is not None and self.rate == "tokens" and value > max_completion_tokens:
                raise ValueError(f"reward.{name}: {value:g} is above max_completion_tokens {max_completion_tokens}")


ValidationMetric = Literal[
    "objective/nats",
    "objective/hard_nats",
    "mi/nats",
    "mi/easy_nats",
    "mi/hard_nats",
    "mi/bits_per_token",
    "rate/tokens",
    "rate/bytes",
    "distortion/fact_missing",
    "faithfulness/unsupported",
    "reward/total",
]


class ValidationSection(Section):
    """Compressions of the data's validation split at checkpoints, and the checkpoint that does best there.

    What chooses a checkpoint must not report it, so the test split is left to eval/.
    """

    limit: PositiveInt = 32
    """At most so many problems of each data set, drawn by the data's seed."""
    every: PositiveInt | None = None
    """Steps between two measurements, a multiple of the steps between checkpoints; None: at each checkpoint."""
    metric: ValidationMetric = "objective/nats"
    """What the best checkpoint is best in; whether more or less is better is known."""
    temperature: NonNegativeFloat = 1.0
    """Of the sampled compressions; 0 is greedy. At 1 the values compare with those of training."""
    price: NonNegativeFloat | None = None
    """Nats per unit of rate in objective/…; None takes reward.price, 0.02 where a budget moves it."""
    batch_size: PositiveInt = 16
    """Compressions generated together."""
    seed: Seed = 0
    """Of the samples: the same draws at every checkpoint."""


class EngineSection(Section):
    """What a vLLM engine takes for itself."""

    gpu_memory_utilization: Annotated[float, Field(gt=0, le=1)] = 0.3
    """Share of the GPU's memory for its weights and cache."""
    tensor_parallel_size: PositiveInt = 1
    """GPUs that one engine spreads over."""
    max_model_length: PositiveInt | None = None
    """Tokens of the longest prompt and its reply; None: what the model holds."""


class VllmSection(EngineSection):
    """Completions of training written by vLLM, through TRL. Needs a CUDA device and the extra `infoagent[vllm]`."""

    enabled: bool = False
    mode: Literal["colocate", "server"] = "colocate"
    """`colocate`: in the trainer's own processes. `server`: `vllm serve` on other GPUs, which gets the policy's weights
    after each step."""
    server_base_url: str = "http://127.0.0.1:8000"
    """For mode server: where `trl vllm-serve --model MODEL` listens."""
    server_patience_seconds: NonNegativeFloat = 0.0
    """For mode server: wait so long for one that is starting; 0: it must be up."""
    enable_sleep_mode: bool = False
    """Frees vLLM's memory during the optimizer step (colocate)."""

    @field_validator("server_base_url")
    @classmethod
    def _address(cls, url: str) -> str:
        return plain_address(url).rstrip("/")


class ScorerSection(Section):
    """Who computes log p(z | x, q) for the reward."""

    model: ModelSection | None = None
    """None: the base model itself, with the adapter disabled, at no extra memory. A frozen model by name else."""
    url: str | None = None
    """Where `infoagent serve` offers that model, e.g. http://127.0.0.1:8400; None: it is computed here. A server needs
    no copy of the base on each process of a sharded run."""
    patience_seconds: PositiveFloat = 300.0
    """With `url`: a request is tried again for so long, until its compressions count as failed."""
    memory_mib: PositiveInt = 1024
    """Memory of a scoring pass in MiB, beside the weights and the cache of one document; a server has its own."""
    remember: NonNegativeInt = 0
    """Keep so many log-probabilities, for sources so small that the same texts come again; 0 keeps none."""

    @field_validator("url")
    @classmethod
    def _address(cls, url: str | None) -> str | None:
        return None if url is None else plain_address(url)


class AuditSection(Section):
    """Is the reward being cheated? Measures of the texts, accuracy, and flags in audit.json. Of train/grpo.py's steps: the others
    imitate texts that were scored before."""

    enabled: bool = True
    every: PositiveInt = 5
    """Steps between two measurements of accuracy, where the data has choices; one takes about a third of the time of
    a step's scoring. The texts are measured at every step."""
    closed_book: NonNegativeInt = 32
    """Questions that are answered without any notes at step 1, the first of the data that have choices; 0: none."""


class TrackingSection(Section):
    """Metrics go to metrics.jsonl always, and to W&B."""

    wandb: Literal["auto", "online", "offline", "disabled"] = "auto"
    """auto: online where a login is found, offline else; never an interactive prompt. WANDB_MODE wins,
    except over disabled."""
    project: Name = "infoagent"
    group: Name | None = None
    """Runs that stand together; None: WANDB_RUN_GROUP, else the name of output_dir. The evaluation of a checkpoint takes
    the group of the run that trained it."""
    artifacts: Literal["none", "last", "all"] = "last"
    """Adapters that go to W&B when training has ended: the last complete checkpoint and the best one, all that are
    there, or none."""
    samples_every: PositiveInt = 5
    """Steps between two tables of sample compressions, in train/grpo.py."""


def refuse_twice(what: str, labels: Sequence[str]) -> None:
    """Raise ValueError where two sections of the list `what` have one label."""
    if twice := sorted({label for label in labels if labels.count(label) > 1}):
        raise ValueError(f"{what}: the label {twice[0]!r} stands twice; each needs its own")
