"""The reward as the callable that TRL's trainers want, and for scripts that score by themselves."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import Any

from infoagent.grading import is_looping
from infoagent.lm.generation import compression_from_ids
from infoagent.pricing.parts import Price, Sample, reward_parts
from infoagent.reward.metrics import ScoredCompression, summarise
from infoagent.reward.processes import gathered, is_first_process
from infoagent.reward.scoring import Information, InformationScorer
from infoagent.tracking import known_metric
from infoagent.types import Compression, Problem, RunFailed

FAILURE_WINDOW = 100
MINIMUM_SEEN = 30

Group = tuple[int, Sequence[Compression], int | None]
"""The problem's index, its compressions, the budget that its prompt names."""


@dataclass(kw_only=True)
class MIReward(InformationScorer):
    """The reward callable for `GRPOTrainer(reward_funcs=...)`.

    The data set has a column `problem_index`, the position in `problems` and `negatives`, and under any rate a column
    `budget`, the tokens that the row's prompt names. `last` holds what the last call scored, for the table of samples.
    """

    price: Price
    last: list[ScoredCompression] = field(default_factory=list)
    stop_ids: set[int] = field(default_factory=set)
    """Tokens that end a completion; the trainer may know more of them than the tokenizer."""
    max_failed_share: float = 0.1
    observers: list[Callable[[Sequence[ScoredCompression], int], Mapping[str, float]]] = field(default_factory=list)
    """Further metrics of a step: (what was scored, the step from 1 on) → name and value. They change no reward."""
    __name__ = "mi_minus_rate"

    def __post_init__(self) -> None:
        super().__post_init__()
        self.stop_ids |= {self._end, int(self.tokenizer.eos_token_id)}
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
        proposed: Sequence[bool] | None = None,
        **_: Any,
    ) -> list[float | None]:
        """Rewards in the order of the completions; None where scoring failed. Each process sees its own rows only. Rows that are
        `proposed` the policy did not write: they are in no metric, and not in `last`.

        Raises RunFailed when more than `max_failed_share` of the last FAILURE_WINDOW compressions failed.
        """
        start = time.perf_counter()
        scored: list[ScoredCompression | None] = [None] * len(completion_ids)
        groups, places = zip(*self._groups(completion_ids, problem_index, budget), strict=True)
        for rows, results in zip(places, self._score_groups(list(groups)), strict=True):
            for row, result in zip(rows, results, strict=True):
                scored[row] = result
        everything = [s for s in scored if s is not None]
        own = [i for i in range(len(everything)) if proposed is None or not proposed[i]]
        self.last = [everything[i] for i in own]
        self.count_failures(everything)
        if log_metric is not None:
            everywhere = self._of_all_processes([problem_index[i] for i in own])
            if is_first_process():  # the trainer averages over those that log
                for name, value in summarise(everywhere, self.price, self.candidates(problem_index[0])).items():
                    log_metric(known_metric(name), value)
            log_metric("scorer/seconds", time.perf_counter() - start)
            for observe in self.observers:
                for name, value in observe(self.last, trainer_state.global_step + 1).items():
                    log_metric(known_metric(name), value)
        return [s.reward for s in everything]

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
        groups: list[tuple[Group, list[int]]] = []
        for (index, tokens), rows in rows_of.items():
            name = self.problems[index].id
            texts = [compression_from_ids(self.tokenizer, name, completion_ids[r], self.stop_ids) for r in rows]
            groups.append(((index, texts, tokens), rows))
        return groups

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

    def count_failures(self, scored: Sequence[ScoredCompression]) -> None:
        """Raise RunFailed when more than `max_failed_share` of the last FAILURE_WINDOW compressions failed, these included."""
        self._recent_failures.extend(s.failed is not None for s in scored)
        failed, seen = sum(self._recent_failures), len(self._recent_failures)
        # a share of a handful says nothing: one failure of eight is no reason to stop
        if failed > self.max_failed_share * max(seen, MINIMUM_SEEN):
            cause = next((s.failed for s in reversed(scored) if s.failed), "in an earlier step")
            raise RunFailed(
                f"the scorer failed on {failed} of the last {seen} compressions, more than reward.max_failed_share = "
                f"{self.max_failed_share:g} allows; the last cause: {cause}"
            )

    def score(self, index: int, compressions: Sequence[Compression], budget: int | None = None) -> list[ScoredCompression]:
        """The reward of several compressions of one problem; its prefixes are computed once for all of them."""
        assert self.scorer is not None, "MIReward.scorer must be set before the first reward"
        problem = self.problems[index]
        budget = budget if budget is not None else self.prompt.budget_tokens
        gated = [not z.text.strip() or is_looping(z.text) for z in compressions]
        live = [i for i, g in enumerate(gated) if not g]
        told = dict(zip(live, self.information(index, [compressions[i] for i in live], budget), strict=True))
        return [self._priced(problem, z, None if gated[i] else told[i], budget) for i, z in enumerate(compressions)]

    def _priced(
        self, problem: Problem, z: Compression, information: Information | str | None, budget: int | None
    ) -> ScoredCompression:
        """The compression and the parts that its reward is the sum of. `information` is None for a gated text, and the
        cause for one on which the scorer failed."""
        scored = ScoredCompression(problem=problem, compression=z, rate=self.price.rate_of(z), budget=budget)
        if information is None:
            gate = self.price.gate_nats
            return replace(scored, reward=gate, gated=True, parts={"gate": gate})
        if isinstance(information, str):
            return replace(scored, failed=information)
        sample = Sample(problem, z, information.earned, information.answer_nats, budget, information.source_nats)
        parts = reward_parts(sample, self.price, self.objective)
        return replace(
            scored,
            mi_nats=information.mi_nats,
            easy_nats=information.easy_nats,
            hard_nats=information.hard_nats,
            reward=sum(parts.values()),
            parts=parts,
        )
