"""A model made smaller: its first layers alone, or the matrices of its layers rounded to few bits."""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

from infoagent.types import InputError

GROUP = 32
"""Weights that share a scale, along the input of a matrix."""
SCALE_BITS = 16


def decoder_layers(model: Any) -> nn.ModuleList:
    """Raises InputError for a model whose layers are not found."""
    decoder = model.get_decoder() if hasattr(model, "get_decoder") else None
    layers = getattr(decoder, "layers", None)
    if not isinstance(layers, nn.ModuleList):
        raise InputError(f"model of type {model.config.model_type!r}: its layers are not found; drop layers and weight_bits")
    return layers


def keep_layers(model: Any, number: int) -> None:
    """The first `number` layers alone, with the model's own last norm and head. Raises InputError for more than it has."""
    layers = decoder_layers(model)
    if number > len(layers):
        raise InputError(f"layers = {number}: the model has {len(layers)}; name fewer, or leave it out")
    model.get_decoder().layers = layers[:number]
    text = model.config.get_text_config()
    text.num_hidden_layers = number
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:number]


def round_weights(model: Any, bits: int) -> None:
    """Each weight w of a linear map in the layers becomes s · round(w / s) with s = max|w| of its group / (2^(bits−1) − 1)."""
    top = 2 ** (bits - 1) - 1
    for module in decoder_layers(model).modules():
        if isinstance(module, nn.Linear):
            with torch.no_grad():
                module.weight.copy_(_rounded(module.weight.float(), top).to(module.weight.dtype))


def _rounded(weight: torch.Tensor, top: int) -> torch.Tensor:
    rows, columns = weight.shape
    padded = nn.functional.pad(weight, (0, -columns % GROUP)).view(rows, -1, GROUP)
    scale = padded.abs().amax(dim=-1, keepdim=True).clamp_min(torch.finfo(weight.dtype).tiny) / top
    return (scale * (padded / scale).round()).view(rows, -1)[:, :columns]


def weight_mib(model: Any, bits: int | None) -> float:
    """What the weights take in MiB; rounded matrices at `bits` and a scale for each group."""
    own = {id(p): p for p in model.parameters()}
    small: set[int] = set()
    if bits is not None:
        small = {id(m.weight) for m in decoder_layers(model).modules() if isinstance(m, nn.Linear)}
    used = sum(
        p.numel() * ((bits or 0) + SCALE_BITS / GROUP) / 8 if i in small else p.numel() * p.element_size() for i, p in own.items()
    )
    return used / 2**20
