"""Summaries and comparisons as rows of text, for the terminal and the report alike."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.files import write_text
from infoagent.information.matrix import name_first
from infoagent.records.summaries import Summary
from infoagent.types import Finding

COLUMNS = (
    "compressor", "MI easy", "MI hard", "tokens", "MI − price·tokens", "fact kept", "accuracy", "answer NLL", "unsupported", "failed",
)  # fmt: skip

# name → (title, factor, sign that is better)
COMPARED = {
    "objective/nats": ("MI − price · tokens (nats)", 1.0, +1),
    "objective/hard_nats": ("the same, hard negatives alone (nats)", 1.0, +1),
    "mi/nats": ("MI, all negatives (nats)", 1.0, +1),
    "mi/easy_nats": ("MI, easy negatives (nats)", 1.0, +1),
    "mi/hard_nats": ("MI, hard negatives (nats)", 1.0, +1),
    "mi/of_all_nats": ("MI, all negatives, no z counting 0 (nats)", 1.0, +1),
    "mi/hard_of_all_nats": ("MI, hard negatives, no z counting 0 (nats)", 1.0, +1),
    "rate/tokens": ("length (tokens)", 1.0, -1),
    "rate/bytes": ("length (bytes)", 1.0, -1),
    "distortion/fact_missing": ("asked fact missing (%)", 100.0, -1),
    "distortion/error": ("predictor error (%)", 100.0, -1),
    "distortion/f1_missing": ("1 − F1 of the reply (%)", 100.0, -1),
    "distortion/nll": ("answer NLL (nats)", 1.0, -1),
    "faithfulness/unsupported": ("with unsupported spans (%)", 100.0, -1),
    "rate/truncated": ("cut at the length limit (%)", 100.0, -1),
    "audit/identifier_only": ("only names the document (%)", 100.0, -1),
    "audit/distinct_2": ("different word pairs in a text (%)", 100.0, +1),
    "audit/symbol_share": ("odd symbols (% of characters)", 100.0, -1),
    "audit/foreign_letters": ("letters of foreign scripts (%)", 100.0, -1),
}


def markdown(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    return "\n".join("| " + " | ".join(line) + " |" for line in [columns, ["---"] * len(columns), *rows])


def write_tables(file: str | Path, *tables: tuple[Sequence[str], Sequence[Sequence[str]]]) -> None:
    """(columns, rows) of each as Markdown, an empty line between two."""
    write_text(file, "\n\n".join(markdown(*table) for table in tables) + "\n")


def with_interval(value: float, low: float, high: float, digits: int = 2) -> str:
    """`1.23 ± 0.10`, `1.00 [0.84, 1.00]` where one side is longer, or `1.23 (interval unknown)`."""
    if math.isnan(low):
        return f"{value:.{digits}f} (interval unknown)"
    if abs((high - value) - (value - low)) > 1e-6 * (high - low):
        return f"{value:.{digits}f} [{low:.{digits}f}, {high:.{digits}f}]"
    return f"{value:.{digits}f} ± {(high - low) / 2:.{digits}f}"


def summary_row(summary: Summary) -> list[str]:
    """One line of the table; `–` where the number does not exist for this compressor."""
    values, estimates = summary.values, summary.estimates
    first = next(iter(summary.predictors.values()), None)
    answers = {} if first is None else first.values

    def mi(key: str) -> str:
        if key not in estimates:
            return "–"
        e = estimates[key]
        return with_interval(*e.interval_nats) + f" of {e.ceiling_nats:.2f}"

    def share(source: Mapping[str, Finding], name: str, complement: bool = False) -> str:
        if name not in source:
            return "–"
        v = source[name]
        value, low, high = (1 - v.value, 1 - v.high, 1 - v.low) if complement else (v.value, v.low, v.high)
        return with_interval(100 * value, 100 * low, 100 * high, 0) + " %"

    def plain(source: Mapping[str, Finding], name: str, digits: int) -> str:
        return with_interval(source[name].value, source[name].low, source[name].high, digits) if name in source else "–"

    return [
        summary.label,
        mi("easy"),
        mi("hard"),
        plain(values, "rate/tokens", 1),
        plain(values, "objective/nats", 2),
        share(values, "distortion/fact_missing", complement=True),
        share(answers, "distortion/error", complement=True),
        plain(answers, "distortion/nll", 2),
        share(values, "faithfulness/unsupported"),
        str(summary.failed + sum(p.failed for p in summary.predictors.values())),
    ]


def summary_text(summaries: Sequence[Summary]) -> str:
    """The tables of an evaluation for the terminal, one for each data set."""
    names = list(dict.fromkeys(s.data.name for s in summaries))
    parts = []
    for name in names:
        own = [s for s in summaries if s.data.name == name]
        title = f"{name} ({own[0].data.split}, {max(s.n_documents for s in own)} documents)\n"
        parts.append(
            (title if len(names) > 1 else "") + "\n".join([as_text(COLUMNS, [summary_row(s) for s in own]), *_too_few(own)])
        )
    return "\n\n".join(parts)


def _too_few(summaries: Sequence[Summary]) -> list[str]:
    """One line that names the values of the table whose interval is wider than their ceiling; none where there are none."""
    shown = {"easy": "easy MI", "hard": "hard MI"}
    named = {
        s.label: ", ".join(shown[key] for key in shown if key in s.estimates and s.estimates[key].says_nothing) for s in summaries
    }
    told = [f"{label} ({columns})" for label, columns in named.items() if columns]
    if not told:
        return []
    return [
        f"warning: too few documents, the interval is wider than the ceiling and the value says nothing: {name_first(told)}; take more"
    ]


def comparison_text(comparison: Mapping[str, Any]) -> str:
    """A comparison of `compare_pairs` for the terminal."""
    new, old, split = comparison["new"], comparison["old"], comparison["split"]
    title = f"{new} against {old} on {comparison['data']} ({split}), paired, 95 % intervals:"
    columns = ("metric", old, new, "difference [95 %]", "")
    said = [f"verdict on {v['quantity']}: {v['sentence']}" for v in comparison["verdicts"]]
    return "\n".join([title, as_text(columns, comparison_rows(comparison["values"])), *said])


def comparison_rows(comparison: Mapping[str, Mapping[str, Any]]) -> list[list[str]]:
    """metric, frozen, trained, difference with its interval, verdict."""
    rows = []
    order = list(COMPARED)
    # where several predictors answer, their quantities carry the predictor: distortion/error · NAME
    known = [(name, *name.partition(" · ")[::2]) for name in comparison]
    for name, quantity, who in sorted((k for k in known if k[1] in COMPARED), key=lambda k: order.index(k[1])):
        title, factor, better = COMPARED[quantity]
        title += f" · {who}" if who else ""
        c = comparison[name]
        d = c["difference"]
        low, high = factor * d["low"], factor * d["high"]
        exact = c.get("verdict", {}).get("verdict", "")
        unshown = exact.startswith("not distinguishable")  # by its exact test
        unshown |= math.isnan(low) and not exact.startswith(("better", "worse"))  # which needs no spread, as an interval does
        span = "no interval" if math.isnan(low) else f"[{low:+.2f}, {high:+.2f}]"
        unshown |= low <= 0 <= high
        verdict = "no difference shown" if unshown else "better" if (d["value"] > 0) == (better > 0) else "worse"
        rows.append(
            [title, f"{factor * c['frozen']:.2f}", f"{factor * c['trained']:.2f}", f"{factor * d['value']:+.2f} {span}", verdict]
        )
    return rows


COMPARISON_COLUMNS = ("metric", "frozen", "trained", "difference [95 %]", "")


def as_text(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for the terminal."""
    widths = [max(len(str(line[i])) for line in [columns, *rows]) for i in range(len(columns))]
    lines = ["  ".join(str(cell).ljust(w) for cell, w in zip(line, widths, strict=True)).rstrip() for line in [columns, *rows]]
    return "\n".join([lines[0], "-" * min(len(lines[0]) + 4, sum(widths) + 2 * len(widths)), *lines[1:]])


