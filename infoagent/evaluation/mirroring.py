"""An evaluation in W&B: a line for each compressor, the rate-distortion points as a table with charts, comparisons.

The same numbers stand in summary.json, comparison.json and frontier-*.json; nothing is computed here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from infoagent.files import clean
from infoagent.mirror import Mirror, wandb_mode
from infoagent.recipes import EvaluationRecipe
from infoagent.records.json_form import Json
from infoagent.records.rate_points import rate_points
from infoagent.records.summaries import Summary, first_predictor
from infoagent.store import read_if_run
from infoagent.tracking import Tracker, run_group

CHARTS = {"rate_distortion": "mi_nats", "rate_distortion_hard": "mi_hard_nats", "rate_accuracy": "accuracy"}
"""Chart → what stands over the tokens."""


def track_evaluation(recipe: EvaluationRecipe, summaries: Sequence[Summary], comparisons: Sequence[Mapping[str, Any]] = ()) -> None:
    """One finished W&B run, and metrics.jsonl, of an evaluation whose files are written."""
    tracker = Tracker.of(recipe, "eval")
    whole: Json = {}
    for step, summary in enumerate(summaries):
        line = flat_metrics(summary)
        tracker.log(step, line)
        where = f"{line.pop('data')}/{line.pop('compressor')}"
        whole |= {f"{where}/{name}": value for name, value in line.items()}
    draw_curves(tracker.wandb, summaries)
    rows = comparison_rows(comparisons)
    tracker.wandb.table("comparison", len(summaries), rows)
    whole |= {f"{r['data']}/{r['trained']} − {r['frozen']}/{r['quantity']}": r["difference"] for r in rows}
    tracker.wandb.summary(whole)
    tracker.finish()


def flat_metrics(summary: Summary) -> Json:
    """One summary as a line of metrics under the house's names, with its compressor's label."""
    line: Json = {"compressor": summary.label, "data": summary.data.name}
    line |= {name: found.value for name, found in summary.values.items()}
    for name, key in (("mi/nats", "all"), ("mi/easy_nats", "easy"), ("mi/hard_nats", "hard")):
        if key in summary.estimates:
            line[name] = summary.estimates[key].infonce_nats
    if "all" in summary.estimates:
        line["mi/ceiling_nats"] = summary.estimates["all"].ceiling_nats
        line["mi/saturation"] = summary.estimates["all"].saturation
    for predictor in list(summary.predictors.values())[:1]:
        line |= {name: found.value for name, found in predictor.values.items() if name.startswith("distortion/")}
    return line


def draw_curves(mirror: Mirror, summaries: Sequence[Summary]) -> None:
    """The charts of CHARTS, a line for each curve."""
    rows = rate_distortion_rows(summaries)
    for name, y in CHARTS.items():
        if any(row[y] is not None for row in rows):
            mirror.chart(name, rows, "rate_tokens", y, "curve", f"{y} against tokens")


def rate_distortion_rows(summaries: Sequence[Summary]) -> list[Json]:
    """A row for each compressor with a rate; None where it has no such number. The whole document and none are no
    points of a curve."""
    several = len({s.data.name for s in summaries}) > 1
    rows = []
    for s in summaries:
        if not s.is_point or s.rate_tokens is None:
            continue
        easy, hard, both = (s.estimates.get(key) for key in ("easy", "hard", "all"))
        predictor = first_predictor([other for other in summaries if other.data.name == s.data.name])
        error = None if predictor is None else s.error_of(predictor)
        rows.append(
            clean(
                {
                    "data": s.data.name,
                    "compressor": s.label,
                    "curve": s.curve + (f" on {s.data.name}" if several else ""),
                    "rate_tokens": s.rate_tokens.value,
                    "mi_nats": both and both.infonce_nats,
                    "mi_low_nats": both and both.ci_nats[0],
                    "mi_high_nats": both and both.ci_nats[1],
                    "mi_easy_nats": easy and easy.infonce_nats,
                    "mi_hard_nats": hard and hard.infonce_nats,
                    "accuracy": None if error is None else 1 - error.value,
                }
            )
        )
    return rows


def comparison_rows(comparisons: Sequence[Mapping[str, Any]]) -> list[Json]:
    """A row for each quantity of each pair; the difference is trained − frozen."""
    return [
        clean(
            {
                "data": c["data"],
                "trained": c["trained"],
                "frozen": c["frozen"],
                "quantity": quantity,
                "trained_value": found["trained"],
                "frozen_value": found["frozen"],
                "difference": found["difference"]["value"],
                "low": found["difference"]["low"],
                "high": found["difference"]["high"],
            }
        )
        for c in comparisons
        for quantity, found in c["values"].items()
    ]


def frontier_points(found: Mapping[str, Any]) -> list[Json]:
    """A row for each point of `find_frontier`."""
    return [
        clean(
            {
                "data": part["data"],
                "compressor": p.label,
                "curve": f"{'trained' if p.trained else 'frozen'} on {part['data']}",
                "rate_tokens": p.tokens.value,
                "value": p.value.value,
                "low": p.value.low,
                "high": p.value.high,
            }
        )
        for part in found["sets"]
        for p in rate_points(part["points"], part["data"])
    ]


def report_mirror(directory: str | Path, name: str, wandb: str | None = None) -> Mirror:
    """A W&B run called `name` for what is drawn from the run in `directory`, in the group of that run.

    `wandb` is its mode; None: as the recipe of the run says.
    """
    recipe = read_if_run(directory).get("recipe", {})
    section = {"wandb": "disabled", "project": "infoagent", "group": None, **recipe.get("tracking", {})}
    mode = wandb_mode(section["wandb"] if wandb is None else wandb)
    group = run_group(section["group"], directory)
    return Mirror(directory, {"directory": str(directory)}, mode, section["project"], group, "report", name=name)
