"""One prefix held in a model's cache, and continuations run after it. Three ways, from fast to always right.

Shape legend: P prefix tokens, Q packed continuation tokens, L tokens of one continuation, V vocabulary, H hidden size.

    packed       all continuations in one row behind the prefix, under a mask that lets each see the prefix and its
                 own past only; then the cache is cropped back. Needs full attention in every layer, and sdpa.
    forked       the prefix once, its cache copied for each continuation. For sliding windows, whose cache cannot be
                 cropped, and for attention kernels that take no such mask.
    one by one   prefix and continuation in one plain forward pass for every pair: the yardstick, and the way of
                 models with a recurrent state (linear attention, Mamba).

Long prefixes go through the model in chunks, and log-probabilities are computed in slices of the rows that are
needed, so memory follows a setting and neither C × K nor the vocabulary.
"""

from __future__ import annotations

import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch.nn.functional import cross_entropy

MIB = 2**20
FLOOR = 32
Route = Literal["packed", "forked", "one by one"]
ADDED_MASK = ("sdpa", "eager", "sdpa_or_products")
"""Attention that takes a mask of four dimensions and adds it to the scores, as that of a pack must be."""
RECURRENT = ("mamba", "rwkv", "recurrent", "jamba", "bamba", "falcon_h1", "zamba", "lfm2")


@dataclass(frozen=True)
class MemoryPlan:
    """How many tokens of each kind of work fit into `memory_mib`, beside the weights and the prefix's own cache."""

    pack_tokens: int
    chunk_tokens: int
    head_rows: int


