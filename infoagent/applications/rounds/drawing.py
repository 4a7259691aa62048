"""Rounds and compactions as tables and plots, from the content of rounds.json and compaction.json."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.reporting.error_bars import error_bars, interval_of
from infoagent.reporting.plots import INK, MARKERS, PALETTE, legend_below, new_figure, save_figure, shown
from infoagent.reporting.tables import with_interval

ROUND_COLUMNS = (
    "system", "round", "tokens", "hard MI", "its gain", "room", "easy MI", "its gain", "fact stated", "accuracy", "GFLOP",
    "seconds",
)  # fmt: skip
AGAINST_COLUMNS = ("last round of", "minus", "hard MI", "all MI", "accuracy", "tokens")
COMPACTION_COLUMNS = (
    "compactor", "compactions", "context tokens", "fact MI", "exact", "β", "fact stated", "accuracy", "invented", "cut off", "GFLOP",
)  # fmt: skip
NONE = "–"
Found = Mapping[str, Any]


def round_rows(found: Found) -> list[list[str]]:
    """A line for each system and round. Tokens, GFLOP and seconds are sums over the rounds so far."""
    rows = []
    for system in found["systems"]:
        for t, after in enumerate(system["after"]):
            information = system["information"]
            hard, easy = (information[k][t] if k in information else None for k in ("hard", "easy"))
            rows.append(
                [
                    system["label"],
                    str(after["round"]),
                    _mean(after, "rate/tokens", 1),
                    _total(hard),
                    _gain(hard),
                    NONE if hard is None else f"{hard['room_nats']:.2f}",
                    _total(easy),
                    _gain(easy),
                    _mean(after, "fact/stated"),
                    _mean(after, "accuracy"),
                    _value(after, "cost/gflops"),
                    _value(after, "cost/seconds", 2),
                ]
            )
        if not system["after"]:
            rows.append([system["label"], *[NONE] * (len(ROUND_COLUMNS) - 1)])
    return rows


def against_rows(found: Found) -> list[list[str]]:
    """Each system against the first, paired by document, in its last round."""
    names = ("mi/hard_nats", "mi/nats", "accuracy", "rate/tokens")
    return [
        [row["label"], row["first"], *(_signed(row.get(name), 1 if name == "rate/tokens" else 2) for name in names)]
        for row in found["against_first"]
    ]


def round_notes(found: Found) -> list[str]:
    """What was left out, where each system saturates, whether the ceiling is to blame, and what failed."""
    data = found.get("data", {})  # records from before counts were kept have none
    lines = [f"left out, {cause}: {count}" for cause, count in data.get("left_out", {}).items()]
    lines += [f"{cause}: {count}" for cause, count in data.get("short", {}).items()]
    for system in found["systems"]:
        for name, rounds in system["information"].items():
            total = rounds[-1]["total"]
            ceiling = f"ceiling {total['ceiling_nats']:.2f} nats, {total['saturation']:.0%} of talks at it in the end"
            if name not in system["saturated_after"]:
                told = f"the last of {len(rounds)} rounds still gains"
            else:
                after, rest = system["saturated_after"][name], system["rest"][name]
                left = rounds[after - 1]["total"]["headroom_nats"] if after else total["ceiling_nats"]
                told = (
                    f"no gain is shown after round {after}: what follows adds {rest['value']:+.2f} "
                    f"[{rest['low']:+.2f}, {rest['high']:+.2f}] of {left:.2f} nats left"
                )
            lines.append(f"{system['label']}, {name} candidates: {told}; {ceiling}")
        later = [a for a in system["after"] if "question/ends_as_one" in a]
        if later and system["questions"] == "rewritten":
            ends, same = (
                sum(a[name]["value"] for a in later) / len(later) for name in ("question/ends_as_one", "question/repeated")
            )
            lines.append(
                f"{system['label']}: {ends:.0%} of the predictor's questions end in a question mark, {same:.0%} are the "
                "first question word for word"
            )
        lines += _failures(system["label"], "talks", system) + _failures(system["label"], "answers", system["answers"])
    return lines


def compaction_rows(found: Found) -> list[list[str]]:
    """A line for each compactor and number of compactions. GFLOP are sums over the compactions so far."""
    rows = []
    for compactor in found["compactors"]:
        for after in compactor["after"]:
            mi, exact = after.get("mi"), after.get("exact_nats")
            rows.append(
                [
                    compactor["label"],
                    str(after["compactions"]),
                    _mean(after, "rate/context_tokens", 0),
                    NONE if mi is None else _three(mi["value"]),
                    NONE if exact is None else _three(exact),
                    NONE if mi is None else _spread(mi["betas"]),
                    _mean(after, "fact/stated"),
                    _mean(after, "accuracy"),
                    _value(after, "faithfulness/unsupported", 2),
                    _value(after, "rate/cut_off", 2),
                    _value(after, "cost/gflops"),
                ]
            )
    return rows


def compaction_notes(found: Found) -> list[str]:
    """What was lost between the first and the last compaction, what rose though it cannot, and what failed."""
    lines = [f"left out, {reason}: {count}" for reason, count in found["data"]["left_out"].items()]
    for compactor in found["compactors"]:
        label = compactor["label"]
        if compactor["changes"]:
            first = min(c["from"] for c in compactor["changes"])
            whole = max((c for c in compactor["changes"] if c["from"] == first), key=lambda c: c["to"])
            lines.append(f"{label}: from compaction {whole['from']} to {whole['to']} the fact MI changes by {_signed(whole)} nats")
        for change in compactor["changes"]:
            if change["low"] > 0:
                lines.append(
                    f"{label}: a rise from compaction {change['from']} to {change['to']} ({_signed(change)}) is the critic's, "
                    "or chance: what a summary lost cannot come back"
                )
        lines.append(
            f"{label}: stated after compaction {compactor['after'][-1]['compactions']}, by type of fact: {_by_type(compactor)}"
        )
        lines.append(f"{label}: of all facts, by the compactions since they were said: {_by_age(compactor)}")
        lines += _failures(label, "courses of summaries", compactor["courses"])
        lines += _failures(label, "scores", compactor["scores"]) + _failures(label, "answers", compactor["answers"])
    for row in found["against_last"]:
        if "fact/stated" not in row["after"][-1]:
            lines.append(f"{row['label']} minus {row['minus']}: they share no question that came to its end")
            continue
        last = row["after"][-1]
        lines.append(
            f"{row['label']} minus {row['minus']}, after compaction {last['compactions']}: {_signed(last['fact/stated'])} of the "
            f"facts, {_signed(last['rate/context_tokens'], 1)} tokens"
        )
    return lines


def _by_type(compactor: Found) -> str:
    return ", ".join(f"{name} {s['value']:.0%} of {s['n']}" for name, s in compactor["after"][-1]["stated_by_type"].items())


def _by_age(compactor: Found) -> str:
    return ", ".join(f"{age}: {s['value']:.0%}" for age, s in sorted(compactor["after"][-1]["stated_by_age"].items()))


def _failures(label: str, what: str, held: Found) -> list[str]:
    if not held["failed"]:
        return []
    causes = ", ".join(f"{cause}: {count}" for cause, count in held["failed_causes"].items())
    return [f"{label}: {held['failed']} {what} failed and are missing above ({causes})"]


# ---- plots -----------------------------------------------------------------------------------------------------


def save_rounds(found: Found, path: str | Path) -> None:
    """MI among versions of the facts and among other documents, and accuracy, round by round against tokens so far; at each
    point its 95 % interval, the ceiling dotted."""
    figure, axes = new_figure(13.2, 4.2, panels=3)
    panels = (("hard", "MI among versions with the fact changed (nats)"), ("easy", "MI among other documents (nats)"))
    for axis, (kind, title) in zip(axes, panels, strict=False):
        for number, system in enumerate(found["systems"]):
            rounds = system["information"].get(kind, ())
            points = [
                {"value": r["total"]["infonce_nats"], "low": r["total"]["ci_nats"][0], "high": r["total"]["ci_nats"][1]}
                for r in rounds
            ]
            _curve(axis, _tokens(system), points, number, system["label"], numbered=True)
            for r in rounds[:1]:
                axis.axhline(r["total"]["ceiling_nats"], color=INK, linestyle=":", linewidth=0.9, label="ceiling log K")
        axis.set_title(title, fontsize=10)
    for number, system in enumerate(found["systems"]):
        _curve(axes[2], _tokens(system), [a.get("accuracy") for a in system["after"]], number, system["label"], True)
    axes[2].set_title("accuracy of the predictor", fontsize=10)
    for axis in axes:
        axis.set_xlabel("tokens of all rounds so far")
        axis.set_xlim(left=0)
        axis.margins(y=0.15)
    legend_below(figure, axes)
    save_figure(figure, path)


def save_compaction(found: Found, path: str | Path) -> None:
    """What the contexts tell of the facts, the share that states them, and accuracy, against the number of compactions;
    exact information of pickers as crosses, the ceiling dotted."""
    figure, axes = new_figure(13.2, 4.4, panels=3)
    ceilings = [a["mi"]["ceiling_nats"] for c in found["compactors"] for a in c["after"] if "mi" in a]
    for number, compactor in enumerate(found["compactors"]):
        after, label = compactor["after"], compactor["label"]
        measured = [a for a in after if "mi" in a]
        shift = 0.03 * (number - len(found["compactors"]) / 2)  # bars side by side
        _curve(axes[0], [a["compactions"] + shift for a in measured], [a["mi"]["value"] for a in measured], number, label)
        exact = [(a["compactions"] + shift, a["exact_nats"]["value"]) for a in after if "exact_nats" in a]
        axes[0].plot([x for x, _ in exact], [y for _, y in exact], "x", color=PALETTE[number % len(PALETTE)], markersize=7)
        for axis, name in ((axes[1], "fact/stated"), (axes[2], "accuracy")):
            _curve(axis, [a["compactions"] + shift for a in after], [a.get(name) for a in after], number, label)
    for ceiling in ceilings[:1]:
        axes[0].axhline(ceiling, color=INK, linestyle=":", linewidth=0.9, label="ceiling log V")
    titles = ("MI with the asked fact (nats; × exact)", "share of contexts that state the fact", "accuracy of the predictor")
    for axis, title in zip(axes, titles, strict=True):
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("compactions")
        axis.set_xticks(range(len(found["compactors"][0]["after"])))
    legend_below(figure, axes)
    save_figure(figure, path)


def _tokens(system: Found) -> list[float]:
    return [after["rate/tokens"]["value"] for after in system["after"]]


def _curve(axis: Any, x: Sequence[float], points: Sequence[Found | None], number: int, label: str, numbered: bool = False) -> None:
    """Points with their intervals in the style of the curve's number; `numbered` writes 1, 2, … beside them."""
    held = [(at, p) for at, p in zip(x, points, strict=True) if p is not None]
    if not held:
        return
    axis.errorbar(
        [at for at, _ in held],
        [p["value"] for _, p in held],
        yerr=error_bars(interval_of(p) for _, p in held),
        color=PALETTE[number % len(PALETTE)],
        marker=MARKERS[number % len(MARKERS)],
        markersize=5,
        linewidth=1.3,
        elinewidth=0.8,
        capsize=2,
        label=shown(label),
    )
    if numbered and len(held) > 1:
        for place, (at, p) in enumerate(held, start=1):
            axis.annotate(
                str(place),
                (at, p["value"]),
                textcoords="offset points",
                xytext=(5, 5),
                fontsize=7,
                color=PALETTE[number % len(PALETTE)],
            )


# ---- cells -----------------------------------------------------------------------------------------------------


def _three(found: Found, digits: int = 2) -> str:
    return with_interval(found["value"], found["low"], found["high"], digits)


def _spread(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:.2f}" if f"{low:.2f}" == f"{high:.2f}" else f"{low:.2f} to {high:.2f}"


def _mean(after: Found, name: str, digits: int = 2) -> str:
    return _three(after[name], digits) if name in after else NONE


def _value(after: Found, name: str, digits: int = 0) -> str:
    return f"{after[name]['value']:.{digits}f}" if name in after else NONE


def _total(found: Found | None) -> str:
    if found is None:
        return NONE
    low, high = found["total"]["ci_nats"]
    return with_interval(found["total"]["infonce_nats"], low, high)


def _gain(found: Found | None) -> str:
    return NONE if found is None else _signed(found["gain"])


def _signed(found: Found | None, digits: int = 2) -> str:
    if found is None:
        return NONE
    if math.isnan(found["low"]):
        return f"{found['value']:+.{digits}f} (no interval)"
    return f"{found['value']:+.{digits}f} [{found['low']:+.{digits}f}, {found['high']:+.{digits}f}]"
