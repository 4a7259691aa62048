"""What training reached on a source with known limits: one plot, one table."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infoagent.reporting.error_bars import error_bars, interval_of
from infoagent.reporting.plots import INK, PALETTE, new_figure, save_figure

MARKERS = "osD^vP"


def save_shannon(found: Mapping[str, Any], path: str) -> None:
    """Achieved points and the three limits, to .svg or .png.

    Left, tokens against nats about the source. Right, the same nats against the facts that no encoder can avoid to
    get wrong with so few: R(D) itself.
    """

    limits, rows = found["limits"], found["rows"]
    figure, (left, right) = new_figure(11, 4.6, panels=2)
    for line, label, colour, style in (
        (limits["capacity"], "Shannon: the most that any string code of this vocabulary can tell", PALETTE[5], "-."),
        (limits["naming"], "naming code: silence tells as well", PALETTE[2], "--"),
    ):
        # all is told where a line meets H(X)
        until = 1 + next(i for i, p in enumerate(line) if p["nats"] >= limits["entropy_nats"] - 1e-9)
        left.plot([p["tokens"] for p in line[:until]], [p["nats"] for p in line[:until]], style, color=colour, label=label)
    line = limits["optimum_line"]
    left.plot(
        [p["tokens"] for p in line],
        [p["source_nats"] for p in line],
        "-",
        color=INK,
        linewidth=1.2,
        label="enumerated optimum under the frozen scorer, over prices",
    )
    left.axhline(limits["entropy_nats"], color=INK, linestyle=":", linewidth=0.9)
    left.annotate("H(X)", (0.02, limits["entropy_nats"]), (0, 3), textcoords="offset points", fontsize=8, color=INK)
    prices = sorted({row["price"] for row in rows})
    for colour, marker, price in zip(PALETTE[:2] + PALETTE[3:5] + PALETTE[2:3], MARKERS, prices, strict=False):
        best = limits["optimum"][f"{price:g}"]
        left.plot(best["tokens"], best["source_nats"], marker, color=INK, fillstyle="none", markersize=11)
        for number, row in enumerate(r for r in rows if r["price"] == price):
            tokens, nats = row["tokens"], row["source_nats"]
            left.errorbar(
                tokens["value"],
                nats["value"],
                xerr=error_bars([interval_of(tokens)]),
                yerr=error_bars([interval_of(nats)]),
                fmt=marker,
                color=colour,
                markersize=5,
                capsize=2,
                label=f"trained, {price:g} nats a token" if not number else None,
            )
    left.plot([], [], "o", color=INK, fillstyle="none", markersize=10, label="the optimum at that price")
    left.set_xlabel("tokens")
    left.set_ylabel("nats told about the source")
    left.set_ylim(0, limits["entropy_nats"] * 1.12)
    left.set_xlim(0, 4.3)
    left.legend(fontsize=7.5, frameon=False, loc="lower right")

    curve = limits["rate_distortion"]
    right.plot([p["nats"] for p in curve], [p["facts_wrong"] for p in curve], color=PALETTE[5], label="Shannon: R(D)")
    for colour, marker, price in zip(PALETTE[:2] + PALETTE[3:5] + PALETTE[2:3], MARKERS, prices, strict=False):
        for number, row in enumerate(r for r in rows if r["price"] == price):
            nats, wrong = row["source_nats"], row["facts_wrong"]
            right.errorbar(
                nats["value"],
                wrong["value"],
                xerr=error_bars([interval_of(nats)]),
                yerr=error_bars([interval_of(wrong)]),
                fmt=marker,
                color=colour,
                markersize=5,
                capsize=2,
                label=f"trained, {price:g} nats a token" if not number else None,
            )
    right.set_xlabel("nats told about the source")
    right.set_ylabel("facts that a reader guesses wrong, of 4")
    right.legend(fontsize=7.5, frameon=False)
    save_figure(figure, path)


def table(found: Mapping[str, Any]) -> str:
    """A line for each run, and the verdict."""
    defaults = sorted({name for row in found["rows"] for name in row["default_said"]})
    heads = ["price", "seed", "reward", "optimum", "ratio", "interval", "greedy", "tokens", *(f"{n} said" for n in defaults)]
    lines = ["  ".join(f"{head:>12}" for head in heads)]
    for row in found["rows"]:
        cells = [
            f"{row['price']:g}", str(row["seed"]), f"{row['reward']['value']:.3f}", f"{row['optimum_reward']:.3f}",
            f"{row['ratio']['value']:.3f}", f"{row['ratio']['low']:.3f}-{row['ratio']['high']:.3f}",
            f"{row['greedy_ratio']['value']:.3f}", f"{row['tokens']['value']:.2f}",
            *(f"{100 * row['default_said'][n]['value']:.1f} %" if n in row["default_said"] else "-" for n in defaults),
        ]  # fmt: skip
        lines.append("  ".join(f"{cell:>12}" for cell in cells) + ("" if row["goal_met"] else "  goal missed"))
    for teacher in found.get("teacher", ()):  # records from before it have none
        cells = [
            f"{teacher['price']:g}", "teacher", f"{teacher['reward']['value']:.3f}", f"{teacher['optimum_reward']:.3f}",
            f"{teacher['ratio']['value']:.3f}", f"{teacher['ratio']['low']:.3f}-{teacher['ratio']['high']:.3f}", "-",
            f"{teacher['tokens']['value']:.2f}",
        ]  # fmt: skip
        lines.append("  ".join(f"{cell:>12}" for cell in cells))
    verdict = found["verdict"]
    exact = min(limit["exact_share"] for limit in found["limits"]["optimum"].values())
    lines += [
        "",
        f"goal of {verdict['goal']:.0%} of the optimum: {'met' if verdict['goal_met'] else 'missed'} "
        f"(lowest {verdict['lowest_ratio']:.1%}); defaults left out at the highest price: "
        f"{'yes' if verdict['defaults_left_out'] else 'no'}",
        f"optimum over {found['limits']['strings_tried']:,} strings; exact over all that a policy can write for "
        f"{exact:.0%} of the problems",
    ]
    return "\n".join(lines)
