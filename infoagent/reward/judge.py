"""The reward as the callable that TRL's trainers want, and for scripts that score by themselves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from infoagent.data.negative_kinds import is_hard
from infoagent.grading import is_looping, unsupported_spans
from infoagent.information import infonce_terms
from infoagent.lm.answering import answer_log_probs
from infoagent.lm.generation import compression_from_ids
from infoagent.lm.prompts import compressor_ids, end_of_turn_id
from infoagent.lm.scoring.columns import ColumnScorer
from infoagent.lm.scoring.exact import continuation_ids
from infoagent.reward.metrics import ScoredCompression, summarise
from infoagent.reward.processes import gathered, is_first_process
from infoagent.reward.terms import Objective, Price, reward_parts
from infoagent.types import Compression, Negative, Problem, RunFailed

FAILURE_WINDOW = 100
MINIMUM_SEEN = 30
SCORER_FAULTS = (FloatingPointError, OSError)
"""What a scorer may fail with on one compression and not on the next: a value that is not finite, a lost connection."""


@dataclass(frozen=True)
class _Known:
    """What the scorer found out about one compression, in nats."""

    mi_nats: float
    easy_nats: float
    hard_nats: float
    earned: float
    answer: float | None


Group = tuple[int, Sequence[Compression], int | None]
"""The problem's index, its compressions, the budget that its prompt names."""


