"""Plots as inline SVG. Every point carries its 95 % interval; colours follow the compressor."""

from __future__ import annotations

import io
import math
from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.rate_distortion import pareto_front

INK = "#1f2933"
PALETTE = ("#2f6fb0", "#d1622b", "#3a8f5c", "#8a5aa8", "#b8902a", "#5b6770")


def _figure(width: float, height: float, panels: int = 1) -> tuple[Any, list[Any]]:
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, panels, figsize=(width, height), squeeze=False, layout="constrained")
    for axis in axes[0]:
        axis.spines[["top", "right"]].set_visible(False)
        axis.grid(alpha=0.25, linewidth=0.6)
        axis.tick_params(colors=INK, labelsize=9)
    return figure, list(axes[0])


def _svg(figure: Any) -> str:
    from matplotlib import pyplot as plt

    stream = io.StringIO()
    figure.savefig(stream, format="svg", metadata={"Date": None})
    plt.close(figure)
    text = stream.getvalue()
    return text[text.index("<svg") :]


def colour_of(label: str, labels: Sequence[str]) -> str:
    return PALETTE[list(labels).index(label) % len(PALETTE)]


def _error(value: float, low: float, high: float) -> list[list[float]] | None:
    return None if math.isnan(low) else [[value - low], [high - value]]


def rate_distortion(summaries: Sequence[Mapping[str, Any]]) -> str:
    """Information kept and questions answered against the length of the compression, anchors as lines."""
    # models before anchors, so that a model has the same colour in every plot
    labels = [s["label"] for s in sorted(summaries, key=lambda s: s["compressor"]["kind"] != "lm")]
    figure, (left, right) = _figure(10, 4, panels=2)
    points: dict[int, list[tuple[float, float]]] = {0: [], 1: []}
    for s in summaries:
        colour = colour_of(s["label"], labels)
        predictor: Mapping[str, Any] = next(iter(s["predictors"].values()), {})
        accuracy = predictor.get("distortion/error")
        if s["compressor"]["kind"] != "lm":
            if accuracy is not None:
                right.axhline(
                    100 * (1 - accuracy["value"]), color=colour, linestyle="--", linewidth=1, label=s["label"]
                )
            continue
        if "rate/tokens" not in s["values"]:  # every compression failed
            continue
        rate = s["values"]["rate/tokens"]
        rate_error = _error(rate["value"], rate["low"], rate["high"])
        if "hard" in s["estimates"]:
            e = s["estimates"]["hard"]
            left.errorbar(
                rate["value"], e["infonce_nats"], xerr=rate_error, yerr=_error(e["infonce_nats"], *e["ci_nats"]),
                fmt="o", color=colour, label=s["label"], capsize=3,
            )  # fmt: skip
            left.axhline(e["ceiling_nats"], color=INK, linestyle=":", linewidth=0.8)
            points[0].append((rate["value"], e["infonce_nats"]))
        if accuracy is not None:
            value = 100 * (1 - accuracy["value"])
            error = _error(value, 100 * (1 - accuracy["high"]), 100 * (1 - accuracy["low"]))
            right.errorbar(
                rate["value"],
                value,
                xerr=rate_error,
                yerr=error,
                fmt="o",
                color=colour,
                label=s["label"],
                capsize=3,
            )
            points[1].append((rate["value"], value))
    for axis, found in ((left, points[0]), (right, points[1])):
        front = pareto_front([p[0] for p in found], [p[1] for p in found])
        axis.plot(
            [found[i][0] for i in front],
            [found[i][1] for i in front],
            color=INK,
            linewidth=0.8,
            alpha=0.5,
            zorder=0,
        )
        axis.set_xlabel("length of the compression (tokens)")
        axis.set_xlim(left=0)
        axis.legend(fontsize=8, frameon=False)
    left.set_ylabel("MI among counterfactuals (nats)")
    left.set_title("fact kept; dotted: ceiling", fontsize=10)
    right.set_ylabel("questions answered from it (%)")
    right.set_title("accuracy of the predictor; dashed: anchors", fontsize=10)
    return _svg(figure)


def mi_at_k(summaries: Sequence[Mapping[str, Any]]) -> str:
    """InfoNCE against the number of candidates: a curve that still rises is bound by its ceiling."""
    labels = [s["label"] for s in summaries]
    figure, (left, right) = _figure(10, 3.6, panels=2)
    for axis, key, title in (
        (left, "easy", "easy negatives"),
        (right, "hard", "hard (counterfactual) negatives"),
    ):
        ks: set[int] = set()
        for s in summaries:
            if key not in s["estimates"]:
                continue
            at_k = {int(k): v for k, v in s["estimates"][key]["at_k"].items()}
            ks |= set(at_k)
            axis.plot(
                sorted(at_k),
                [at_k[k] for k in sorted(at_k)],
                "o-",
                color=colour_of(s["label"], labels),
                label=s["label"],
            )
        if ks:
            axis.plot(
                sorted(ks),
                [math.log(k) for k in sorted(ks)],
                ":",
                color=INK,
                linewidth=0.9,
                label="ceiling log K",
            )
            axis.set_xscale("log", base=2)
            axis.set_xticks(sorted(ks), [str(k) for k in sorted(ks)])
            axis.minorticks_off()
            axis.legend(fontsize=8, frameon=False)
        axis.set_xlabel("candidates K")
        axis.set_ylabel("MI (nats)")
        axis.set_title(title, fontsize=10)
    return _svg(figure)


TRAINING_PANELS = (
    ("reward (nats)", (("reward/total", "reward"), ("reward/mi", "MI part"), ("reward/rate", "rate part"))),
    ("MI (nats)", (("mi/easy_nats", "easy negatives"), ("mi/hard_nats", "hard negatives"))),
    ("tokens", (("rate/tokens", "length"),)),
    ("share", (("distortion/fact_missing", "fact missing"), ("faithfulness/unsupported", "unsupported"), ("reward/truncated", "cut off"))),
)  # fmt: skip


def training(rows: Sequence[Mapping[str, Any]]) -> str:
    """The course of a training run: faint per step, strong as a mean over ten steps."""
    figure, axes = _figure(13, 3.2, panels=len(TRAINING_PANELS))
    for axis, (title, series) in zip(axes, TRAINING_PANELS, strict=True):
        for colour, (name, label) in zip(PALETTE, series, strict=False):
            steps = [r["step"] for r in rows if name in r]
            values = [r[name] for r in rows if name in r]
            if not values:
                continue
            axis.plot(steps, values, color=colour, alpha=0.25, linewidth=0.8)
            axis.plot(steps, moving_mean(values, 10), color=colour, linewidth=1.8, label=label)
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step")
        axis.legend(fontsize=8, frameon=False)
    return _svg(figure)


def moving_mean(values: Sequence[float], window: int) -> list[float]:
    """Mean of each value and up to window − 1 before it."""
    return [
        sum(values[max(0, i - window + 1) : i + 1]) / len(values[max(0, i - window + 1) : i + 1])
        for i in range(len(values))
    ]
