"""Research systems side by side: tables, and quality against cost as a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.reporting.plots import INK, MARKERS, PALETTE, new_figure, scale_tokens, shown

Found = Mapping[str, Any]

QUALITIES = (
    ("facts/report", "asked facts in the report (%)", 100.0),
    ("rubric/final", "score against the reference (0.5: as good)", 1.0),
)
COSTS = (("gflops", "GFLOP a report on this machine"), ("usd", "USD a report to others"))

COLUMNS = (
    "system", "reports", "rubric, report / (report + reference)", "asked facts in sources (%)", "in notes (%)",
    "in report (%)", "cited sentences (%)", "of these supported (%)", "marks of no source (%)", "notes (characters)",
)  # fmt: skip
STAGE_COLUMNS = ("system", "stage", "calls", "tokens in", "tokens out", "USD", "GFLOP", "seconds")
COMPARISON_COLUMNS = ("difference", "rubric", "facts in notes (%)", "facts in report (%)", "GFLOP", "USD", "tokens in")


def system_rows(found: Found) -> list[list[str]]:
    """A line for each system: means over tasks ± half of the 95 % interval; `–` for what it does not have."""
    rows = []
    for system in found["systems"]:
        values = system["values"]
        reports = str(system["reports"] - system["failed"]) + (
            f" ({system['failed']} failed)" if system["failed"] else ""
        )
        shares = (
            "facts/sources",
            "facts/notes",
            "facts/report",
            "citations/cited",
            "citations/supported",
            "citations/invalid",
        )
        rows.append(
            [
                system["label"],
                reports,
                _cell(values, "rubric/final", 1.0, 3),
                *(_cell(values, name, 100.0, 0) for name in shares),
                _cell(values, "notes/characters", 1.0, 0),
            ]
        )  # fmt: skip
    return rows


def stage_rows(found: Found) -> list[list[str]]:
    """A line for each system and stage, a report's mean."""
    rows = []
    for system in found["systems"]:
        for stage, cost in system["cost"].items():
            numbers = [
                f"{cost[key]:,.0f}" if key in cost else "unknown" for key in ("calls", "tokens_in", "tokens_out")
            ]
            gflop = f"{cost['gflops']:,.0f}" if "gflops" in cost else "unknown"
            title = "all but judge" if stage == "total" else stage
            rows.append([system["label"], title, *numbers, f"{cost['usd']:.4f}", gflop, f"{cost['seconds']:.1f}"])
    return rows


def comparison_rows(found: Found) -> list[list[str]]:
    """A line for each pair: paired differences with their 95 % interval, and the share of the other's cost."""
    rows = []
    for pair in found["comparisons"]:
        cells = [
            _difference(pair["values"], name, factor, digits)
            for name, factor, digits in (
                ("rubric/final", 1.0, 3),
                ("facts/notes", 100.0, 0),
                ("facts/report", 100.0, 0),
            )
        ]
        shares = [_percent(pair["cost_share"], key) for key in ("gflops", "usd", "tokens_in")]
        rows.append([f"{pair['system']} − {pair['against']}", *cells, *shares])
    return rows


def notes(found: Found) -> list[str]:
    """What went wrong, in words."""
    lines = []
    for system in found["systems"]:
        for what in ("failed_causes", "unjudged"):
            lines += [f"{system['label']}: {number} × {cause}" for cause, number in system[what].items()]
        for what, title in (
            ("failed_searches", "searches"), ("failed_pages", "pages"), ("failed_compressions", "compressions"),
        ):  # fmt: skip
            if system[what]:
                lines.append(f"{system['label']}: {system[what]} {title} failed, and are no part of its reports")
    return lines


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def save_quality_cost(found: Found, path: str | Path) -> bool:
    """Each quality against each cost that was spent, with 95 % intervals over tasks, to .svg or .png. False, and no file,
    where there is nothing to draw."""
    panels = [
        (quality, cost)
        for quality in QUALITIES
        for cost in COSTS
        if any(quality[0] in s["values"] and s["cost"].get("total", {}).get(cost[0], 0.0) > 0 for s in found["systems"])
    ]
    if not panels:
        return False
    from matplotlib import pyplot as plt

    figure, axes = new_figure(5.6 * len(panels), 4.2, panels=len(panels))
    for axis, ((quality, title, factor), (unit, cost_title)) in zip(axes, panels, strict=True):
        spent = []
        for place, system in enumerate(found["systems"]):
            cost = system["cost"].get("total", {}).get(unit)
            if quality not in system["values"] or cost is None:
                continue
            value = {k: factor * system["values"][quality][k] for k in ("value", "low", "high")}
            error = (
                None
                if math.isnan(value["low"])
                else [[value["value"] - value["low"]], [value["high"] - value["value"]]]
            )
            colour = PALETTE[place % len(PALETTE)]
            axis.errorbar(cost, value["value"], yerr=error, fmt=MARKERS[place % len(MARKERS)], color=colour, markersize=6,
                          elinewidth=0.8, capsize=3)  # fmt: skip
            axis.annotate(shown(system["label"]), (cost, value["value"]), (6, 5), textcoords="offset points", fontsize=8,
                          color=INK)  # fmt: skip
            spent.append(cost)
        scale_tokens(axis, spent)
        axis.margins(x=0.18)
        axis.set_xlabel(cost_title)
        axis.set_ylabel(title)
    figure.savefig(path, dpi=150, metadata={"Date": None} if str(path).endswith(".svg") else None)
    plt.close(figure)
    return True


def _cell(values: Mapping[str, Any], name: str, factor: float, digits: int) -> str:
    if name not in values:
        return "–"
    v = values[name]
    middle = f"{factor * v['value']:.{digits}f}"
    return middle if math.isnan(v["low"]) else f"{middle} ± {factor * (v['high'] - v['low']) / 2:.{digits}f}"


def _difference(values: Mapping[str, Any], name: str, factor: float, digits: int) -> str:
    if name not in values:
        return "–"
    d = values[name]["difference"]
    span = "" if math.isnan(d["low"]) else f" [{factor * d['low']:+.{digits}f}, {factor * d['high']:+.{digits}f}]"
    return f"{factor * d['value']:+.{digits}f}{span}"


def _percent(shares: Mapping[str, float], key: str) -> str:
    return f"{100 * shares[key]:.0f} %" if key in shares else "–"
