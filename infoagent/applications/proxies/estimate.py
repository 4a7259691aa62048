"""What the scorers of a proxy study will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from infoagent.applications.proxies.recipe import ProxyRecipe
from infoagent.costs import PROMPT_OVERHEAD_TOKENS, TOKENS_PER_WORD, Work
from infoagent.evaluation.estimate import longest_tokens, usable_sets
from infoagent.grading.words import count_words
from infoagent.lm.machine.rates import machine_rates
from infoagent.lm.sizes import architecture_of
from infoagent.progress import duration
from infoagent.recipes import EvaluationRecipe
from infoagent.types import ANCHORS


def describe_scorers(recipe: ProxyRecipe, grids: Sequence[EvaluationRecipe]) -> str:
    """GFLOP and seconds of each scorer over all grids, every text at its longest; prefixes under one prompt are read once."""
    columns = prompts = texts = 0.0
    for grid in grids:
        for data in usable_sets(grid)[0]:
            draws = len(data) * len(grid.seeds) * grid.samples
            document = sum(count_words(p.document) for p in data.problems) / len(data) * TOKENS_PER_WORD
            written = [c for c in grid.grid if c.kind not in ANCHORS]
            candidates = 1 + grid.negatives.total
            prompts += (
                len({str(c.prompt) for c in written}) * len(data) * candidates * (document + PROMPT_OVERHEAD_TOKENS)
            )
            columns += draws * candidates * sum(longest_tokens(c, document) for c in written)
            texts += draws * len(written)
    lines = [f"scorers: {len(recipe.studied)} × {texts:,.0f} texts, {prompts + columns:,.0f} tokens each"]
    total, rates = 0.0, machine_rates(recipe.cost.gflops_per_second)
    for scorer in recipe.studied:
        architecture = architecture_of(scorer.model.name, scorer.model.revision) if scorer.kind == "lm" else None
        if architecture is None:
            lines.append(
                f"  {scorer.label}: "
                + ("no model" if scorer.kind != "lm" else "its configuration is not on this machine")
            )
            continue
        if scorer.layers is not None:
            architecture = replace(architecture, layers=min(scorer.layers, architecture.layers))
        gflop = architecture.flops(prompts + columns, prompts / max(1.0, texts)) / 1e9
        total += gflop
        lines.append(f"  {scorer.label}: {gflop:,.0f} GFLOP, {duration(Work(gflop).seconds(rates))}")
    lines.append(f"all scorers: {total:,.0f} GFLOP, {rates.line} {duration(Work(total).seconds(rates))}")
    return "\n".join(lines)
