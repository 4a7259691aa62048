"""Loads as a table and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.reporting.error_bars import error_bars
from infoagent.reporting.plots import INK, PALETTE, new_figure, save_figure, shown
from infoagent.reporting.tables import as_text

COLUMNS = (
    "condition", "jobs/s", "of capacity", "served/s", "p50 (s)", "p90 (s)", "p95 (s)", "p99 (s)", "first token p50 (s)",
    "in flight", "at the end", "busy", "cached", "failed",
)  # fmt: skip
LATE_SECONDS = 0.1
"""A job that is sent so long after its planned arrival says that this machine, not the server, was slow."""
Condition = Mapping[str, Any]


def load_text(conditions: Sequence[Condition]) -> str:
    """The tables for the terminal: capacities, then every load of every condition."""
    lines = []
    for found in conditions:
        capacity, work = found["capacity_per_second"], found["work_seconds"]
        high = "?" if capacity["high"] is None else f"{capacity['high']:.3f}"
        lines.append(
            f"{found['condition']['label']}: capacity {capacity['value']:.3f} jobs a second [{capacity['low']:.3f}, {high}], "
            f"{work['value']:.2f} s of work a job"
        )
    return "\n".join([*lines, "", as_text(COLUMNS, load_rows(conditions)), *(f"note: {n}" for n in notes(conditions))])


def load_rows(conditions: Sequence[Condition]) -> list[list[str]]:
    return [_row(found["condition"]["label"], level) for found in conditions for level in found["levels"]]


def _row(label: str, level: Mapping[str, Any]) -> list[str]:
    latency, first = level["latency_seconds"], level.get("first_token_seconds", {})
    return [
        label,
        f"{level['wanted_per_second']:.3f}",
        f"{level['of_capacity']:.2f}",
        number(level["served_per_second"], 3),
        *(number(latency[p], 1) for p in ("p50", "p90", "p95", "p99")),
        number(first.get("p50", {}), 1),
        number(level["in_flight"], 1),
        number(level["in_flight_at_last_arrival"], 1),
        f"{100 * level['busy_share']['value']:.0f} %",
        f"{100 * level['cached_tokens'] / max(1, level['prompt_tokens']):.0f} %",
        _failed(level),
    ]


def number(found: Mapping[str, Any], digits: int) -> str:
    """`1.2 [0.9, 1.5]`; `1.2` where the interval is unknown; `never`; `–` where there is no value."""
    if "value" not in found:
        return "never" if str(found.get("refused", "")).startswith("never") else "–"
    if found["low"] is None:
        return f"{found['value']:.{digits}f}"
    return f"{found['value']:.{digits}f} [{max(0.0, found['low']):.{digits}f}, {found['high']:.{digits}f}]"


def _failed(level: Mapping[str, Any]) -> str:
    failed, jobs = sum(level["failed"].values()), level["jobs"]
    causes = ", ".join(f"{count} {cause}" for cause, count in level["failed"].items())
    share = level["failed_share"]
    span = f" [{100 * share['low']:.0f}, {100 * share['high']:.0f} %]" if failed and share["low"] is not None else ""
    return f"{failed} of {jobs}{span}" + (f" ({causes})" if causes else "")


def notes(conditions: Sequence[Condition]) -> list[str]:
    """Why percentiles are missing, and loads under which the latency grows as long as jobs come."""
    found: dict[str, None] = {}
    for condition in conditions:
        for level in condition["levels"]:
            for name, value in level["latency_seconds"].items():
                if "refused" in value:
                    found[f"{name}: {value['refused']}"] = None
            if level["latest_send_seconds"] > LATE_SECONDS:
                found[
                    f"{condition['condition']['label']} at {level['wanted_per_second']:.3f} jobs a second: the generator itself "
                    f"was late by up to {level['latest_send_seconds']:.2f} s, which the latencies hold"
                ] = None
            growth = level["latency_growth"]
            if level["above_capacity"] == "yes" and growth["measured"] is not None:
                found[
                    f"{condition['condition']['label']} at {level['wanted_per_second']:.3f} jobs a second is above capacity: "
                    f"with each second of arrivals the latency grew by {growth['measured']:.2f} s (by the capacity: "
                    f"{growth['expected']:.2f} s)"
                ] = None
    return list(found)


def save_load(conditions: Sequence[Condition], *paths: str | Path) -> None:
    """Left: median and 90th percentile of the latency against offered jobs a second, each condition's capacity dotted;
    right: jobs served against jobs offered. 95 % intervals over runs."""
    figure, (latency, served) = new_figure(10.4, 4.2, panels=2)
    highest = 0.0
    for place, found in enumerate(conditions):
        colour, label = PALETTE[place % len(PALETTE)], shown(found["condition"]["label"])
        offered = [level["wanted_per_second"] for level in found["levels"]]
        highest = max(highest, *offered)
        for axis in (latency, served):
            axis.axvline(found["capacity_per_second"]["value"], color=colour, lw=0.9, ls=":")
        for name, line, marker in (("p50", "-", "o"), ("p90", "--", "s")):
            points = [(x, level["latency_seconds"][name]) for x, level in zip(offered, found["levels"], strict=True)]
            _line(latency, points, colour, line, marker, f"{label}, {'median' if name == 'p50' else '90th percentile'}")
        points = [(x, level["served_per_second"]) for x, level in zip(offered, found["levels"], strict=True)]
        _line(served, points, colour, "-", "o", label)
    served.plot([0, highest], [0, highest], color=INK, lw=0.8, ls="--", label="all that is offered")
    for axis in (latency, served):
        axis.set_xlabel("offered jobs a second (dotted: capacity)")
        axis.set_xlim(left=0)
        axis.set_ylim(bottom=0)
        axis.legend(fontsize=7)
    latency.set_ylabel("latency from the planned arrival (s)")
    served.set_ylabel("served jobs a second")
    save_figure(figure, *paths)


def _line(axis: Any, points: Sequence[tuple[float, Mapping[str, Any]]], colour: str, line: str, marker: str, label: str) -> None:
    known = [(x, p) for x, p in points if "value" in p]
    bars = error_bars((p["value"], None if p["low"] is None else max(0.0, p["low"]), p["high"]) for _, p in known)
    axis.errorbar(
        [x for x, _ in known],
        [p["value"] for _, p in known],
        yerr=bars,
        color=colour,
        ls=line,
        marker=marker,
        ms=4,
        lw=1.3,
        capsize=2,
        label=label,
    )
