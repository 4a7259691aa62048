"""The teacher as a table and as a picture."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from infoagent.reporting.plots import INK, PALETTE, new_figure, save_figure
from infoagent.reporting.tables import with_interval

COLUMNS = ("the best text of", "problems", "wins", "fact kept", "tokens", "hard MI (nats)", "reward (nats)")
NAMES = {"fact_kept": "facts kept", "rate_tokens": "tokens", "hard_nats": "nats of hard MI", "reward_nats": "nats of reward"}


def teacher_rows(table: Mapping[str, Any]) -> list[list[str]]:
    """A line for the teacher, and one for each source with the best of what it offers."""
    return [
        [
            row["source"],
            str(row["problems"]),
            "" if row["wins"] is None else f"{row['wins'] / table['groups']:.0%}",
            _cell(row, "fact_kept", 100, 0, " %"),
            _cell(row, "rate_tokens", 1, 1),
            _cell(row, "hard_nats", 1, 2),
            _cell(row, "reward_nats", 1, 2),
        ]
        for row in table["rows"]
    ]


def difference_lines(table: Mapping[str, Any]) -> list[str]:
    """What the teacher has over each of the others on the same problems."""
    lines = []
    for name, differences in table["teacher_minus"].items():
        told = [
            f"{_cell(differences, measure, 100 if measure == 'fact_kept' else 1, 0 if measure == 'fact_kept' else 2)} {label}"
            for measure, label in NAMES.items()
            if measure in differences
        ]
        lines.append(f"teacher − {name}: " + ", ".join(told))
    return lines


def save_teacher(table: Mapping[str, Any], *paths: str | Path) -> None:
    """Hard MI over tokens of the best text of each source, with 95 % intervals."""
    figure, (axis,) = new_figure(6.4, 4.2)
    for number, row in enumerate(r for r in table["rows"] if "hard_nats" in r):
        nats, tokens = row["hard_nats"], row["rate_tokens"]
        axis.errorbar(
            tokens["value"],
            nats["value"],
            xerr=[[tokens["value"] - tokens["low"]], [tokens["high"] - tokens["value"]]],
            yerr=[[nats["value"] - nats["low"]], [nats["high"] - nats["value"]]],
            fmt="osDv^P*X"[number % 8],
            color=INK if row["source"] == "teacher" else PALETTE[number % len(PALETTE)],
            capsize=2,
            label=f"{row['source']} (n = {row['problems']})",
        )
    axis.set_xlabel("tokens")
    axis.set_xlim(left=0)
    axis.set_ylabel("hard MI (nats)")
    axis.legend(fontsize=8)
    save_figure(figure, *paths)


def _cell(row: Mapping[str, Any], name: str, factor: float, digits: int, unit: str = "") -> str:
    if name not in row:
        return "unknown"
    value, low, high = (factor * row[name][side] for side in ("value", "low", "high"))
    return with_interval(value, low, high, digits) + unit
