"""Records of a load plan → its numbers: for each condition the capacity, for each load a level."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from infoagent.applications.stress.load import JobTimes, describe_level
from infoagent.applications.stress.load.queueing import overload_growth, pollaczek_khinchine_wait
from infoagent.applications.stress.load_run import times_from
from infoagent.applications.stress.recipe import LoadRecipe
from infoagent.evaluation.records import Row


def summarise_load(recipe: LoadRecipe, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """One entry for each condition: its probe and its levels in the order of their loads."""
    found = []
    for condition in recipe.conditions:
        own = [row for row in rows if row["condition"] == condition.model_dump()]
        [probe] = [row for row in own if row["kind"] == "probe"]
        levels = []
        for load in recipe.rates_per_second or recipe.loads:
            runs = [row for row in own if row["kind"] == "load" and row["load"] == load]
            levels.append(_level(recipe, probe, runs))
        kept = {k: probe[k] for k in ("capacity_per_second", "work_seconds", "work_squared_variation", "lost")}
        found.append({"condition": condition.model_dump(), **kept, "levels": levels})
    return found


def _level(recipe: LoadRecipe, probe: Row, runs: Sequence[Row]) -> dict[str, Any]:
    rate, capacity = runs[0]["rate_per_second"], probe["capacity_per_second"]
    jobs = [times_from(row["jobs"]) for row in runs]
    level = {"load": runs[0]["load"], "of_capacity": rate / capacity["value"], **describe_level(jobs, rate)}
    level["above_capacity"] = _place(rate, capacity)
    # with each second of arrivals the latency grows by so many seconds: measured, and what the capacity says
    level["latency_growth"] = {
        "measured": float(np.mean([_slope(run) for run in jobs])) if all(_enough(run) for run in jobs) else None,
        "expected": overload_growth(rate, capacity["value"]),
    }
    if len(recipe.stages) == 1 and rate < capacity["value"]:
        # a job of two stages stands in line twice, and no closed form is known to us for that
        work, variation = probe["work_seconds"]["value"], probe["work_squared_variation"]
        level["expected_latency_seconds"] = work + pollaczek_khinchine_wait(rate, work, variation)
    return level


def _place(rate: float, capacity: dict[str, Any]) -> str:
    """Whether a rate is above the capacity, as far as the interval of the capacity tells."""
    if rate < capacity["low"]:
        return "no"
    return "yes" if capacity["high"] is not None and rate > capacity["high"] else "within the interval of the capacity"


def _enough(run: Sequence[JobTimes]) -> bool:
    return sum(job.cause is None for job in run) > 2


def _slope(run: Sequence[JobTimes]) -> float:
    served = [job for job in run if job.cause is None]
    return float(np.polyfit([job.planned for job in served], [job.latency for job in served], 1)[0])
