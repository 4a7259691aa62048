"""The frontier as a picture and as a table."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.records.rate_points import RatePoint, rate_points
from infoagent.reporting.error_bars import error_bars, interval_of
from infoagent.reporting.plots import INK, PALETTE, as_svg, new_figure, save_figure, shown
from infoagent.reporting.tables import with_interval

COLUMNS = ("data", "checkpoint", "tokens", "value", "tokens at equal value", "value at equal tokens")


def save_frontier(found: Mapping[str, Any], path: str | Path) -> None:
    """One panel for each data set: the frozen curve with its points, trained points over it, 95 % intervals."""
    figure = _figure(found)
    save_figure(figure, path)


def frontier_svg(found: Mapping[str, Any]) -> str:
    """The same as inline SVG."""
    return as_svg(_figure(found))


def _figure(found: Mapping[str, Any]) -> Any:
    sets = found["sets"]
    figure, axes = new_figure(4.6 * len(sets), 3.8, panels=len(sets))
    for axis, part in zip(axes, sets, strict=True):
        points = rate_points(part["points"], part["data"])
        frozen = sorted((p for p in points if not p.trained), key=lambda p: p.tokens.value)
        trained = [p for p in points if p.trained]
        _bars(axis, frozen, INK, "o", "frozen, by prompt")
        axis.plot([p.tokens.value for p in frozen], [p.value.value for p in frozen], color=INK, lw=1)
        for number, point in enumerate(trained):
            _bars(axis, [point], PALETTE[number % len(PALETTE)], "sDv^P*X"[number % 7], shown(point.label))
        axis.set_title(f"{part['data']} ({part['documents']} documents)", fontsize=10)
        axis.set_xlabel("tokens")
        axis.set_xlim(left=0)
        axis.legend(fontsize=7, loc="best")
    axes[0].set_ylabel(found["title"])
    return figure


def _bars(axis: Any, points: Sequence[RatePoint], color: str, marker: str, label: str) -> None:
    axis.errorbar(
        [p.tokens.value for p in points],
        [p.value.value for p in points],
        xerr=error_bars(interval_of(p.tokens) for p in points),
        yerr=error_bars(interval_of(p.value) for p in points),
        fmt=marker,
        color=color,
        ms=6,
        capsize=2,
        label=label,
    )


def frontier_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """A line for each data set and checkpoint; the frozen points have the last two columns empty."""
    rows = []
    for part in found["sets"]:
        comparisons = {c["label"]: c for c in part["comparisons"]}
        for point in rate_points(part["points"], part["data"]):
            tokens, value = (with_interval(f.value, f.low, f.high, digits=d) for f, d in ((point.tokens, 1), (point.value, 2)))
            compared = _compared(comparisons[point.label]) if point.trained else ["", ""]
            rows.append([part["data"], point.label, tokens, value, *compared])
        if "all checkpoints" in comparisons:
            rows.append([part["data"], "all checkpoints", "", "", *_compared(comparisons["all checkpoints"])])
    return rows


def _compared(row: Mapping[str, Any]) -> list[str]:
    if "tokens_refused" in row:
        tokens = "not comparable"
    else:
        t = row["tokens_at_equal_value"]
        span = "" if math.isnan(t["low"]) else f" [{100 * t['low']:.0f}, {100 * t['high']:.0f}]"
        tokens = ("at most " if t["kind"] == "at most" else "") + f"{100 * t['value']:.0f} %{span}"
    v = row["value_at_equal_tokens"]
    span = "" if math.isnan(v["low"]) else f" [{v['low']:+.2f}, {v['high']:+.2f}]"
    return [tokens, f"{v['value']:+.2f}{span}"]


def frontier_notes(found: Mapping[str, Any]) -> list[str]:
    """What a reader of the table must know besides: problems left out, comparisons without an interval, frozen dips."""
    notes = []
    for part in found["sets"]:
        left_out = part.get("left_out", {"problems": 0})
        if left_out["problems"]:
            label, held = min(left_out["held"].items(), key=lambda item: item[1])
            notes.append(f"{part['data']}: {left_out['problems']} problems left out that not every point has; {label!r} has {held}")
        for row in part["comparisons"]:
            where = f"{part['data']}, {row['label']}"
            if "tokens_refused" in row:
                notes.append(f"{where}: {row['tokens_refused']}")
                continue
            tokens, best = row["tokens_at_equal_value"], row.get("tokens_against_best")
            for what, compared in (("tokens", tokens), ("value", row["value_at_equal_tokens"])):
                if compared["note"]:
                    notes.append(f"{where}, {what}: {compared['note']}")
            if best is not None and best["value"] > 1.05 * tokens["value"]:
                notes.append(
                    f"{where}: {100 * best['value']:.0f} % of the tokens of the frozen model's best settings; a longer "
                    "setting of it does worse than a shorter one, and the curve pools the two"
                )
    return notes
