"""Rate-distortion of one data set: information and, for every predictor, accuracy against tokens.

Points with 95 % intervals, the law that analysis.json fitted through each curve of four points or more, anchors as lines,
points of a kept baseline hollow.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.records.rate_points import rate_points
from infoagent.records.summaries import Summary, first_predictor
from infoagent.reporting.curves import LIKELIHOOD, Measure, Measured, answered_by, fact_kept, information, likelihood_by
from infoagent.reporting.error_bars import error_bars, interval_of
from infoagent.reporting.plots import INK, Style, as_svg, legend_below, new_grid, scale_tokens, shown

PER_ROW = 3
DRAWN = 60
"""Places at which a law is drawn between its curve's shortest and longest point."""


def panels_svg(
    summaries: Sequence[Summary], baselines: Sequence[Summary], analysis: Mapping[str, Any], styles: Mapping[str, Style]
) -> str:
    """Inline SVG of the summaries of one data set; empty where no compressor has a length."""
    if not any(_length(s) for s in (*summaries, *baselines)):
        return ""
    panels = _panels(summaries, analysis)
    columns = min(len(panels), PER_ROW)
    rows = math.ceil(len(panels) / columns)
    figure, grid = new_grid(4.9 * columns if columns > 1 else 6.4, 3.9 * rows + 0.4, rows, columns)
    axes = [axis for row in grid for axis in row]
    for axis in axes[len(panels) :]:
        axis.set_visible(False)
    for axis, (title, unit, measure, part) in zip(axes, panels, strict=False):
        for group, hollow in ((baselines, True), (summaries, False)):
            for curve, style in styles.items():
                _curve(axis, [s for s in group if s.is_point and s.curve == curve], measure, style, hollow)
        _anchors(axis, summaries, measure)
        _laws(axis, part, styles)
        if measure is information:
            for ceiling in {s.estimates["hard"].ceiling_nats for s in summaries if "hard" in s.estimates}:
                axis.axhline(ceiling, color=INK, linestyle=":", linewidth=0.9, label="ceiling log K")
        scale_tokens(axis, [t for s in (*summaries, *baselines) if (t := _length(s)) and measure(s) is not None])
        axis.set_xlabel("length of the compression (tokens)")
        axis.set_ylabel(unit)
        axis.set_title(shown(title), fontsize=10)
    legend_below(figure, axes[: len(panels)])
    return as_svg(figure)


def _panels(summaries: Sequence[Summary], analysis: Mapping[str, Any]) -> list[tuple[str, str, Measure, Any]]:
    """(title, unit, measure, part of the analysis) of every panel."""
    data = summaries[0].data.name
    parts = {p.get("predictor"): p for p in analysis.get("sets", []) if p["data"] == data}
    mi = next((p for p in analysis.get("mi", []) if p["data"] == data and p["value"] == "hard"), None)
    panels: list[tuple[str, str, Measure, Any]] = []
    if any("hard" in s.estimates for s in summaries):
        panels.append(("information among changed facts", "MI (nats)", information, mi))
    predictors = dict.fromkeys(name for s in summaries for name, asked in s.predictors.items() if asked.error is not None)
    for name in predictors:
        panels.append((f"answered by {name}", "questions answered (%)", _percent(answered_by(name)), parts.get(name)))
    reader = first_predictor(summaries, LIKELIHOOD)
    if not predictors and reader is not None:
        panels.append((f"the reference answer, {reader}", "log p (nats a token)", likelihood_by(reader), None))
    elif not predictors:
        panels.append(("asked fact stands in the text", "facts kept (%)", _percent(fact_kept), parts.get(None)))
    return panels


def _percent(measure: Measure) -> Measure:
    def scaled(summary: Summary) -> Measured | None:
        found = measure(summary)
        return None if found is None else (100 * found[0], 100 * found[1], 100 * found[2])

    return scaled


