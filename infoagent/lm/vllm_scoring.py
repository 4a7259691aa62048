"""The same log-probabilities from vLLM's offline engine: an engine to compare with, and one for many GPUs' worth.

Every pair is a prompt of its own with `prompt_logprobs=0` (the log-probability of each prompt token). Such requests do
not read the engine's prefix cache, because cached positions have no logits: all prefill is done for every pair. The
suffix-only path of vLLM ≥ 0.31 needs its V2 runner, which runs on GPUs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from infoagent.lm.columns import ColumnScorer, TokenLogProbs
from infoagent.lm.models import ModelReference
from infoagent.types import InputError


class VllmScorer(ColumnScorer):
    """log p(continuation | prefix) in nats, the interface of `Scorer`. Needs the extra `infoagent[vllm]`."""

    def __init__(self, reference: ModelReference, dtype: str, context_tokens: int, **engine: Any) -> None:
        try:
            from vllm import LLM
        except ImportError as error:
            raise InputError(f"vLLM cannot be imported ({error}); pip install 'infoagent[vllm]'") from error
        self.engine = LLM(model=reference.path, dtype=dtype, max_model_len=context_tokens, max_logprobs=1, **engine)
        super().__init__()
        self.route = "vllm"

    def close(self) -> None:
        """End the engine's processes, which poll and hold memory until then."""
        self.engine.llm_engine.engine_core.shutdown()

    def score_tokens(
        self,
        prefixes: Sequence[Sequence[int]],
        continuations: Sequence[Sequence[int]],
        wanted: Sequence[Sequence[int]] | None = None,
    ) -> Iterator[tuple[int, list[TokenLogProbs]]]:
        """Column by column: (k, the (L,) log-probabilities of each wanted continuation)."""
        from vllm import SamplingParams

        plan = SamplingParams(max_tokens=1, temperature=0.0, prompt_logprobs=0, detokenize=False)
        for k, prefix in enumerate(prefixes):
            chosen = [continuations[c] for c in (range(len(continuations)) if wanted is None else wanted[k])]
            if not chosen:
                continue
            prompts = [{"prompt_token_ids": [*prefix, *z]} for z in chosen]
            outputs = self.engine.generate(prompts, plan, use_tqdm=False)
            self.prefix_tokens += len(prefix) * len(chosen)
            self.continuation_tokens += sum(map(len, chosen))
            yield k, [_tail(output, len(prefix), z) for output, z in zip(outputs, chosen, strict=True)]


def _tail(output: Any, start: int, continuation: Sequence[int]) -> TokenLogProbs:
    """The continuation's own tokens; raises ValueError where the engine left one out."""
    rows = output.prompt_logprobs[start:]
    missing = [
        i for i, (row, token) in enumerate(zip(rows, continuation, strict=True)) if row is None or token not in row
    ]
    if missing:
        raise ValueError(f"vLLM returned no log-probability for {len(missing)} of {len(continuation)} tokens")
    values = [row[token].logprob for row, token in zip(rows, continuation, strict=True)]
    return np.array(values, dtype=np.float32)
