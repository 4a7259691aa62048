"""What a stress run will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from infoagent.applications.stress.hard_inputs_checks import InputsPlan
from infoagent.applications.stress.load_run import LoadPlan
from infoagent.lm.dry_run import PlannedWork, not_here
from infoagent.lm.endpoint.reply import text_tokens
from infoagent.recipes import ModelSection

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
        document = sum(text_tokens(p.document) for p in plan.problems) / len(plan.problems)
        job, server = PlannedWork(recipe.cost), ModelSection(name=recipe.server.model)
        for _, stage in recipe.stages if recipe.is_local else ():
            job.generate(server, 1, int(document) + ASIDE_TOKENS, stage.max_tokens)
        if job.compute.gflop == 0:
            lines.append("time: the rates follow from the capacity, which is found first")
            return "\n".join(lines)
        per_second = [load / job.seconds for load in recipe.loads]
        guessed = f" {job.rates.line}"
    seconds = len(recipe.conditions) * len(recipe.seeds) * sum(recipe.jobs / rate for rate in per_second)
    lines.append(f"time: arrivals take {seconds / 60:,.0f} minutes{guessed}; overloads end later")
    return "\n".join(lines)


def describe_inputs(plan: InputsPlan) -> str:
    """Cases, compressions, tokens, seconds, and money at most."""
    recipe = plan.recipe
    asked = [case for case in plan.cases if case.refusal is None]
    lines = [f"plan: {len(plan.cases)} cases × {len(plan.compressors)} compressors = {len(plan.cases) * len(plan.compressors)}"]
    read = sum(text_tokens(case.document) + ASIDE_TOKENS for case in asked)
    scored = sum(
        text_tokens(document) + ASIDE_TOKENS
        for case in asked
        for document in (case.document, *case.counterfactuals)
        if case.counterfactuals
    )
    work = PlannedWork(recipe.cost)
    for section in plan.compressors:
        past, each = scored / max(1, len(asked)), scored / len(plan.compressors) if recipe.counterfactuals else 0
        if not work.forward(section.model, past, each):
            lines.append(f"  {section.label}: {not_here(section.model)}")
            continue
        if section.kind == "lm":
            work.generate(section.model, len(asked), read // max(1, len(asked)), section.max_tokens)
        lines.append(f"  {section.label}: at most {read:,} tokens to read, {len(asked) * section.max_tokens:,} to write")
    if recipe.predictor is not None:
        notes = max(section.max_tokens for section in plan.compressors) + ASIDE_TOKENS
        answers = len(asked) * len(plan.compressors)
        lines.append(f"  {recipe.predictor.title}: {answers} answers, about {answers * notes:,} tokens to read")
        if recipe.predictor.kind == "endpoint":
            work.pay(recipe.predictor, answers, notes, recipe.predictor.max_tokens)
    limit = f"; money: about {work.usd:.4g} $ for the endpoint, limit {recipe.spending_limit_usd:.2f} $"
    return "\n".join([*lines, work.time_line() + (limit if work.usd else "")])