def plan_memory(config: Any, item_bytes: int, memory_mib: int, past: int, pack_cap: int) -> MemoryPlan:
    """Sizes for a prefix of `past` tokens.

    Bytes of a pass of Q tokens: activations Q · item · (6 H + 3 intermediate) and its mask Q · (P + Q), and for eager
    attention the scores of every head; beside them one layer's keys and values, copied for all heads, whatever Q is.
    Half of the setting goes to that, a quarter to logits (float32 beside the model's own type). A pass has at least
    FLOOR tokens: below it memory hardly falls, because the copies stay.
    """
    text = config.get_text_config()
    hidden = int(text.hidden_size)
    widths = getattr(text, "intermediate_size", None) or 4 * hidden
    wide = int(max(widths) if isinstance(widths, list | tuple) else widths)  # some families have one for each layer
    heads = int(getattr(text, "num_attention_heads", None) or 1)
    masks = 1 + (heads if getattr(config, "_attn_implementation", None) == "eager" else 0)
    head_size = int(getattr(text, "head_dim", None) or hidden // heads)
    budget = memory_mib * MIB // 2 - 2 * past * heads * head_size * item_bytes

    def taken(tokens: int) -> int:
        mask = tokens * (past + tokens) * item_bytes * masks
        return tokens * item_bytes * (6 * hidden + 3 * wide + 2 * heads * head_size) + mask

    def largest(cap: int) -> int:
        low, high = min(FLOOR, cap), cap
        while low < high:
            middle = (low + high + 1) // 2
            low, high = (middle, high) if taken(middle) <= budget else (low, middle - 1)
        return low

    head_rows = max(1, memory_mib * MIB // 4 // (int(text.vocab_size) * (8 + item_bytes)))
    return MemoryPlan(largest(pack_cap), largest(4096), head_rows)


class Head:
    """The output layer, applied to chosen rows of hidden states: row by row log-probabilities without a V-wide whole.

    Some families scale or squash their logits after the output layer. Whether this one does is tried once on a few
    tokens; if so, whole logits are taken from the model itself.
    """

    def __init__(self, model: Any) -> None:
        base = model.get_base_model() if hasattr(model, "get_base_model") else model
        self.model = base
        self.decoder = base.get_decoder() if hasattr(base, "get_decoder") else None
        self.output = base.get_output_embeddings()
        self.is_plain = self.decoder is not None and self.output is not None and self._equals_model()

    def _equals_model(self) -> bool:
        ids = torch.tensor([[1, 2, 3, 4]], device=self.model.device) % int(self.model.config.get_text_config().vocab_size)
        try:
            hidden = self.decoder(input_ids=ids, use_cache=False).last_hidden_state  # type: ignore[misc]
        except (AttributeError, TypeError):
            return False
        expected, found = self.model(input_ids=ids, use_cache=False).logits.float(), self.output(hidden).float()
        return expected.shape == found.shape and bool(torch.allclose(expected, found, atol=1e-3, rtol=1e-3, equal_nan=True))

    def run(self, **inputs: Any) -> torch.Tensor:
        """(Q, H) hidden states of a pass, or (Q, V) logits where the head is not plain."""
        if self.is_plain:
            return self.decoder(**inputs).last_hidden_state[0]  # type: ignore[misc]
        return self.model(**inputs).logits[0]

    def log_probs(self, states: torch.Tensor, targets: torch.Tensor, rows: int) -> torch.Tensor:
        """log p(target) of every row, float32, `rows` rows at a time."""
        found = []
        for start in range(0, len(targets), rows):
            part = states[start : start + rows]
            logits = (self.output(part) if self.is_plain else part).float()
            # one fused pass over the vocabulary, several times as fast as gather minus logsumexp
            found.append(-cross_entropy(logits, targets[start : start + rows], reduction="none"))
        return torch.cat(found)


class PackedPrefix:
    """The keys and values of the last prefix, moved to the next one by recomputing only what differs."""

    def __init__(self, head: Head) -> None:
        from transformers import DynamicCache

        self.head = head
        self.cache = DynamicCache(config=head.model.config)
        self.ids: list[int] = []
        self.last = torch.empty(0)

    def advance(self, prefix: Sequence[int], plan: MemoryPlan) -> tuple[torch.Tensor, int]:
        """Make `prefix` the content of the cache. Returns (state of its last position, (1, H)) and tokens computed."""
        prefix = list(prefix)
        if prefix == self.ids:
            return self.last, 0
        # at least the last token runs, because its state scores the first token of every continuation
        shared = min(shared_length(self.ids, prefix), len(prefix) - 1)
        if shared < len(self.ids):
            self.cache.crop(-(len(self.ids) - shared))
        self.last = _prefill(self.head, self.cache, prefix, shared, plan.chunk_tokens)
        self.ids = prefix
        return self.last, len(prefix) - shared

    def continuations(self, continuations: Sequence[Sequence[int]], plan: MemoryPlan) -> Iterator[tuple[list[int], torch.Tensor]]:
        """For each pack: which continuations, and log p of all their tokens but the first, joined."""
        device = self.head.model.device
        for pack in packs([len(c) - 1 for c in continuations], plan.pack_tokens):
            # the last token of a continuation predicts nothing that is scored, so it is not run
            inputs = [t for c in pack for t in continuations[c][:-1]]
            targets = torch.tensor([t for c in pack for t in continuations[c][1:]], device=device, dtype=torch.long)
            if not inputs:
                yield pack, torch.zeros(0)
                continue
            owner_Q = torch.tensor([c for c in pack for _ in continuations[c][:-1]], device=device)
            offset_Q = torch.tensor([i for c in pack for i in range(len(continuations[c]) - 1)], device=device)
            past = len(self.ids)
            hidden_QQ = (owner_Q[:, None] != owner_Q[None, :]) | (offset_Q[:, None] < offset_Q[None, :])
            # added to the attention scores: a boolean mask would be turned into this one again in every layer
            mask = torch.zeros(len(inputs), past + len(inputs), dtype=self.head.model.dtype, device=device)
            mask[:, past:].masked_fill_(hidden_QQ, torch.finfo(mask.dtype).min)
            states = self.head.run(
                input_ids=torch.tensor([inputs], device=device),
                past_key_values=self.cache,
                position_ids=(past + offset_Q)[None],
                attention_mask=mask[None, None],
                use_cache=True,
            )
            self.cache.crop(-len(inputs))
            yield pack, self.head.log_probs(states, targets, plan.head_rows)


class ForkedPrefix:
    """The prefix runs once; each continuation goes on from a copy of its cache."""

    def __init__(self, head: Head) -> None:
        self.head = head
        self.cache: Any = None
        self.ids: list[int] = []
        self.last = torch.empty(0)

    def advance(self, prefix: Sequence[int], plan: MemoryPlan) -> tuple[torch.Tensor, int]:
        from transformers import DynamicCache

        if list(prefix) == self.ids:
            return self.last, 0
        self.cache = DynamicCache(config=self.head.model.config)
        self.ids = list(prefix)
        self.last = _prefill(self.head, self.cache, self.ids, 0, plan.chunk_tokens)
        return self.last, len(prefix)

    def continuations(self, continuations: Sequence[Sequence[int]], plan: MemoryPlan) -> Iterator[tuple[list[int], torch.Tensor]]:
        device = self.head.model.device
        for index, continuation in enumerate(continuations):
            if len(continuation) == 1:
                yield [index], torch.zeros(0)
                continue
            positions = torch.arange(len(self.ids), len(self.ids) + len(continuation) - 1, device=device)[None]
            states = self.head.run(
                input_ids=torch.tensor([list(continuation[:-1])], device=device),
                past_key_values=copy.deepcopy(self.cache),
                position_ids=positions,
                use_cache=True,
            )
            targets = torch.tensor(list(continuation[1:]), device=device)
            yield [index], self.head.log_probs(states, targets, plan.head_rows)


def plain_log_probs(head: Head, prefix: Sequence[int], continuation: Sequence[int], rows: int) -> torch.Tensor:
    """log p of every token of one continuation from one plain forward pass: (L,) float32."""
    ids = torch.tensor([[*prefix, *continuation]], device=head.model.device)
    only = {} if head.is_plain else {"logits_to_keep": len(continuation) + 1}
    states = head.run(input_ids=ids, use_cache=False, **only)[-len(continuation) - 1 : -1]
    return head.log_probs(states, ids[0, len(prefix) :], rows)


def _prefill(head: Head, cache: Any, prefix: list[int], start: int, chunk: int) -> torch.Tensor:
    """Run prefix[start:] into the cache, `chunk` tokens at a time; the state of the last position, (1, H or V)."""
    device = head.model.device
    states = torch.empty(0)
    for begin in range(start, len(prefix), chunk):
        end = min(begin + chunk, len(prefix))
        inputs: dict[str, Any] = {
            "input_ids": torch.tensor([prefix[begin:end]], device=device),
            "past_key_values": cache,
            "position_ids": torch.arange(begin, end, device=device)[None],
            "use_cache": True,
        }
        if not head.is_plain:
            inputs["logits_to_keep"] = 1
        states = head.run(**inputs)[-1:]
    assert cache.get_seq_length() == len(prefix), "the model did not keep its cache: scores would be wrong"
    return states


def shared_length(first: Sequence[int], second: Sequence[int]) -> int:
    for position, (a, b) in enumerate(zip(first, second, strict=False)):
        if a != b:
            return position
    return min(len(first), len(second))


def packs(lengths: Sequence[int], limit: int) -> list[list[int]]:
    """Group continuations so that no pack holds more than `limit` tokens (a longer one stands alone)."""
    result: list[list[int]] = []
    filled = limit + 1
    for index, length in enumerate(lengths):
        if filled + length > limit:
            result.append([])
            filled = 0
        result[-1].append(index)
        filled += length
    return result


def _rope_types(text_config: Any) -> set[str]:
    """The rotary types of a model: one for all layers, or one for each type of layer."""
    found = getattr(text_config, "rope_parameters", None) or {}
    parts = [found, *(v for v in found.values() if isinstance(v, dict))]
    return {str(part["rope_type"]) for part in parts if "rope_type" in part}


def route_of(config: Any) -> Route:
    """The fastest way that is right for a model, from its configuration alone."""
    text_config = config.get_text_config()
    kinds = set(getattr(text_config, "layer_types", None) or ())
    # a recurrent state cannot take up several tokens at once after a prefix in every family's code
    if any(r in text_config.model_type for r in RECURRENT) or kinds - {"full_attention", "sliding_attention"}:
        return "one by one"
    # frequencies that depend on the length of the pass: keys of a shorter pass do not fit a longer one. Biases that
    # are built from a mask of two dimensions: they cannot take that of a pack
    has_alibi = getattr(text_config, "alibi", False) or text_config.model_type in ("bloom", "mpt")
    if _rope_types(text_config) & {"dynamic", "longrope"} or has_alibi:
        return "one by one"
    window = "sliding_attention" in kinds or (not kinds and getattr(text_config, "sliding_window", None))
    return "packed" if not window and config._attn_implementation in ADDED_MASK else "forked"
