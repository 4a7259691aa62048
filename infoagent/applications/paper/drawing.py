"""The figures of the named experiments, drawn from their numbers (`infoagent.applications.paper.figures.numbers_of`).

One picture for each data set. Compressors of several sizes stand on an axis of parameters, a line for each family;
where there is one size only, they are rows. What compresses nothing is a dashed line. Every point has its 95 % interval.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.applications.paper.axes import (
    AXES,
    MARKERS,
    TITLES,
    Point,
    anchor_lines,
    bound,
    ceiling_lines,
    colours_of,
    drawn_of,
    legend,
    legend_below,
    panels_of,
    say_missing,
    series_of,
    value_of,
)
from infoagent.applications.paper.curve_drawing import coefficients, proxies, rate_distortion
from infoagent.reporting.error_bars import error_bars, interval_of
from infoagent.reporting.plots import INK, new_figure, save_figure

NARROWEST, INCHES_A_LETTER = 7.0, 0.1
"""Of a picture, so that its legend fits, and its title at its size."""


def save_experiment(numbers: Mapping[str, Any], directory: str | Path) -> list[Path]:
    """Write <figure>.png and .svg, with the data set's name where there are several. Returns the PNG files."""

    sets = list(dict.fromkeys(p["data"] for p in numbers["points"]))
    if numbers["drawing"] == "coefficients":
        sets = ["all data"]
    written = []
    for data in sets:
        points = [p for p in numbers["points"] if p["data"] == data]
        figure = DRAWINGS[numbers["drawing"]](numbers, points, data)
        documents = max((p["documents"] for p in points), default=0)
        detail = f", {documents} documents" if documents else ""
        title = f"{numbers['figure']}: {numbers['title']} ({data}{detail})"
        figure.suptitle(title, fontsize=11, color=INK)
        # one panel alone is narrower than what stands above and below it
        figure.set_figwidth(max(figure.get_figwidth(), NARROWEST, INCHES_A_LETTER * len(title)))
        stem = Path(directory) / (numbers["figure"] if len(sets) == 1 else f"{numbers['figure']}-{data}")
        save_figure(figure, f"{stem}.svg", f"{stem}.png")
        written.append(Path(f"{stem}.png"))
    return written


def _has_sizes(points: Sequence[Point]) -> bool:
    return len({p["active_parameters"] for p in points if "active_parameters" in p}) > 1


def _by_compressor(numbers: Mapping[str, Any], points: Sequence[Point], data: str) -> Any:
    """Panels of measures by compressor."""
    panels = panels_of(numbers, points)
    sized = _has_sizes(points)
    rows = len(drawn_of(points))
    figure, axes = new_figure(4.2 * len(panels) + (0 if sized else 1), 3.8 if sized else 1.4 + 0.26 * max(rows, 8), len(panels))
    for axis, measure in zip(axes, panels, strict=True):
        (_by_size if sized else _by_row)(axis, points, measure)
        (axis.set_ylabel if sized else axis.set_xlabel)(AXES[measure])
        axis.set_title(TITLES.get(measure, ""), fontsize=9, color=INK)
        if not sized and axis is not axes[0]:
            axis.tick_params(labelleft=False)
    legend_below(figure, axes)
    return figure


def _by_size(axis: Any, points: Sequence[Point], measure: str) -> None:
    colours = colours_of([p["curve"] for p in drawn_of(points)])
    drawn = False
    for number, (curve, colour) in enumerate(colours.items()):
        of_curve = sorted(
            (p for p in drawn_of(points) if p["curve"] == curve and "active_parameters" in p), key=lambda p: p["active_parameters"]
        )
        for hollow in (False, True):
            found = [(p["active_parameters"] / 1e9, v) for p in of_curve for v, h in series_of(p, measure) if h == hollow]
            if not found:
                continue
            drawn = True
            axis.plot([x for x, _ in found], [v["value"] for _, v in found], color=colour, lw=1, alpha=0.5 if hollow else 0.9)
            for x, value in found:
                axis.errorbar(
                    x,
                    value["value"],
                    yerr=error_bars([interval_of(value)]),
                    fmt=MARKERS[number % len(MARKERS)],
                    color=colour,
                    ms=5.5,
                    capsize=2,
                    mfc="white" if hollow else colour,
                    label=curve if x == found[0][0] and not hollow else None,
                )
    anchor_lines(axis, points, measure, along_y=True)
    ceiling_lines(axis, points, measure, along_y=True)
    axis.set_xscale("log")
    sizes = sorted({p["active_parameters"] / 1e9 for p in points if "active_parameters" in p})
    named = [s for n, s in enumerate(sizes) if not n or s > 1.25 * sizes[n - 1]]  # neighbours would overlap
    axis.set_xticks(named, [f"{s:.2g}" for s in named])
    axis.minorticks_off()
    axis.set_xlabel("parameters at work for a token (10⁹)")
    bound(axis, "y", measure)
    if not drawn:
        say_missing(axis)


