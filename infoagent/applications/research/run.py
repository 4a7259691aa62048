"""A whole research run: records, reports.jsonl, run.json, deep_research.json."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infoagent.applications.research.asking import Asking, LimitReached
from infoagent.applications.research.checks import Prepared, pairs_of
from infoagent.applications.research.reading import Reading
from infoagent.applications.research.recipe import ResearchRecipe
from infoagent.applications.research.summary import summarise
from infoagent.applications.research.systems import Research
from infoagent.costs import price_snapshot
from infoagent.evaluation.engines import EnginePool
from infoagent.evaluation.models import ModelPool
from infoagent.evaluation.records import RecordFile, Row
from infoagent.evaluation.replies import Replies, check_asked
from infoagent.files import only_writer, write_json, write_jsonl
from infoagent.phases import PhaseTimes
from infoagent.progress import Progress
from infoagent.store import SCHEMA_VERSION, check_output_dir, provenance
from infoagent.types import RunFailed

REPORTS_FILE, SUMMARY_FILE = "reports.jsonl", "deep_research.json"
SHARED_STAGES = 3
"""Of one task and run: plan, search, reports. Compressing and judging come once for each system."""

logger = logging.getLogger(__name__)


def run_research(recipe: ResearchRecipe, prepared: Prepared, quiet: bool) -> dict[str, Any]:
    """Do what recipe.output_dir does not hold yet, write what was found, and return the summary.

    Raises RunFailed, after writing all that is complete, where the spending limit was reached or no report was written.
    """
    check_output_dir(recipe.output_dir, "research")
    check_asked(recipe.asked, recipe)
    times = PhaseTimes()
    with only_writer(recipe.output_dir):
        write_json(Path(recipe.output_dir) / "run.json", _facts(recipe, prepared))
        records = RecordFile(recipe.output_dir)
        rows, stopped = _all_reports(recipe, prepared, records, quiet, times)
        summary = _write(recipe, prepared, records, rows)
    logger.info("%s: %s", recipe.output_dir, times.line())
    planned = len(prepared.tasks) * recipe.runs
    if stopped is not None:
        done = len({(row["task_id"], row["run"]) for row in rows})
        raise RunFailed(
            f"spending limit: {stopped} {done} of {planned} tasks and runs are complete in {recipe.output_dir}; raise "
            "spending_limit_usd and run the same command again: it goes on from there"
        )
    if all(row["status"] != "ok" for row in rows):
        first = rows[0]
        raise RunFailed(
            f"none of {len(rows)} reports was written; the first failed in stage {first['stage']}: {first['cause']}: "
            f"{first['error']}; {recipe.output_dir}/{REPORTS_FILE} has all"
        )
    return summary


def _all_reports(
    recipe: ResearchRecipe, prepared: Prepared, records: RecordFile, quiet: bool, times: PhaseTimes
) -> tuple[list[Row], str | None]:
    """The rows of all tasks and runs, in order, and why the run stopped before its end, if it did."""
    engines = EnginePool([s.model for s in recipe.asked if s.kind == "vllm"], recipe.vllm, times)
    pool = ModelPool(recipe.memory_mib, times, engines)
    replies = Replies(recipe, records, pool)
    research = Research(
        recipe,
        prepared.systems,
        Asking(records, pool, replies, recipe.batch_size),
        Reading(prepared.provider, records, replies.budget, recipe.search.concurrency),
    )
    draws = [(task, run) for run in range(recipe.runs) for task in prepared.tasks]
    stages = SHARED_STAGES + 2 * len(prepared.systems)
    rows: list[Row] = []
    with Progress(len(draws) * stages, "deep research", "stage", quiet) as bar:
        try:
            for number, (task, run) in enumerate(draws, start=1):
                with times("research"):
                    rows += research.run(task, run, bar.update)
                bar.update(number * stages - bar.n)
        except LimitReached as reached:
            return rows, f"{reached}."
        finally:
            engines.close()
    return rows, None


def _write(recipe: ResearchRecipe, prepared: Prepared, records: RecordFile, rows: Sequence[Row]) -> dict[str, Any]:
    out = Path(recipe.output_dir)
    write_jsonl(out / REPORTS_FILE, rows)
    run = _facts(recipe, prepared)
    write_json(out / "run.json", run)
    labels = [system.label for system in prepared.systems]
    summary = {
        "tasks": len({row["task_id"] for row in rows}),
        "tasks_planned": len(prepared.tasks),
        "runs": recipe.runs,
        "has_reference": all(task.reference is not None for task in prepared.tasks),
        "paid_usd": records.paid_usd,
        **summarise(rows, labels, pairs_of(prepared.systems, recipe.checkpoint)),
    }
    write_json(out / SUMMARY_FILE, {**run, **summary})
    return summary


def _facts(recipe: ResearchRecipe, prepared: Prepared) -> dict[str, Any]:
    return {
        "kind": "research",
        "schema_version": SCHEMA_VERSION,
        "recipe": recipe.model_dump(mode="json"),
        "sources": prepared.provider.identity,
        "price_snapshot": price_snapshot(),
        **provenance(),
    }
