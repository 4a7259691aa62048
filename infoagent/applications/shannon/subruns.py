"""Runs of train/grpo.py side by side, each a process of its own; finished ones are left as they are."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from infoagent.config import recipe_yaml
from infoagent.files import HELD_VARIABLE, only_writer, say_holder, write_text
from infoagent.progress import Progress
from infoagent.recipes.grpo import GRPORecipe
from infoagent.shipped import shipped
from infoagent.training.run_directory import checkpoint_step, complete_checkpoints, find_resume_point
from infoagent.types import RunFailed

SCRIPT = "train/grpo.py"
LOG_FILE, RECIPE_FILE = "grpo.log", "recipe.yaml"


def finished_checkpoint(recipe: GRPORecipe) -> Path | None:
    """The checkpoint of the last step, or None if the run has not come so far.

    Raises InputError if its directory belongs to another recipe (which keys differ).
    """
    point = find_resume_point(recipe.output_dir, recipe.model_dump(mode="json"), recipe.resume)
    return point if point is not None and checkpoint_step(point) >= recipe.grpo.steps else None


def run_all(recipes: Sequence[GRPORecipe], processes: int, quiet: bool = False) -> list[Path]:
    """The last checkpoint of each recipe, trained now or before, at most `processes` at a time.

    A run that was cut off goes on from its last checkpoint. Raises RunFailed when one fails; the others are stopped
    and can be resumed.
    """
    waiting = [recipe for recipe in recipes if finished_checkpoint(recipe) is None]
    running: dict[subprocess.Popen[bytes], GRPORecipe] = {}
    bar = Progress(len(recipes), "RL runs", "run", quiet, initial=len(recipes) - len(waiting))
    try:
        while waiting or running:
            while waiting and len(running) < processes:
                recipe = waiting.pop(0)
                running[_start(recipe)] = recipe
            time.sleep(0.2)
            for process in [p for p in running if p.poll() is not None]:
                recipe = running.pop(process)
                if process.returncode:
                    log = Path(recipe.output_dir) / LOG_FILE
                    last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:] or ["no output"]
                    raise RunFailed(f"{Path(SCRIPT).name} ended with code {process.returncode}, see {log}: {last[0]}")
                bar.update()
    finally:
        bar.close()
        for process in running:
            process.terminate()
        for process in running:
            process.wait()
    return [complete_checkpoints(recipe.output_dir)[-1] for recipe in recipes]


def _start(recipe: GRPORecipe) -> subprocess.Popen[bytes]:
    directory = Path(recipe.output_dir)
    directory.mkdir(parents=True, exist_ok=True)
    # the child keeps the lock, and keeps it when this process is killed: no second one may train beside it
    with only_writer(directory) as lock, open(directory / LOG_FILE, "ab") as log:
        write_text(directory / RECIPE_FILE, recipe_yaml(recipe))
        # one thread each: several processes with a thread for every core stand in each other's way
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false", HELD_VARIABLE: str(lock)}
        command = [sys.executable, str(shipped(SCRIPT)), str(directory / RECIPE_FILE), "--quiet"]
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, pass_fds=(lock,))
        say_holder(lock, process.pid)
        return process