def _by_row(axis: Any, points: Sequence[Point], measure: str) -> None:
    rows = drawn_of(points)
    colours = colours_of([p["curve"] for p in rows])
    drawn = False
    for y, point in enumerate(rows):
        for value, hollow in series_of(point, measure):
            if measure == "gflops" and value["value"] <= 0:
                continue  # no model runs: nothing to show on a log axis
            drawn = True
            colour = colours[point["curve"]]
            axis.errorbar(
                value["value"],
                y,
                xerr=error_bars([interval_of(value)]),
                fmt="o",
                color=colour,
                ms=6,
                capsize=2.5,
                mfc="white" if hollow else colour,
            )
    axis.set_yticks(range(len(rows)), [p["label"] for p in rows])
    axis.set_ylim(len(rows) - 0.5, -0.5)
    if not drawn:
        say_missing(axis)
        return
    anchor_lines(axis, points, measure, along_y=False)
    ceiling_lines(axis, points, measure, along_y=False)
    bound(axis, "x", measure)


def _pairing(numbers: Mapping[str, Any], points: Sequence[Point], data: str) -> Any:
    """Accuracy by compressor, a colour for each predictor; and by predictor, a line for each compressor."""
    drawn = drawn_of(points)
    titles = list(dict.fromkeys(t for p in drawn for t, v in p["predictors"].items() if "accuracy" in v))
    figure, (left, right) = new_figure(11, max(3.8, 1.6 + 0.32 * len(drawn)), 2)
    colours = colours_of(titles)
    for n, title in enumerate(titles):
        for y, point in enumerate(drawn):
            value = value_of(point, "accuracy", title)
            if value is not None:
                shift = (n - (len(titles) - 1) / 2) * 0.5 / max(len(titles), 1)
                left.errorbar(
                    value["value"],
                    y + shift,
                    xerr=error_bars([interval_of(value)]),
                    fmt=MARKERS[n % len(MARKERS)],
                    color=colours[title],
                    ms=5,
                    capsize=2,
                    label=title if y == 0 else None,
                )
    left.set_yticks(range(len(drawn)), [p["label"] for p in drawn])
    left.set_ylim(len(drawn) - 0.5, -0.5)
    of_curve = colours_of([p["curve"] for p in drawn])
    for point in drawn:
        found = [(n, v) for n, t in enumerate(titles) if (v := value_of(point, "accuracy", t)) is not None]
        xs, ys = [n for n, _ in found], [v["value"] for _, v in found]
        right.plot(xs, ys, "o-", color=of_curve[point["curve"]], lw=1.2, ms=4, alpha=0.8)
    for curve, colour in of_curve.items():
        right.plot([], [], "o-", color=colour, lw=1.2, ms=4, label=curve)
    crowded = sum(map(len, titles)) > 45  # characters that stand side by side under this panel
    right.set_xticks(range(len(titles)), titles, rotation=20 if crowded else 0, ha="right" if crowded else "center")
    right.set_xlim(-0.3, max(len(titles), 1) - 0.7)
    right.set_ylim(-2, 102)
    left.set_xlim(-2, 102)
    left.set_xlabel(AXES["accuracy"])
    right.set_ylabel(AXES["accuracy"])
    left.set_title("by compressor, colour: predictor", fontsize=9, color=INK)
    right.set_title("by predictor, a line for each compressor", fontsize=9, color=INK)
    for axis in (left, right):
        legend(axis) if titles else say_missing(axis)
    return figure


def _conciseness(numbers: Mapping[str, Any], points: Sequence[Point], data: str) -> Any:
    """Measures against the number of sentences asked for, a line for each compressor."""
    panels = panels_of(numbers, points)
    figure, axes = new_figure(3.7 * len(panels), 4, len(panels))
    asked = [p for p in points if "sentences" in p]
    colours = colours_of([p["curve"] for p in asked])
    counts = sorted({p["sentences"] for p in asked})
    gap = min((b - a for a, b in itertools.pairwise(counts)), default=1)
    for axis, measure in zip(axes, panels, strict=True):
        for n, (curve, colour) in enumerate(colours.items()):
            shift = (n - (len(colours) - 1) / 2) * 0.1 * gap
            of_curve = sorted((p for p in asked if p["curve"] == curve), key=lambda p: p["sentences"])
            found = [(p["sentences"] + shift, v) for p in of_curve if (v := value_of(p, measure)) is not None]
            axis.plot([x for x, _ in found], [v["value"] for _, v in found], color=colour, lw=1.3, alpha=0.8)
            for x, value in found:
                axis.errorbar(
                    x,
                    value["value"],
                    yerr=error_bars([interval_of(value)]),
                    fmt=MARKERS[n % len(MARKERS)],
                    color=colour,
                    ms=5.5,
                    capsize=0,
                    elinewidth=1,
                    label=curve if x == found[0][0] else None,
                )
        anchor_lines(axis, points, measure, along_y=True)
        ceiling_lines(axis, asked, measure, along_y=True)
        axis.set_xticks(counts, [str(c) for c in counts])
        axis.set_xlabel("sentences asked for")
        axis.set_ylabel(AXES[measure])
        axis.set_title(TITLES.get(measure, ""), fontsize=9, color=INK)
        bound(axis, "y", measure)
    legend_below(figure, axes)
    return figure


DRAWINGS = {
    "scaling": _by_compressor,
    "mi": _by_compressor,
    "pairing": _pairing,
    "conciseness": _conciseness,
    "rate-distortion": rate_distortion,
    "proxies": proxies,
    "coefficients": coefficients,
}