@dataclass
class MIReward:
    """The reward callable for `GRPOTrainer(reward_funcs=...)`.

    The data set has a column `problem_index`, the position in `problems` and `negatives`, and under any rate a column
    `budget`, the tokens that the row's prompt names. `scorer` is set once the trainer has built its model. `last`
    holds what the last call scored, for the table of samples.
    """

    problems: Sequence[Problem]
    negatives: Sequence[tuple[Negative, ...]]
    tokenizer: Any
    price: Price
    template: str
    budget_words: int | None
    scorer: ColumnScorer | None = None
    last: list[ScoredCompression] = field(default_factory=list)
    stop_ids: set[int] = field(default_factory=set)
    """Tokens that end a completion; the trainer may know more of them than the tokenizer."""
    objective: Objective = field(default_factory=Objective)
    max_failed_share: float = 0.1
    watch_only: bool = False
    """Counterfactual candidates are scored and logged, and earn nothing."""
    budget_tokens: int | None = None
    """A fixed budget that the prompt names; `budget` of a row goes before it."""
    sentences: int | None = None
    """The number of sentences that the prompt names."""
    observers: list[Callable[[Sequence[ScoredCompression], int], Mapping[str, float]]] = field(default_factory=list)
    """Further metrics of a step: (what was scored, the step from 1 on) → name and value. They change no reward."""
    __name__ = "mi_minus_rate"

    def __post_init__(self) -> None:
        self._end = end_of_turn_id(self.tokenizer)
        self.stop_ids |= {self._end, int(self.tokenizer.eos_token_id)}
        self._closed_book: dict[int, float] = {}
        self._begun: tuple[list[Group], list[Future[list[ScoredCompression]]]] | None = None
        self._recent_failures: deque[bool] = deque(maxlen=FAILURE_WINDOW)

    def __call__(
        self,
        prompts: Sequence[Any],
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        problem_index: Sequence[int],
        budget: Sequence[int] | None = None,
        log_metric: Callable[[str, float], None] | None = None,
        trainer_state: Any = None,
        **_: Any,
    ) -> list[float | None]:
        """Rewards in the order of the completions; None where scoring failed. Each process sees its own rows only.

        Raises RunFailed when more than `max_failed_share` of the last FAILURE_WINDOW compressions failed.
        """
        start = time.perf_counter()
        scored: list[ScoredCompression | None] = [None] * len(completion_ids)
        groups, places = zip(*self._groups(completion_ids, problem_index, budget), strict=True)
        for rows, results in zip(places, self._score_groups(list(groups)), strict=True):
            for row, result in zip(rows, results, strict=True):
                scored[row] = result
        self.last = [s for s in scored if s is not None]
        self._count_failures()
        if log_metric is not None:
            negatives = self.negatives[problem_index[0]]
            candidates = 1 + sum(not (self.watch_only and is_hard(n)) for n in negatives)
            everywhere = self._of_all_processes(problem_index)
            if is_first_process():  # the trainer averages over those that log
                for name, value in summarise(everywhere, self.price, candidates).items():
                    log_metric(name, value)
            log_metric("scorer/seconds", time.perf_counter() - start)
            for observe in self.observers:
                for name, value in observe(self.last, trainer_state.global_step + 1).items():
                    log_metric(name, value)
        return [s.reward for s in self.last]

    def _of_all_processes(self, problem_index: Sequence[int]) -> list[ScoredCompression]:
        """What this call scored on all processes, in the order of their ranks. A mean of the processes' means would not
        be the mean where some compressions have no value. Problems do not travel: every process has them."""
        light = [(i, replace(s, problem=None)) for i, s in zip(problem_index, self.last, strict=True)]  # type: ignore[arg-type]
        return [replace(s, problem=self.problems[i]) for i, s in gathered(light)]

    def begin(
        self, completion_ids: Sequence[Sequence[int]], problem_index: Sequence[int], budget: Sequence[int] | None = None
    ) -> None:
        """Have a served scorer work on these rows while this process does something else; the next call collects. A
        scorer in this process would only take the time from it, and waits for the call."""
        assert self.scorer is not None, "MIReward.scorer must be set before the first reward"
        if self.scorer.concurrency > 1:
            groups = [group for group, _ in self._groups(completion_ids, problem_index, budget)]
            self._begun = groups, self._submit(groups)

    def _groups(
        self, completion_ids: Sequence[Sequence[int]], problem_index: Sequence[int], budget: Sequence[int] | None
    ) -> list[tuple[Group, list[int]]]:
        """The compressions by problem and budget, and the rows that they stand in."""
        rows_of: dict[tuple[int, int | None], list[int]] = {}
        for row, index in enumerate(problem_index):
            rows_of.setdefault((index, None if budget is None else budget[row]), []).append(row)
        found: list[tuple[Group, list[int]]] = []
        for (index, tokens), rows in rows_of.items():
            name = self.problems[index].id
            texts = [compression_from_ids(self.tokenizer, name, completion_ids[r], self.stop_ids) for r in rows]
            found.append(((index, texts, tokens), rows))
        return found

    def _score_groups(self, groups: list[Group]) -> list[list[ScoredCompression]]:
        """Problem after problem; with a served scorer several at a time, so that the server need not wait while a group
        is tokenised and its numbers travel (10 ms a group; 28 % of the scoring where a pass takes 20 ms, 6 % at 100).

        For a scorer in this process one call for all groups would save next to nothing: a pack stands behind one
        prefix, so groups could only share how their prompts begin (records, 8 prefixes of 240 tokens, 8 completions:
        1 % of all tokens for 2 groups, 4 % for 8).
        """
        assert self.scorer is not None, "MIReward.scorer must be set before the first reward"
        if self.scorer.concurrency == 1:
            return [self.score(*group) for group in groups]
        begun, self._begun = self._begun, None
        pending = begun[1] if begun is not None and begun[0] == groups else self._submit(groups)
        return [scored.result() for scored in pending]

    def _submit(self, groups: Sequence[Group]) -> list[Future[list[ScoredCompression]]]:
        assert self.scorer is not None
        pool = ThreadPoolExecutor(self.scorer.concurrency)
        pending = [pool.submit(self.score, *group) for group in groups]
        pool.shutdown(wait=False)  # its threads end with the last group
        return pending

    def _count_failures(self) -> None:
        self._recent_failures.extend(s.failed is not None for s in self.last)
        failed, seen = sum(self._recent_failures), len(self._recent_failures)
        # a share of a handful says nothing: one failure of eight is no reason to stop
        if failed > self.max_failed_share * max(seen, MINIMUM_SEEN):
            cause = next((s.failed for s in reversed(self.last) if s.failed), "in an earlier step")
            raise RunFailed(
                f"the scorer failed on {failed} of the last {seen} compressions, more than reward.max_failed_share = "
                f"{self.max_failed_share:g} allows; the last cause: {cause}"
            )

    def score(
        self, index: int, compressions: Sequence[Compression], budget: int | None = None
    ) -> list[ScoredCompression]:
        """The reward of several compressions of one problem; its prefixes are computed once for all of them."""
        assert self.scorer is not None, "MIReward.scorer must be set before the first reward"
        problem = self.problems[index]
        budget = budget if budget is not None else self.budget_tokens
        gated = [not z.text.strip() or is_looping(z.text) for z in compressions]
        live = [i for i, g in enumerate(gated) if not g]
        known = dict(zip(live, self._information(index, [compressions[i] for i in live], budget), strict=True))
        return [self._priced(problem, z, None if gated[i] else known[i], budget) for i, z in enumerate(compressions)]

    def _information(self, index: int, compressions: Sequence[Compression], budget: int | None) -> list[_Known | str]:
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
        return [known for z in compressions for known in self._information(index, [z], budget)]

    def _score_together(self, index: int, compressions: Sequence[Compression], budget: int | None) -> list[_Known]:
        assert self.scorer is not None
        problem, negatives = self.problems[index], self.negatives[index]
        prefixes = [
            compressor_ids(
                self.tokenizer,
                document,
                problem.query,
                self.template,
                self.budget_words,
                budget,
                self.sentences,
                thinking=False,
            )
            for document in (problem.document, *(n.document for n in negatives))
        ]
        log_probs_CK = self.scorer.score(prefixes, [continuation_ids(z, self._end) for z in compressions])
        source_C = np.zeros(len(compressions), dtype=np.intp)  # column 0 is the source
        hard_K = np.array([False] + [is_hard(n) for n in negatives])
        paid_CK = log_probs_CK[:, ~hard_K] if self.watch_only else log_probs_CK
        mi = infonce_terms(paid_CK, source_C)
        earned = mi if self.objective.kind == "infonce" else self.objective.terms(paid_CK, source_C)
        split = []
        for columns in (~hard_K, hard_K):
            columns[0] = True
            split.append(
                infonce_terms(log_probs_CK[:, columns], source_C)
                if columns.sum() > 1
                else np.full(len(compressions), np.nan)
            )
        answers = self._answer_gain(index, compressions)
        return [
            _Known(float(mi[i]), float(split[0][i]), float(split[1][i]), float(earned[i]), answers[i])
            for i in range(len(compressions))
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
        found = answer_log_probs(self.scorer, self.tokenizer, notes, problem.query, [problem.answer])[:, 0]  # type: ignore[arg-type]
        if index not in self._closed_book:
            self._closed_book[index] = float(found[-1])
        return [float(value) - self._closed_book[index] for value in found[: len(compressions)]]

    def _priced(
        self, problem: Problem, z: Compression, known: _Known | str | None, budget: int | None
    ) -> ScoredCompression:
        """The sum of the parts. `known` is None for a gated text and a cause for one on which the scorer failed."""
        rate = float(z.rate_bytes if self.price.rate == "bytes" else z.rate_tokens)
        nothing = float("nan")
        if known is None:
            gate = {"gate": self.price.gate_nats}
            return ScoredCompression(
                problem, z, nothing, nothing, nothing, self.price.gate_nats, True, rate, None, gate, budget
            )
        if isinstance(known, str):
            return ScoredCompression(problem, z, nothing, nothing, nothing, None, False, rate, known, budget=budget)
        parts = reward_parts(known.earned, rate, z.finish == "length", self.price, self.objective, known.answer, budget,
                             lambda: len(unsupported_spans(z.text, problem.document, problem.query)))  # fmt: skip
        return ScoredCompression(
            problem, z, known.mi_nats, known.easy_nats, known.hard_nats, sum(parts.values()), False, rate, None, parts,
            budget,
        )  # fmt: skip
