"""What a stress run will take, as text: for --dry-run. Imports neither torch nor a model."""

from __future__ import annotations

from infoagent.applications.stress.hard_inputs_checks import InputsPlan
from infoagent.applications.stress.load_run import LoadPlan
from infoagent.costs import Work, generation_flops, price_of
from infoagent.lm.endpoint.reply import text_tokens
from infoagent.lm.machine.rates import machine_rates
from infoagent.lm.sizes import architecture_of
from infoagent.progress import duration

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
        job, rates = Work(), machine_rates(recipe.cost.gflops_per_second)
        for _, stage in recipe.stages:
            job.generate(1, generation_flops(architecture, int(document) + ASIDE_TOKENS, stage.max_tokens))
        per_second = [load / job.seconds(rates) for load in recipe.loads]
        guessed = f" {rates.line}"
    seconds = len(recipe.conditions) * len(recipe.seeds) * sum(recipe.jobs / rate for rate in per_second)
    lines.append(f"time: arrivals take {seconds / 60:,.0f} minutes{guessed}; overloads end later")
    return "\n".join(lines)


def describe_inputs(plan: InputsPlan) -> str:
    """Cases, compressions, tokens, seconds, and money at most."""
    recipe = plan.recipe
    asked = [case for case in plan.cases if case.refusal is None]
    lines = [
        f"plan: {len(plan.cases)} cases × {len(plan.compressors)} compressors = {len(plan.cases) * len(plan.compressors)}"
    ]
    read = sum(text_tokens(case.document) + ASIDE_TOKENS for case in asked)
    scored = sum(
        text_tokens(document) + ASIDE_TOKENS for case in asked for document in (case.document, *case.counterfactuals)
        if case.counterfactuals
    )  # fmt: skip
    work, usd = Work(), 0.0
    for section in plan.compressors:
        architecture = architecture_of(section.model.name, section.model.revision)
        if architecture is None:
            lines.append(f"  {section.label}: the configuration of {section.model.name} is not on this machine")
            continue
        if section.kind == "lm":
            each = generation_flops(architecture, read // max(1, len(asked)), section.max_tokens)
            work.generate(len(asked), each)
        if recipe.counterfactuals:
            work.reading += architecture.flops(scored / len(plan.compressors), scored / max(1, len(asked))) / 1e9
        lines.append(
            f"  {section.label}: at most {read:,} tokens to read, {len(asked) * section.max_tokens:,} to write"
        )
    if recipe.predictor is not None:
        notes = max(section.max_tokens for section in plan.compressors) + ASIDE_TOKENS
        answers = len(asked) * len(plan.compressors)
        lines.append(f"  {recipe.predictor.title}: {answers} answers, about {answers * notes:,} tokens to read")
        if recipe.predictor.kind == "endpoint":
            price = price_of(recipe.predictor.name, recipe.predictor.provider, recipe.cost.prices)
            usd = answers * price.usd(notes, 0, recipe.predictor.max_tokens)
    rates = machine_rates(recipe.cost.gflops_per_second)
    lines.append(
        f"compute: {work.gflop:,.0f} GFLOP; {rates.line} {duration(work.seconds(rates))}"
        + (f"; money: about {usd:.4g} $ for the endpoint, limit {recipe.spending_limit_usd:.2f} $" if usd else "")
    )
    return "\n".join(lines)
