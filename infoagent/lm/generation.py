"""Sampling compressions from a Hugging Face causal LM, in batches, reproducibly."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from infoagent.files import clean_text
from infoagent.lm.activation import check_activated
from infoagent.lm.constrained import SchemaLogits, constrained_tokenizer
from infoagent.lm.detokenization import decode_whole
from infoagent.lm.models import LoadedModel
from infoagent.lm.prompts import end_of_turn_id
from infoagent.lm.scoring.prefix import route_of
from infoagent.types import Compression


def batch_seed(*parts: object) -> int:
    """The seed of a batch's draw, from what names the batch: a draw depends on the whole of it."""
    stamp = " ".join(map(str, parts))
    return int.from_bytes(hashlib.sha256(stamp.encode()).digest()[:4], "little")


def generate(
    lm: LoadedModel,
    prompts: Sequence[Sequence[int]],
    problem_ids: Sequence[str],
    max_tokens: int,
    temperature: float,
    seed: int,
    sample: int = 0,
    schema: Mapping[str, Any] | None = None,
) -> list[Compression]:
    """One compression for each prompt (token ids), as one batch padded on the left.

    `temperature` 0 is greedy decoding; at 1 nothing is truncated (no top-k, no top-p), so that the sampler's
    distribution is the model's own. The draw depends on `seed` and on the batch. `schema`: only JSON that can still fit
    it is drawn. Raises FloatingPointError where the model returns NaN.
    """
    batch = _padded(lm, prompts)
    sampling = _sampling(lm, max_tokens, temperature, seed)
    if schema is not None:
        stop = sorted(stop_ids(lm.tokenizer))
        grammar = constrained_tokenizer(lm.tokenizer, lm.model.config.get_text_config().vocab_size, stop)
        sampling["logits_processor"] += [SchemaLogits(grammar, schema, stop)]  # behind the check: it masks
    start = time.perf_counter()
    with torch.inference_mode():
        output = lm.model.generate(**batch, **sampling)
    seconds = (time.perf_counter() - start) / len(prompts)
    width = batch["input_ids"].shape[1]
    return [
        compression_from_ids(lm.tokenizer, problem_id, row.tolist(), stop_ids(lm.tokenizer), sample, seconds)
        for problem_id, row in zip(problem_ids, output[:, width:], strict=True)
    ]


def generate_groups(
    lm: LoadedModel,
    prompts: Sequence[Sequence[int]],
    problem_ids: Sequence[str],
    samples: int,
    max_tokens: int,
    temperature: float,
    seed: int,
) -> list[list[Compression]]:
    """`samples` compressions for each prompt, as one batch; what `generate` draws for repeated prompts, up to rounding.

    Each prompt runs once and its cache is copied for its samples, where the model's cache allows that. Raises
    FloatingPointError where the model returns NaN.
    """
    batch = _padded(lm, prompts)
    many = {name: tensor.repeat_interleave(samples, dim=0) for name, tensor in batch.items()}
    start = time.perf_counter()
    with torch.inference_mode():
        if route_of(lm.model.config) == "packed" and batch["input_ids"].shape[1] > 1:
            many["past_key_values"] = shared_cache(lm.model, batch, samples)
        output = lm.model.generate(**many, **_sampling(lm, max_tokens, temperature, seed))
    seconds = (time.perf_counter() - start) / len(output)
    width, stop = batch["input_ids"].shape[1], stop_ids(lm.tokenizer)
    return [
        [
            compression_from_ids(lm.tokenizer, problem_id, row.tolist(), stop, number, seconds)
            for number, row in enumerate(output[place * samples : (place + 1) * samples, width:])
        ]
        for place, problem_id in enumerate(problem_ids)
    ]


def shared_cache(model: Any, batch: Any, samples: int) -> Any:
    """The cache of all prompt tokens but the last, which `generate` still has to see, once for each sample."""
    mask = batch["attention_mask"]
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    cache = model(
        input_ids=batch["input_ids"][:, :-1],
        attention_mask=mask[:, :-1],
        position_ids=positions[:, :-1],
        use_cache=True,
        logits_to_keep=1,
    ).past_key_values
    cache.batch_repeat_interleave(samples)
    return cache


def stop_ids(tokenizer: Any) -> set[int]:
    stop = {end_of_turn_id(tokenizer)}
    if tokenizer.eos_token_id is not None:
        stop.add(int(tokenizer.eos_token_id))
    return stop


def check_logits(logits: torch.Tensor) -> None:
    """Raise FloatingPointError where no token can be drawn: greedy decoding would take the first of the vocabulary."""
    if not (logits < torch.inf).all():  # NaN is below nothing, and ∞ becomes NaN in the softmax
        raise FloatingPointError("the model returned NaN; try dtype float32")


class _Checked:
    """A logits processor of transformers that changes nothing."""

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        check_logits(scores)
        return scores


def _padded(lm: LoadedModel, prompts: Sequence[Sequence[int]]) -> Any:
    check_activated(lm.model, prompts)
    ids = {"input_ids": [list(p) for p in prompts]}
    return lm.tokenizer.pad(ids, padding=True, return_tensors="pt").to(lm.model.device)


def _sampling(lm: LoadedModel, max_tokens: int, temperature: float, seed: int) -> dict[str, Any]:
    """Arguments of the model's `generate`; seeds the draw."""
    sampling: dict[str, Any] = {"do_sample": temperature > 0}
    if temperature > 0:
        sampling |= {"temperature": temperature, "top_k": 0, "top_p": 1.0, "min_p": None, "typical_p": 1.0}
    torch.manual_seed(seed)
    return {
        **sampling,
        # a model's own generation_config may bend its distribution; the scorer knows the plain one
        "repetition_penalty": 1.0,
        "no_repeat_ngram_size": 0,
        "logits_processor": [_Checked()],
        "max_new_tokens": max_tokens,
        "eos_token_id": sorted(stop_ids(lm.tokenizer)),
        "pad_token_id": lm.tokenizer.pad_token_id,
    }


def compression_from_ids(
    tokenizer: object, problem_id: str, ids: Sequence[int], stop: set[int], sample: int = 0, seconds: float = float("nan")
) -> Compression:
    """Sampled ids up to the first stop token; without one the text was cut at the length limit.

    The text may lack the last ids, where they are the beginning of a character.
    """
    end = next((i for i, token in enumerate(ids) if token in stop), None)
    kept = tuple(int(t) for t in ids[:end])
    text = clean_text(decode_whole(tokenizer, kept, skip_special_tokens=True))  # as it will stand in any file
    if end is None:
        return Compression(problem_id, text, kept, "length", sample, seconds)
    return Compression(problem_id, text, kept, "stop", sample, seconds, stop_id=int(ids[end]))
