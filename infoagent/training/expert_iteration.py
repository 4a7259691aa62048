"""The rounds of expert iteration: whose samples a round holds, where it works, and what it leaves behind.

OUT/round-2/            the round at work: a run directory of its own, with checkpoints to resume from
OUT/checkpoint-60/      what a finished round leaves: its last checkpoint, named by the steps of all rounds so far
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from infoagent.files import read_json
from infoagent.lm.adapters import RECORD_FILE
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.model_card import write_card
from infoagent.training.run_directory import (
    RUN_FILE,
    checkpoint_step,
    complete_checkpoints,
    find_resume_point,
    take_directory,
    write_run_file,
)
from infoagent.types import InputError


def round_directory(output_dir: str | Path, number: int) -> Path:
    return Path(output_dir) / f"round-{number}"


def finished_rounds(output_dir: str | Path) -> int:
    """How many rounds have left their checkpoint."""
    checkpoints = complete_checkpoints(output_dir)
    if not checkpoints:
        return 0
    marker = read_json(checkpoints[-1] / RECORD_FILE)
    if "round" not in marker:
        raise InputError(f"output_dir = {str(output_dir)!r}: {checkpoints[-1].name} is of another script; name another output_dir")
    return int(marker["round"])


def find_round(recipe: TrainingRecipe, last: Path | None) -> tuple[int, int]:
    """(the number of the round to do next, the steps that are done in all) after the `last` finished round's checkpoint.

    Raises InputError where `find_resume_point` does for the round at work.
    """
    number = finished_rounds(recipe.output_dir) + 1
    work = str(round_directory(recipe.output_dir, number))
    inside = find_resume_point(work, recipe.model_dump(mode="json"), recipe.resume)
    return number, sum(checkpoint_step(c) for c in (last, inside) if c is not None)


def begin_round(recipe: TrainingRecipe, number: int, last: Path | None, **facts: Any) -> tuple[Path, Path | None, int]:
    """(the round's directory, the checkpoint in it to go on from, the steps of the rounds before) after the checkpoint
    `last` of the round before; what a kill left half done is removed."""
    work, resolved = round_directory(recipe.output_dir, number), recipe.model_dump(mode="json")
    inside = find_resume_point(str(work), resolved, recipe.resume)
    take_directory(work)
    write_run_file(work, resolved, **facts)
    return work, inside, 0 if last is None else checkpoint_step(last)


def clear_finished(output_dir: str | Path) -> None:
    """Remove the work of finished rounds, which a kill between the last two lines of `finish_round` leaves."""
    for number in range(1, finished_rounds(output_dir) + 1):
        if (round_directory(output_dir, number) / RUN_FILE).is_file():  # else it is not ours
            shutil.rmtree(round_directory(output_dir, number))


def finish_round(output_dir: str | Path, number: int, offset: int) -> Path:
    """Make the round's last checkpoint, which is complete, one of the run: one rename, so never half of one."""
    work = round_directory(output_dir, number)
    last = complete_checkpoints(work)[-1]
    target = Path(output_dir) / f"checkpoint-{offset + checkpoint_step(last)}"
    last.rename(target)
    write_card(target)  # now beside the record of the whole run
    shutil.rmtree(work)
    return target
