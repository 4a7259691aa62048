"""Drawings of the named experiments whose points are not rows of compressors: curves, scorers, coefficients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.applications.paper.axes import (
    AXES,
    MARKERS,
    MISSING,
    Point,
    colours_of,
    drawn_of,
    legend_below,
    say_missing,
    value_of,
)
from infoagent.reporting.error_bars import error_bars, interval_of
from infoagent.reporting.plots import INK, PALETTE, new_figure
from infoagent.types import ANCHORS


def rate_distortion(numbers: Mapping[str, Any], points: Sequence[Point], data: str) -> Any:
    """Accuracy against length for each predictor, with the fitted D(R) = C·exp(−b·R) + D0 of each curve."""
    titles = list(dict.fromkeys(t for p in points for t, v in p["predictors"].items() if "accuracy" in v))
    extra = "mi_perplexity" in numbers["panels"]
    figure, axes = new_figure(4.4 * max(1, len(titles) + extra), 4, max(1, len(titles) + extra))
    drawn = [p for p in drawn_of(points) if "tokens" in p["measures"]]
    colours = colours_of([p["curve"] for p in drawn])
    markers = {curve: MARKERS[n % len(MARKERS)] for n, curve in enumerate(colours)}
    for axis, title in zip(axes, titles, strict=False):
        for point in drawn:
            value, tokens = value_of(point, "accuracy", title), point["measures"]["tokens"]
            if value is not None:
                axis.errorbar(
                    tokens["value"],
                    value["value"],
                    xerr=error_bars([interval_of(tokens)]),
                    yerr=error_bars([interval_of(value)]),
                    fmt=markers[point["curve"]],
                    color=colours[point["curve"]],
                    ms=5,
                    capsize=0,
                    elinewidth=0.8,
                    alpha=0.85,
                )
        fitted = [f for f in numbers.get("fits", []) if (f["data"], f["predictor"]) == (data, title) and "refused" not in f]
        for fit in (f for f in fitted if f["curve"] in colours):
            low, high = fit["tokens"]
            xs = [low + (high - low) * i / 100 for i in range(101)]
            accuracy = [100 * (1 - fit["D0"]["value"] - fit["C"]["value"] * math.exp(-fit["b"]["value"] * x)) for x in xs]
            axis.plot(xs, accuracy, color=colours[fit["curve"]], lw=1.6)
        for curve, colour in colours.items():
            axis.plot([], [], markers[curve], color=colour, ms=5, label=curve)
        for point, style in zip([p for p in points if p["kind"] in ANCHORS], ("--", "-."), strict=False):
            value = value_of(point, "accuracy", title)
            if value is not None:
                axis.axhline(value["value"], color=INK, linestyle=style, lw=1, alpha=0.7, label=point["label"])
        axis.set_xlim(left=0)
        axis.set_ylim(-2, 102)
        axis.set_xlabel(AXES["tokens"])
        axis.set_ylabel(AXES["accuracy"])
        axis.set_title(f"{title}; lines: fitted law" if fitted else f"{title}; no curve could be fitted", fontsize=9, color=INK)
    legend_below(figure, axes)
    if extra:
        _mi_perplexity(axes[-1], drawn, colours, markers, numbers["correlation"].get(data, {}))
    elif not titles:
        say_missing(axes[0])
    return figure


def _mi_perplexity(
    axis: Any, points: Sequence[Point], colours: Mapping[str, str], markers: Mapping[str, str], r: Mapping[str, Any]
) -> None:
    found = [(p, x, y) for p in points if (x := value_of(p, "mi_nats")) is not None and (y := value_of(p, "nll_nats")) is not None]
    for point, x, y in found:
        axis.errorbar(
            x["value"],
            y["value"],
            xerr=error_bars([interval_of(x)]),
            yerr=error_bars([interval_of(y)]),
            fmt=markers[point["curve"]],
            color=colours[point["curve"]],
            ms=5,
            elinewidth=0.8,
            alpha=0.85,
        )
    axis.set_xlabel(AXES["mi_nats"])
    axis.set_ylabel(AXES["nll_nats"])
    if "value" in r:
        axis.set_title(f"r = {r['value']:.2f} [{r['low']:.2f}, {r['high']:.2f}] over {r['n']} compressors", fontsize=9, color=INK)
    elif not found:
        say_missing(axis)


def proxies(numbers: Mapping[str, Any], points: Sequence[Point], data: str) -> Any:
    """Information by compressor as each scorer sees it; and each scorer against the first."""
    labels = list(dict.fromkeys(p["label"] for p in points if value_of(p, "mi_nats") is not None))
    colours = colours_of([p["scorer"] for p in points])
    table = {(p["scorer"], p["label"]): v for p in points if (v := value_of(p, "mi_nats")) is not None}
    figure, (left, right) = new_figure(10.5, max(4, 1.4 + 0.3 * len(labels)), 2)
    first = next(iter(colours), "")
    for n, (scorer, colour) in enumerate(colours.items()):
        shift = (n - (len(colours) - 1) / 2) * 0.22
        for y, label in enumerate(labels):
            value = table.get((scorer, label))
            if value is None:
                continue
            title = scorer if y == 0 else None
            left.errorbar(
                value["value"],
                y + shift,
                xerr=error_bars([interval_of(value)]),
                fmt=MARKERS[n % len(MARKERS)],
                color=colour,
                ms=5,
                capsize=2,
                label=title,
            )
            base = table.get((first, label))
            if n and base is not None:
                right.plot(base["value"], value["value"], MARKERS[n % len(MARKERS)], color=colour, ms=6, label=title)
    left.set_yticks(range(len(labels)), labels)
    left.set_ylim(max(len(labels), 1) - 0.5, -0.5)
    left.set_xlabel(AXES["mi_nats"])
    ends = [v["value"] for v in table.values()]
    if ends:
        right.plot([min(ends), max(ends)], [min(ends), max(ends)], color=INK, lw=0.8, linestyle=":")
    right.set_xlabel(f"MI under {first} (nats)")
    right.set_ylabel("MI under another scorer (nats)")
    right.set_title("dotted: the same; a constant is a parallel to it", fontsize=9, color=INK)
    legend_below(figure, [left])
    return figure


def coefficients(numbers: Mapping[str, Any], points: Sequence[Point], data: str) -> Any:
    """Change of the log-odds of a right answer by each column of the regression; with MI beside it, hollow."""
    regression = numbers["regression"]
    sides = [(regression.get("without_mi", {}), False, "without MI"), (regression, True, "MI held fixed")]
    names = list(dict.fromkeys(c["name"] for side, _, _ in sides for c in side.get("coefficients", [])))
    names = [name for name in names if name != "intercept"]
    figure, (axis,) = new_figure(7.5, max(2.6, 1.3 + 0.34 * len(names)))
    for side, hollow, title in sides:
        shown = False
        for c in side.get("coefficients", []):
            if c["name"] == "intercept":
                continue
            axis.errorbar(
                c["value"],
                names.index(c["name"]) + (0.12 if hollow else -0.12),
                xerr=error_bars([interval_of(c)]),
                fmt="o",
                color=PALETTE[int(hollow)],
                mfc="white" if hollow else PALETTE[0],
                ms=6,
                capsize=2.5,
                label=None if shown else title,
            )
            shown = True
    axis.axvline(0, color=INK, lw=0.9)
    axis.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
    axis.set_ylim(max(len(names), 1) - 0.5, -0.5)
    axis.set_xlabel("change of the log-odds of a right answer")
    references = {**regression.get("references", {}), **regression.get("without_mi", {}).get("references", {})}
    if names:
        axis.legend(fontsize=8, frameon=True, framealpha=0.9, edgecolor="none")
        axis.set_title(
            "against " + ", ".join(f"{k} {v}" for k, v in references.items()) if references else "", fontsize=8, color=INK
        )
    else:
        why = next((side["refused"] for side, _, _ in sides[::-1] if "refused" in side), MISSING)
        axis.text(0.5, 0.5, f"no regression: {why}", transform=axis.transAxes, ha="center", va="center", fontsize=8, wrap=True)
    return figure
