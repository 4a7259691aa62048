"""The audit in the report: is a training run paid for the right thing, and what do the texts of compressors look like."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.audit import flags
from infoagent.audit.flags import PART, StepMetrics, change
from infoagent.data.negative_kinds import hard_kinds
from infoagent.files import read_json, read_jsonl
from infoagent.records.summaries import Summary
from infoagent.reporting import plots
from infoagent.reporting.tables import with_interval
from infoagent.types import Finding

# metric → (title, factor, digits)
SHOWN = {
    "audit/accuracy": ("questions answered from it (%)", 100.0, 0),
    "distortion/fact_missing": ("asked fact missing (%)", 100.0, 0),
    "faithfulness/unsupported": ("with numbers or names not in the document (%)", 100.0, 0),
    "audit/unsupported_spans": ("such numbers and names in a compression", 1.0, 2),
    "audit/identifier_only": ("only names the document (%)", 100.0, 0),
    "audit/copy_rate": ("words copied in runs of three (%)", 100.0, 0),
    "audit/unknown_words": ("words from nowhere (%)", 100.0, 1),
    "audit/foreign_letters": ("letters of foreign scripts (%)", 100.0, 1),
    "audit/symbol_share": ("odd symbols (% of characters)", 100.0, 1),
    "audit/distinct_2": ("different word pairs in a text (%)", 100.0, 1),
    "audit/distinct_2_set": ("different word pairs over all texts (%)", 100.0, 1),
    "audit/repeated_words": ("longest repeated run (words)", 1.0, 1),
}
"""What the tables show, in this order."""

PANELS = (
    (
        "is it paid for the fact? MI (nats)",
        (("mi/easy_nats", "among other documents", 1), ("mi/hard_nats", "among versions of the own", 1)),
    ),
    (
        "does it answer?",
        (
            ("distortion/fact_missing", "fact kept", -1),
            ("audit/accuracy", "accuracy", 1),
            ("audit/identifier_only", "only names the document", 1),
        ),
    ),
    (
        "where do the words come from?",
        (
            ("audit/copy_rate", "copied", 1),
            ("audit/unknown_words", "from nowhere", 1),
            ("faithfulness/unsupported", "with unsupported spans", 1),
        ),
    ),
    (
        "is it still language?",
        (
            ("audit/distinct_2", "different pairs, a text", 1),
            ("audit/distinct_2_set", "different pairs, all texts", 1),
            ("audit/symbol_share", "odd symbols", 1),
            ("audit/foreign_letters", "foreign letters", 1),
        ),
    ),
)
"""Panels of the plot: title, and (metric, label, 1 or −1 for one minus the value)."""
SHOWN_TEXTS = 4


def hard_ceiling_nats(run: Mapping[str, Any]) -> float | None:
    """log(1 + hard negatives) of a training run's recipe; None if it draws none."""
    number = sum(run["recipe"].get("negatives", {}).get(kind, 0) for kind in hard_kinds())
    return math.log(1 + number) if number else None


def run_flags(directory: str, run: Mapping[str, Any], metrics: Sequence[StepMetrics]) -> list[dict[str, Any]]:
    """The flags of a training run with the steps between which they stood, from audit.json; for a run without one the
    flags of all its steps."""
    file = Path(directory) / "audit.json"
    if file.is_file():
        found: list[dict[str, Any]] = read_json(file)["flags"]
        return found
    return [
        {"name": f.name, "severity": f.severity, "sentence": f.sentence}
        for f in flags(training_rows(metrics), hard_ceiling_nats(run))
    ]


def training_rows(metrics: Sequence[StepMetrics]) -> list[StepMetrics]:
    """The rows of training steps: metrics.jsonl also holds those of validation."""
    return [row for row in metrics if "rate/tokens" in row]


def flag_text(flag: Mapping[str, Any]) -> str:
    """`alarm fact_lost, steps 40 to 60, over since: MI rose ...`."""
    when = f", steps {flag['first_step']} to {flag['last_step']}" if "first_step" in flag else ""
    over = "" if flag.get("standing", True) else ", over since"
    return f"{flag['severity']} {flag['name']}{when}{over}: {flag['sentence']}"


