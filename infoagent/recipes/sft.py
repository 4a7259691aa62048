"""The recipe of train/sft.py, and how samples are drawn for train/dpo.py as well."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from infoagent.config import Section
from infoagent.proposals.sources import SOURCES
from infoagent.recipes.sections import NonNegativeInt, PositiveFloat, PositiveInt
from infoagent.recipes.training import TrainingRecipe

CONVERSATIONS = ("histories", "record-histories", "shannon-turns")
"""Data sets whose problems are compactions of a history."""


class ProposalsSection(Section):
    """Texts of other sources than the policy, scored beside its samples: the best of all is the teacher."""

    sources: list[str] = Field(default=["bm25", "sentences", "clauses", "windows"])
    """Rows of `infoagent.proposals.sources`."""
    keep: PositiveInt | None = 8
    """So many of a problem's proposals are read by the scorer, chosen by a unigram critic; None: all of them."""
    shorten_rounds: NonNegativeInt = 1
    """Rounds of deletion from the best text so far, while its reward rises."""
    shorten_keep: PositiveInt = 8
    """Shorter texts that the scorer reads in a round."""
    greedy: bool = False
    """The policy's likeliest text as well."""
    yardstick: bool = False
    """Score as well what BM25 says in as many tokens as the best text has: it is never imitated, and tells what a picker gets at
    equal length."""
    given: list[str] = Field(default=[])
    """Directories of eval/frozen.py or eval/checkpoint.py on the same problems: what other models and endpoints wrote."""

    @field_validator("sources")
    @classmethod
    def _known(cls, names: list[str]) -> list[str]:
        for name in names:
            if name not in SOURCES:
                raise ValueError(f"{name!r}: no source; allowed: {', '.join(SOURCES)}")
        return names

    @model_validator(mode="after")
    def _some(self) -> ProposalsSection:
        if not self.sources and not self.given:
            raise ValueError("sources: empty, and nothing is given; name a source, or leave proposals out")
        return self


class SamplingSection(Section):
    """How compressions are drawn before they are scored."""

    samples: NonNegativeInt = 8
    """Compressions of each problem by the policy: the group in which the better ones are told from the worse ones. 0 with
    proposals alone."""
    proposals: ProposalsSection | None = None
    """Texts that stand beside them; None: the policy's own alone."""
    max_completion_tokens: PositiveInt = 40
    temperature: PositiveFloat = 1.0
    """At 1, untruncated, the frozen scorer is the sampler of the first round."""
    batch_problems: PositiveInt = 4
    """Problems whose samples are drawn together; each prompt is computed once for all its samples."""

    @property
    def texts(self) -> int:
        """Of a problem, about: samples, and proposals that the scorer reads."""
        more = self.proposals
        return self.samples + (
            0 if more is None else (more.keep or 4 * more.shorten_keep) + more.shorten_rounds * more.shorten_keep
        )

    @model_validator(mode="after")
    def _a_group(self) -> SamplingSection:
        if self.samples < 2 and self.proposals is None:
            raise ValueError(f"samples: {self.samples}; without proposals at least 2, of which one is better than the other")
        return self


class SelectionSection(Section):
    """Which samples are imitated."""

    top: PositiveInt | None = None
    """At most so many of each problem, under `reward.budget_range` of each length of a problem. None: 1 unless a quantile is given."""
    quantile: Annotated[float, Field(ge=0, le=1)] | None = None
    """In place of `top`: all samples at or above this quantile of their problem's rewards."""
    min_gain_nats: PositiveFloat = 0.05
    """Reward above the mean of the problem's samples, so that a problem without signal teaches nothing. A text that is its problem's
    only one has no mean to beat; it needs `min_reward_nats`."""
    min_reward_nats: float | None = None
    """Reward of its own, so that the best of a group of poor ones teaches nothing; None: any."""

    @model_validator(mode="after")
    def _one(self) -> SelectionSection:
        if self.top is not None and self.quantile is not None:
            raise ValueError(f"top {self.top} and quantile {self.quantile} are both set; give one")
        return self

    @property
    def rule(self) -> dict[str, Any]:
        """The arguments of `infoagent.training.selection.best_of_n`."""
        top = 1 if self.top is None and self.quantile is None else self.top
        return {"top": top, "quantile": self.quantile, "min_gain_nats": self.min_gain_nats, "min_reward_nats": self.min_reward_nats}


class FitSection(Section):
    """How an adapter is fitted to chosen texts."""

    epochs: PositiveInt = 2
    """Times that each example is seen."""
    batch_size: PositiveInt = 16
    """Examples in one optimizer step."""
    micro_batch: PositiveInt | None = None
    """Examples in one forward and backward; None takes batch_size."""
    learning_rate: PositiveFloat = 2e-4
    warmup_steps: NonNegativeInt = 3
    lr_scheduler: Literal["constant_with_warmup", "linear", "cosine"] = "constant_with_warmup"
    max_grad_norm: PositiveFloat = 1.0
    gradient_checkpointing: bool = False
    save_steps: PositiveInt = 20
    """Steps between two checkpoints; the last step is always kept."""

    @model_validator(mode="after")
    def _micro_batch(self) -> FitSection:
        if self.micro_batch and self.batch_size % self.micro_batch:
            raise ValueError(f"micro_batch {self.micro_batch} does not divide batch_size {self.batch_size}")
        return self


class SFTSection(FitSection):
    """Expert iteration: sample, keep the best, imitate them, and again from the new adapter."""

    rounds: PositiveInt = 2
    problems_per_round: PositiveInt | None = None
    """Each round takes the next slice of so many problems, from the start again when they are used up. None: all
    problems in every round."""
    carry: bool = False
    """Of growing conversations: a chosen text is imitated from its own part that was said before, as the memory so far, and the
    newest turns, in place of the whole history. A compactor's warm start: it learns to carry on what it holds."""


class SFTRecipe(TrainingRecipe):
    """train/sft.py: a compressor that imitates the best of its own samples, by the reward of all trainers."""

    sampling: SamplingSection = SamplingSection()
    selection: SelectionSection = SelectionSection()
    sft: SFTSection = SFTSection()

    @model_validator(mode="after")
    def _fixed_price(self) -> SFTRecipe:
        check_fixed_price(self, "train/sft.py", "budget")
        proposals = self.sampling.proposals
        if self.reward.budget_range is not None and (self.sampling.samples or proposals is None or proposals.greedy):
            raise ValueError(
                "reward.budget_range: a text is imitated as the answer to a budget of its own length, so nothing is sampled under one; "
                "set sampling.samples to 0 and name sampling.proposals without greedy, or use train/grpo.py"
            )
        self.reward.check_length(self.sampling.max_completion_tokens)
        if self.validation is not None and self.validation.every is not None:
            raise ValueError("validation.every: train/sft.py measures the checkpoint of each round; leave it out")
        others = [section.name for section in (self.data, *self.more_data) if section.name not in CONVERSATIONS]
        if self.sft.carry and others:
            raise ValueError(
                f"sft.carry: {', '.join(others)} is no growing conversation; take {' or '.join(CONVERSATIONS)}, or drop it"
            )
        return self


def check_fixed_price(recipe: TrainingRecipe, script: str, *moving: str) -> None:
    """Raise ValueError where one of the settings `moving` lets the price move while training: samples on a disk are worth what
    they were worth."""
    for name in moving:
        if getattr(recipe.reward, name) is not None:
            raise ValueError(f"reward.{name}: {script} ranks samples under a fixed price; set reward.price, or use train/grpo.py")
