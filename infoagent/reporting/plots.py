"""Plots as inline SVG. Every point carries its 95 % interval; colours follow the compressor."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infoagent.files import replacing
from infoagent.pricing.parts import PARTS
from infoagent.records.summaries import Summary
from infoagent.reporting.error_bars import error_bars
from infoagent.reporting.information import known
from infoagent.types import InputError

INK = "#1f2933"
PALETTE = ("#2f6fb0", "#d1622b", "#3a8f5c", "#8a5aa8", "#b8902a", "#5b6770", "#c2558f", "#2a9aa3", "#8f6b4a", "#7a8f2f")
MARKERS = "osD^vP*X"
AMONG = (("easy", "among other documents"), ("hard", "among versions with the fact changed"))
LONGEST_LABEL = 36
WIDE = 8


@dataclass(frozen=True)
class Style:
    """How a rate-distortion curve looks in every plot."""

    colour: str
    marker: str
    line: str = "-"


def new_figure(width: float, height: float, panels: int = 1) -> tuple[Any, list[Any]]:
    figure, axes = new_grid(width, height, 1, panels)
    return figure, axes[0]


def new_grid(width: float, height: float, rows: int, columns: int) -> tuple[Any, list[list[Any]]]:
    """A figure with rows × columns panels."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(rows, columns, figsize=(width, height), squeeze=False, layout="constrained")
    for axis in axes.flat:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.tick_params(colors=INK, labelsize=9)
    return figure, [list(row) for row in axes]


def save_figure(figure: Any, *paths: str | Path) -> None:
    """Write a figure to each of the files, by their endings, and close it. The same figure gives the same file: an SVG
    carries no date, and names that depend on its content alone. Raises InputError for a file that is no picture of
    Matplotlib's: it is not ours to replace."""
    import matplotlib
    from matplotlib import pyplot as plt

    for path in map(Path, paths):
        if path.exists() and b"matplotlib" not in path.read_bytes()[:4096].lower():
            raise InputError(f"{path}: is there and no picture of this command; move it away, and run it again")
        metadata = {"Date": None} if path.suffix == ".svg" else None
        with replacing(path) as work, matplotlib.rc_context({"svg.hashsalt": "infoagent"}):
            figure.savefig(work, dpi=150, metadata=metadata)
    plt.close(figure)


def as_svg(figure: Any) -> str:
    """The figure for the page: text stays text, ink and ground follow the page's colours, and the same figure gives the
    same characters again."""
    import matplotlib
    from matplotlib import pyplot as plt

    stream = io.StringIO()
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "infoagent"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = stream.getvalue()
    for drawn, themed in ((INK, "currentColor"), ("#000000", "currentColor"), ("#ffffff", "var(--ground)")):
        text = text.replace(f"fill: {drawn}", f"fill: {themed}").replace(f"stroke: {drawn}", f"stroke: {themed}")
    return text[text.index("<svg") :]


def styles_of(summaries: Sequence[Summary]) -> dict[str, Style]:
    """Colour and marker of each rate-distortion curve, the same in all plots of a page; language models come first."""
    ordered = sorted((s for s in summaries if s.is_point), key=lambda s: s.compressor.kind not in ("lm", "endpoint"))
    curves = dict.fromkeys(s.curve for s in ordered)
    return {
        curve: Style(PALETTE[i % len(PALETTE)], MARKERS[i % len(MARKERS)], "-" if i < len(PALETTE) else "-.")
        for i, curve in enumerate(curves)
    }


def shown(label: str) -> str:
    """A label for a plot: no mathematics between dollar signs, and not longer than a legend has room for."""
    short = label if len(label) <= LONGEST_LABEL else label[: LONGEST_LABEL - 1] + "…"
    return short.replace("$", r"\$")


def scale_tokens(axis: Any, tokens: Sequence[float]) -> None:
    """A logarithmic axis with plain numbers where lengths or costs span more than a factor of eight; else a linear one,
    from 0 where that does not press the points to one side."""
    known = [t for t in tokens if t > 0]
    if not known or max(known) < WIDE * min(known) or min(tokens) <= 0:
        if not known or min(tokens) < max(known) / 2:
            axis.set_xlim(left=0)
        return
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    axis.set_xscale("log")
    axis.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if max(known) < 100 * min(known) else (1,)))
    axis.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.xaxis.set_minor_formatter(NullFormatter())


def mi_at_k(summaries: Sequence[Summary], styles: Mapping[str, Style]) -> str:
    """InfoNCE against the number of candidates: a curve that still rises is bound by its ceiling. Points of one
    rate-distortion curve share a colour; longer compressions are drawn stronger. Empty where nothing was scored."""
    keys = [(key, title) for key, title in AMONG if any(key in s.estimates for s in summaries)]
    if not keys:
        return ""
    figure, axes = new_figure(5.2 * len(keys), 3.8, panels=len(keys))
    for axis, (key, title) in zip(axes, keys, strict=True):
        ks: set[int] = set()
        for s in (s for s in summaries if key in s.estimates):
            at_k = {int(k): v for k, v in s.estimates[key].at_k.items()}
            ks |= set(at_k)
            siblings = sorted(
                (o for o in summaries if o.curve == s.curve), key=lambda o: o.rate_tokens.value if o.rate_tokens else 0.0
            )
            place = [o.label for o in siblings].index(s.label)
            style = styles[s.curve]
            axis.plot(
                sorted(at_k),
                [at_k[k] for k in sorted(at_k)],
                color=style.colour,
                marker=style.marker,
                markersize=4,
                linestyle=style.line,
                linewidth=1.3,
                alpha=0.35 + 0.65 * (place + 1) / len(siblings),
                label=shown(s.curve) if place == len(siblings) - 1 else None,
            )
        axis.plot(sorted(ks), [math.log(k) for k in sorted(ks)], ":", color=INK, linewidth=0.9, label="ceiling log K")
        axis.set_xscale("log", base=2)
        axis.set_xticks(sorted(ks), [str(k) for k in sorted(ks)])
        axis.minorticks_off()
        axis.set_xlabel("candidates K")
        axis.set_ylabel("MI (nats)")
        axis.set_title(title, fontsize=10)
    legend_below(figure, axes)
    return as_svg(figure)


