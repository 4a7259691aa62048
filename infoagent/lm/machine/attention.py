"""Attention of a single new token on the CPU, where torch's fused kernel is made for many.

A model that samples asks, token after token, for one query against a few hundred keys. On the CPU the fused kernel
then takes several times as long as two plain matrix products, a third of a decoding step of the embedded model
(`eval/bench/generation_speed.py`). Every other case goes to transformers' `sdpa`, on which this is laid.

Shape legend: B rows, H query heads, G key heads, L queries, S keys, D head size.
"""

from __future__ import annotations

from typing import Any

import torch
from transformers import AttentionInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import AttentionMaskInterface, sdpa_mask

NAME = "sdpa_or_products"


def attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    **more: Any,
) -> tuple[torch.Tensor, None]:
    """(B, L, H, D) from query (B, H, L, D), key and value (B, G, S, D), mask (B, 1, L, S) boolean or added, or None."""
    single = query.device.type == "cpu" and query.shape[2] == 1 and not query.requires_grad
    if not single or more.get("position_bias") is not None:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **more)
    rows, heads, _, size = query.shape
    # the query heads that share a key head stand as rows of one product
    grouped = query.reshape(rows, key.shape[1], heads // key.shape[1], size)
    scores = (grouped @ key.transpose(-1, -2)).float() * (size**-0.5 if scaling is None else scaling)
    if attention_mask is not None:
        seen = attention_mask[..., : key.shape[2]]
        scores = scores.masked_fill(~seen, torch.finfo(scores.dtype).min) if seen.dtype == torch.bool else scores + seen
    weights = torch.softmax(scores, dim=-1).to(value.dtype)
    return (weights @ value).reshape(rows, 1, heads, size), None


AttentionInterface.register(NAME, attention)
AttentionMaskInterface.register(NAME, sdpa_mask)


def use_products(model: Any) -> None:
    """Lay `attention` on a model that runs transformers' sdpa; any other is left alone."""
    if getattr(model.config, "_attn_implementation", None) == "sdpa":
        model.set_attn_implementation(NAME)
