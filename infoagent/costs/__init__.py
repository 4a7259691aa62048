"""What a run takes: tokens, FLOPs, seconds, memory, money. From a model's configuration and a table of prices."""

from infoagent.costs.architecture import Architecture
from infoagent.costs.break_even import BreakEven, break_even_questions
from infoagent.costs.estimates import PROMPT_OVERHEAD_TOKENS, TOKENS_PER_WORD, TrainingWork, candidate_prompts, training_work
from infoagent.costs.flops import GenerationFlops, generation_flops, paper_flops, scoring_flops
from infoagent.costs.memory import BYTES, GIB, LAYOUTS, SINGLE, Layout, Memory, Workload, fit_memory, step_memory
from infoagent.costs.pairs import Cost
from infoagent.costs.prices import Price, PriceOverride, price_of, price_snapshot
from infoagent.costs.rates import Rates, Work

__all__ = [
    "BYTES",
    "GIB",
    "LAYOUTS",
    "PROMPT_OVERHEAD_TOKENS",
    "SINGLE",
    "TOKENS_PER_WORD",
    "Architecture",
    "BreakEven",
    "Cost",
    "GenerationFlops",
    "Layout",
    "Memory",
    "Price",
    "PriceOverride",
    "Rates",
    "TrainingWork",
    "Work",
    "Workload",
    "break_even_questions",
    "candidate_prompts",
    "fit_memory",
    "generation_flops",
    "paper_flops",
    "price_of",
    "price_snapshot",
    "scoring_flops",
    "step_memory",
    "training_work",
]
