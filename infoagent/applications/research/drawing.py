"""Research systems side by side: tables, and quality against cost as a plot."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.reporting.error_bars import error_bars
from infoagent.reporting.plots import MARKERS, PALETTE, legend_below, new_grid, save_figure, scale_tokens, shown

Found = Mapping[str, Any]

QUALITIES = (
    ("facts/notes", "asked facts in the notes (%)", 100.0),
    ("facts/report", "asked facts in the report (%)", 100.0),
    ("rubric/final", "score, report / (report + reference)", 1.0),
)
COSTS = (("gflops", "GFLOP a report on this machine"), ("usd", "USD a report to others"))

COLUMNS = (
    "system", "reports", "rubric, report / (report + reference)", "asked facts in sources (%)", "in notes (%)",
    "in report (%)", "cited sentences (%)", "of these supported (%)", "marks of no source (%)", "notes (characters)",
)  # fmt: skip
STAGE_COLUMNS = ("system", "stage", "calls", "tokens in", "tokens out", "USD", "GFLOP", "seconds")
COMPARISON_COLUMNS = ("difference", "rubric", "facts in notes (%)", "facts in report (%)", "GFLOP", "USD", "tokens in")


def system_rows(found: Found) -> list[list[str]]:
    """A line for each system: means over tasks ± half of the 95 % interval, or [the interval] where it ends at 0 or 100 %;
    `–` for what it does not have."""
    rows = []
    for system in found["systems"]:
        values = system["values"]
        reports = str(system["reports"] - system["failed"]) + (f" ({system['failed']} failed)" if system["failed"] else "")
        shares = ("facts/sources", "facts/notes", "facts/report", "citations/cited", "citations/supported", "citations/invalid")
        rows.append(
            [
                system["label"],
                reports,
                _cell(values, "rubric/final", 1.0, 3),
                *(_cell(values, name, 100.0, 0) for name in shares),
                _cell(values, "notes/characters", 1.0, 0),
            ]
        )
    return rows


def stage_rows(found: Found) -> list[list[str]]:
    """A line for each system and stage, a report's mean."""
    rows = []
    for system in found["systems"]:
        for stage, cost in system["cost"].items():
            numbers = [f"{cost[key]:,.0f}" if key in cost else "unknown" for key in ("calls", "tokens_in", "tokens_out")]
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
            for name, factor, digits in (("rubric/final", 1.0, 3), ("facts/notes", 100.0, 0), ("facts/report", 100.0, 0))
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


def save_quality_cost(found: Found, path: str | Path) -> bool:
    """A panel for each quality (rows) and each cost that was spent (columns), with 95 % intervals over tasks, to .svg or
    .png. False, and no file, where there is nothing to draw."""
    rows = [q for q in QUALITIES if any(q[0] in s["values"] for s in found["systems"])]
    columns = [c for c in COSTS if any(_total(s, c[0]) for s in found["systems"])]
    if not rows or not columns:
        return False

    figure, grid = new_grid(5.4 * len(columns), 3.0 * len(rows), len(rows), len(columns))
    for axes, (quality, title, factor) in zip(grid, rows, strict=True):
        for axis, (unit, cost_title) in zip(axes, columns, strict=True):
            _panel(axis, found["systems"], quality, unit, factor)
            axis.set_xlabel(cost_title)
            axis.set_ylabel(title)
    legend_below(figure, [axis for axes in grid for axis in axes])
    save_figure(figure, path)
    return True


def _panel(axis: Any, systems: Sequence[Mapping[str, Any]], quality: str, unit: str, factor: float) -> None:
    spent = []
    for place, system in enumerate(systems):
        cost = _total(system, unit)
        if quality not in system["values"] or cost is None:
            continue
        value, low, high = (factor * system["values"][quality][key] for key in ("value", "low", "high"))
        axis.errorbar(
            cost,
            value,
            yerr=error_bars([(value, low, high)]),
            fmt=MARKERS[place % len(MARKERS)],
            color=PALETTE[place % len(PALETTE)],
            markersize=6,
            elinewidth=0.8,
            capsize=3,
            label=shown(system["label"]),
        )
        spent.append(cost)
    if spent and max(spent) > 0:
        scale_tokens(axis, spent)
        if min(spent) == 0:
            axis.set_xlim(left=-0.04 * max(spent))
        elif axis.get_xscale() == "linear":
            axis.locator_params(axis="x", nbins=5)


def _total(system: Mapping[str, Any], unit: str) -> float | None:
    """Mean of a report, judge aside; None where it is not known."""
    found: float | None = system["cost"].get("total", {}).get(unit)
    return found


def _cell(values: Mapping[str, Any], name: str, factor: float, digits: int) -> str:
    if name not in values:
        return "–"
    v = values[name]
    value, low, high = (factor * v[key] for key in ("value", "low", "high"))
    if math.isnan(low):
        return f"{value:.{digits}f}"
    if not math.isclose(high - value, value - low, abs_tol=1e-9):  # it ends where a share does
        return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f} ± {(high - low) / 2:.{digits}f}"


def _difference(values: Mapping[str, Any], name: str, factor: float, digits: int) -> str:
    if name not in values:
        return "–"
    d = values[name]["difference"]
    span = "" if math.isnan(d["low"]) else f" [{factor * d['low']:+.{digits}f}, {factor * d['high']:+.{digits}f}]"
    return f"{factor * d['value']:+.{digits}f}{span}"


def _percent(shares: Mapping[str, float], key: str) -> str:
    return f"{100 * shares[key]:.0f} %" if key in shares else "–"
