"""What a run will take before it runs: tokens, FLOPs, seconds, money. Its memory: infoagent/costs/memory.py."""

from __future__ import annotations

from dataclasses import dataclass

from infoagent.costs.architecture import Architecture
from infoagent.costs.rates import FORWARD_PASSES_OF_TRAINING, Work

TOKENS_PER_WORD = 1.5
"""Of `records` under the embedded tokenizer, which splits digits; a test holds it within 15 %."""
PROMPT_OVERHEAD_TOKENS = 60


def candidate_prompts(counterfactual: int, others: int) -> float:
    """Prompts that a scorer reads for one problem. A counterfactual document is read from its first changed word on: half
    of it, where the changes lie anywhere."""
    return 1 + others + counterfactual / 2


@dataclass(frozen=True)
class TrainingWork:
    """Sampling, scoring and training of a step, or of a whole run, in tokens and GFLOP."""

    generated_tokens: float
    scored_tokens: float
    trained_tokens: float
    compute: Work


def training_work(
    architecture: Architecture,
    *,
    groups: int,
    samples: int,
    completion_tokens: int,
    document_words: float,
    counterfactual: int,
    other_negatives: int,
    has_reference: bool,
    texts: int | None = None,
    reads_apart: bool = False,
    proposed: int = 0,
    readings: int = 1,
) -> TrainingWork:
    """Upper estimates: every completion at its longest. `groups` problems are sampled and scored, their completions and as many
    texts as are `proposed` behind one reading of the prompt, or `readings` of them (rounds of a search). Trained on are the
    completions, sharing it too; or `texts` prompts with a completion each, epochs included. `has_reference`: the base reads what is
    trained on, for a KL or a preference. `reads_apart`: documents are read without a gradient (`lora.activated`)."""
    prompt = document_words * TOKENS_PER_WORD + PROMPT_OVERHEAD_TOKENS
    prompts, generated = groups * prompt, groups * samples * completion_tokens
    candidates = 1 + counterfactual + other_negatives
    continued = generated + groups * proposed * completion_tokens
    scored = readings * prompts * candidate_prompts(counterfactual, other_negatives) + continued * candidates
    trained = prompts + generated if texts is None else texts * (prompt + completion_tokens)
    apart = (groups if texts is None else texts) * document_words * TOKENS_PER_WORD if reads_apart else 0.0

    def gflop(tokens: float) -> float:
        return architecture.flops(tokens, prompt) / 1e9

    reading = gflop(prompts + scored + apart + (trained if has_reference else 0))
    compute = Work(reading, gflop(generated), FORWARD_PASSES_OF_TRAINING * gflop(trained - apart))
    return TrainingWork(generated, scored, trained - apart, compute)
