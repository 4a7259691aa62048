"""Rows of reports → means with intervals over tasks, paired differences to other systems, cost by stage."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from infoagent.applications.research.stage_costs import added
from infoagent.applications.research.systems import STAGES
from infoagent.evaluation.records import Row
from infoagent.grading.words import count_words
from infoagent.information import mean_interval, paired_difference, share_interval

Value = Callable[[Row], float | None]


def _rubric(name: str) -> Value:
    def value(row: Row) -> float | None:
        rubric = row.get("rubric", {})
        if rubric.get("status") != "ok":
            return None
        found = rubric.get(name) if name in ("final", "report") else rubric["scores"].get(name)
        return None if found is None else float(found)

    return value


def _facts(where: str) -> Value:
    return lambda row: sum(row["facts"][where]) / len(row["facts"][where]) if "facts" in row else None


def _share(part: str, whole: str, without: str | None = None) -> Value:
    def value(row: Row) -> float | None:
        counts = row["citations"]
        number = counts[whole] - (counts[without] if without else 0)
        return counts[part] / number if number else None

    return value


QUANTITIES: Mapping[str, Value] = {
    "rubric/final": _rubric("final"),
    "rubric/report": _rubric("report"),
    **{f"rubric/{name}": _rubric(name) for name in ("comprehensiveness", "depth", "instruction following", "readability")},
    "facts/report": _facts("in_report"),
    "facts/notes": _facts("in_notes"),
    "facts/sources": _facts("in_sources"),
    "citations/supported": _share("supported", "cited", without="unjudged"),
    "citations/cited": _share("cited", "sentences"),
    "citations/invalid": _share("invalid", "marks"),
    "notes/characters": lambda row: float(row["notes_characters"]),
    "report/words": lambda row: float(count_words(row["report"])),
    "report/cut": lambda row: float(row["finish"] == "length"),
}
"""Of one report. None: it has no such number (no sentence is cited, the judge's reply could not be read), and the report is
no part of that mean.

rubric/final: the report's share of the two scores, 0.5 as good as the reference; rubric/report: its own weighted score;
facts/…: share of the asked facts that stand in the report, in the notes that it was written from, in the sources;
citations/supported: of the cited sentences, those that a cited source says; citations/cited: of all sentences, those with a
mark; citations/invalid: of the marks, those that name no source; report/cut: ended at the length limit.
"""
SHARES = ("facts/", "citations/", "report/cut")
COSTS = ("calls", "tokens_in", "tokens_out", "usd", "gflops", "seconds")


def summarise(rows: Sequence[Row], systems: Sequence[str], pairs: Sequence[tuple[str, str]]) -> dict[str, Any]:
    """`systems`: a summary for each, in order; `comparisons`: for each pair (one, other) the paired differences one − other
    over tasks."""
    by_system = {label: [row for row in rows if row["system"] == label] for label in systems}
    return {
        "systems": [_system(label, own) for label, own in by_system.items()],
        "comparisons": [_comparison(one, other, by_system) for one, other in pairs],
    }


def _system(label: str, rows: Sequence[Row]) -> dict[str, Any]:
    good = _good(rows)
    values = {}
    for name, value in QUANTITIES.items():
        known = [(found, row["task_id"]) for row in good if (found := value(row)) is not None]
        if known:
            numbers, tasks = zip(*known, strict=True)
            is_share = name.startswith(SHARES)
            mean = vars((share_interval if is_share else mean_interval)(numbers, tasks))
            if is_share:  # few tasks give a t interval that leaves what a share can be; NaN stays
                mean = {**mean, "low": max(mean["low"], 0.0), "high": min(mean["high"], 1.0)}
            values[name] = {**mean, "reports": len(known)}
    judged = [row["rubric"] for row in good if "rubric" in row]
    return {
        "label": label,
        "reports": len(rows),
        "failed": len(rows) - len(good),
        "failed_causes": dict(Counter(f"{r['stage']}: {r['cause']}" for r in rows if r["status"] != "ok")),
        "failed_searches": sum(len(row["failed_searches"]) for row in good),
        "failed_pages": sum(len(row["failed_pages"]) for row in good),
        "failed_compressions": sum(len(row["failed_compressions"]) for row in good),
        "unjudged": dict(Counter(r["cause"] for r in judged if r["status"] != "ok")),
        "values": values,
        "cost": _cost(good),
    }


def _cost(rows: Sequence[Row]) -> dict[str, dict[str, float]]:
    """Means per report by stage, and `total` without the judge, who is no part of a system."""
    costs: dict[str, dict[str, float]] = {}
    for stage in STAGES:
        own = [row["stages"][stage] for row in rows if stage in row["stages"]]
        if own:
            costs[stage] = {key: number / len(own) for key, number in added(own).items()}
    system = [cost for stage, cost in costs.items() if stage != "judge"]
    return {**costs, "total": added(system)} if system else {}


def _comparison(one: str, other: str, by_system: Mapping[str, Sequence[Row]]) -> dict[str, Any]:
    first, second = ({(r["task_id"], r["run"]): r for r in _good(by_system[label])} for label in (one, other))
    both = [key for key in first if key in second]
    values = {}
    for name, value in QUANTITIES.items():
        found = [(value(first[key]), value(second[key]), key[0]) for key in both]
        known = [(x, y, task) for x, y, task in found if x is not None and y is not None]
        if known:
            ours, theirs, tasks = zip(*known, strict=True)
            values[name] = {"difference": vars(paired_difference(ours, theirs, tasks)), "pairs": len(known)}
    costs = [_cost([side[key] for key in both]).get("total", {}) for side in (first, second)]
    shares = {k: costs[0][k] / costs[1][k] for k in COSTS if k in costs[0] and costs[1].get(k, 0.0) > 0}
    return {"system": one, "against": other, "pairs": len(both), "values": values, "cost_share": shares}


def metrics(system: Mapping[str, Any]) -> dict[str, float]:
    """One system's summary under the house's names, for tracking."""
    names = {"rubric/final": "rubric", "facts/report": "facts", "facts/notes": "facts_in_notes", "citations/supported": "supported"}
    line = {f"research/{name}": system["values"][key]["value"] for key, name in names.items() if key in system["values"]}
    total = system["cost"].get("total", {})
    return line | {f"research/{key}": total[key] for key in ("usd", "gflops") if key in total}


def _good(rows: Sequence[Row]) -> list[Row]:
    return [row for row in rows if row["status"] == "ok"]