def _length(summary: Summary) -> float:
    return summary.rate_tokens.value if summary.is_point and summary.rate_tokens is not None else 0.0


def _curve(axis: Any, points: Sequence[Summary], measure: Measure, style: Style, hollow: bool) -> None:
    known = sorted(
        ((interval_of(s.rate_tokens), m) for s in points if s.rate_tokens and _length(s) and (m := measure(s)) is not None),
        key=lambda point: point[0][0],
    )
    if not known:
        return
    name = shown(points[0].curve)
    lengths, values = [x[0] for x, _ in known], [y[0] for _, y in known]
    axis.errorbar(
        lengths, values, xerr=error_bars(x for x, _ in known), fmt="none", ecolor=style.colour, elinewidth=0.7, alpha=0.35
    )
    axis.errorbar(
        lengths,
        values,
        yerr=error_bars(y for _, y in known),
        color=style.colour,
        marker=style.marker,
        markersize=5,
        linewidth=1.3,
        elinewidth=0.7,
        capsize=2,
        linestyle="--" if hollow else style.line,
        alpha=0.8 if hollow else 1.0,
        markerfacecolor="white" if hollow else style.colour,
        label=f"{name} (baseline)" if hollow else name,
    )


def _anchors(axis: Any, summaries: Sequence[Summary], measure: Measure) -> None:
    for summary in (s for s in summaries if not s.is_point):
        level = measure(summary)
        if level is not None:
            axis.axhline(level[0], color=INK, linestyle="--", linewidth=0.8, alpha=0.7)
            axis.annotate(
                shown(summary.label),
                (0.99, level[0]),
                xycoords=("axes fraction", "data"),
                ha="right",
                va="bottom",
                fontsize=7.5,
                color=INK,
            )


def _laws(axis: Any, part: Mapping[str, Any] | None, styles: Mapping[str, Style]) -> None:
    """The chosen law of each curve, as far as its points reach; values are the best there is, less the distortion."""
    for curve in (part or {}).get("curves", []):
        fit = curve.get("fit", {})
        law = fit.get("laws", {}).get(fit.get("best"), {})
        if "parameters" not in law or curve["curve"] not in styles:
            continue
        best, factor = (part["ceiling_nats"], 1.0) if part and "ceiling_nats" in part else (1.0, 100.0)
        colour = styles[curve["curve"]].colour
        if band := fit.get("band"):
            axis.fill_between(
                [b["rate"] for b in band],
                [factor * (best - b["high"]) for b in band],
                [factor * (best - b["low"]) for b in band],
                color=colour,
                alpha=0.09,
                linewidth=0,
                zorder=0,
            )
        ends = [p.tokens.value for p in rate_points(curve["points"], curve["curve"])]
        tokens = [min(ends) * (max(ends) / min(ends)) ** (i / (DRAWN - 1)) for i in range(DRAWN)] if min(ends) > 0 else []
        axis.plot(
            tokens,
            [factor * (best - distortion(law["parameters"], t)) for t in tokens],
            color=colour,
            linewidth=2.5,
            alpha=0.35,
            solid_capstyle="round",
            zorder=0,
        )


def distortion(parameters: Mapping[str, float], tokens: float) -> float:
    """D(R) of a law by its parameters, as `infoagent.rate_distortion.laws` writes them: C·exp(−b·R) + D0, C·R^(−a) + D0,
    C·K/(K + R) + D0, intercept + slope·R, or D0 alone."""
    floor = parameters.get("D0", 0.0)
    if "slope" in parameters:
        return parameters["intercept"] + parameters["slope"] * tokens
    if "b" in parameters:
        return parameters["C"] * math.exp(-parameters["b"] * tokens) + floor
    if "a" in parameters:
        return parameters["C"] * tokens ** -parameters["a"] + floor
    if "K" in parameters:
        return parameters["C"] * parameters["K"] / (parameters["K"] + tokens) + floor
    return floor
