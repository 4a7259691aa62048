"""A plan of loads: every condition probed for its capacity, then every load run once for each seed.

A run is kept as one record when it has ended, so a killed plan goes on with the run that it was in: a queue cannot be
taken up in its middle.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import astuple, dataclass, fields, replace
from typing import Any

import numpy as np

from infoagent.applications.stress.jobs import Job, Outcome, chat_of, do_job, draw_jobs, times_of
from infoagent.applications.stress.load import JobTimes, StreamClient, Timed, closed_loop, open_loop, poisson_arrivals
from infoagent.applications.stress.load.queueing import work_by_rounds
from infoagent.applications.stress.local_server import local_server
from infoagent.applications.stress.recipe import ConditionSection, LoadRecipe, StageSection
from infoagent.costs import price_of
from infoagent.data.registry import load_data
from infoagent.evaluation.records import RecordFile, Row, content_key
from infoagent.files import only_writer
from infoagent.information import mean_interval
from infoagent.lm.endpoint.client import Endpoint, EndpointSettings
from infoagent.lm.endpoint.reply import worst_case
from infoagent.lm.endpoint.settings import read_key
from infoagent.lm.models import resolve
from infoagent.lm.prompts import check_prompt
from infoagent.lm.scoring.protocol import TOKEN_VARIABLE
from infoagent.progress import Progress
from infoagent.types import Mistakes, Problem, RunFailed

MILLISECONDS = 3
LOOK_SECONDS = 10.0
"""How long a server may take to say which models it has: nothing is sent to one that stalls."""
COLUMNS = tuple(field.name for field in fields(JobTimes))


@dataclass(frozen=True)
class LoadPlan:
    """Everything that is decided before anything is sent."""

    recipe: LoadRecipe
    problems: list[Problem]
    data_revision: str
    worst_usd: float


def plan_load(recipe: LoadRecipe) -> LoadPlan:
    """Load data, check keys, prices and the limit. Raises InputError with all mistakes; sends nothing."""
    mistakes = Mistakes()
    with mistakes.of():
        check_prompt(recipe.prompt, may_pick=False)
        if recipe.is_local:
            resolve(recipe.server.model)
    data = load_data(**recipe.data.asked)
    order = np.random.default_rng(recipe.data.seed).permutation(len(data.problems))
    by_document: dict[str, Problem] = {}
    for i in order:
        by_document.setdefault(data.problems[int(i)].document, data.problems[int(i)])
    problems = list(by_document.values())[: recipe.documents]
    if len(problems) < recipe.documents:
        mistakes.add(f"documents = {recipe.documents}: {data.name} has {len(problems)} different ones; lower it")
    worst_usd = 0.0
    for stage, section in recipe.stages:
        if section.base_url is None:
            continue
        with mistakes.of():
            settings = settings_of(section, section.base_url, recipe)
            read_key(settings)
            price = price_of(str(section.name), section.provider, recipe.cost.prices)
            for problem in problems:
                job = Job(problem.document, problem.query)
                most = worst_case(settings.body(chat_of(stage, job, problem.document, recipe.prompt), None))
                worst_usd += _requests(recipe) / len(problems) * price.usd(most.prompt_tokens, 0, most.completion_tokens)
    if worst_usd > recipe.spending_limit_usd:
        mistakes.add(
            f"spending_limit_usd = {recipe.spending_limit_usd:g}: this plan may cost {worst_usd:.4g} $; raise the limit, or "
            "lower jobs, loads or seeds"
        )
    mistakes.end()
    return LoadPlan(recipe, problems, data.revision, worst_usd)


def _requests(recipe: LoadRecipe) -> int:
    runs = len(recipe.rates_per_second or recipe.loads) * len(recipe.seeds)
    return len(recipe.conditions) * (recipe.probe_jobs + runs * recipe.jobs)


def settings_of(section: StageSection, url: str, recipe: LoadRecipe) -> EndpointSettings:
    return EndpointSettings(
        url,
        section.name or recipe.server.model,
        api_key_env=TOKEN_VARIABLE if section.base_url is None else section.api_key_env,
        retries=0,
        timeout_seconds=recipe.timeout_seconds,
        max_tokens=section.max_tokens,
        temperature=section.temperature,
        extra=section.extra,
    )


def run_load(plan: LoadPlan, quiet: bool) -> list[Row]:
    """Probe and run what output_dir does not hold yet; the records of this plan, in its order.

    Raises InputError for a server that is not there, RunFailed for one that does not serve the probe or serves no job
    of a run.
    """
    recipe = plan.recipe
    with only_writer(recipe.output_dir):
        records = RecordFile(recipe.output_dir)
        found: list[Row] = []
        rates: list[float] | None = recipe.rates_per_second
        for condition in recipe.conditions:
            probe = content_key(kind="probe", **_identity(plan, condition))
            runs = {
                (load, seed): content_key(kind="load", load=load, seed=seed, **_identity(plan, condition))
                for load in (recipe.rates_per_second or recipe.loads)
                for seed in recipe.seeds
            }
            if not all(records.done(key) for key in (probe, *runs.values())):
                with _addresses(recipe, condition) as addresses:
                    if not records.done(probe):
                        records.append({"key": probe, **_probe(plan, condition, addresses, quiet)})
                    rates = rates or _rates(recipe, records.rows[probe])
                    for (load, seed), key in runs.items():
                        if not records.done(key):
                            rate = rates[(recipe.rates_per_second or recipe.loads).index(load)]
                            row = _run(plan, condition, addresses, load, rate, seed, quiet)
                            records.append({"key": key, **row})
                            _must_have_served(row, condition, load)
            rates = rates or _rates(recipe, records.rows[probe])
            names = {"condition": condition.model_dump()}  # a label is a name for this plan only
            found += [{**records.rows[key], **names} for key in (probe, *runs.values())]
    return found


def _identity(plan: LoadPlan, condition: ConditionSection) -> dict[str, Any]:
    """What decides a run beside its load and seed. Labels are names and decide nothing."""
    recipe = plan.recipe
    asked = {
        "job",
        "jobs",
        "documents",
        "prompt",
        "data",
        "stream",
        "timeout_seconds",
        "stall_seconds",
        "probe_jobs",
        "probe_clients",
        "compressor",
        "predictor",
    }
    first = None if recipe.rates_per_second else recipe.conditions[0].model_dump(exclude={"label"})
    return {
        "recipe": recipe.model_dump(mode="json", include=asked | ({"server"} if recipe.is_local else set())),
        "condition": condition.model_dump(exclude={"label"}),
        "rates_from": first,
        "data_revision": plan.data_revision,
    }


def _rates(recipe: LoadRecipe, probe: Row) -> list[float]:
    return [load * probe["capacity_per_second"]["value"] for load in recipe.loads]


@contextmanager
def _addresses(recipe: LoadRecipe, condition: ConditionSection) -> Iterator[dict[str, str]]:
    """{stage: base URL}, the local server up where one is needed, and every server checked."""
    if not recipe.is_local:
        found = {name: str(stage.base_url) for name, stage in recipe.stages}
        _check(recipe, found)
        yield found
        return
    with local_server(recipe.server, condition.prefix_cache) as url:
        found = {name: stage.base_url or url for name, stage in recipe.stages}
        _check(recipe, found)
        yield found


def _check(recipe: LoadRecipe, addresses: Mapping[str, str]) -> None:
    for name, stage in recipe.stages:
        settings = settings_of(stage, addresses[name], recipe)
        Endpoint(replace(settings, timeout_seconds=min(LOOK_SECONDS, settings.timeout_seconds))).check()


def _probe(plan: LoadPlan, condition: ConditionSection, addresses: Mapping[str, str], quiet: bool) -> Row:
    """A closed loop whose clients always have a job under way. Jobs that were not served count for nothing."""
    recipe = plan.recipe
    jobs = draw_jobs(plan.problems, recipe.probe_jobs, 2**31, condition.prefixes)
    with Progress(len(jobs), f"{condition.label}: capacity", "job", quiet) as bar:
        done = asyncio.run(_loop(recipe, addresses, jobs, None, bar))
    # a model that wrote nothing has worked for it all the same
    lost = [d for d in done if d.result.cause not in (None, "empty completion")]
    try:
        rounds = work_by_rounds([d.ended for d in done if d not in lost], recipe.probe_clients)
    except ValueError as error:
        reason = f" ({lost[0].result.cause}: {lost[0].result.error})" if lost else ""
        raise RunFailed(
            f"{condition.label}: {len(lost)} of the {len(done)} jobs of the probe were not served{reason}, and of the "
            f"others {error}; is the server in order?"
        ) from error
    work = mean_interval(rounds)
    return {
        "kind": "probe",
        "status": "ok",
        "condition": condition.model_dump(),
        "lost": len(lost),
        "work_seconds": {"value": work.value, "low": max(0.0, work.low), "high": work.high, "n": work.n},
        "work_squared_variation": float(recipe.probe_clients * rounds.var(ddof=1) / rounds.mean() ** 2),
        "capacity_per_second": {"value": 1 / work.value, "low": 1 / work.high, "high": 1 / work.low if work.low > 0 else None},
        "jobs": columns_of(done),
    }


def _run(
    plan: LoadPlan, condition: ConditionSection, addresses: Mapping[str, str], load: float, rate: float, seed: int, quiet: bool
) -> Row:
    recipe = plan.recipe
    jobs = draw_jobs(plan.problems, recipe.jobs, seed, condition.prefixes)
    arrivals = [float(t) for t in poisson_arrivals(rate, recipe.jobs, seed)]
    with Progress(len(jobs), f"{condition.label}: {rate:.3g} jobs a second, seed {seed}", "job", quiet) as bar:
        done = asyncio.run(_loop(recipe, addresses, jobs, arrivals, bar))
    lost = [d.result for d in done if d.result.cause is not None]
    row: Row = {
        "kind": "load",
        "status": "ok" if len(lost) < len(done) else "failed",
        "condition": condition.model_dump(),
        "load": load,
        "rate_per_second": rate,
        "seed": seed,
        "jobs": columns_of(done),
    }
    if lost:
        row["first_error"] = f"{lost[0].cause}: {lost[0].error}"
    return row


async def _loop(
    recipe: LoadRecipe, addresses: Mapping[str, str], jobs: list[Job], arrivals: list[float] | None, bar: Progress
) -> list[Timed[Outcome]]:
    async with AsyncExitStack() as stack:
        clients = {}
        for name, stage in recipe.stages:
            settings = settings_of(stage, addresses[name], recipe)
            client = StreamClient(settings, read_key(settings), recipe.stall_seconds, recipe.stream)
            clients[name] = await stack.enter_async_context(client)

        async def send(number: int) -> Outcome:
            return await do_job(jobs[number], clients, recipe.prompt)

        def told(_: Timed[Outcome]) -> None:
            bar.update()

        if arrivals is None:
            return await closed_loop(len(jobs), recipe.probe_clients, send, told)
        return await open_loop(arrivals, send, told)


def _must_have_served(row: Row, condition: ConditionSection, load: float) -> None:
    if row["status"] != "ok":
        raise RunFailed(
            f"{condition.label}, load {load:g}: not one of {len(row['jobs']['planned'])} jobs was served ({row['first_error']});"
            " what was measured before is kept, the same command goes on from here"
        )


def columns_of(done: list[Timed[Outcome]]) -> dict[str, list[Any]]:
    """The fields of the jobs' JobTimes, each as a list; seconds to the millisecond."""
    rows = [astuple(times_of(d)) for d in done]
    return {
        name: [round(value, MILLISECONDS) if isinstance(value, float) else value for value in column]
        for name, column in zip(COLUMNS, zip(*rows, strict=True), strict=True)
    }


def times_from(columns: Mapping[str, list[Any]]) -> list[JobTimes]:
    return [JobTimes(*values) for values in zip(*(columns[name] for name in COLUMNS), strict=True)]
