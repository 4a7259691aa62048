"""What a run will take before it runs: tokens, FLOPs, seconds, money. Its memory: infoagent/costs/memory.py."""

from __future__ import annotations

from dataclasses import dataclass

from infoagent.costs.architecture import Architecture
from infoagent.costs.rates import FORWARD_PASSES_OF_TRAINING, Rates, Work

TOKENS_PER_WORD = 1.5
"""Of `records` under the embedded tokenizer, which splits digits; a test holds it within 15 %."""
PROMPT_OVERHEAD_TOKENS = 60


def candidate_prompts(counterfactual: int, others: int) -> float:
    """Prompts that a scorer reads for one problem. A counterfactual document is read from its first changed word on: half
    of it, where the changes lie anywhere."""
    return 1 + others + counterfactual / 2


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
    document_words: float, counterfactual: int, other_negatives: int, has_kl: bool, rates: Rates, usd_per_hour: float,
) -> GRPOEstimate:  # fmt: skip
    """Upper estimates: every completion at its longest. The completions of a problem share the reading of its prompt, in
    sampling, scoring and training."""
    prompt = document_words * TOKENS_PER_WORD + PROMPT_OVERHEAD_TOKENS
    completions = prompts_per_step * num_generations
    prompts, generated = prompts_per_step * prompt, completions * completion_tokens
    candidates = 1 + counterfactual + other_negatives
    scored = prompts * candidate_prompts(counterfactual, other_negatives) + generated * candidates
    trained = prompts + generated

    def gflop(tokens: float) -> float:
        return architecture.flops(tokens, prompt) / 1e9

    reading = gflop(prompts + scored + (trained if has_kl else 0))
    step = Work(reading, gflop(generated), FORWARD_PASSES_OF_TRAINING * gflop(trained))
    seconds = step.seconds(rates)
    return GRPOEstimate(
        generated_tokens_per_step=generated,
        scored_tokens_per_step=scored,
        gflops_per_step=step.gflop,
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
    counterfactual: int, other_negatives: int, texts: int, has_reference: bool, rates: Rates, usd_per_hour: float,
) -> FitEstimate:  # fmt: skip
    """Upper estimates: every completion at its longest, and the prompt of each text trained on by itself. `groups` problems
    are sampled and scored, their samples behind one reading of the prompt; `texts` prompts with completions are trained on,
    epochs included."""
    prompt = document_words * TOKENS_PER_WORD + PROMPT_OVERHEAD_TOKENS
    generated = groups * samples * completion_tokens
    candidates = 1 + counterfactual + other_negatives
    scored = groups * prompt * candidate_prompts(counterfactual, other_negatives) + generated * candidates
    trained = texts * (prompt + completion_tokens)

    def gflop(tokens: float) -> float:
        return architecture.flops(tokens, prompt) / 1e9

    reading = gflop(groups * prompt + scored + (trained if has_reference else 0))
    seconds = Work(reading, gflop(generated), FORWARD_PASSES_OF_TRAINING * gflop(trained)).seconds(rates)
    return FitEstimate(
        generated_tokens=generated,
        scored_tokens=scored,
        trained_tokens=trained,
        hours=seconds / 3600,
        usd=seconds / 3600 * usd_per_hour,
    )
