"""What a run will take: tokens, FLOPs, seconds, memory, money. From the model's configuration, without its weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

BYTES = {"float32": 4, "bfloat16": 2}
GIB = 2**30
TOKENS_PER_WORD = 1.5
"""Of `records` under the embedded tokenizer, which splits digits; a test holds it within 15 %."""
PROMPT_OVERHEAD_TOKENS = 60


@dataclass(frozen=True)
class Architecture:
    """The sizes of a decoder-only transformer."""

    hidden: int
    layers: int
    heads: int
    key_value_heads: int
    head_size: int
    intermediate: int
    vocabulary: int
    tied: bool

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Architecture:
        """From the content of a config.json. Raises KeyError where a size is missing."""
        heads = int(config["num_attention_heads"])
        return cls(
            hidden=int(config["hidden_size"]),
            layers=int(config["num_hidden_layers"]),
            heads=heads,
            key_value_heads=int(config.get("num_key_value_heads") or heads),
            head_size=int(config.get("head_dim") or config["hidden_size"] // heads),
            intermediate=int(config["intermediate_size"]),
            vocabulary=int(config["vocab_size"]),
            tied=bool(config.get("tie_word_embeddings", False)),
        )

    @property
    def matrix_parameters(self) -> int:
        """Weights that every token is multiplied with, the head included."""
        attention = self.hidden * self.head_size * (2 * self.heads + 2 * self.key_value_heads)
        return self.layers * (attention + 3 * self.hidden * self.intermediate) + self.vocabulary * self.hidden

    @property
    def parameters(self) -> int:
        norms = self.hidden * (2 * self.layers + 1)
        return self.matrix_parameters + norms + (0 if self.tied else self.vocabulary * self.hidden)

    def lora_parameters(self, rank: int) -> int:
        """Of an adapter on all linear layers but the head."""
        wide, narrow = self.heads * self.head_size, self.key_value_heads * self.head_size
        ends = 2 * (self.hidden + wide) + 2 * (self.hidden + narrow) + 3 * (self.hidden + self.intermediate)
        return rank * self.layers * ends

    def flops(self, tokens: float, context_tokens: float) -> float:
        """2 × weights per token, and attention over a mean context."""
        attention = 4 * self.layers * self.heads * self.head_size * context_tokens
        return tokens * (2 * self.matrix_parameters + attention)


def scoring_flops(
    architecture: Architecture, prefix_tokens: float, continuation_tokens: float, targets: float, past: float
) -> float:
    """What prefix-shared scoring needs and no more: a prefix token meets half its prefix of `past` tokens, a
    continuation token all of it, and the head is applied once for each target."""
    head = 2 * architecture.vocabulary * architecture.hidden
    body = architecture.flops(1, 0) - head
    attention = architecture.flops(1, 1) - architecture.flops(1, 0)
    met = past * (prefix_tokens / 2 + continuation_tokens)
    return (prefix_tokens + continuation_tokens) * body + attention * met + head * targets


@dataclass(frozen=True)
class GRPOEstimate:
    """The plan of a GRPO run."""

    generated_tokens_per_step: float
    scored_tokens_per_step: float
    gflops_per_step: float
    seconds_per_step: float
    memory_gib: float
    usd: float
    hours: float


def estimate_grpo(
    architecture: Architecture, *, dtype: str, steps: int, prompts_per_step: int, num_generations: int, micro_batch: int,
    completion_tokens: int, document_words: float, negatives: int, lora_rank: int, has_kl: bool,
    gflops_per_second: float, usd_per_hour: float,
) -> GRPOEstimate:  # fmt: skip
    """Upper estimates: every completion at its longest, no prefix shared between candidates."""
    prompt = document_words * TOKENS_PER_WORD + PROMPT_OVERHEAD_TOKENS
    completions = prompts_per_step * num_generations
    generated = completions * completion_tokens
    scored = prompts_per_step * (1 + negatives) * (prompt + num_generations * completion_tokens)
    trained = completions * (prompt + completion_tokens)
    passes = 3 + (1 if has_kl else 0)  # forward, backward (twice), reference
    flops = (
        architecture.flops(completions * prompt + generated, prompt)
        + architecture.flops(scored, prompt)
        + passes * architecture.flops(trained, prompt)
    )
    seconds = flops / 1e9 / gflops_per_second
    lora = architecture.lora_parameters(lora_rank)
    sequence = prompt + completion_tokens
    activations = micro_batch * sequence * architecture.layers * 34 * architecture.hidden * BYTES[dtype]
    logits = 3 * micro_batch * completion_tokens * architecture.vocabulary * 4
    memory = architecture.parameters * BYTES[dtype] + lora * 16 + activations + logits
    return GRPOEstimate(
        generated_tokens_per_step=generated,
        scored_tokens_per_step=scored,
        gflops_per_step=flops / 1e9,
        seconds_per_step=seconds,
        memory_gib=memory / GIB,
        usd=steps * seconds / 3600 * usd_per_hour,
        hours=steps * seconds / 3600,
    )


@dataclass(frozen=True)
class FitEstimate:
    """The plan of a run that samples, scores and fits: train/sft.py, train/dpo.py."""

    generated_tokens: float
    scored_tokens: float
    trained_tokens: float
    memory_gib: float
    hours: float
    usd: float


def estimate_fit(
    architecture: Architecture, *, dtype: str, groups: int, samples: int, completion_tokens: int, document_words: float,
    negatives: int, texts: int, has_reference: bool, micro_batch: int, lora_rank: int, gflops_per_second: float,
    usd_per_hour: float,
) -> FitEstimate:  # fmt: skip
    """Upper estimates: every completion at its longest, no prefix shared between candidates. `groups` problems are
    sampled and scored; `texts` prompts with completions are trained on, epochs included."""
    prompt = document_words * TOKENS_PER_WORD + PROMPT_OVERHEAD_TOKENS
    generated = groups * samples * completion_tokens
    scored = groups * (1 + negatives) * (prompt + samples * completion_tokens)
    trained = texts * (prompt + completion_tokens)
    passes = 3 + (1 if has_reference else 0)  # forward, backward (twice), reference
    flops = (
        architecture.flops(groups * prompt + generated, prompt)
        + architecture.flops(scored, prompt)
        + passes * architecture.flops(trained, prompt)
    )
    hours = flops / 1e9 / gflops_per_second / 3600
    sequence = prompt + completion_tokens
    activations = micro_batch * sequence * architecture.layers * 34 * architecture.hidden * BYTES[dtype]
    logits = 3 * micro_batch * completion_tokens * architecture.vocabulary * 4
    weights = architecture.parameters * BYTES[dtype] + architecture.lora_parameters(lora_rank) * 16
    return FitEstimate(
        generated_tokens=generated,
        scored_tokens=scored,
        trained_tokens=trained,
        memory_gib=(weights + activations + logits) / GIB,
        hours=hours,
        usd=hours * usd_per_hour,
    )
