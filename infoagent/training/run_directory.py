"""The directory of a run: what it holds, and going on where a killed run stopped.

A checkpoint counts only when its marker file is there. The marker is written last, so that a run killed while it
was saving never resumes from half a checkpoint.
"""

from __future__ import annotations

import logging
import os
import re
import shutil
from collections.abc import Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from infoagent.data.revisions import digest, same_data
from infoagent.files import hold, read_json, write_json
from infoagent.lm.adapters import RECORD_FILE
from infoagent.lm.identity import same_revision
from infoagent.lm.reference import ModelReference, pinned
from infoagent.recipes import schema_for
from infoagent.recipes.training import TrainingRecipe
from infoagent.store import RUN_FILE, check_output_dir, provenance, read_run, template_date
from infoagent.tracking import run_group
from infoagent.types import AUTO, InputError

logger = logging.getLogger(__name__)

CANDIDATES_FILE = "candidates.jsonl"
"""Scored samples and proposals of train/sft.py and train/dpo.py."""
BEST_FILE = "best.json"
"""Which checkpoint is the best by validation, and every measurement so far."""
CHECKPOINT_NAME = re.compile(r"checkpoint-[0-9]{1,18}")
SURE_SIGNS = (
    "adapter_config.json", "adapter_model*.safetensors", "model*.safetensors", "optimizer*.pt", "scheduler.pt",
    "rng_state*.pth", "trainer_state.json", "training_args.bin", "global_step*", "pytorch_model_fsdp*", "optimizer_*",
)  # fmt: skip
"""What nobody but a trainer leaves in a checkpoint."""
ALSO_SAVED = (
    "README.md", "config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "vocab.*", "merges.txt",
    "added_tokens.json", "chat_template*", "latest", "zero_to_fp32.py", "price.json", ".*", "scaler.pt",
    "model.safetensors.index.json",
)  # fmt: skip
FREE_KEYS = (
    "resume",
    "thinking",  # what may stand there is all the same
    "tracking",
    "audit",
    "validation.metric",
    "validation.every",
    "cost",
    "scorer.url",
    "scorer.patience_seconds",
    "output_dir",
    "grpo.steps",
    "grpo.save_steps",
    "grpo.save_total_limit",
    "sft.rounds",
    "sft.save_steps",
    "dpo.save_steps",
)
"""Keys of a recipe that may differ between a run and its continuation."""
PLACES = ("init_adapter", "candidates")
"""Keys that name directories of other runs."""


def complete_checkpoints(output_dir: str | Path) -> list[Path]:
    """Complete checkpoints in the order of their steps."""
    checkpoints = [d for d in Path(output_dir).glob("checkpoint-*") if CHECKPOINT_NAME.fullmatch(d.name)]
    return sorted((d for d in checkpoints if (d / RECORD_FILE).is_file()), key=checkpoint_step)


def checkpoint_step(checkpoint: Path) -> int:
    return int(checkpoint.name.rsplit("-", 1)[1])


def read_best(output_dir: str | Path, with_checkpoint: bool = True) -> dict[str, Any] | None:
    """What best.json says; None without the file or, `with_checkpoint`, where it names no checkpoint yet."""
    file = Path(output_dir) / BEST_FILE
    if not file.is_file():
        return None
    best = read_json(file, "restore it; without it the best checkpoint is not known")
    return best if "checkpoint" in best or not with_checkpoint else None


def superfluous_checkpoints(output_dir: str | Path, keep: int) -> list[Path]:
    """Complete checkpoints but the last `keep` ones and the best one."""
    best = read_best(output_dir)
    return [d for d in complete_checkpoints(output_dir)[:-keep] if best is None or d.name != best["checkpoint"]]


def find_resume_point(output_dir: str, recipe: dict[str, Any], resume: bool) -> Path | None:
    """The checkpoint to go on from, or None to start afresh.

    Raises InputError if the directory belongs to another recipe (which keys differ), or if it holds checkpoints and
    `resume` is off: nothing that was computed is overwritten.
    """
    directory = Path(output_dir)
    check_output_dir(output_dir, "train")
    checkpoints = complete_checkpoints(directory)
    if not checkpoints:
        return None
    if not resume:
        raise InputError(
            f"output_dir = {output_dir!r}: already holds {checkpoints[-1].name}; set resume=true to go on, or another output_dir"
        )
    if not (directory / RUN_FILE).is_file():
        raise InputError(f"output_dir = {output_dir!r}: holds checkpoints but no {RUN_FILE}; name another output_dir")
    before = _with_later_keys(read_run(directory)["recipe"])
    different = sorted(set(_different_keys(before, recipe)) - set(_moved_along(before, recipe)))
    if different:
        raise InputError(
            f"output_dir = {output_dir!r}: was made by another recipe, {', '.join(different)} differ; "
            "restore them to resume, or name another output_dir"
        )
    return checkpoints[-1]


