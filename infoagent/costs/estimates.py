"""What a run will take before it runs: tokens, FLOPs, seconds, money. Its memory: infoagent/costs/memory.py."""

from __future__ import annotations

from dataclasses import dataclass

from infoagent.costs.architecture import Architecture

TOKENS_PER_WORD = 1.5
"""Of `records` under the embedded tokenizer, which splits digits; a test holds it within 15 %."""
PROMPT_OVERHEAD_TOKENS = 60


@dataclass(frozen=True)
class GRPOEstimate:
    """The plan of a GRPO run."""

    generated_tokens_per_step: float
    scored_tokens_per_step: float
    gflops_per_step: float
    seconds_per_step: float
    usd: float
    hours: float


def estimate_grpo(
    architecture: Architecture, *, steps: int, prompts_per_step: int, num_generations: int, completion_tokens: int,
    document_words: float, negatives: int, has_kl: bool, gflops_per_second: float, usd_per_hour: float,
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
    return GRPOEstimate(
        generated_tokens_per_step=generated,
        scored_tokens_per_step=scored,
        gflops_per_step=flops / 1e9,
        seconds_per_step=seconds,
        usd=steps * seconds / 3600 * usd_per_hour,
        hours=steps * seconds / 3600,
    )


@dataclass(frozen=True)
class FitEstimate:
    """The plan of a run that samples, scores and fits: train/sft.py, train/dpo.py."""

    generated_tokens: float
    scored_tokens: float
    trained_tokens: float
    hours: float
    usd: float


def estimate_fit(
    architecture: Architecture, *, groups: int, samples: int, completion_tokens: int, document_words: float,
    negatives: int, texts: int, has_reference: bool, gflops_per_second: float, usd_per_hour: float,
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
    return FitEstimate(
        generated_tokens=generated,
        scored_tokens=scored,
        trained_tokens=trained,
        hours=hours,
        usd=hours * usd_per_hour,
    )
