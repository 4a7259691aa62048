"""Exact log-probabilities of C continuations under K prefixes, each prefix computed once.

Shape legend: K prefixes, C continuations, P prefix tokens, Q packed continuation tokens, V vocabulary.

The naive way runs C × K full prompts. Here a prefix runs once and leaves its keys and values in a cache; all
continuations then follow it packed in one row of Q tokens, under a mask that lets each see the prefix and its own
past only; the cache is cropped back to P, and nothing is copied. Prefixes are visited in lexicographic order, and
tokens that a prefix shares with the one before it (the system prompt, a counterfactual document up to the first
changed word) are not computed again.

Convention for the end of turn: a continuation is scored exactly as it was sampled. If the sampler stopped by
itself, the end-of-turn token is the last scored token; if it was cut at the length limit, no such token is scored.
So the strings of at most L tokens, cut ones included, have total probability 1 under every prefix.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infoagent.types import Compression

LOGITS_BYTES = 512 * 2**20
"""Memory for one pack's logits in float32: packs are cut so that Q × V stays below it."""


def continuation_ids(compression: Compression, end_of_turn: int) -> tuple[int, ...]:
    """The ids to score for a compression: its own, and the end of turn if one was sampled (that very token if known)."""
    if compression.finish == "length":
        return compression.token_ids
    return (*compression.token_ids, end_of_turn if compression.stop_id is None else compression.stop_id)