def _with_later_keys(recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe of an earlier version: keys that have come since mean their defaults."""
    try:
        return schema_for(set(recipe)).model_validate(recipe).model_dump(mode="json")
    except ValueError:  # it has keys that are gone: it is compared as it stands
        return recipe


def _different_keys(before: dict[str, Any], now: dict[str, Any], prefix: str = "") -> list[str]:
    different = []
    for key in sorted(set(before) | set(now)):
        path = prefix + key
        if path in FREE_KEYS:
            continue
        old, new = before.get(key), now.get(key)
        if isinstance(old, dict) and isinstance(new, dict):
            different += _different_keys(old, new, path + ".")
        elif old != new and not (key == "dtype" and new == AUTO):  # auto goes on in the type that it began with
            different.append(path)
    return different


def _moved_along(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Keys whose directories lie where they lay, as seen from the run's own: a folder that holds a run and what it began with
    may be moved, or be reached by another path."""

    def seen(recipe: dict[str, Any], key: str) -> list[str]:
        value = recipe.get(key) or []
        return [os.path.relpath(path, recipe["output_dir"]) for path in ([value] if isinstance(value, str) else value)]

    both = [key for key in PLACES if before.get(key) and now.get(key)]
    return [key for key in both if seen(before, key) == seen(now, key)]


def take_directory(output_dir: str | Path) -> None:
    """Hold the directory until this process ends, and remove what a run killed while saving left in it: of a run of ours,
    directories named `checkpoint-<step>` that hold what a trainer saves and nothing else.

    Raises InputError where another process works in it.
    """
    hold(output_dir)
    if not (Path(output_dir) / RUN_FILE).is_file():
        return  # not a run of ours: nothing there is ours to remove
    complete = set(complete_checkpoints(output_dir))
    for directory in Path(output_dir).glob("checkpoint-*"):
        if directory in complete or not CHECKPOINT_NAME.fullmatch(directory.name):
            continue
        if _is_of_a_trainer(directory):
            shutil.rmtree(directory)
        else:
            logger.warning("%s: is no checkpoint of ours and is left alone", directory)


def _is_of_a_trainer(directory: Path) -> bool:
    """Whether a trainer, killed while saving, may have made all of it: known names, its state or weights among them."""
    if directory.is_symlink() or not directory.is_dir():
        return False
    names = [entry.name for entry in directory.iterdir()]
    known = all(any(fnmatch(name, pattern) for pattern in (*SURE_SIGNS, *ALSO_SAVED)) for name in names)
    return known and (not names or any(fnmatch(name, sign) for name in names for sign in SURE_SIGNS))


def write_run_file(output_dir: str | Path, recipe: dict[str, Any], **facts: Any) -> None:
    """run.json: recipe, seed, commit, versions, data revision."""
    write_json(Path(output_dir) / RUN_FILE, {"kind": "train", "recipe": recipe, **facts, **provenance()})


def check_same_sources(checkpoint: Path, facts: dict[str, Any]) -> None:
    """Raise InputError if the data, the base model or the samples of other runs changed since `checkpoint` was saved."""
    before = read_json(checkpoint / RECORD_FILE, "go on from an earlier checkpoint: move this one away")
    changed = [
        f"{name} was {before[name]} and is {facts[name]} now"
        for name in ("data_revision", "base_revision", "base_commit", "template_date", "samples_read")
        if before.get(name) is not None and not (same_data if name == "data_revision" else same_revision)(before[name], facts[name])
    ]
    if changed:
        raise InputError(f"{checkpoint}: cannot be resumed, {'; '.join(changed)}; restore it, or name another output_dir")


def mark_complete(checkpoint: Path, **facts: Any) -> None:
    """Write the marker: the base that the adapter belongs to, its prompt, its step, the data it saw."""
    write_json(checkpoint / RECORD_FILE, facts)
    logger.info("%s is complete", checkpoint)


def _content_hash(directories: Sequence[str]) -> str:
    """Of the candidates of other runs: one that goes on holds other texts, hence other pairs and another number of steps."""
    files = [Path(directory) / CANDIDATES_FILE for directory in directories]
    return digest(file.read_text(encoding="utf-8") for file in files if file.is_file())


def checkpoint_facts(recipe: TrainingRecipe, reference: ModelReference, data_revision: str) -> dict[str, Any]:
    """What the marker of every checkpoint of a run says. `budget_range`: the budgets in tokens that an any-rate adapter
    has learnt to follow; `group`: where W&B shows its training and its evaluations together."""
    budget_range = recipe.reward.budget_range
    return {
        "base_model": reference.name,
        "base_revision": reference.revision,
        "base_commit": pinned(reference).revision,
        "template_date": template_date().isoformat(),
        "prompt": recipe.prompt.model_dump(),
        "thinking": False,
        "data_revision": data_revision,
        "group": run_group(recipe.tracking.group, recipe.output_dir),
        **({} if budget_range is None else {"budget_range": budget_range}),
        **({} if not recipe.samples_read else {"samples_read": _content_hash(recipe.samples_read)}),
    }
