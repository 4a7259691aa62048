"""log p of every string up to a length under each of a few prefixes. For tiny vocabularies only.

Shape legend: D prefixes, V tokens that do not end the turn, L the longest string, R rows of one forward pass.

There are 1 + V + V² + … + V^L strings that end by themselves. They are the nodes of a tree, walked with the keys and
values of a node kept while its children run, so that a node costs one token.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from infoagent.progress import each

ROWS = 4096
"""Rows of one forward pass, which bounds the memory."""


def string_lengths(tokens: int, longest: int) -> NDArray[np.intp]:
    """The length of each string in the order of `string_log_probs`."""
    return np.repeat(np.arange(longest + 1), [tokens**length for length in range(longest + 1)])


def string_at(index: int, alphabet: Sequence[int]) -> tuple[int, ...]:
    """The tokens of the string number `index`: shorter strings first, of one length in lexicographic order."""
    length, base = 0, len(alphabet)
    while index >= base**length:
        index -= base**length
        length += 1
    return tuple(alphabet[index // base**place % base] for place in reversed(range(length)))


def string_log_probs(
    model: Any, prefixes: Sequence[Sequence[int]], alphabet: Sequence[int], stop: int, longest: int, quiet: bool = True
) -> NDArray[np.float64]:
    """(strings, D) log p(string, stop | prefix) in nats, strings as numbered by `string_at`.

    Prefixes must be of one length. Raises ValueError otherwise, or if `stop` is in the alphabet.
    """
    if stop in alphabet:
        raise ValueError(f"the alphabet holds the token {stop} that ends a string")
    if len({len(prefix) for prefix in prefixes}) != 1:
        raise ValueError("prefixes must be of one length, so that they make one batch")
    from transformers import DynamicCache

    tokens = torch.tensor(list(alphabet), device=model.device)
    found_LSD: list[list[NDArray[np.float64]]] = []
    with torch.inference_mode():
        for prefix in each(prefixes, len(prefixes), "every string", "document", quiet):
            cache = DynamicCache(config=model.config)
            output = model(input_ids=torch.tensor([list(prefix)], device=model.device), past_key_values=cache)
            log_probs_RV = output.logits[:, -1].double().log_softmax(-1)
            levels: list[list[NDArray[np.float64]]] = [[] for _ in range(longest + 1)]
            _walk(model, cache, log_probs_RV, torch.zeros(1, dtype=torch.double), tokens, stop, 0, levels)
            found_LSD.append([np.concatenate(level) for level in levels])
    return np.stack([np.concatenate(levels) for levels in found_LSD], axis=1)


def _walk(
    model: Any,
    cache: Any,
    next_RV: torch.Tensor,
    so_far_R: torch.Tensor,
    tokens: torch.Tensor,
    stop: int,
    depth: int,
    levels: list[list[NDArray[np.float64]]],
) -> None:
    """Note the strings of this level that end here, then go on to their children, some rows at a time."""
    levels[depth].append((so_far_R + next_RV[:, stop]).cpu().numpy())
    if depth == len(levels) - 1:
        return
    step = max(1, ROWS // len(tokens))
    for start in range(0, len(so_far_R), step):
        rows = torch.arange(start, min(start + step, len(so_far_R)), device=next_RV.device)
        child = copy.deepcopy(cache)
        child.batch_select_indices(rows.repeat_interleave(len(tokens)))
        output = model(input_ids=tokens.repeat(len(rows))[:, None], past_key_values=child)
        so_far = (so_far_R[rows, None] + next_RV[rows][:, tokens]).reshape(-1)
        _walk(model, child, output.logits[:, -1].double().log_softmax(-1), so_far, tokens, stop, depth + 1, levels)
