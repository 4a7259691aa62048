"""The rounds of expert iteration: whose samples a round holds, where it works, and what it leaves behind.

OUT/round-2/            the round at work: a run directory of its own, with checkpoints to resume from
OUT/checkpoint-60/      what a finished round leaves: its last checkpoint, named by the steps of all rounds so far
"""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from infoagent.files import read_json
from infoagent.lm.machine.device import default_device
from infoagent.lm.models import RECORD_FILE, LoadedModel, adapter_revision
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.launch import process_count
from infoagent.training.model_card import write_card
from infoagent.training.policy import load_policy
from infoagent.training.preparation import Prepared
from infoagent.training.run_directory import (
    RUN_FILE,
    checkpoint_step,
    complete_checkpoints,
    find_resume_point,
    take_directory,
    write_run_file,
)
from infoagent.types import InputError


def check_one_process(script: str) -> None:
    """Raise InputError under a launcher that started several processes: samples are drawn and written by one."""
    if process_count() > 1:
        raise InputError(f"{script}: runs in one process, {process_count()} were started; launch it with plain python")


def load_to_sample(recipe: TrainingRecipe, prepared: Prepared, adapter: str | None) -> tuple[LoadedModel, Any]:
    """(the base with `adapter` on top, or the base alone and None; the fresh LoRA that a trainer then adds or None)."""
    model, fresh = load_policy(recipe.model_copy(update={"init_adapter": adapter}), prepared.reference)
    model = model.to(default_device()).eval()
    return LoadedModel(prepared.reference, model, prepared.tokenizer, recipe.model.dtype, adapter), fresh


def policy_name(adapter: str | None) -> str:
    """What identifies a policy: the hash of its adapter, or `base`."""
    return "base" if adapter is None else adapter_revision(adapter)


def round_directory(output_dir: str | Path, number: int) -> Path:
    return Path(output_dir) / f"round-{number}"


def finished_rounds(output_dir: str | Path) -> int:
    """How many rounds have left their checkpoint."""
    checkpoints = complete_checkpoints(output_dir)
    if not checkpoints:
        return 0
    marker = read_json(checkpoints[-1] / RECORD_FILE)
    if "round" not in marker:
        raise InputError(
            f"output_dir = {str(output_dir)!r}: {checkpoints[-1].name} is of another script; name another output_dir"
        )
    return int(marker["round"])


def find_round(recipe: TrainingRecipe) -> tuple[Path | None, int, int]:
    """(the last finished round's checkpoint, the number of the round to do next, the steps that are done in all).

    Raises InputError where `find_resume_point` does, for the round at work too.
    """
    resolved = recipe.model_dump(mode="json")
    last = find_resume_point(recipe.output_dir, resolved, recipe.resume)
    number = finished_rounds(recipe.output_dir) + 1
    inside = find_resume_point(str(round_directory(recipe.output_dir, number)), resolved, recipe.resume)
    return last, number, sum(checkpoint_step(c) for c in (last, inside) if c is not None)


def begin_round(recipe: TrainingRecipe, number: int, **facts: Any) -> tuple[Path, Path | None]:
    """(the round's directory, the checkpoint in it to go on from); what a kill left half done is removed."""
    work, resolved = round_directory(recipe.output_dir, number), recipe.model_dump(mode="json")
    inside = find_resume_point(str(work), resolved, recipe.resume)
    take_directory(work)
    write_run_file(work, resolved, **facts)
    return work, inside


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
