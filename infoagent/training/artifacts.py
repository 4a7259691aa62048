"""Adapters of a run as W&B artifacts, each with what it belongs to."""

from __future__ import annotations

from pathlib import Path

from infoagent.files import read_json
from infoagent.lm.adapters import ADAPTER_WEIGHTS, RECORD_FILE
from infoagent.recipes.training import TrainingRecipe
from infoagent.tracking import Tracker
from infoagent.training.model_card import CARD_FILE
from infoagent.training.run_directory import RUN_FILE, complete_checkpoints, read_best

FILES = (ADAPTER_WEIGHTS, "adapter_config.json", RECORD_FILE, CARD_FILE)
"""What is needed to use an adapter; the optimizer's state stays where it is."""


def log_adapters(tracker: Tracker, recipe: TrainingRecipe) -> None:
    """The checkpoints that `tracking.artifacts` names, as versions of one artifact of type `model`, in the order of their
    steps; aliases `step-N` and, for the best by validation, `best`."""
    output_dir, which = Path(recipe.output_dir), recipe.tracking.artifacts
    complete = complete_checkpoints(output_dir)
    best = (read_best(output_dir) or {}).get("checkpoint")
    commit = read_json(output_dir / RUN_FILE)["commit"]
    for checkpoint in complete:
        if which == "none" or (which == "last" and checkpoint != complete[-1] and checkpoint.name != best):
            continue
        record = read_json(checkpoint / RECORD_FILE)
        facts = {key: record[key] for key in ("base_model", "base_revision", "data_revision", "step")}
        aliases = [f"step-{record['step']}", *(["best"] if checkpoint.name == best else [])]
        files = [checkpoint / name for name in FILES if (checkpoint / name).is_file()]
        tracker.wandb.artifact(
            f"{output_dir.resolve().name}-{tracker.wandb.run_id}", "model", files, {**facts, "commit": commit}, aliases
        )
