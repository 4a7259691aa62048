"""The reward of a compression: MI(z) − price · rate(z), in nats.

`reward_nats` is the formula on arrays; `MIReward` is the callable that TRL's GRPO trainer wants. The whole reward is
one callable on purpose: split over two, a failed MI term would be dropped by the trainer and leave a pure length
reward behind, as if MI were 0.

MI(z) is the InfoNCE term log K + log r among the source and negatives that were drawn before training, under a frozen
scorer. With the PMI of a frozen scorer as reward, the policy gradient is the exact gradient of a lower bound on
I(X;Z|Q); it is therefore neither normalised nor clipped.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoagent.grading import is_looping, states_fact, unsupported_spans
from infoagent.information import infonce_terms
from infoagent.information.estimators import SATURATED
from infoagent.lm.generation import compression_from_ids
from infoagent.lm.prompts import compressor_ids, end_of_turn_id
from infoagent.lm.scoring import Scorer, continuation_ids
from infoagent.types import NATS_PER_BIT, Compression, Negative, Problem


@dataclass(frozen=True)
class Price:
    """What a compression pays. See RewardSection for the meaning of each number."""

    price: float
    rate: str = "tokens"
    truncated_penalty_nats: float = 0.5
    gate_nats: float = -1.0


def reward_nats(
    mi_nats: NDArray[np.float64],
    rate: NDArray[np.float64],
    truncated: NDArray[np.bool_],
    gated: NDArray[np.bool_],
    price: Price,
) -> NDArray[np.float64]:
    """MI − price · rate − penalty · truncated, and gate_nats where gated; all arrays are (C,), nats.

    mi_nats may be NaN only where gated: such a text was not scored.
    Raises FloatingPointError for any other value that is not finite.
    """
    value = mi_nats - price.price * rate - price.truncated_penalty_nats * truncated
    value = np.where(gated, price.gate_nats, value)
    if not np.isfinite(value).all():
        raise FloatingPointError(f"{int((~np.isfinite(value)).sum())} of {len(value)} rewards are not finite")
    return np.asarray(value)


@dataclass
class ScoredCompression:
    """One compression with the parts of its reward; NaN MI where it was gated and therefore not scored."""

    problem: Problem
    compression: Compression
    mi_nats: float
    easy_nats: float
    hard_nats: float
    reward: float
    gated: bool
    rate: float


@dataclass
class MIReward:
    """The reward callable for `GRPOTrainer(reward_funcs=...)`.

    The data set has a column `problem_index`, the position in `problems` and `negatives`. `scorer` is set once the
    trainer has built its model. `last` holds what the last call scored, for the table of samples.
    """

    problems: Sequence[Problem]
    negatives: Sequence[tuple[Negative, ...]]
    tokenizer: Any
    price: Price
    template: str
    budget_words: int | None
    scorer: Scorer | None = None
    last: list[ScoredCompression] = field(default_factory=list)
    stop_ids: set[int] = field(default_factory=set)
    """Tokens that end a completion; the trainer may know more of them than the tokenizer."""
    __name__ = "mi_minus_rate"

    def __post_init__(self) -> None:
        self._end = end_of_turn_id(self.tokenizer)
        self.stop_ids |= {self._end, int(self.tokenizer.eos_token_id)}

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        problem_index: Sequence[int],
        log_metric: Callable[[str, float], None] | None = None,
        **_: Any,
    ) -> list[float]:
        """Rewards in the order of the completions. Each process sees its own rows only."""
        start = time.perf_counter()
        scored: list[ScoredCompression | None] = [None] * len(completion_ids)
        rows_of: dict[int, list[int]] = {}
        for row, index in enumerate(problem_index):
            rows_of.setdefault(index, []).append(row)
        for index, rows in rows_of.items():
            compressions = [
                compression_from_ids(self.tokenizer, self.problems[index].id, completion_ids[row], self.stop_ids)
                for row in rows
            ]
            for row, result in zip(rows, self.score(index, compressions), strict=True):
                scored[row] = result
        self.last = [s for s in scored if s is not None]
        if log_metric is not None:
            for name, value in summarise(self.last, self.price, 1 + len(self.negatives[problem_index[0]])).items():
                log_metric(name, value)
            log_metric("scorer/seconds", time.perf_counter() - start)
        return [s.reward for s in self.last]

    def score(self, index: int, compressions: Sequence[Compression]) -> list[ScoredCompression]:
        """The reward of several compressions of one problem; its prefixes are computed once for all of them."""
        assert self.scorer is not None, "MIReward.scorer must be set before the first reward"
        problem, negatives = self.problems[index], self.negatives[index]
        gated = np.array([not z.text.strip() or is_looping(z.token_ids) for z in compressions])
        mi, easy, hard = (np.full(len(compressions), np.nan) for _ in range(3))
        if not gated.all():
            prefixes = [
                compressor_ids(self.tokenizer, document, problem.query, self.template, self.budget_words)
                for document in (problem.document, *(n.document for n in negatives))
            ]
            scorable = [continuation_ids(z, self._end) for z, g in zip(compressions, gated, strict=True) if not g]
            log_probs_CK = self.scorer.score(prefixes, scorable)  # column 0 is the source
            hard_K = np.array([False] + [n.kind == "counterfactual" for n in negatives])
            source = np.zeros(len(scorable), dtype=np.intp)
            mi[~gated] = infonce_terms(log_probs_CK, source)
            for target, columns in ((easy, ~hard_K), (hard, hard_K)):
                columns[0] = True
                if columns.sum() > 1:
                    target[~gated] = infonce_terms(log_probs_CK[:, columns], source)
        rate = np.array(
            [z.rate_bytes if self.price.rate == "bytes" else z.rate_tokens for z in compressions], dtype=float
        )
        truncated = np.array([z.finish == "length" for z in compressions])
        totals = reward_nats(mi, rate, truncated, gated, self.price)
        return [
            ScoredCompression(
                problem=problem,
                compression=z,
                mi_nats=float(mi[i]),
                easy_nats=float(easy[i]),
                hard_nats=float(hard[i]),
                reward=float(totals[i]),
                gated=bool(gated[i]),
                rate=float(rate[i]),
            )
            for i, z in enumerate(compressions)
        ]


def summarise(scored: Sequence[ScoredCompression], price: Price, candidates: int) -> dict[str, float]:
    """The step's metrics under the house's names. A metric without a single value is left out, never set to 0."""
    tokens = [float(s.compression.rate_tokens) for s in scored]
    live = [s for s in scored if not s.gated]
    metrics = {
        "rate/tokens": _mean(tokens),
        "rate/bytes": _mean([float(s.compression.rate_bytes) for s in scored]),
        "rate/price": price.price,
        "reward/total": _mean([s.reward for s in scored]),
        "reward/rate": -price.price * _mean([s.rate for s in scored]),
        "reward/gated": 1 - len(live) / len(scored),
        "reward/truncated": _mean([float(s.compression.finish == "length") for s in scored]),
        "mi/ceiling_nats": float(np.log(candidates)),
    }
    if live:
        mi = _mean([s.mi_nats for s in live])
        metrics["mi/nats"] = metrics["reward/mi"] = mi
        metrics["mi/saturation"] = _mean([float(s.mi_nats - np.log(candidates) > np.log(SATURATED)) for s in live])
        metrics["mi/bits_per_token"] = (
            mi / NATS_PER_BIT / max(1.0, _mean([float(s.compression.rate_tokens) for s in live]))
        )
        metrics["faithfulness/unsupported"] = _mean(
            [float(bool(unsupported_spans(s.compression.text, s.problem.document, s.problem.query))) for s in live]
        )
    for name, values in (
        ("mi/easy_nats", [s.easy_nats for s in live]),
        ("mi/hard_nats", [s.hard_nats for s in live]),
    ):
        known = [v for v in values if not np.isnan(v)]  # NaN: the recipe draws no negatives of that kind
        if known:
            metrics[name] = _mean(known)
    answers = [
        float(not states_fact(s.compression.text, s.problem.answer)) for s in scored if s.problem.answer is not None
    ]
    if answers:
        metrics["distortion/fact_missing"] = _mean(answers)
    return metrics


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values))
