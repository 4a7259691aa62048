"""A scored compression, and the metrics of a step: the mean of every part, none of them made up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from infoagent.audit import audit
from infoagent.grading import states_facts, unsupported_spans
from infoagent.information.estimators import SATURATED
from infoagent.pricing.parts import PARTS, Price
from infoagent.types import NATS_PER_BIT, Compression, Problem


@dataclass(kw_only=True)
class ScoredCompression:
    """One compression with its reward and the parts that sum to it.

    MI is NaN where the text was gated (it is not scored, its reward is the gate) or where the scorer `failed`: then
    there is no reward, and the trainer drops the sample from its group.
    """

    problem: Problem
    compression: Compression
    rate: float
    """Length in the unit that is paid for."""
    mi_nats: float = math.nan
    easy_nats: float = math.nan
    hard_nats: float = math.nan
    reward: float | None = None
    gated: bool = False
    failed: str | None = None
    parts: dict[str, float] = field(default_factory=dict)
    budget: int | None = None


def summarise(scored: Sequence[ScoredCompression], price: Price, candidates: int) -> dict[str, float]:
    """The step's metrics under the house's names. A metric without a single value is left out, never set to 0.

    The parts of the reward are means over all compressions that have one; they sum to reward/total.
    """
    live = [s for s in scored if not s.gated and s.failed is None]
    priced = [s for s in scored if s.reward is not None]
    metrics = {
        "rate/tokens": _mean([float(s.compression.rate_tokens) for s in scored]),
        "rate/bytes": _mean([float(s.compression.rate_bytes) for s in scored]),
        "rate/price": price.price,
        "reward/gated": _mean([float(s.gated) for s in scored]),
        "reward/failed": _mean([float(s.failed is not None) for s in scored]),
        "reward/truncated": _mean([float(s.compression.finish == "length") for s in scored]),
        "mi/ceiling_nats": float(np.log(candidates)),
    }
    if priced:
        metrics["reward/total"] = _mean([s.reward for s in priced if s.reward is not None])
        for part in sorted({part for s in priced for part in s.parts}):
            metrics[PARTS[part].metric] = _mean([s.parts.get(part, 0.0) for s in priced])
    if live:
        mi = _mean([s.mi_nats for s in live])
        metrics["mi/nats"] = mi
        metrics["mi/saturation"] = _mean([float(s.mi_nats - np.log(candidates) > np.log(SATURATED)) for s in live])
        metrics["mi/bits_per_token"] = mi / NATS_PER_BIT / max(1.0, _mean([float(s.compression.rate_tokens) for s in live]))
        metrics["faithfulness/unsupported"] = _mean(
            [float(bool(unsupported_spans(s.compression.text, s.problem.document, s.problem.query))) for s in live]
        )
        metrics |= audit([s.compression for s in live], [s.problem for s in live])
    for name, values in (("mi/easy_nats", [s.easy_nats for s in live]), ("mi/hard_nats", [s.hard_nats for s in live])):
        known = [v for v in values if not np.isnan(v)]  # NaN: the recipe draws no negatives of that kind
        if known:
            metrics[name] = _mean(known)
    kept = [states_facts(s.compression.text, s.problem.facts) for s in scored if s.problem.facts]
    if kept:
        metrics["distortion/fact_missing"] = _mean([float(not stated) for stated in kept])
    # a budget is in tokens, whatever unit the length is paid in
    asked = [(s.compression.rate_tokens, s.budget) for s in scored if s.budget is not None]
    if asked:
        metrics["rate/adherence_error"] = float(np.median([abs(rate - budget) / budget for rate, budget in asked]))
        metrics["rate/over_budget"] = _mean([float(rate > budget) for rate, budget in asked])
    return metrics


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
