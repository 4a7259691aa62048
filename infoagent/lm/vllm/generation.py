"""Texts from vLLM's offline engine, cut and counted as those of `infoagent.lm.generation` are."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from infoagent.lm.generation import compression_from_ids, stop_ids
from infoagent.lm.vllm.engine import VllmEngine
from infoagent.types import Compression


@dataclass(frozen=True)
class ServedModel:
    """What an engine serves: its base, or one of its adapters by directory."""

    engine: VllmEngine
    tokenizer: Any
    adapter: str | None = None


def generate_served(
    lm: ServedModel,
    prompts: Sequence[Sequence[int]],
    problem_ids: Sequence[str],
    max_tokens: int,
    temperature: float,
    seed: int,
    sample: int = 0,
    schema: Mapping[str, Any] | None = None,
) -> list[Compression]:
    """One text for each prompt (token ids), as `infoagent.lm.generation.generate` gives them; `schema` goes to vLLM's
    structured outputs, without white space (`infoagent.lm.vllm.engine`).

    `temperature` 0 is greedy; nothing is truncated (no top-k, no top-p). Each draw has a seed of its own, made from
    `seed`, `sample`, its id and its place; the same seed draws other texts than transformers does.
    """
    from vllm import SamplingParams

    stop = stop_ids(lm.tokenizer)
    constraint: dict[str, Any] = {}
    if schema is not None:
        from vllm.sampling_params import StructuredOutputsParams

        constraint["structured_outputs"] = StructuredOutputsParams(json=dict(schema))
    plans = [
        SamplingParams(
            max_tokens=max_tokens,
            temperature=temperature,
            top_p=1.0,
            top_k=0,
            min_p=0.0,
            seed=_draw_seed(seed, sample, place, problem_id),
            ignore_eos=True,
            stop_token_ids=sorted(stop),  # its own idea of an end may differ from ours
            detokenize=False,
            **constraint,
        )
        for place, problem_id in enumerate(problem_ids)
    ]
    start = time.perf_counter()
    outputs = lm.engine.ask(prompts, plans, lm.adapter)
    seconds = (time.perf_counter() - start) / len(prompts)
    return [
        compression_from_ids(lm.tokenizer, problem_id, output.outputs[0].token_ids, stop, sample, seconds)
        for problem_id, output in zip(problem_ids, outputs, strict=True)
    ]


def _draw_seed(seed: int, sample: int, place: int, problem_id: str) -> int:
    digest = hashlib.sha256(f"{seed} {sample} {place} {problem_id}".encode()).digest()
    return int.from_bytes(digest[:4], "little") >> 1
