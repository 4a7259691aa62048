"""What the drawings of the named experiments share: axes and their units, intervals, colours, anchors and ceilings."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.reporting.plots import INK, PALETTE
from infoagent.types import ANCHORS

Point = Mapping[str, Any]
MARKERS = "osD^vP*X"
AXES = {
    "accuracy": "questions answered (%)",
    "tokens": "length (tokens)",
    "gflops": "GFLOP per compression",
    "mi_nats": "MI among random documents (nats)",
    "hard_nats": "MI among counterfactuals (nats)",
    "bits_per_token": "bits per token",
    "nll_nats": "log perplexity of the reference (nats)",
}
TITLES = {
    "gflops": "hollow: as the paper counts, without reading",
    "mi_nats": "which document; dotted: ceiling",
    "hard_nats": "which facts; dotted: ceiling",
    "bits_per_token": "among random documents",
}
MISSING = "not measured in this run"


def value_of(point: Point, measure: str, predictor: str | None = None) -> Mapping[str, Any] | None:
    """A measure of a point, in the units of its axis; of a predictor, by default the first that has it."""
    if measure in point["measures"]:
        found: Mapping[str, Any] = point["measures"][measure]
        return found
    for title, values in point["predictors"].items():
        if measure in values and predictor in (None, title):
            factor = 100 if measure == "accuracy" else 1
            return {k: factor * v for k, v in values[measure].items() if k != "n" and v is not None}
    return None


def colours_of(names: Sequence[str]) -> dict[str, str]:
    return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(dict.fromkeys(names))}


def drawn_of(points: Sequence[Point]) -> list[Point]:
    return [p for p in points if p["kind"] not in ANCHORS]


def say_missing(axis: Any) -> None:
    axis.text(0.5, 0.5, MISSING, transform=axis.transAxes, ha="center", va="center", color=INK, alpha=0.6, fontsize=9)


def anchor_lines(axis: Any, points: Sequence[Point], measure: str, along_y: bool) -> None:
    if measure not in ("accuracy", "nll_nats"):  # the length of everything would push all else to the edge
        return
    for point, style in zip([p for p in points if p["kind"] in ANCHORS], ("--", "-."), strict=False):
        value = value_of(point, measure)
        if value is not None:
            line = axis.axhline if along_y else axis.axvline
            line(value["value"], color=INK, linestyle=style, linewidth=1, alpha=0.7, label=point["label"])


def ceiling_lines(axis: Any, points: Sequence[Point], measure: str, along_y: bool) -> None:
    for ceiling in {round(v["ceiling"], 6) for p in points if (v := value_of(p, measure)) is not None and "ceiling" in v}:
        (axis.axhline if along_y else axis.axvline)(ceiling, color=INK, linestyle=":", linewidth=0.9)


def bound(axis: Any, side: str, measure: str) -> None:
    """Limits and scale of the x or y `side` that shows a measure."""
    set_limits = getattr(axis, f"set_{side}lim")
    if measure == "accuracy":
        set_limits(-2, 102)
    elif measure == "gflops":
        from matplotlib.ticker import LogFormatter

        getattr(axis, f"set_{side}scale")("log")
        for which in ("major", "minor"):  # 20, not 2 × 10¹
            getattr(getattr(axis, f"{side}axis"), f"set_{which}_formatter")(LogFormatter(minor_thresholds=(1.5, 0.5)))
        axis.tick_params(which="both", labelsize=9)
    else:
        low, _ = set_limits()
        set_limits(min(0.0, low), None)


def series_of(point: Point, measure: str) -> list[tuple[Mapping[str, Any], bool]]:
    """(value, hollow) of a panel: one, and for costs both ways of counting."""
    names = [("gflops_total", False), ("gflops_paper", True)] if measure == "gflops" else [(measure, False)]
    return [(value, hollow) for name, hollow in names if (value := value_of(point, name)) is not None]


def panels_of(numbers: Mapping[str, Any], points: Sequence[Point]) -> list[str]:
    """The measures that some point has: a run without counterfactuals has no panel for them."""
    return [m for m in numbers["panels"] if any(series_of(p, m) for p in points)] or numbers["panels"][:1]


def legend_below(figure: Any, axes: Sequence[Any]) -> None:
    """One legend for panels that share their names, where it hides no point."""
    handles: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            handles.setdefault(label, handle)
    if handles:
        figure.legend(handles.values(), handles, loc="outside lower center", ncols=min(8, len(handles)), fontsize=8, frameon=False)


def legend(axis: Any) -> None:
    """Where there is something to name; on a ground of its own, since points may lie beneath."""
    if axis.get_legend_handles_labels()[0]:
        axis.legend(fontsize=7, frameon=True, framealpha=0.9, edgecolor="none")