def training_audit(directory: str, run: Mapping[str, Any], metrics: Sequence[StepMetrics]) -> dict[str, Any]:
    """The audit section of a training run: flags, plot, first against last quarter, first and last samples."""
    rows = training_rows(metrics)
    table = []
    for name, (title, factor, digits) in SHOWN.items():
        found = change(rows, name)
        if found is not None:
            table.append([title, f"{factor * found.first:.{digits}f}", f"{factor * found.last:.{digits}f}"])
    return {
        "flags": [{"text": flag_text(f), "severity": f["severity"]} for f in run_flags(directory, run, metrics)],
        "judged": len(rows),
        "part": len(rows) // PART,
        "rows": table,
        "plot": _plot(rows, hard_ceiling_nats(run)) if rows else "",
        "samples": _first_and_last(Path(directory) / "samples.jsonl"),
    }


def evaluation_audit(summaries: Sequence[Summary]) -> dict[str, Any]:
    """A table of the audit measures, a column for each compressor that has them: {columns, rows}; rows may be empty."""
    having = [s for s in summaries if any(name.startswith("audit/") for name in s.values)]
    table = []
    for name, (title, factor, digits) in SHOWN.items():
        if having and any(name in s.values for s in having):
            table.append([title, *(_cell(s.values.get(name), factor, digits) for s in having)])
    return {"columns": ["", *(s.label for s in having)], "rows": table}


def _cell(found: Finding | None, factor: float, digits: int) -> str:
    if found is None:
        return "–"
    if math.isnan(found.low):  # one number of the whole set
        return f"{factor * found.value:.{digits}f}"
    return with_interval(factor * found.value, factor * found.low, factor * found.high, digits)


def _first_and_last(path: Path) -> list[dict[str, Any]]:
    if not path.is_file():
        return []
    rows = read_jsonl(path)
    steps = sorted({row["step"] for row in rows})
    shown = [steps[0], steps[-1]] if len(steps) > 1 else steps
    return [row for step in shown for row in [r for r in rows if r["step"] == step][:SHOWN_TEXTS]]


def _plot(rows: Sequence[StepMetrics], ceiling: float | None) -> str:
    panels = [p for p in PANELS if any(name in r for name, _, _ in p[1] for r in rows)]
    if not panels:
        return ""
    figure, axes = plots.new_figure(13 * len(panels) / len(PANELS), 3.2, panels=len(panels))
    for axis, (title, series) in zip(axes, panels, strict=True):
        for colour, (name, label, sign) in zip(plots.PALETTE, series, strict=False):
            known = [r for r in rows if name in r]
            if not known:
                continue
            steps = [r["step"] for r in known]
            values = [r[name] if sign > 0 else 1 - r[name] for r in known]
            if len(known) < len(rows) / 2:  # taken now and then: no mean over ten of them
                axis.plot(steps, values, "o-", color=colour, markersize=3, linewidth=1, label=label)
                continue
            axis.plot(steps, values, color=colour, alpha=0.2, linewidth=0.8)
            axis.plot(steps, plots.moving_mean(values, 10), color=colour, linewidth=1.8, label=label)
        if series is PANELS[0][1] and ceiling is not None and any("mi/hard_nats" in r for r in rows):
            axis.axhline(ceiling, color=plots.PALETTE[1], linestyle=":", linewidth=0.9, label="ceiling of the latter")
        if series is PANELS[1][1]:
            for level in {r["audit/closed_book"] for r in rows if "audit/closed_book" in r}:
                axis.axhline(level, color=plots.INK, linestyle="--", linewidth=0.9, label="accuracy, closed book")
        axis.set_title(title, fontsize=10)
        axis.set_xlabel("step")
        axis.legend(fontsize=8, frameon=False)
    return plots.as_svg(figure)
