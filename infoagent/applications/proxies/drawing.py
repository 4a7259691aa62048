"""A proxy study as a table and as a picture."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.reporting.plots import INK, PALETTE, new_grid, save_figure, shown

Part = Mapping[str, Any]
COLUMNS = ("scorer", "left out", "MiB", "GFLOP", "s", "β", "MI (nats)", "calibrated", "ρ with self", "over compressors",
           "verdicts lost, turned", "ρ with accuracy", "trusted")  # fmt: skip
AMONG = {"hard": "versions with the fact changed", "all": "all negatives"}


def title(part: Part) -> str:
    return (
        f"{part['data']}, {AMONG[part['among']]}: {part['compressions']} compressions of {part['documents']} documents by "
        f"{part['compressors']} compressors, ceiling {part['ceiling_nats']:.2f} nats, {part['verdicts']} pairs told apart"
    )


def rows(part: Part) -> list[list[str]]:
    """One line a scorer, at its scores as they are (a scale moves them little: `calibrated`)."""
    lines = []
    for row in part["scorers"]:
        if "refused" in row:
            lines.append([row["scorer"], str(row["left_out"]), *["–"] * (len(COLUMNS) - 3), f"refused: {row['refused']}"])
            continue
        own, scale = row["plain"], row.get("calibration")
        calibrated = row.get("calibrated")
        ranks, verdicts = own.get("self", {}), own.get("verdicts")
        accuracy: Mapping[str, Any] = next(iter(own["accuracy"].values()), {})
        lines.append(
            [
                row["scorer"],
                str(row["left_out"]),
                _number(row.get("weight_mib"), 0),
                _number(row.get("gflop"), 1),
                _number(row["seconds"], 2),
                _number(scale and scale["beta"], 2),
                _interval(own["mi_nats"]),
                "–" if calibrated is None else _interval(calibrated["mi_nats"]),
                _interval(ranks.get("spearman", ranks)),
                _interval(ranks.get("points_spearman", {})),
                "–" if verdicts is None else f"{verdicts['lost']}, {len(verdicts['turned'])}",
                _interval(accuracy.get("spearman", accuracy)),
                _trusted(row),
            ]
        )
    return lines


def _trusted(row: Mapping[str, Any]) -> str:
    if "trusted" not in row["plain"]:
        return "–"
    plain, calibrated = row["plain"]["trusted"], row.get("calibrated", row["plain"])["trusted"]
    word = "yes" if plain else "no"
    return word if plain == calibrated else f"{word}; {'yes' if calibrated else 'no'} calibrated"


def smallest_line(part: Part) -> str:
    """The smallest scorer that can be trusted, or that there is none."""
    words = {name: _smallest(found) for name, found in part["smallest_trusted"].items()}
    tried = sum(row["scorer"] != "self" for row in part["scorers"])
    line = f"smallest scorer that can be trusted ({100 * part['level']:.4g} % intervals, for the best of {tried}): "
    line += words["plain"]
    same = words.get("calibrated", words["plain"]) == words["plain"]
    return line if same else f"{line}; calibrated: {words['calibrated']}"


def _smallest(found: Mapping[str, Any]) -> str:
    if "scorer" not in found:
        return f"none ({found['refused']})"
    unknown = f"; also trusted, costs not known: {', '.join(found['costs_unknown'])}" if found["costs_unknown"] else ""
    return f"{found['scorer']} ({found['weight_mib']:.0f} MiB, {found['gflop']:.1f} GFLOP a text){unknown}"


def _number(value: float | None, digits: int) -> str:
    return "–" if value is None else f"{value:,.{digits}f}"


def _interval(found: Mapping[str, Any]) -> str:
    if "value" not in found:
        return "–"
    if "low" not in found:
        return f"{found['value']:.2f}"
    return f"{found['value']:.2f} [{found['low']:.2f}, {found['high']:.2f}]"


def save_study(study: Mapping[str, Any], directory: str | Path) -> list[Path]:
    """proxies.png and .svg: for each part the rank correlation with the self-score, with accuracy, and the estimates."""

    parts: Sequence[Part] = study["parts"]
    scorers = [row["scorer"] for row in parts[0]["scorers"]]
    figure, grid = new_grid(12.5, len(parts) * (1.5 + 0.3 * len(scorers)), len(parts), 3)
    for axes, part in zip(grid, parts, strict=True):
        own, accuracy, mi = axes
        where = f"{part['data']}, {AMONG[part['among']]}"
        _forest(own, part, lambda side: side.get("self", {}).get("spearman"), f"rank correlation with the self-score\n{where}")
        own.axvline(study["trusted_correlation"], color=INK, linestyle=":", linewidth=1)
        _forest(accuracy, part, _first_accuracy, "rank correlation with right answers\n")
        accuracy.axvline(0, color=INK, linestyle=":", linewidth=1)
        _forest(mi, part, lambda side: side.get("mi_nats"), "MI (nats); dotted: ceiling\n")
        mi.axvline(part["ceiling_nats"], color=INK, linestyle=":", linewidth=1)
        for axis in (accuracy, mi):
            axis.set_yticklabels([])
    handles, names = grid[0][2].get_legend_handles_labels()
    figure.legend(handles, names, loc="outside lower center", ncols=2, frameon=False, fontsize=9)
    files = [Path(directory) / f"proxies{ending}" for ending in (".png", ".svg")]
    save_figure(figure, *files)
    return files


def _first_accuracy(side: Mapping[str, Any]) -> Any:
    found: Mapping[str, Any] = next(iter(side["accuracy"].values()), {})
    return found.get("spearman")


def _forest(axis: Any, part: Part, value: Any, name: str) -> None:
    """One line a scorer, the first on top, plain and calibrated side by side."""
    sides = (("plain", "scores as they are", PALETTE[0], "o", -0.13), ("calibrated", "calibrated", PALETTE[1], "s", 0.13))
    for side, label, colour, marker, offset in sides:
        drawn = False
        for place, row in enumerate(part["scorers"]):
            found = value(row[side]) if side in row else None
            if not found or "low" not in found:
                continue
            axis.plot([found["low"], found["high"]], [place + offset] * 2, color=colour, linewidth=1.3)
            axis.plot(found["value"], place + offset, marker, color=colour, markersize=4.5, label=None if drawn else label)
            drawn = True
    axis.set_yticks(range(len(part["scorers"])), [shown(row["scorer"]) for row in part["scorers"]])
    axis.set_ylim(len(part["scorers"]) - 0.5, -0.5)
    axis.set_title(name, fontsize=9, loc="left", color=INK)
