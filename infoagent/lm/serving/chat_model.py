"""A causal LM that answers chats token by token, one at a time, and keeps the caches of the last prompts.

A prompt that begins as one of the kept prompts does computes only what differs: the document that many questions share
is read once. Which caches are kept changes the time of a reply, and its text up to rounding only.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from infoagent.lm.generation import check_logits, stop_ids
from infoagent.lm.models import LoadedModel
from infoagent.lm.scoring.prefix import ForkedPrefix, Head, PackedPrefix, plan_memory, route_of, shared_length
from infoagent.types import FinishReason, InputError

CHUNK_CAP = 4096


@dataclass(frozen=True)
class Written:
    """A reply: its ids without the token that ended it. `finish` None: whoever asked has left."""

    ids: tuple[int, ...]
    finish: FinishReason | None
    prompt_tokens: int
    cached_tokens: int


class ChatModel:
    """`kept_prompts`: how many prompts' caches stay in memory; 0 computes every prompt from its first token.

    Raises InputError for a model with a recurrent state, whose cache cannot go on token by token in every family's code.
    """

    def __init__(self, lm: LoadedModel, kept_prompts: int, memory_mib: int = 1024) -> None:
        self.lm, self.memory_mib = lm, memory_mib
        self.route = route_of(lm.model.config)
        if self.route == "one by one":
            raise InputError(f"model {lm.reference.name!r}: is not served here; use `vllm serve` or llama.cpp's server")
        # the cache of a sliding window cannot be cropped, so it cannot be used again
        self.kept_prompts = kept_prompts if self.route == "packed" else 0
        self.stop = stop_ids(lm.tokenizer)
        self._head: Head | None = None
        self._kept: list[PackedPrefix] = []
        """The least recently used first."""

    def write(
        self,
        prompt: Sequence[int],
        max_tokens: int,
        temperature: float,
        seed: int | None,
        on_token: Callable[[int], bool] = lambda _: True,
    ) -> Written:
        """At most `max_tokens` tokens; `temperature` 0 is greedy, above it the draw depends on `seed` (None: on nothing).

        `on_token(id)` is called with each token as it is there, not with the one that ends the turn; False ends the
        reply. Raises ValueError for an empty prompt, FloatingPointError where the model returns NaN.
        """
        if not prompt:
            raise ValueError("a prompt must hold at least one token")
        generator = torch.Generator().manual_seed(seed) if seed is not None else None
        with torch.inference_mode():
            head = self._head = self._head or Head(self.lm.model)
            state = self._state(head, prompt)
            item_bytes = torch.finfo(self.lm.model.dtype).bits // 8
            plan = plan_memory(self.lm.model.config, item_bytes, self.memory_mib, len(prompt), CHUNK_CAP)
            try:
                last, computed = state.advance(prompt, plan)
                ids, finish = self._decode(head, state, last, len(prompt), max_tokens, temperature, generator, on_token)
            except BaseException:  # half a prompt may be in the cache
                self._kept = [kept for kept in self._kept if kept is not state]
                raise
        return Written(tuple(ids), finish, len(prompt), len(prompt) - computed)

    def _decode(
        self,
        head: Head,
        state: PackedPrefix | ForkedPrefix,
        last: torch.Tensor,
        past: int,
        max_tokens: int,
        temperature: float,
        generator: torch.Generator | None,
        on_token: Callable[[int], bool],
    ) -> tuple[list[int], FinishReason | None]:
        """The reply behind the prompt in `state`, whose cache then holds the prompt again and nothing more."""
        ids: list[int] = []
        device, fed = self.lm.model.device, 0
        finish: FinishReason | None = "length"
        while len(ids) < max_tokens:
            if ids:  # the last token of a reply that is cut need not run
                last = head.run(
                    input_ids=torch.tensor([ids[-1:]], device=device),
                    past_key_values=state.cache,
                    position_ids=torch.tensor([[past + fed]], device=device),
                    use_cache=True,
                )
                fed += 1
            token = _draw(head.output(last) if head.is_plain else last, temperature, generator)
            if token in self.stop:
                finish = "stop"
                break
            ids.append(token)
            if not on_token(token):
                finish = None
                break
        if self.kept_prompts and fed:
            state.cache.crop(-fed)
        return ids, finish

    def _state(self, head: Head, prompt: Sequence[int]) -> PackedPrefix | ForkedPrefix:
        """The kept prompt that shares the longest beginning, where that is most of it; else a new one, in the place of
        the least recently used: going on from a short beginning would drop another document's cache."""
        if not self.kept_prompts:
            return ForkedPrefix(head)
        best = max(self._kept, key=lambda kept: shared_length(kept.ids, prompt), default=None)
        if best is None or 2 * shared_length(best.ids, prompt) < len(best.ids):
            best = PackedPrefix(head) if len(self._kept) < self.kept_prompts else self._kept[0]
        self._kept = [kept for kept in self._kept if kept is not best] + [best]
        return best


def _draw(logits: Any, temperature: float, generator: torch.Generator | None) -> int:
    row = logits[0].float()
    check_logits(row)
    if temperature == 0:
        return int(row.argmax())
    # drawn on the CPU, so that a seed means the same on every device
    shares = torch.softmax(row / temperature, dim=-1).cpu()
    return int(torch.multinomial(shares, 1, generator=generator))
