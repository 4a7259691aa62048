"""Goals as a table: what was asked, what was measured, whether it is met."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

COLUMNS = ("goal", "id", "number", "must be", "measured [95 %]", "questions", "met")


def goal_rows(goals: Mapping[str, Mapping[str, Any]], undecided: Mapping[str, list[str]]) -> list[list[str]]:
    """A row for each bound of a goal, the goal's own words in the first; then what is undecided, with its causes."""
    rows = []
    for name, goal in goals.items():
        for number, bound in enumerate(goal["bounds"]):
            against = f" − {', '.join(bound['against'])}" if "against" in bound and bound["measure"] != "tokens_ratio" else ""
            over = f" over {', '.join(bound['against'])}" if bound["measure"] == "tokens_ratio" else ""
            rows.append(
                [
                    goal["goal"] if not number else "",
                    name if not number else "",
                    f"{bound['measure']}{against}{over}".replace("|", "\\|"),
                    bound["bound"],
                    _measured(bound),
                    "–" if bound["n"] is None else str(bound["n"]),
                    "yes" if bound["met"] else "no",
                ]
            )
    return rows + [["", name, "; ".join(causes).replace("|", "\\|"), "", "", "", "undecided"] for name, causes in undecided.items()]


def _measured(bound: Mapping[str, Any]) -> str:
    value, low, high = (bound[side] for side in ("value", "low", "high"))
    known = low is not None and high is not None and low == low and high == high  # null where it was read from goals.json
    interval = f" [{low:.3g}, {high:.3g}]" if known else " (interval unknown)"
    return f"{value:.3g}{interval}".replace("-", "−")