WITHOUT_Z_COLUMNS = (
    "compressor", "draws", "without a z", "why", "MI hard of all", "right of all asked", "z (tokens)", "written (tokens)",
    "thought (tokens)", "GFLOP", "seconds",
)  # fmt: skip


def without_z_rows(summaries: Sequence[Summary]) -> list[list[str]]:
    """Of compressors with a form or a thought: draws that hold no z, and what is written and paid beside z."""
    rows = []
    for summary in summaries:
        lost, cost = summary.without_z, summary.cost
        if lost is None:
            continue
        of_all = next((p.right_of_all for p in summary.predictors.values()), None)
        hard, length = summary.values.get("mi/hard_of_all_nats"), summary.rate_tokens
        why = ", ".join(f"{number} {cause}" for cause, number in lost.causes.items())
        paid = (cost.written_tokens, 1), (cost.thinking_tokens, 1), (cost.compressor_gflops_total, 1), (cost.seconds, 2)
        rows.append(
            [
                summary.label,
                str(lost.n),
                _percent(lost),
                why or "–",
                "–" if hard is None else with_interval(hard.value, hard.low, hard.high),
                "–" if of_all is None else _percent(of_all),
                "–" if length is None else f"{length.value:.1f}",
                *("–" if number is None else f"{number:.{digits}f}" for number, digits in paid),
            ]
        )
    return rows


def _percent(share: Finding) -> str:
    if math.isnan(share.low):
        return f"{100 * share.value:.0f} % (interval unknown)"
    return f"{100 * share.value:.0f} % [{100 * share.low:.0f}, {100 * share.high:.0f}]"


ADHERENCE_COLUMNS = ("compressor", "asked (tokens)", "median achieved", "median |achieved − asked| / asked", "over budget")


def adherence_rows(summaries: Sequence[Summary]) -> list[list[str]]:
    """Asked and achieved lengths of the compressors that were asked for one."""
    rows = []
    for summary in summaries:
        a = summary.adherence
        if a is None:
            continue
        error = a.median_error
        span = "" if math.isnan(error.low) else f" [{100 * error.low:.0f}, {100 * error.high:.0f}]"
        rows.append(
            [
                summary.label,
                str(a.requested_tokens),
                f"{a.median_achieved:.0f}",
                f"{100 * error.value:.0f} %{span}",
                f"{100 * a.over_budget:.0f} %",
            ]
        )
    return rows
