"""Dry run: work that is not done yet, added up as GFLOP, seconds and money, and told in text. Imports neither torch nor a
model.

An estimate says what is to be done, call by call: documents × calls × tokens of a model. What a model's sizes, this
machine's speed and the list of prices make of that stands here alone.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from infoagent.costs import PROMPT_OVERHEAD_TOKENS, TOKENS_PER_WORD, Architecture, Rates, Work, generation_flops, price_of
from infoagent.grading.words import count_words
from infoagent.lm.machine.rates import machine_rates
from infoagent.lm.sizes import architecture_of
from infoagent.progress import duration
from infoagent.recipes import ModelSection, PromptSection
from infoagent.recipes.compressors import ServerSection
from infoagent.recipes.cost_sections import CostSection
from infoagent.recipes.evaluation import PredictorSection
from infoagent.types import AUTO


def mean_tokens(texts: Iterable[str]) -> float:
    """Of texts by their words."""
    words = [count_words(text) for text in texts]
    return sum(words) / len(words) * TOKENS_PER_WORD


def read_tokens(document: float, prompt: PromptSection) -> float:
    """Of a document of so many tokens, how many a compressor with this prompt reads."""
    return document if prompt.pick_tokens is None else min(document, prompt.pick_tokens)


def not_here(model: ModelSection) -> str:
    return f"the configuration of {model.name} is not on this machine"


@dataclass
class PlannedWork:
    """A sum of calls. Where the sizes of a model are unknown, its call is not counted, and False comes back."""

    cost: CostSection
    dtype: str = AUTO
    """Of the arithmetic whose speed is asked for."""
    compute: Work = field(default_factory=Work)
    usd: float = 0.0
    """For endpoints."""
    uncounted: ModelSection | None = None
    """Whose generations are not in it."""

    def forward(self, model: ModelSection, past: float, read: float, written: float = 0.0, layers: int | None = None) -> bool:
        """So many tokens read and written, each after `past` others; through the first `layers` alone, if given."""
        architecture = architecture_of(model.name, model.revision)
        if architecture is not None and layers is not None:
            architecture = replace(architecture, layers=min(layers, architecture.layers))
        if architecture is not None:
            self.compute.reading += architecture.flops(read, past) / 1e9
            self.compute.writing += architecture.flops(written, past) / 1e9
        return architecture is not None

    def generate(self, model: ModelSection, times: float, prompt: float, new: float, otherwise: Architecture | None = None) -> bool:
        """So many generations of `new` tokens after `prompt`; `otherwise` are the sizes of a model that is not here."""
        architecture = architecture_of(model.name, model.revision) or otherwise
        if architecture is None:
            self.uncounted = model
            return False
        self.compute.generate(times, generation_flops(architecture, int(prompt), int(new)))
        return True

    def pay(self, server: ServerSection | PredictorSection, times: float, prompt: float, new: float) -> float:
        """The $ of so many requests, priced one by one: a price may rise with the length of a prompt."""
        usd = times * price_of(server.name, server.provider, self.cost.prices).usd(int(prompt), 0, int(new))
        self.usd += usd
        return usd

    def ask(self, predictor: PredictorSection, times: float, read: float, written: float) -> None:
        """So many replies of a predictor, here or over HTTP."""
        if predictor.kind == "endpoint":
            self.pay(predictor, times, read + PROMPT_OVERHEAD_TOKENS, written)
        else:
            self.generate(predictor, times, read + PROMPT_OVERHEAD_TOKENS, written)

    @property
    def rates(self) -> Rates:
        return machine_rates(self.cost.gflops_per_second, self.dtype)

    @property
    def seconds(self) -> float:
        return self.compute.seconds(self.rates)

    def time_line(self) -> str:
        return f"compute: {self.compute.gflop:,.0f} GFLOP; {self.rates.line} {duration(self.seconds)}"

    def line(self, limit_usd: float = 0.0) -> str:
        """GFLOP, rates, time and money of this machine, and of endpoints where any is paid."""
        endpoints = f", and {self.usd:.4g} $ for endpoints, limit {limit_usd:.2f} $" if self.usd else ""
        unknown = f"; {not_here(self.uncounted)}, not counted" if self.uncounted else ""
        return f"{self.time_line()}; {machine_money(self.seconds, self.cost)}{endpoints}{unknown}"


def machine_money(seconds: float, cost: CostSection) -> str:
    return f"money: {seconds / 3600 * cost.usd_per_hour:.2f} $ at {cost.usd_per_hour:.2f} $ an hour"
