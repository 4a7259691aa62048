"""What a stress run will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from infoagent.costs import generation_flops
from infoagent.evaluation.stress.load import LoadPlan
from infoagent.lm.endpoint_reply import text_tokens
from infoagent.lm.sizes import architecture_of

ASIDE_TOKENS = 60
"""Of a prompt, beside its document."""


def describe_load(plan: LoadPlan) -> str:
    """Runs, jobs, worst-case money; minutes where the rates or the local server's speed are known."""
    recipe = plan.recipe
    loads = recipe.rates_per_second or recipe.loads
    runs = len(loads) * len(recipe.seeds)
    each = recipe.probe_jobs + runs * recipe.jobs
    lines = [
        f"plan: {len(recipe.conditions)} conditions × ({recipe.probe_jobs} jobs to find the capacity + {len(loads)} loads × "
        f"{len(recipe.seeds)} runs × {recipe.jobs} jobs) = {len(recipe.conditions) * each} jobs of "
        f"{len(recipe.stages)} requests, none of them ever repeated"
    ]
    if plan.worst_usd or not recipe.is_local:
        lines.append(f"money: at most {plan.worst_usd:.4g} $ for endpoints, limit {recipe.spending_limit_usd:.2f} $")
    per_second, guessed = recipe.rates_per_second, ""
    if per_second is None:
        architecture = architecture_of(recipe.server.model) if recipe.is_local else None
        if architecture is None:
            lines.append("time: the rates follow from the capacity, which is found first")
            return "\n".join(lines)
        document = sum(text_tokens(p.document) for p in plan.problems) / len(plan.problems)
        work = sum(
            generation_flops(architecture, int(document) + ASIDE_TOKENS, stage.max_tokens).total / 1e9
            for _, stage in recipe.stages
        ) / recipe.cost.gflops_per_second  # fmt: skip
        per_second = [load / work for load in recipe.loads]
        guessed = f" at {recipe.cost.gflops_per_second:,.0f} GFLOP/s, where decoding is slower the more so"
    seconds = len(recipe.conditions) * len(recipe.seeds) * sum(recipe.jobs / rate for rate in per_second)
    lines.append(f"time: arrivals take {seconds / 60:,.0f} minutes{guessed}; overloads end later")
    return "\n".join(lines)
