"""The same log-probabilities from vLLM's offline engine.

Where the engine can (`VllmEngine.scores_suffixes`), a request asks for the tokens of the continuation alone, and the
prefix is read from the engine's cache. A request whose first token stands behind a cached block has no logits to read
and comes back empty; it is asked again the ordinary way. That way gives the log-probability of every token of prefix
and continuation, and leaves the cache alone: all prefill is done for every pair.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from infoagent.lm.scoring.columns import ColumnScorer, TokenLogProbs, check_tokens
from infoagent.lm.scoring.exact import lexicographic
from infoagent.lm.vllm.engine import VllmEngine

PAIRS_AT_ONCE = 256
"""Enough to fill an engine's batch, few enough for the log-probabilities of whole prompts to stay small."""
Pair = tuple[Sequence[int], Sequence[int]]


class VllmScorer(ColumnScorer):
    """log p(continuation | prefix) in nats, the interface of `Scorer`, by an engine's base or one of its adapters."""

    def __init__(self, engine: VllmEngine, adapter: str | None = None, remember: int = 0) -> None:
        super().__init__(remember)
        self.engine = engine
        self.adapter = adapter
        self.route = "vllm, suffixes" if engine.scores_suffixes else "vllm, whole prompts"

    def score_tokens(
        self,
        prefixes: Sequence[Sequence[int]],
        continuations: Sequence[Sequence[int]],
        wanted: Sequence[Sequence[int]] | None = None,
    ) -> Iterator[tuple[int, list[TokenLogProbs]]]:
        check_tokens(prefixes, continuations)
        chosen = [list(range(len(continuations)) if wanted is None else wanted[k]) for k in range(len(prefixes))]
        waiting: list[int] = []
        for k in lexicographic(prefixes, [k for k, rows in enumerate(chosen) if rows]):
            waiting.append(k)
            if sum(len(chosen[w]) for w in waiting) >= PAIRS_AT_ONCE:
                yield from self._columns(waiting, chosen, prefixes, continuations)
                waiting = []
        if waiting:
            yield from self._columns(waiting, chosen, prefixes, continuations)

    def _columns(
        self,
        ks: Sequence[int],
        chosen: Sequence[Sequence[int]],
        prefixes: Sequence[Sequence[int]],
        continuations: Sequence[Sequence[int]],
    ) -> Iterator[tuple[int, list[TokenLogProbs]]]:
        found = iter(self._pairs([(prefixes[k], continuations[c]) for k in ks for c in chosen[k]]))
        for k in ks:
            column = [next(found) for _ in chosen[k]]
            if any(np.isnan(values).any() for values in column):
                raise FloatingPointError("vLLM returned NaN log-probabilities; try dtype float32")
            yield k, column

    def _pairs(self, pairs: Sequence[Pair]) -> list[TokenLogProbs]:
        if not self.engine.scores_suffixes:
            return self._whole_prompts(pairs)
        from vllm import SamplingParams

        plans = [
            SamplingParams(
                max_tokens=1,
                temperature=0.0,
                detokenize=False,
                skip_reading_prefix_cache=False,
                prompt_logprob_token_ids=[[token] for token in z],
                prompt_logprob_start=len(prefix) - 1,
            )
            for prefix, z in pairs
        ]
        outputs = self._ask(pairs, plans)
        read = [getattr(output, "prompt_token_id_logprobs", None) for output in outputs]
        lost = [i for i, values in enumerate(read) if values is None]
        again = iter(self._whole_prompts([pairs[i] for i in lost]) if lost else [])
        return [next(again) if v is None else np.asarray(v, dtype=np.float32).reshape(-1) for v in read]

    def _whole_prompts(self, pairs: Sequence[Pair]) -> list[TokenLogProbs]:
        from vllm import SamplingParams

        plan = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        return [_tail(output, len(prefix), z) for output, (prefix, z) in zip(self._ask(pairs, plan), pairs, strict=True)]

    def _ask(self, pairs: Sequence[Pair], plans: Any) -> list[Any]:
        self.prefix_tokens += sum(len(prefix) for prefix, _ in pairs)
        self.continuation_tokens += sum(len(z) for _, z in pairs)
        return self.engine.ask([[*prefix, *z] for prefix, z in pairs], plans, self.adapter)


def _tail(output: Any, start: int, continuation: Sequence[int]) -> TokenLogProbs:
    """The continuation's own tokens; raises ValueError where the engine left one out."""
    rows = output.prompt_logprobs[start:]
    missing = [i for i, (row, token) in enumerate(zip(rows, continuation, strict=True)) if row is None or token not in row]
    if missing:
        raise ValueError(f"vLLM returned no log-probability for {len(missing)} of {len(continuation)} tokens")
    values = [row[token].logprob for row, token in zip(rows, continuation, strict=True)]
    return np.array(values, dtype=np.float32)
