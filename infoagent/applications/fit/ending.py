"""What a fit has come to, from the records of its evaluation: the table, the verdicts at equal length, what to do next."""

from __future__ import annotations

import shlex

from infoagent.applications.fit.recipes import FitPlan
from infoagent.applications.fit.stages import checkpoint_of
from infoagent.evaluation.trained import trained_label
from infoagent.files import read_json, reading
from infoagent.records.summaries import read_summaries
from infoagent.reporting.tables import summary_text

SPOKEN_ON = {
    "mi/hard_nats": "information on the asked fact (nats)",
    "distortion/fact_missing": "asked fact missing (share)",
    "distortion/error": "reader's error (share)",
}
"""Quantities of a verdict, where both sides have them, and how they are called."""


def ending(plan: FitPlan) -> str:
    """The last lines of the command. Raises InputError where a record is missing or damaged."""
    out, checkpoint = plan.settings.out, checkpoint_of(plan, "train")
    assert checkpoint is not None  # the stages before have left it
    lines = [summary_text(read_summaries(out / "evaluate")), ""]
    with reading(str(out / "evaluate")):
        comparisons = read_json(out / "evaluate" / "comparison.json", kind=list)
        pairs = read_json(out / "evaluate" / "pairs.json")["pairs"]
        against = [(comparison["frozen"], comparison["verdicts"]) for comparison in comparisons]
        against += [(pair["old"], pair["verdicts"]) for pair in pairs if pair["new"] == trained_label(checkpoint)]
        for other, verdicts in against:
            lines += [
                f"trained against {other}, {SPOKEN_ON[verdict['quantity']]}: {verdict['sentence']}"
                for verdict in verdicts
                if verdict["quantity"] in SPOKEN_ON
            ]
    compress = ["infoagent", "compress", "FILE", "--query", "…", "--budget", str(plan.settings.longest), "--adapter", checkpoint]
    return "\n".join(
        [
            *lines,
            "",
            f"adapter: {checkpoint} (model card: its README.md)",
            f"report: {out / 'report.html'}; recipes, logs and commands: {out}/recipes, {out}/logs, {out}/fit.json",
            f"next: {shlex.join(compress)}",
        ]
    )
