"""Sampling compressions from a Hugging Face causal LM, in batches, reproducibly."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import torch

from infoagent.lm.models import LoadedModel
from infoagent.lm.prompts import end_of_turn_id
from infoagent.types import Compression


def generate(
    lm: LoadedModel,
    prompts: Sequence[Sequence[int]],
    problem_ids: Sequence[str],
    max_tokens: int,
    temperature: float,
    seed: int,
    sample: int = 0,
) -> list[Compression]:
    """One compression for each prompt (token ids), as one batch padded on the left.

    `temperature` 0 is greedy decoding; at 1 nothing is truncated (no top-k, no top-p), so that the sampler's
    distribution is the model's own. The draw depends on `seed` and on the batch.
    """
    tokenizer, model = lm.tokenizer, lm.model
    stop = {end_of_turn_id(tokenizer)}
    if tokenizer.eos_token_id is not None:
        stop.add(int(tokenizer.eos_token_id))
    batch = tokenizer.pad({"input_ids": [list(p) for p in prompts]}, padding=True, return_tensors="pt").to(model.device)
    sampling: dict[str, Any] = {"do_sample": temperature > 0}
    if temperature > 0:
        sampling |= {"temperature": temperature, "top_k": 0, "top_p": 1.0, "min_p": None, "typical_p": 1.0}
    torch.manual_seed(seed)
    start = time.perf_counter()
    with torch.inference_mode():
        output = model.generate(
            **batch,
            **sampling,
            # a model's own generation_config may bend its distribution; the scorer knows the plain one
            repetition_penalty=1.0,
            no_repeat_ngram_size=0,
            max_new_tokens=max_tokens,
            eos_token_id=sorted(stop),
            pad_token_id=tokenizer.pad_token_id,
        )
    seconds = (time.perf_counter() - start) / len(prompts)
    width = batch["input_ids"].shape[1]
    return [
        compression_from_ids(tokenizer, problem_id, row.tolist(), stop, sample, seconds)
        for problem_id, row in zip(problem_ids, output[:, width:], strict=True)
    ]


def compression_from_ids(
    tokenizer: object,
    problem_id: str,
    ids: Sequence[int],
    stop: set[int],
    sample: int = 0,
    seconds: float = float("nan"),
) -> Compression:
    """Sampled ids up to the first stop token; without one the text was cut at the length limit."""
    end = next((i for i, token in enumerate(ids) if token in stop), None)
    kept = tuple(int(t) for t in ids[:end])
    text = tokenizer.decode(list(kept), skip_special_tokens=True)  # type: ignore[attr-defined]
    if end is None:
        return Compression(problem_id, text, kept, "length", sample, seconds)
    return Compression(problem_id, text, kept, "stop", sample, seconds, stop_id=int(ids[end]))
