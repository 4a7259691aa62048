"""Accuracy against cost, with the front of what nothing else beats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from infoagent.rate_distortion import pareto_front
from infoagent.records.summaries import Summary
from infoagent.reporting.error_bars import error_bars
from infoagent.reporting.plots import INK, Style, as_svg, new_figure, scale_tokens, shown
from infoagent.types import Finding

AXES = (("gflops_total", "GFLOP a question, compressor and predictor", "computation"), ("usd_total", "USD a question", "money"))


def cost_pareto(summaries: Sequence[Summary], predictor: str, styles: Mapping[str, Style]) -> tuple[str, str]:
    """(inline SVG, sentence): a panel for each unit of cost that is known of two compressors or more, and what is not
    drawn and why. The SVG is empty where nothing can be drawn."""
    panels, missing = [], []
    graded = [(s, error) for s in summaries if (error := s.error_of(predictor)) is not None]
    if not graded:
        return "", f"{predictor}: no reply was graded, so there is no accuracy to set against cost."
    for unit, title, what in AXES:
        known = [(s, cost, error) for s, error in graded if (cost := getattr(s.predictors[predictor].cost, unit)) is not None]
        if len(known) > 1 and any(cost for _, cost, _ in known):
            panels.append((title, known))
            if len(known) < len(graded):
                costed = [s.label for s, *_ in known]
                unknown = ", ".join(s.label for s, _ in graded if s.label not in costed)
                missing.append(f"{what} is not known of {unknown}")
        elif not known:
            missing.append(f"{what} is not known of any compressor")
        else:
            missing.append(f"{what} was spent on {'one compressor alone' if len(known) == 1 else 'none of them'}")
    sentence = f"{predictor}: {'; '.join(missing)}." if missing else ""
    if not panels:
        return "", sentence
    figure, axes = new_figure(5.4 * len(panels) + (1 if len(panels) == 1 else 0), 4, panels=len(panels))
    for axis, (title, known) in zip(axes, panels, strict=True):
        _panel(axis, known, styles)
        axis.set_xlabel(title)
        axis.set_ylabel("questions answered (%)")
        axis.set_title(shown(f"answered by {predictor}"), fontsize=10)
    return as_svg(figure), sentence


def _panel(axis: Any, known: Sequence[tuple[Summary, float, Finding]], styles: Mapping[str, Style]) -> None:
    anchor = Style(INK, "P")
    costs, right = [cost for _, cost, _ in known], [100 * (1 - error.value) for *_, error in known]
    for s, cost, error in known:
        style = styles.get(s.curve, anchor)
        value, low, high = (100 * (1 - end) for end in (error.value, error.high, error.low))
        axis.errorbar(
            cost,
            value,
            yerr=error_bars([(value, low, high)]),
            color=style.colour,
            marker=style.marker,
            markersize=5,
            elinewidth=0.7,
            capsize=2,
        )
    front = pareto_front(costs, right)
    axis.step([costs[i] for i in front], [right[i] for i in front], where="post", color=INK, linewidth=0.8, zorder=0)
    scale_tokens(axis, costs)
    for i in front:
        axis.annotate(
            shown(known[i][0].label), (costs[i], right[i]), xytext=(5, 5), textcoords="offset points", fontsize=7.5, color=INK
        )
