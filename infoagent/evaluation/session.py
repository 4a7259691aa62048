"""A whole evaluation: records, run.json, summary.json. What eval/frozen.py and eval/checkpoint.py share."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from infoagent.evaluation.runner import Cell, evaluate
from infoagent.evaluation.summary import summarise
from infoagent.recipes import EvaluationRecipe
from infoagent.store import check_output_dir, provenance, write_json
from infoagent.tracking import Tracker

SUMMARY_FILE = "summary.json"


def run_evaluation(
    recipe: EvaluationRecipe, cells: list[Cell], quiet: bool
) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Evaluate the grid, write run.json and summary.json, log it. Returns (records, summaries) of these cells."""
    check_output_dir(recipe.output_dir, "evaluate")
    run: dict[str, Any] = {
        "kind": "evaluate",
        "recipe": recipe.model_dump(mode="json"),
        "data_revisions": {c.data.name: c.data.revision for c in cells},
        **provenance(),
    }
    write_json(Path(recipe.output_dir) / "run.json", run)
    records = evaluate(recipe, cells, quiet)
    write_json(Path(recipe.output_dir) / "run.json", {**run, "record_keys": [r["key"] for r in records]})
    summaries = summarise(records, recipe.price)
    write_json(Path(recipe.output_dir) / SUMMARY_FILE, summaries)
    tracker = Tracker(
        recipe.output_dir, recipe.model_dump(mode="json"), recipe.tracking.wandb, recipe.tracking.project,
        recipe.tracking.group, job_type="evaluate",
    )  # fmt: skip
    for step, summary in enumerate(summaries):
        tracker.log(step, flat_metrics(summary))
    tracker.finish()
    return records, summaries


def flat_metrics(summary: dict[str, Any]) -> dict[str, Any]:
    """One summary as a line of metrics under the house's names, with its compressor's label."""
    line: dict[str, Any] = {"compressor": summary["label"], "data": summary["data"]["name"]}
    line |= {name: found["value"] for name, found in summary["values"].items()}
    for name, key in (("mi/nats", "all"), ("mi/easy_nats", "easy"), ("mi/hard_nats", "hard")):
        if key in summary["estimates"]:
            line[name] = summary["estimates"][key]["infonce_nats"]
    if "all" in summary["estimates"]:
        line["mi/ceiling_nats"] = summary["estimates"]["all"]["ceiling_nats"]
        line["mi/saturation"] = summary["estimates"]["all"]["saturation"]
    for values in list(summary["predictors"].values())[:1]:
        line |= {name: found["value"] for name, found in values.items() if name != "failed"}
    return line