class Scorer:
    """log p(continuation | prefix) in nats from a Hugging Face causal LM.

    `model` may be a PEFT model: with `base_only` its adapter is disabled while scoring, so that a policy in training
    is judged by its frozen base at no extra memory. The model is put into evaluation mode and back.
    """

    def __init__(self, model: Any, max_pack_tokens: int = 1024, base_only: bool = False) -> None:
        if max_pack_tokens < 1:
            raise ValueError(f"max_pack_tokens = {max_pack_tokens}: must be at least 1")
        self.model = model
        self.base_only = base_only
        vocabulary = int(model.config.get_text_config().vocab_size)
        self.max_pack_tokens = max(1, min(max_pack_tokens, LOGITS_BYTES // (4 * vocabulary)))
        # the mask of a pack is boolean, which torch's own attention understands and others add as 0 and 1
        self.shares_prefixes = has_full_attention_only(model.config) and model.config._attn_implementation == "sdpa"
        self.prefix_tokens = 0
        """Prefix tokens that went through the model so far (shared ones once)."""
        self.continuation_tokens = 0

    def score(
        self,
        prefixes: Sequence[Sequence[int]],
        continuations: Sequence[Sequence[int]],
        progress: Callable[[int], object] | None = None,
    ) -> NDArray[np.float64]:
        """log_probs_CK[c, k] = log p(continuation c | prefix k), nats.

        `progress` is called with 1 after each prefix. Raises ValueError for an empty prefix or continuation.
        """
        if not len(continuations) or any(len(c) == 0 for c in continuations):
            raise ValueError(
                "a continuation without tokens has no log-probability; gate empty compressions before scoring"
            )
        if not len(prefixes) or any(len(p) == 0 for p in prefixes):
            raise ValueError("a prefix must hold at least one token")
        log_probs_CK = np.full((len(continuations), len(prefixes)), np.nan)
        order = sorted(range(len(prefixes)), key=lambda k: tuple(prefixes[k]))
        was_training = self.model.training
        self.model.eval()  # in training mode gradient checkpointing drops the cache without a word
        disabled = self.model.disable_adapter() if self.base_only else nullcontext()
        try:
            with torch.inference_mode(), disabled:
                state = _PrefixCache(self.model) if self.shares_prefixes else None
                for k in order:
                    log_probs_CK[:, k] = (
                        self._score_packed(state, prefixes[k], continuations)
                        if state is not None
                        else self._score_one_by_one(prefixes[k], continuations)
                    )
                    if progress is not None:
                        progress(1)
        finally:
            self.model.train(was_training)
        if np.isnan(log_probs_CK).any():
            raise FloatingPointError("the model returned NaN log-probabilities; try dtype float32")
        return log_probs_CK

    def _score_packed(
        self, state: _PrefixCache, prefix: Sequence[int], continuations: Sequence[Sequence[int]]
    ) -> NDArray[np.float64]:
        first_logits_V, computed = state.advance(prefix)
        self.prefix_tokens += computed
        first_log_probs_V = torch.log_softmax(first_logits_V, dim=-1)
        device = first_logits_V.device
        starts = torch.tensor([c[0] for c in continuations], device=device)
        totals_C = first_log_probs_V[starts].double()
        for pack in _packs([len(c) - 1 for c in continuations], self.max_pack_tokens):
            # the last token of a continuation predicts nothing that is scored, so it is not run
            inputs = [t for c in pack for t in continuations[c][:-1]]
            if not inputs:
                continue
            targets = torch.tensor([t for c in pack for t in continuations[c][1:]], device=device)
            owner = torch.tensor([c for c in pack for _ in continuations[c][:-1]], device=device)
            offset = torch.tensor([i for c in pack for i in range(len(continuations[c]) - 1)], device=device)
            logits_QV = state.forward_packed(inputs, owner, offset)
            log_probs_Q = logits_QV.gather(-1, targets[:, None]).squeeze(-1) - torch.logsumexp(logits_QV, dim=-1)
            totals_C.index_add_(0, owner, log_probs_Q.double())
            self.continuation_tokens += len(inputs)
        return totals_C.cpu().numpy()

    def _score_one_by_one(self, prefix: Sequence[int], continuations: Sequence[Sequence[int]]) -> NDArray[np.float64]:
        """The naive twin: one full forward pass for each pair. Also the path of models whose cache cannot be cropped."""
        totals = np.empty(len(continuations))
        for c, continuation in enumerate(continuations):
            ids = torch.tensor([[*prefix, *continuation]], device=self.model.device)
            logits_LV = (
                self.model(input_ids=ids, use_cache=False, logits_to_keep=len(continuation) + 1).logits[0, :-1].float()
            )
            targets = ids[0, -len(continuation) :]
            log_probs_L = logits_LV.gather(-1, targets[:, None]).squeeze(-1) - torch.logsumexp(logits_LV, dim=-1)
            totals[c] = float(log_probs_L.double().sum())
            self.prefix_tokens += len(prefix)
            self.continuation_tokens += len(continuation)
        return totals

    def score_one_by_one(
        self, prefixes: Sequence[Sequence[int]], continuations: Sequence[Sequence[int]]
    ) -> NDArray[np.float64]:
        """What `score` computes, the slow way: the yardstick of tests and of eval/scoring_speed.py."""
        self.model.eval()
        disabled = self.model.disable_adapter() if self.base_only else nullcontext()
        with torch.inference_mode(), disabled:
            return np.stack([self._score_one_by_one(p, continuations) for p in prefixes], axis=1)


class _PrefixCache:
    """The keys and values of the last prefix, moved to the next one by recomputing only what differs."""

    def __init__(self, model: Any) -> None:
        from transformers import DynamicCache

        self.model = model
        self.cache = DynamicCache(config=model.config)
        self.ids: list[int] = []

    def advance(self, prefix: Sequence[int]) -> tuple[torch.Tensor, int]:
        """Make `prefix` the content of the cache. Returns (logits_V of its last position, tokens computed)."""
        prefix = list(prefix)
        # at least the last token runs, because its logits score the first token of every continuation
        shared = min(_shared_length(self.ids, prefix), len(prefix) - 1)
        if shared < len(self.ids):
            self.cache.crop(-(len(self.ids) - shared))
        rest = torch.tensor([prefix[shared:]], device=self.model.device)
        positions = torch.arange(shared, len(prefix), device=self.model.device)[None]
        output = self.model(
            input_ids=rest,
            past_key_values=self.cache,
            position_ids=positions,
            use_cache=True,
            logits_to_keep=1,
        )
        self.ids = prefix
        assert self.cache.get_seq_length() == len(prefix), "the model did not keep its cache: scores would be wrong"
        return output.logits[0, -1].float(), len(prefix) - shared

    def forward_packed(self, inputs: list[int], owner_Q: torch.Tensor, offset_Q: torch.Tensor) -> torch.Tensor:
        """logits_QV of continuation tokens in one row; the cache is left as it was."""
        size, past = len(inputs), len(self.ids)
        own_past_QQ = (owner_Q[:, None] == owner_Q[None, :]) & (offset_Q[:, None] >= offset_Q[None, :])
        visible = torch.cat([own_past_QQ.new_ones(size, past), own_past_QQ], dim=1)[None, None]
        output = self.model(
            input_ids=torch.tensor([inputs], device=self.model.device),
            past_key_values=self.cache,
            position_ids=(past + offset_Q)[None],
            attention_mask=visible,
            use_cache=True,
        )
        self.cache.crop(-size)
        return output.logits[0].float()


def _shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    for position, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return position
    return min(len(first), len(second))


def _packs(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Group continuations so that no pack holds more than `limit` tokens (a longer one stands alone)."""
    packs: list[list[int]] = []
    filled = limit + 1
    for index, length in enumerate(lengths):
        if filled + length > limit:
            packs.append([])
            filled = 0
        packs[-1].append(index)
        filled += length
    return packs


def has_full_attention_only(config: Any) -> bool:
    """Whether every layer keeps all keys and values: only then can the cache be cropped and shared."""
    text_config = config.get_text_config()
    kinds = getattr(text_config, "layer_types", None)
    if kinds is not None:
        return all(kind == "full_attention" for kind in kinds)
    recurrent = ("mamba", "rwkv", "recurrent", "jamba", "bamba", "falcon_h1", "zamba")
    return not getattr(text_config, "sliding_window", None) and not any(r in text_config.model_type for r in recurrent)