def legend_below(figure: Any, axes: Sequence[Any]) -> None:
    """One legend for all panels, each label once, under them."""
    entries: dict[str, Any] = {}
    for axis in axes:
        for handle, label in zip(*axis.get_legend_handles_labels(), strict=True):
            entries.setdefault(label, handle)
    if entries:
        inches = 0.5 + 0.065 * max(map(len, entries))  # of a column, in letters of 8 points
        columns = max(1, min(5, len(entries), int(figure.get_figwidth() / inches)))
        figure.legend(list(entries.values()), list(entries), loc="outside lower center", ncols=columns, fontsize=8, frameon=False)


def save_mi_at_k(found: Mapping[str, Any], path: str) -> None:
    """MI@K of one analysis with its chain as horizontal marks, written to `path` (.svg or .png)."""
    figure = _mi_at_k_figure(found)
    save_figure(figure, path)


def measured_at_k(found: Mapping[str, Any]) -> str:
    """The same as inline SVG."""
    return as_svg(_mi_at_k_figure(found))


def _mi_at_k_figure(found: Mapping[str, Any]) -> Any:
    found = known(found)
    figure, (axis,) = new_figure(6, 3.8)
    at_k = {int(k): v for k, v in found["at_k"].items()}
    ks = sorted(at_k)
    axis.plot(ks, [math.log(k) for k in ks], ":", color=INK, linewidth=0.9, label="ceiling log K")
    axis.plot(ks, [at_k[k] for k in ks], "o-", color=PALETTE[0], label="among documents of the pool")
    value = found["infonce_nats"]
    axis.errorbar([ks[-1]], [value], yerr=error_bars([(value, *found["ci_nats"])]), color=PALETTE[0], capsize=3)
    fact = found["chain"]["fact"]
    if fact is not None:
        versions = round(math.exp(fact["ceiling_nats"]))
        axis.errorbar(
            [versions],
            [fact["value_nats"]],
            yerr=error_bars([(fact["value_nats"], *fact["ci_nats"])]),
            fmt="s",
            color=PALETTE[1],
            capsize=3,
            label="among versions of its own facts",
        )
    axis.set_xscale("log", base=2)
    axis.set_xticks(ks, [str(k) for k in ks])
    axis.minorticks_off()
    axis.set_xlabel("candidates K")
    axis.set_ylabel("MI (nats)")
    axis.legend(fontsize=8, frameon=False)
    return figure


def save_fact_deletion(found: Mapping[str, Any], path: str) -> None:
    """MI among random and among counterfactual documents against the number of facts left, to .svg or .png."""

    figure, (axis,) = new_figure(6.4, 4)
    points = found["points"]
    left = [p["facts_left"] for p in points]
    for name, title, colour in (
        ("random", "among random documents (which document)", PALETTE[0]),
        ("fact", "among versions of the own document (its facts), mean over facts", PALETTE[1]),
    ):
        values = [p[f"{name}_nats"] for p in points]
        bars = error_bars((p[f"{name}_nats"], *p[f"{name}_ci_nats"]) for p in points)
        axis.errorbar(left, values, yerr=bars, fmt="o-", color=colour, capsize=3, label=title)
        axis.axhline(found[f"{name}_ceiling_nats"], color=colour, linestyle=":", linewidth=1)
    axis.set_xlim(max(left) + 0.3, min(left) - 0.3)
    axis.set_ylim(bottom=min(0.0, axis.get_ylim()[0]), top=found["random_ceiling_nats"] * 1.25)
    axis.set_xlabel("facts left in the compression (deleted from left to right)")
    axis.set_ylabel("nats (dotted: ceiling)")
    axis.legend(fontsize=8, frameon=False, loc="upper right")
    save_figure(figure, path)


TRAINING_PANELS = (
    ("MI (nats)", (("mi/easy_nats", "easy negatives"), ("mi/hard_nats", "hard negatives"))),
    ("tokens", (("rate/tokens", "length"),)),
    ("share", (("distortion/fact_missing", "fact missing"), ("faithfulness/unsupported", "unsupported"), ("reward/truncated", "cut off"))),
)  # fmt: skip


def training(rows: Sequence[Mapping[str, Any]]) -> str:
    """The course of a training run: faint per step, strong as a mean over ten steps."""
    parts = [(part.metric, part.label) for part in PARTS.values() if part.label]
    panels = (("reward (nats)", (("reward/total", "reward"), *parts)), *TRAINING_PANELS)
    figure, axes = new_figure(13, 3.2, panels=len(panels))
    for axis, (title, series) in zip(axes, panels, strict=True):
        for colour, (name, label) in zip(PALETTE, series, strict=False):
            steps = [r["step"] for r in rows if name in r]
            values = [r[name] for r in rows if name in r]
            if not values:
                continue
            axis.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
            axis.plot(steps, moving_mean(values, 10), color=colour, linewidth=1.8, label=label)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step")
        if axis.get_legend_handles_labels()[1]:
            axis.legend(fontsize=8, frameon=False)
    return as_svg(figure)


def moving_mean(values: Sequence[float], window: int) -> list[float]:
    """Mean of each value and up to window − 1 before it."""
    return [sum(values[max(0, i - window + 1) : i + 1]) / len(values[max(0, i - window + 1) : i + 1]) for i in range(len(values))]
