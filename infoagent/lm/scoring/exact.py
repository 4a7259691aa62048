"""Exact log-probabilities of C continuations under K prefixes, each prefix computed once.

Shape legend: K prefixes, C continuations, L tokens of one continuation.

The naive way runs C × K full prompts. Here a prefix runs once and leaves its keys and values in a cache, and all
continuations follow it (`prefix.py` has the ways to do that). Prefixes are visited in lexicographic order, and tokens
that a prefix shares with the one before it (the system prompt, a counterfactual document up to the first changed
word) are not computed again.

Convention for the end of turn: a continuation is scored exactly as it was sampled. If the sampler stopped by
itself, the end-of-turn token is the last scored token; if it was cut at the length limit, no such token is scored.
So the strings of at most L tokens, cut ones included, have total probability 1 under every prefix.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infoagent.lm.activation import acts_from_instruction
from infoagent.lm.scoring.columns import ColumnScorer, TokenLogProbs, check_tokens
from infoagent.lm.scoring.prefix import (
    FLOOR,
    ForkedPrefix,
    Head,
    MemoryPlan,
    PackedPrefix,
    Route,
    plain_log_probs,
    plan_memory,
    route_of,
    shared_length,
)
from infoagent.types import Compression, InputError

logger = logging.getLogger(__name__)

DEFAULT_MEMORY_MIB = 1024
PACK_CAP = {"cpu": 512, "cuda": 4096}
"""A longer pack wastes work: each of its tokens meets the keys of all others under the mask."""


def continuation_ids(compression: Compression, end_of_turn: int) -> tuple[int, ...]:
    """The ids to score for a compression: its own, and the end of turn if one was sampled (that very token if known)."""
    if compression.finish == "length":
        return compression.token_ids
    return (*compression.token_ids, end_of_turn if compression.stop_id is None else compression.stop_id)


class Scorer(ColumnScorer):
    """log p(continuation | prefix) in nats from a Hugging Face causal LM.

    `model` may be a PEFT model: with `base_only` its adapter is disabled while scoring, so that a policy in training
    is scored by its frozen base at no extra memory. The model is put into evaluation mode and back. `memory_mib`
    bounds what a pass takes beside the weights and the cache of one prefix. `pack_tokens` overrides the size of a
    pack.

    The first cell that a scorer computes is computed once more the plain way; a route that does not agree is left
    with a warning for the plain one.
    """

    def __init__(
        self,
        model: Any,
        memory_mib: int = DEFAULT_MEMORY_MIB,
        base_only: bool = False,
        pack_tokens: int | None = None,
        remember: int = 0,
    ) -> None:
        if memory_mib < 1 or (pack_tokens is not None and pack_tokens < 1):
            raise ValueError(f"memory_mib = {memory_mib}, pack_tokens = {pack_tokens}: must be at least 1")
        if not base_only and acts_from_instruction(model):
            raise InputError(
                "scorer: this adapter acts on a compressor's prompt alone and scores nothing; name its base, without it"
            )
        super().__init__(remember)
        self.model = model
        self.base_only = base_only
        self.memory_mib = memory_mib
        self.pack_tokens = pack_tokens
        self.route: Route = route_of(model.config)
        self._head: Head | None = None
        self._checked = False
        self._told = False

    def score_tokens(
        self,
        prefixes: Sequence[Sequence[int]],
        continuations: Sequence[Sequence[int]],
        wanted: Sequence[Sequence[int]] | None = None,
    ) -> Iterator[tuple[int, list[TokenLogProbs]]]:
        check_tokens(prefixes, continuations)
        visited = [k for k in range(len(prefixes)) if wanted is None or len(wanted[k])]
        state: PackedPrefix | ForkedPrefix | None = None
        for k in lexicographic(prefixes, visited):
            chosen = [continuations[c] for c in (range(len(continuations)) if wanted is None else wanted[k])]
            with self._frozen():  # anew for each column: while this generator waits, the caller's code runs
                head = self._head = self._head or Head(self.model)
                if state is None and self.route != "one by one":
                    state = PackedPrefix(head) if self.route == "packed" else ForkedPrefix(head)
                column = self._column(head, state, prefixes[k], chosen)
                if any(np.isnan(c).any() for c in column):
                    raise FloatingPointError("the model returned NaN log-probabilities; try dtype float32")
                if not self._checked and state is not None and not self._agrees(head, prefixes[k], chosen, column):
                    self.route, state = "one by one", None
                    column = self._column(head, state, prefixes[k], chosen)
            yield k, column

    def score_one_by_one(self, prefixes: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """What `score` computes, the slow way: the yardstick of tests and of eval/bench/scoring_speed.py."""
        with self._frozen():
            head = self._head = self._head or Head(self.model)
            columns = [self._column(head, None, prefix, continuations) for prefix in prefixes]
        return np.array([[c.sum(dtype=np.float64) for c in column] for column in columns]).T

    def _column(
        self, head: Head, state: PackedPrefix | ForkedPrefix | None, prefix: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> list[TokenLogProbs]:
        plan = self._plan(len(prefix))
        if state is None:
            self.prefix_tokens += len(prefix) * len(continuations)
            self.continuation_tokens += sum(len(c) for c in continuations)
            return [_numpy(plain_log_probs(head, prefix, c, plan.head_rows)) for c in continuations]
        last, computed = state.advance(prefix, plan)
        self.prefix_tokens += computed
        starts = torch.tensor([c[0] for c in continuations], device=last.device)
        first_C = _numpy(head.log_probs(last.expand(len(starts), -1), starts, plan.head_rows))
        rest: list[TokenLogProbs] = [np.empty(0, dtype=np.float32)] * len(continuations)
        for pack, log_probs in state.continuations(continuations, plan):
            lengths = [len(continuations[c]) - 1 for c in pack]
            for c, part in zip(pack, np.split(_numpy(log_probs), np.cumsum(lengths)[:-1]), strict=True):
                rest[c] = part
            self.continuation_tokens += sum(lengths)
        return [np.concatenate([first_C[c : c + 1], rest[c]]) for c in range(len(continuations))]

    def _plan(self, past: int) -> MemoryPlan:
        cap = self.pack_tokens or PACK_CAP.get(self.model.device.type, 1024)
        item_bytes = torch.finfo(self.model.dtype).bits // 8
        plan = plan_memory(self.model.config, item_bytes, self.memory_mib, past, cap)
        if min(plan.pack_tokens, plan.chunk_tokens) <= FLOOR < cap and not self._told:
            self._told = True
            logger.warning(
                "memory_mib = %d lets a pass behind %d tokens take %d tokens only, which is slow; raise it if you can",
                self.memory_mib,
                past,
                plan.chunk_tokens,
            )
        if self._head is not None and not self._head.is_plain:  # whole logits of a pack, so the head bounds it
            return replace(plan, pack_tokens=min(plan.pack_tokens, plan.head_rows))
        return plan

    def _agrees(
        self, head: Head, prefix: Sequence[int], continuations: Sequence[Sequence[int]], column: Sequence[TokenLogProbs]
    ) -> bool:
        """Does the longest cell of the first column equal the plain way, up to the rounding of the model's type?"""
        c = max(range(len(continuations)), key=lambda i: len(continuations[i]))
        self._checked = len(continuations[c]) > 1  # a single token says nothing about the way behind the prefix
        found, plan = column[c], self._plan(len(prefix))
        room = max(FLOOR, plan.chunk_tokens - len(continuations[c]))
        if len(prefix) > room:  # the plain pass must not take more memory than the others: a shorter prefix will do
            counted = self.prefix_tokens, self.continuation_tokens
            prefix = prefix[:room]
            state = PackedPrefix(head) if self.route == "packed" else ForkedPrefix(head)
            [found] = self._column(head, state, prefix, [continuations[c]])
            self.prefix_tokens, self.continuation_tokens = counted
        plain = _numpy(plain_log_probs(head, prefix, continuations[c], plan.head_rows))
        difference = float(abs(plain - found).mean())
        if difference <= (1e-3 if self.model.dtype == torch.float32 else 0.15):
            return True
        logger.warning(
            "%s scoring differs from the plain way by %.3g nats a token for this model; every pair is run by itself",
            self.route,
            difference,
        )
        return False

    @contextmanager
    def _frozen(self) -> Iterator[None]:
        """Evaluation mode (in training mode gradient checkpointing drops the cache without a word), no gradient."""
        was_training = self.model.training
        self.model.eval()
        disabled = self.model.disable_adapter() if self.base_only else nullcontext()
        try:
            with torch.inference_mode(), disabled:
                yield
        finally:
            self.model.train(was_training)


def lexicographic(prefixes: Sequence[Sequence[int]], chosen: Sequence[int]) -> list[int]:
    """`chosen` in the lexicographic order of their prefixes: neighbours share the longest beginnings."""
    # big-endian bytes compare as the numbers do, at four bytes a token
    return sorted(chosen, key=lambda k: np.asarray(prefixes[k], dtype=">u4").tobytes())


def tokens_read(prefixes: Sequence[Sequence[int]]) -> int:
    """How many tokens of distinct prefixes go through the model where each is read behind its neighbour's beginning: what
    `Scorer.prefix_tokens` counts, known before any model is there. Any number of continuations reads them once."""
    read = 0
    before: tuple[int, ...] = ()
    for prefix in map(tuple, (prefixes[k] for k in lexicographic(prefixes, range(len(prefixes))))):
        if prefix != before:
            read += len(prefix) - min(shared_length(before, prefix), len(prefix) - 1)
        before = prefix
    return read


def _numpy(values: torch.Tensor) -> TokenLogProbs:
    return np.asarray(values.float().cpu().numpy(), dtype=np.float32)
