"""Failures on hard inputs as a table and as a picture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.reporting.error_bars import error_bars
from infoagent.reporting.plots import PALETTE, new_figure, save_figure, shown
from infoagent.reporting.tables import as_text

QUIET = ("crashed", "refused", "empty", "looping", "cut", "reader failed")
"""Failures whose lines are left out of the tables where nobody failed so."""


def hard_inputs_text(found: Mapping[str, Any]) -> str:
    """The tables for the terminal: rates, then information."""
    labels = found["compressors"]
    columns = ["kind", "failure", *labels, *(["p", "p (Holm)", ""] if found["pair"] else [])]
    parts = [as_text(columns, rate_rows(found))]
    if found["information"]:
        title = "nats about the asked value, among versions of the document with another one:"
        parts.append(f"{title}\n{as_text(['kind', *labels, 'difference', 'ceiling'], information_rows(found))}")
    return "\n\n".join(parts)


def rate_rows(found: Mapping[str, Any]) -> list[list[str]]:
    """kind, failure, a share for each compressor, and for a pair the exact p, Holm's, and the verdict."""
    compared = {(line["kind"], line["failure"]): line for line in found["comparisons"]}
    rows = []
    for line in found["rates"]:
        if line["failure"] in QUIET and not any(share["count"] for share in line["shares"].values()):
            continue
        row = [line["kind"], line["failure"], *(share_text(line["shares"].get(label)) for label in found["compressors"])]
        if found["pair"]:
            pair = compared.get((line["kind"], line["failure"]))
            row += ["–"] * 3 if pair is None else [f"{pair['p']:.2g}", f"{pair['p_holm']:.2g}", pair["verdict"]]
        rows.append(row)
    return rows


def share_text(share: Mapping[str, Any] | None) -> str:
    """`5/24 21 % [9, 40]`, or `–` where it is not defined."""
    if share is None:
        return "–"
    value, low, high = (100 * share[name] for name in ("value", "low", "high"))
    return f"{share['count']}/{share['n']} {value:.0f} % [{low:.0f}, {high:.0f}]"


def information_rows(found: Mapping[str, Any]) -> list[list[str]]:
    rows = []
    for line in found["information"]:
        values = [line["mi_nats"].get(label) for label in found["compressors"]]
        difference = line.get("difference_nats")
        rows.append([line["kind"], *(_interval(v) for v in values), _interval(difference, "+"), f"{line['ceiling_nats']:.2f}"])
    return rows


def _interval(value: Mapping[str, Any] | None, sign: str = "") -> str:
    if value is None:
        return "–"
    if math.isnan(value["low"]):
        return f"{value['value']:{sign}.2f}"
    return f"{value['value']:{sign}.2f} [{value['low']:{sign}.2f}, {value['high']:{sign}.2f}]"


def save_hard_inputs(found: Mapping[str, Any], *paths: str | Path) -> None:
    """A line for each kind × failure, a point with Wilson's interval for each compressor; filled where the pair differs."""
    lines = [
        line for line in found["rates"] if line["failure"] not in QUIET or any(share["count"] for share in line["shares"].values())
    ]
    differ = {(c["kind"], c["failure"]) for c in found["comparisons"] if c["verdict"] != "no difference shown"}
    figure, [axis] = new_figure(7.6, 1.4 + 0.24 * len(lines))
    labels: Sequence[str] = found["compressors"]
    for place, label in enumerate(labels):
        shift, style = 0.22 * (place - (len(labels) - 1) / 2), {"color": PALETTE[place % len(PALETTE)], "ls": "none"}
        points: dict[bool, list[tuple[float, Mapping[str, Any]]]] = {True: [], False: []}
        for y, line in enumerate(lines):
            if label in line["shares"]:
                filled = label in (found["pair"] or ()) and (line["kind"], line["failure"]) in differ
                points[filled].append((y + shift, line["shares"][label]))
        for filled, own in points.items():
            axis.errorbar(
                [100 * share["value"] for _, share in own],
                [y for y, _ in own],
                xerr=error_bars((100 * s["value"], 100 * s["low"], 100 * s["high"]) for _, s in own),
                marker="osD^v"[place % 5],
                ms=4,
                lw=1,
                capsize=1.5,
                mfc=None if filled else "white",
                label=None if filled else shown(label),
                **style,
            )
    for y in range(1, len(lines)):
        if lines[y]["kind"] != lines[y - 1]["kind"]:
            axis.axhline(y - 0.5, color="#9aa5b1", lw=0.6)
    axis.set_yticks(range(len(lines)), [f"{line['kind']}: {line['failure']}" for line in lines], fontsize=8)
    axis.set_ylim(len(lines) - 0.5, -0.5)
    axis.set_xlim(-2, 102)
    axis.set_xlabel("cases (%); filled: trained and frozen differ (McNemar, Holm)")
    handles, names = axis.get_legend_handles_labels()
    figure.legend(handles, names, loc="outside upper center", ncols=min(3, len(names)), fontsize=8, frameon=False)
    save_figure(figure, *paths)
