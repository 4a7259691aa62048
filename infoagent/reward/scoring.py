"""Scoring: the mutual information between a compression and its document, under a frozen scorer.

Shape legend: C compressions of one problem, K candidate documents; column 0 is the problem's own document.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from infoagent.data.negative_kinds import is_hard
from infoagent.information import infonce_terms
from infoagent.lm.answering import answer_log_probs
from infoagent.lm.prompts import Prompt, compressor_ids, end_of_turn_id
from infoagent.lm.scoring.columns import ColumnScorer
from infoagent.lm.scoring.exact import continuation_ids
from infoagent.pricing.objectives import Objective
from infoagent.types import Compression, Negative, Problem

SCORER_FAULTS = (FloatingPointError, OSError)
"""What a scorer may fail with on one compression and not on the next: a value that is not finite, a lost connection."""


def own_document(log_probs_CK: NDArray[np.float64]) -> NDArray[np.intp]:
    """(C,) the column of the own document: 0."""
    return np.zeros(len(log_probs_CK), dtype=np.intp)


def mi_nats(log_probs_CK: NDArray[np.float64]) -> NDArray[np.float64]:
    """(C,) MI(z) = log K + log softmax_k(log p(z | x_k, q))[0], the InfoNCE term, by hand of log-probabilities in nats."""
    return infonce_terms(log_probs_CK, own_document(log_probs_CK))


def mi_nats_among(log_probs_CK: NDArray[np.float64], chosen_K: NDArray[np.bool_]) -> NDArray[np.float64]:
    """(C,) the same among the own document and the chosen candidates alone; NaN where none is chosen."""
    columns_K = chosen_K.copy()
    columns_K[0] = True
    if columns_K.sum() == 1:
        return np.full(len(log_probs_CK), np.nan)
    return mi_nats(log_probs_CK[:, columns_K])


@dataclass(frozen=True)
class Information:
    """What the scorer says of one compression, in nats."""

    mi_nats: float
    easy_nats: float
    hard_nats: float
    earned: float
    answer_nats: float | None
    source_nats: float
    """log p(z | x, q), end of turn included."""


@dataclass
class InformationScorer:
    """Scores compressions of `problems` among their `negatives`, under the prompt that the compressor had.

    `scorer` may be set later, once a trainer has built its model.
    """

    problems: Sequence[Problem]
    negatives: Sequence[tuple[Negative, ...]]
    tokenizer: Any
    prompt: Prompt
    """What the compressor was told; the budget of a row goes before its own."""
    scorer: ColumnScorer | None = None
    objective: Objective = field(default_factory=Objective)
    critic_scale: float = 1.0
    """β: what the log-probabilities are multiplied with before the softmax."""
    watch_only: bool = False
    """Counterfactual candidates are scored and logged, and earn nothing."""

    def __post_init__(self) -> None:
        self._end = end_of_turn_id(self.tokenizer)
        self._closed_book: dict[int, float] = {}

    def candidates(self, index: int) -> int:
        """K of what is paid for the problem: its document and those negatives that earn. The ceiling of the information is log K."""
        return 1 + sum(not (self.watch_only and is_hard(n)) for n in self.negatives[index])

    def information(self, index: int, compressions: Sequence[Compression], budget: int | None) -> list[Information | str]:
        """What the scorer says of each compression, or the cause why it said nothing.

        All of them go through the scorer together; only if that fails, one after the other, so that one bad
        compression does not take its siblings with it.
        """
        if not compressions:
            return []
        try:
            return list(self._score_together(index, compressions, budget))
        except SCORER_FAULTS as error:
            if len(compressions) == 1:
                return [f"{type(error).__name__}: {error}"]
        return [told for z in compressions for told in self.information(index, [z], budget)]

    def _score_together(self, index: int, compressions: Sequence[Compression], budget: int | None) -> list[Information]:
        assert self.scorer is not None
        problem, negatives = self.problems[index], self.negatives[index]
        prompt = replace(self.prompt, budget_tokens=budget)
        documents = (problem.document, *(n.document for n in negatives))
        prefixes = [compressor_ids(self.tokenizer, document, problem.query, prompt) for document in documents]
        # column 0 is the compression's own document x, the others are its negatives
        log_probs_CK = self.scorer.score(prefixes, [continuation_ids(z, self._end) for z in compressions])
        hard_K = np.array([False] + [is_hard(n) for n in negatives])
        scaled_CK = self.critic_scale * log_probs_CK
        paid_CK = scaled_CK[:, ~hard_K] if self.watch_only else scaled_CK
        mi_C = mi_nats(paid_CK)
        earned_C = mi_C if self.objective.kind == "infonce" else self.objective.terms(paid_CK, own_document(paid_CK))
        easy_C, hard_C = (mi_nats_among(scaled_CK, columns) for columns in (~hard_K, hard_K))
        answers_C = self._answer_gain(index, compressions)
        return [
            Information(float(mi), float(easy), float(hard), float(earned), answer, float(source))
            for mi, easy, hard, earned, answer, source in zip(
                mi_C, easy_C, hard_C, earned_C, answers_C, log_probs_CK[:, 0], strict=True
            )
        ]

    def _answer_gain(self, index: int, compressions: Sequence[Compression]) -> list[float | None]:
        """log p(y | z, q) − log p(y | no notes, q) in nats; None for a problem without an answer.

        The second term is the same for a whole group, so it changes no gradient; with it silence earns 0, and the
        gate stays below what an honest text gets.
        """
        problem = self.problems[index]
        if self.objective.answer_weight == 0 or problem.answer is None:
            return [None] * len(compressions)
        notes = [z.text for z in compressions]
        if index not in self._closed_book:
            notes = [*notes, ""]
        gains = answer_log_probs(self.scorer, self.tokenizer, notes, problem.query, [problem.answer])[:, 0]  # type: ignore[arg-type]
        if index not in self._closed_book:
            self._closed_book[index] = float(gains[-1])
        return [float(value) - self._closed_book[index] for value in gains[: len(compressions)]]
