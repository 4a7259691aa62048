"""What the scorers of a proxy study will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from collections.abc import Sequence

from infoagent.applications.proxies.recipe import ProxyRecipe
from infoagent.costs import PROMPT_OVERHEAD_TOKENS
from infoagent.evaluation.estimate import longest_tokens, usable_sets
from infoagent.lm.dry_run import PlannedWork, mean_tokens, read_tokens
from infoagent.progress import duration
from infoagent.recipes import EvaluationRecipe
from infoagent.types import ANCHORS


def describe_scorers(recipe: ProxyRecipe, grids: Sequence[EvaluationRecipe]) -> str:
    """GFLOP and seconds of each scorer over all grids, every text at its longest; prefixes under one prompt are read once."""
    columns = prompts = texts = 0.0
    for grid in grids:
        for data in usable_sets(grid)[0]:
            draws = len(data) * len(grid.seeds) * grid.samples
            document = mean_tokens(p.document for p in data.problems)
            written = [c for c in grid.grid if c.kind not in ANCHORS]
            candidates = 1 + grid.negatives.total
            read = [read_tokens(document, prompt) for prompt in {str(c.prompt): c.prompt for c in written}.values()]
            prompts += len(data) * candidates * sum(tokens + PROMPT_OVERHEAD_TOKENS for tokens in read)
            columns += draws * candidates * sum(longest_tokens(c, document) for c in written)
            texts += draws * len(written)
    lines = [f"scorers: {len(recipe.studied)} × {texts:,.0f} texts, {prompts + columns:,.0f} tokens each"]
    everything = PlannedWork(recipe.cost)
    for scorer in recipe.studied:
        work = PlannedWork(recipe.cost)
        past = prompts / max(1.0, texts)
        if scorer.kind != "lm" or not work.forward(scorer.model, past, prompts + columns, layers=scorer.layers):
            lines.append(f"  {scorer.label}: {'no model' if scorer.kind != 'lm' else 'its configuration is not on this machine'}")
            continue
        everything.compute.reading += work.compute.reading
        lines.append(f"  {scorer.label}: {work.compute.gflop:,.0f} GFLOP, {duration(work.seconds)}")
    lines.append(f"all scorers: {everything.compute.gflop:,.0f} GFLOP, {everything.rates.line} {duration(everything.seconds)}")
    return "\n".join(lines)
