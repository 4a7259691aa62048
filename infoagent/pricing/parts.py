"""The parts of a reward, in nats: PARTS, a row each. The reward of a compression is their sum.

    reward(z) = Σ over PARTS of weight · value(z)

To add a part: write its function and add its row. Its weight is then a key of the recipe, `reward.parts.NAME`, its metric
is logged and described, and a label puts it into the report's figure.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from infoagent.grading import unsupported_spans
from infoagent.grading.language import keeps_language
from infoagent.pricing.objectives import Objective
from infoagent.types import Compression, Problem


@dataclass(frozen=True)
class Price:
    """What a compression pays. See RewardSection for the meaning of each number."""

    price: float
    rate: str = "tokens"
    truncated_penalty_nats: float = 0.5
    gate_nats: float = -1.0
    unsupported_nats: float = 0.0
    over_nats: float = 0.0
    under_nats: float = 0.0
    parts: Mapping[str, float] = field(default_factory=dict)
    """Weights of the parts that have no setting of their own, by name."""

    def rate_of(self, z: Compression) -> float:
        """Its length in the unit that is paid for."""
        return float(z.rate_bytes if self.rate == "bytes" else z.rate_tokens)


@dataclass(frozen=True)
class Sample:
    """What the parts of one compression's reward are computed from."""

    problem: Problem
    compression: Compression
    earned: float
    """The objective of the recipe: MI in nats, or another information term."""
    answer_nats: float | None = None
    """What the compression adds to log p(answer); None where there is no answer, or nobody asks for it."""
    budget: int | None = None
    """Tokens that its prompt names."""
    source_nats: float | None = None
    """log p(z | x, q) under the scorer, end of turn included."""


Weight = Callable[[Price, Objective], float | None]


@dataclass(frozen=True)
class Part:
    """One part of the reward. `value` is None for a compression that it does not concern; a `weight` of None switches
    the part off, and without one the weight is what the recipe says in reward.parts."""

    name: str
    metric: str
    meaning: str
    value: Callable[[Sample, Price], float | None]
    weight: Weight | None = None
    label: str = ""
    """In the report's figure of the reward; parts without one are not drawn."""

    def weight_under(self, price: Price, objective: Objective) -> float | None:
        return price.parts.get(self.name) if self.weight is None else self.weight(price, objective)


def _missed_budget(sample: Sample, price: Price) -> float | None:
    """over · (rate − budget)⁺ + under · (budget − rate)⁺"""
    if sample.budget is None or not (price.over_nats or price.under_nats):
        return None
    beyond = price.rate_of(sample.compression) - sample.budget
    return price.over_nats * max(0.0, beyond) + price.under_nats * max(0.0, -beyond)


def _unsupported(sample: Sample, _: Price) -> float:
    return len(unsupported_spans(sample.compression.text, sample.problem.document, sample.problem.query))


def _fluency(sample: Sample, _: Price) -> float | None:
    """log p(z | x, q) / (tokens + 1): nats a token under the scorer, with the end of turn. Text that breaks off, or that begins
    in the middle, is unlikely language."""
    return None if sample.source_nats is None else sample.source_nats / (sample.compression.rate_tokens + 1)


def _language(sample: Sample, _: Price) -> float | None:
    """−1 for a text in another language than its document's; None where it is too short to be judged, or where the question
    is in another language than the document, so that either may be wanted."""
    document = sample.problem.document
    kept = keeps_language(sample.compression.text, document)
    if kept is None or keeps_language(sample.problem.query, document) is False:
        return None
    return 0.0 if kept else -1.0


# fmt: off
PARTS = {part.name: part for part in (
    Part("information", "reward/mi", "its information part: the objective by its weight",
         lambda sample, _: sample.earned, lambda _, objective: objective.information_weight, "MI part"),
    Part("rate", "reward/rate", "its rate part (negative)",
         lambda sample, price: price.rate_of(sample.compression), lambda price, _: -price.price, "rate part"),
    Part("answer", "reward/answer", "its answer part: what the notes add to log p(answer)",
         lambda sample, _: sample.answer_nats, lambda _, objective: objective.answer_weight),
    Part("budget", "reward/budget", "its part for missing the prompt's budget (negative)",
         _missed_budget, lambda *_: -1.0),
    Part("unsupported", "reward/unsupported", "its part for numbers and names that the document does not have (negative)",
         _unsupported, lambda price, _: -price.unsupported_nats or None),
    Part("fluency", "reward/fluency", "its part for likely language (negative): log p(z | x) a token under the scorer", _fluency),
    Part("language", "reward/language", "its part for another language than the document's (negative)", _language),
    Part("truncated", "reward/cut_off", "its part for texts cut at the length limit (negative)",
         lambda sample, _: 1.0 if sample.compression.finish == "length" else None,
         lambda price, _: -price.truncated_penalty_nats),
    Part("gate", "reward/gate", "its part for empty and looping texts (negative)",
         lambda *_: None, lambda *_: None),  # such a text has no other part, and is not scored
)}
# fmt: on


def reward_parts(sample: Sample, price: Price, objective: Objective) -> dict[str, float]:
    """The parts of a compression's reward by name, in nats; parts that are switched off or do not concern it are left out.

    Raises FloatingPointError for a part that is not finite: a failure is never a reward.
    """
    parts = {}
    for part in PARTS.values():
        weight = part.weight_under(price, objective)
        value = None if weight is None else part.value(sample, price)
        if weight is not None and value is not None:
            parts[part.name] = weight * value
    wrong = [name for name, value in parts.items() if not math.isfinite(value)]
    if wrong:
        raise FloatingPointError(f"reward part {', '.join(wrong)}: not finite")
    return parts


def check_weights(weights: Mapping[str, float]) -> None:
    """Raise ValueError for a name in reward.parts that is no part, or a part with a setting of its own."""
    free = [part.name for part in PARTS.values() if part.weight is None]
    for name in weights:
        if name not in free:
            own = "has a key of its own in this section" if name in PARTS else "is no part of the reward"
            raise ValueError(f"parts.{name}: {own}; parts that are weighted here: {', '.join(free) or 'none'}")
