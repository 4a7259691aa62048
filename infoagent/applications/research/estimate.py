"""What a research run will take, stage by stage, as text: for --dry-run. Asks nobody, and loads no model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from infoagent.applications.research.checks import open_search, tasks_of
from infoagent.applications.research.prompts import SCORES
from infoagent.applications.research.recipe import JUDGE_TOKENS, ResearchRecipe, SystemSection
from infoagent.applications.research.search import Corpus
from infoagent.baselines import PICKERS
from infoagent.costs import PROMPT_OVERHEAD_TOKENS
from infoagent.costs.known import known_architecture
from infoagent.data.sets.research_tasks import ResearchTask
from infoagent.lm.dry_run import PlannedWork, read_tokens
from infoagent.lm.machine.rates import machine_rates
from infoagent.recipes.evaluation import PredictorSection
from infoagent.types import ANCHORS

CHARACTERS_PER_TOKEN = 4
SENTENCE_TOKENS = 40
UNSEEN_TASK_TOKENS = 100
"""Of a task whose file is not there yet."""
ENDPOINT_SECONDS, ENDPOINT_TOKENS_PER_SECOND = 1.0, 50.0
"""Until an endpoint begins to write, and how fast it then writes: rules of thumb."""
SEARCH_SECONDS, PAGE_SECONDS = 1.0, 3.0
"""Of a web search, and of reading a page: rules of thumb."""
FREE_SECONDS = 0.01
"""Of a search in a corpus."""


@dataclass(frozen=True)
class Stage:
    """A line of the plan; `seconds` None: nobody knows the sizes of its model."""

    name: str
    who: str
    calls: float
    tokens_in: float = 0.0
    tokens_out: float = 0.0
    usd: float = 0.0
    seconds: float | None = 0.0


def describe_research(recipe: ResearchRecipe, systems: Sequence[SystemSection]) -> str:
    """Calls, tokens, money and seconds of each stage, nothing of it done yet. Upper estimates: every text at its longest,
    no source found twice. `systems` as preparing.systems_of gives them."""
    stages = _stages(recipe, systems)
    lines = [f"plan: {_tasks(recipe)[0]} tasks × {recipe.runs} runs × {len(systems)} systems"]
    lines += _missing(recipe)
    head = f"{'stage':<10}{'who':<34}{'calls':>10}{'tokens in':>14}{'tokens out':>12}{'USD':>10}{'seconds':>11}"
    lines += [head, "-" * len(head)]
    for s in stages:
        seconds = "unknown" if s.seconds is None else f"{s.seconds:,.0f}"
        lines.append(
            f"{s.name:<10}{s.who[:32]:<34}{s.calls:>10,.0f}{s.tokens_in:>14,.0f}{s.tokens_out:>12,.0f}{s.usd:>10.2f}{seconds:>11}"
        )
    total = sum(s.seconds or 0.0 for s in stages)
    usd = sum(s.usd for s in stages)
    lines.append(
        f"in all: {usd:.2f} $ for others, limit {recipe.spending_limit_usd:.2f} $; {total:,.0f} s; this machine "
        f"{total / 3600 * recipe.cost.usd_per_hour:.2f} $ at {recipe.cost.usd_per_hour:.2f} $ an hour"
    )
    lines.append(
        f"assumed: {machine_rates(recipe.cost.gflops_per_second).line}; endpoints begin after "
        f"{ENDPOINT_SECONDS:g} s and write {ENDPOINT_TOKENS_PER_SECOND:g} tokens/s; {CHARACTERS_PER_TOKEN} characters a token"
    )
    if usd > recipe.spending_limit_usd:
        lines.append(f"the limit is below the estimate: the run will stop at {recipe.spending_limit_usd:.2f} $ and keep all")
    return "\n".join(lines)


def _stages(recipe: ResearchRecipe, systems: Sequence[SystemSection]) -> list[Stage]:
    number, task = _tasks(recipe)
    times = number * recipe.runs
    searches, found = recipe.queries, recipe.queries * recipe.sources
    source, web = recipe.source_characters / CHARACTERS_PER_TOKEN, recipe.search.web
    provider = None if web is not None else open_search(recipe.search, recipe.output_dir)
    if isinstance(provider, Corpus):
        found = min(found, len(provider.sources))
        lengths = [min(len(s.text or ""), recipe.source_characters) for s in provider.sources]
        source = sum(lengths) / len(lengths) / CHARACTERS_PER_TOKEN
    pairs = recipe.queries * recipe.sources
    side_by_side = recipe.search.concurrency
    prices = (0.0, 0.0) if web is None or web.replay else (web.usd_per_search, web.usd_per_fetch)
    takes = (FREE_SECONDS, 0.0) if web is None or web.replay else (SEARCH_SECONDS, PAGE_SECONDS)
    where = "corpus" if web is None else "replayed" if web.replay else "web"
    stages = [
        _written(recipe, "plan", recipe.planner, recipe.predictor.title, times, task, recipe.plan_tokens),
        Stage(
            "search", where, times * searches, usd=times * searches * prices[0], seconds=times * searches * takes[0] / side_by_side
        ),
        Stage("read", where, times * found, usd=times * found * prices[1], seconds=times * found * takes[1] / side_by_side),
    ]
    for system in systems:
        if system.kind == "lm":
            read = read_tokens(source, system.prompt)
            stages.append(_written(recipe, "compress", system.writer, system.label, times * pairs, read, system.max_tokens))
    for system in systems:
        notes = task + _notes(system, found, pairs, source)
        stages.append(_written(recipe, "report", recipe.reporter, system.label, times, notes, recipe.predictor.max_tokens))
    return stages + _judging(recipe, times * len(systems), task, source)


def _notes(system: SystemSection, found: float, pairs: float, source: float) -> float:
    """Tokens of the notes of one report, at the most."""
    if system.kind in ANCHORS:
        return found * source if system.kind == "full-document" else 0.0
    if system.kind in PICKERS:
        return found * min(source, system.tokens or SENTENCE_TOKENS * (system.sentences or 1))
    return pairs * system.max_tokens


def _judging(recipe: ResearchRecipe, reports: float, task: float, source: float) -> list[Stage]:
    judge = recipe.judge
    if judge is None:
        return []
    report = recipe.predictor.max_tokens
    if judge.model.how == "likelihood":
        calls, read, written = reports * len(judge.weights), task + report, len(SCORES) * 2
    else:
        calls, read, written = reports, task + 2 * report, JUDGE_TOKENS
    stages = [_written(recipe, "judge", judge.model, "rubric", calls, read, written)]
    if judge.citations == "judge":
        sentences = reports * report / SENTENCE_TOKENS
        stages.append(_written(recipe, "judge", judge.model, "citations", sentences, source + SENTENCE_TOKENS, 2))
    return stages


def _written(
    recipe: ResearchRecipe, name: str, section: PredictorSection, who: str, calls: float, read: float, written: float
) -> Stage:
    read += PROMPT_OVERHEAD_TOKENS
    work, seconds = PlannedWork(recipe.cost), None
    if section.kind == "endpoint":
        assert section.endpoint is not None
        work.pay(section, calls, read, written)
        seconds = calls * (ENDPOINT_SECONDS + written / ENDPOINT_TOKENS_PER_SECOND) / section.endpoint.concurrency
    elif work.generate(section, calls, read, written, known_architecture(section.name)):
        seconds = work.seconds
    return Stage(name, who, calls, calls * read, calls * written, work.usd, seconds)


def _tasks(recipe: ResearchRecipe) -> tuple[int, float]:
    """(how many, mean tokens of one)."""
    if recipe.tasks.path is not None and not Path(recipe.tasks.path).expanduser().is_file():
        return recipe.tasks.limit, UNSEEN_TASK_TOKENS
    tasks: list[ResearchTask] = tasks_of(recipe)
    return len(tasks), sum(len(t.task) for t in tasks) / len(tasks) / CHARACTERS_PER_TOKEN


def _missing(recipe: ResearchRecipe) -> list[str]:
    """What a plan can be made without, and a run cannot."""
    path = recipe.tasks.path
    if path is not None and not Path(path).expanduser().is_file():
        return [f"tasks.path = {path!r}: not there yet; {recipe.tasks.limit} tasks are assumed"]
    return []
