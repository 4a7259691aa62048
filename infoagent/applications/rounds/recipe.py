"""The recipes of eval/applications/rounds.py and eval/applications/compaction.py."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from infoagent.baselines import PICKERS, picker_of
from infoagent.config import Section
from infoagent.lm.prompts import names_question
from infoagent.recipes.compressors import one_of
from infoagent.recipes.cost_sections import CostSection
from infoagent.recipes.evaluation import CompressorSection, EvaluationRecipe, GradingSection, PredictorSection
from infoagent.recipes.sections import (
    DataSection,
    ModelSection,
    Name,
    NegativesSection,
    NonNegativeFloat,
    NonNegativeInt,
    PositiveFloat,
    PositiveInt,
    PromptSection,
    Seed,
    TrackingSection,
    refuse_twice,
)
from infoagent.types import ANCHORS


def _kinds() -> list[str]:
    """Of a compactor; the facts of a history have no evidence, and its notes are whole sentences."""
    return ["lm", *(p.kind for p in PICKERS.values() if p.order is not None and not p.told), *ANCHORS]


def _refuse_template(label: str, template: str) -> None:
    """Thoughts and forms are no z of these recipes."""
    if template.startswith("think-"):
        raise ValueError(f"{label!r}: prompt.template {template!r} asks for a thought, which is not offered here; take query-v1")
    if "form-" in template:
        raise ValueError(f"{label!r}: prompt.template {template!r} names a form, which is not offered here; take query-v1")


class StepsRecipe(Section):
    """What both recipes have."""

    output_dir: Name
    seed: Seed = 0
    """Of all draws."""
    checkpoint: str | None = None
    """An adapter to stand beside the frozen ones: a copy of the first language model with it, and with the prompt that it
    was trained with."""
    predictor: PredictorSection = PredictorSection()
    """Who reads and answers. Kinds lm and endpoint."""
    grading: GradingSection = GradingSection()
    batch_size: PositiveInt = 16
    memory_mib: PositiveInt = 1024
    """Memory of a scoring pass in MiB, beside the weights and the cache of one document."""
    spending_limit_usd: NonNegativeFloat = 5.0
    """Endpoints are asked until this much was spent in output_dir, earlier runs included; then no request is sent."""
    tracking: TrackingSection = TrackingSection(wandb="disabled")
    cost: CostSection = CostSection()

    @model_validator(mode="after")
    def _reader(self) -> StepsRecipe:
        judge = self.grading.judge
        for name, section in (("predictor", self.predictor), ("grading.judge", judge)):
            if section is not None and section.kind == "vllm":
                raise ValueError(f"{name}.kind vllm: not offered here; serve the model and take kind endpoint")
        return self

    @property
    def answering(self) -> EvaluationRecipe:
        """The settings of the evaluator that asks, pays and grades."""
        return EvaluationRecipe(
            output_dir=self.output_dir,
            compressors=[CompressorSection(label="any")],
            predictors=[self.predictor],
            grading=self.grading,
            spending_limit_usd=self.spending_limit_usd,
            cost=self.cost,
            memory_mib=self.memory_mib,
        )


class SystemSection(Section):
    """A compressor that is asked one or more times about the same document."""

    label: Name
    """Its name in tables."""
    model: ModelSection = ModelSection()
    prompt: PromptSection = PromptSection()
    max_tokens: PositiveInt = 32
    """Longest text of a round."""
    temperature: PositiveFloat = 1.0
    """1 where the scorer is the sampler; otherwise the value is read as a bound."""
    rounds: PositiveInt = 3
    remembers: bool = True
    """Whether the compressor sees the questions and texts of the rounds before, as a chat that goes on."""
    questions: Literal["rewritten", "same"] = "rewritten"
    """Of later rounds: written by the predictor from the question and the texts so far; or the first one again, which tells
    what asking on adds beyond writing more."""

    @model_validator(mode="after")
    def _template(self) -> SystemSection:
        template = self.prompt.template
        _refuse_template(self.label, template)
        if self.asks_on and not names_question(template):
            raise ValueError(
                f"{self.label!r}: prompt.template {template!r} names no question, so that what the predictor asks would "
                "reach nobody; take query-v1, or questions same"
            )
        return self

    @property
    def asks_on(self) -> bool:
        """Whether the predictor writes questions."""
        return self.rounds > 1 and self.questions == "rewritten"


class RoundsRecipe(StepsRecipe):
    """eval/applications/rounds.py: how much several rounds of question and summary tell, round by round."""

    data: DataSection = DataSection()
    systems: list[SystemSection] = Field(min_length=1)
    negatives: NegativesSection = NegativesSection(random=7, counterfactual=4)
    question_tokens: PositiveInt = 32
    """Longest question that the predictor writes."""
    question_temperature: NonNegativeFloat = 0.0
    """0 is greedy: then questions are a function of what came before."""

    @model_validator(mode="after")
    def _systems(self) -> RoundsRecipe:
        refuse_twice("systems", [s.label for s in self.systems])
        if self.negatives.watch_only:
            raise ValueError("negatives.watch_only belongs to training")
        return self


class HistoriesSection(Section):
    """Which conversations."""

    name: Literal["records", "conversations", "wildchat"] = "records"
    """`records`: seeded, each turn brings a record; `conversations`: your own chat logs (JSONL with the messages of one
    conversation in a row, and if you have them probes [{turn, question, answer, choices}]); `wildchat`: ten conversations of a
    user as one history."""
    path: str | None = None
    """File or folder of the two latter; wildchat is read from the hub without one."""
    revision: str | None = None
    """Commit of wildchat on the hub; None takes the pinned one."""
    limit: PositiveInt = 32
    """At most so many histories, drawn by `seed`."""
    min_words: PositiveInt | None = None
    """Shortest record; None: 25."""
    max_words: PositiveInt | None = None
    """Longest record; None: 45."""
    seed: Seed = 0

    @model_validator(mode="after")
    def _words(self) -> HistoriesSection:
        if self.min_words and self.max_words and self.min_words > self.max_words:
            raise ValueError(f"min_words {self.min_words} is above max_words {self.max_words}")
        return self


class CompactingPromptSection(PromptSection):
    """What a compactor is told."""

    template: Name = "compact-v1"
    """One with {query} is told the question that will be asked, which a compaction in real use does not know."""


class CompactorSection(Section):
    """What makes a new context out of the old one."""

    label: Name
    """Its name in tables."""
    kind: Annotated[str, one_of(_kinds)] = "lm"
    """`lm` writes a summary; the others pick sentences: the first, the last (the newest), those that BM25 ranks first for
    the question that will be asked, drawn ones, those that TextRank ranks first. Anchors: `full-document` keeps every
    turn, `closed-book` nothing."""
    model: ModelSection = ModelSection()
    """Who writes; for pickers whose tokens are counted; its frozen base is the critic of what the summaries tell."""
    prompt: CompactingPromptSection = CompactingPromptSection()
    max_tokens: PositiveInt = 96
    """Longest summary."""
    temperature: PositiveFloat = 1.0

    @model_validator(mode="after")
    def _template(self) -> CompactorSection:
        _refuse_template(self.label, self.prompt.template)
        return self

    @property
    def asks(self) -> bool:
        """Whether it is told the question: it then compacts anew for each of them."""
        if self.kind == "lm":
            return names_question(self.prompt.template)
        return self.kind not in ANCHORS and picker_of(self.kind).asks


class CompactionRecipe(StepsRecipe):
    """eval/applications/compaction.py: what survives of the first turns' facts after 1, 2, … compactions of a growing history."""

    data: HistoriesSection = HistoriesSection()
    compactors: list[CompactorSection] = Field(min_length=1)
    every: Annotated[int, Field(ge=1)] = 3
    """Turns between two compactions."""
    compactions: PositiveInt = 5
    keep: NonNegativeInt = 0
    """So many of the newest turns stay as they are beside the summary."""
    asked: PositiveInt = 2
    """The first so many turns are asked about, a fact each."""
    versions: PositiveInt = 4
    """Versions of the history with that fact changed, beside the true one."""

    @model_validator(mode="after")
    def _possible(self) -> CompactionRecipe:
        refuse_twice("compactors", [c.label for c in self.compactors])
        if self.asked > self.every - self.keep:
            raise ValueError(
                f"asked {self.asked}: the first compaction summarises every − keep = {self.every - self.keep} turns, and "
                "only those can be lost; lower asked or keep, or raise every"
            )
        if self.compactions > 1 and self.data.limit < 2:
            raise ValueError("data.limit 1: the critic's scale is fitted on other histories; take at least 2")
        return self

    @property
    def turns(self) -> int:
        """Of each history."""
        return self.every * self.compactions
