"""The directory of a run: whose it is, what it found, and what its numbers need to be repeated."""

from __future__ import annotations

import hashlib
import importlib.metadata
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

from infoagent.files import check_writable, read_json
from infoagent.types import InputError

DATE_VARIABLE = "INFOAGENT_TEMPLATE_DATE"
TEMPLATE_DATE = date(2024, 7, 26)
"""What chat templates that print today's date print: the day that Llama's templates take without a clock."""


def template_date() -> date:
    """The day that chat templates print, the same in every process of a run and when it goes on: TEMPLATE_DATE, or what
    INFOAGENT_TEMPLATE_DATE says (then it is part of the model's identity). Raises InputError for what is no date."""
    said = os.environ.get(DATE_VARIABLE)
    try:
        return date.fromisoformat(said) if said else TEMPLATE_DATE
    except ValueError:
        raise InputError(f"{DATE_VARIABLE} = {said!r}: must be a date, e.g. 2026-01-31; or unset it") from None


def provenance() -> dict[str, Any]:
    """What a number needs to be repeated: commit, versions, machine, time."""
    versions = {"python": platform.python_version()}
    for name in ("infoagent", "torch", "transformers", "trl", "peft", "accelerate", "datasets", "wandb", "numpy"):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "commit": _commit(),
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "template_date": template_date().isoformat(),
        "command": shlex.join(sys.argv),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _commit() -> str:
    """Of the checkout that this file is of. Installed into a folder of someone's own repository it is of none."""
    file = Path(__file__).resolve()

    def git(*arguments: str) -> str:
        return subprocess.run(["git", *arguments], cwd=file.parent, capture_output=True, text=True, check=True).stdout

    try:
        git("ls-files", "--error-unmatch", file.name)
        commit = git("rev-parse", "HEAD")
        changes = git("status", "--porcelain", "--untracked-files=no")
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
    return commit.strip() + ("+changes" if changes.strip() else "")


RUN_FILE = "run.json"
"""Who made a directory: kind, recipe, commit, versions. Every run writes it before anything else."""
OF_A_RUN = (
    "metrics.jsonl", "samples.jsonl", "summary.json", "analysis.json", "best.json", "problems.jsonl", "documents.jsonl",
    "reports.jsonl", "cases.jsonl", "tables.md", "comparison.json", "information.json", "scores.npz", "sweep.json",
)  # fmt: skip
"""What runs write anew in their own directories."""


def check_output_dir(output_dir: str, kind: str) -> None:
    """Raise InputError if `output_dir` cannot be written to, is a file, belongs to a run of another kind ("train" or
    "evaluate"), or belongs to nobody and holds files that the run would replace."""
    directory = Path(output_dir)
    if directory.exists() and not directory.is_dir():
        raise InputError(f"output_dir = {output_dir!r}: is a file; name a directory")
    check_writable(directory, "output_dir =")
    if (directory / RUN_FILE).is_file():
        held = read_run(directory).get("kind", kind)
        if held != kind:
            raise InputError(f"output_dir = {output_dir!r}: belongs to a run of kind {held!r}; name another output_dir")
        return
    foreign = [name for name in OF_A_RUN if (directory / name).exists()]
    if foreign and not (kind == "sweep" and "sweep.json" in foreign):
        raise InputError(
            f"output_dir = {output_dir!r}: holds {', '.join(foreign)} and no {RUN_FILE}, so it is no run's; name another output_dir"
        )


def read_run(directory: str | Path) -> dict[str, Any]:
    """run.json of a run. Raises InputError where it is missing, damaged, or another program's."""
    file = Path(directory) / RUN_FILE
    content = read_json(file, "restore it, or name another directory")
    if not isinstance(content.get("recipe"), dict):
        raise InputError(f"{file}: was not written by a run of infoagent (it names no recipe); name another directory")
    check_version(content, file)
    return content


def read_if_run(directory: str | Path) -> dict[str, Any]:
    """What run.json says, with a recipe or without; an empty one where there is none: a directory of records alone, or of
    an adapter that was moved. Raises InputError where it is damaged, or a later version's."""
    file = Path(directory) / RUN_FILE
    if not file.is_file():
        return {}
    content: dict[str, Any] = read_json(file)
    check_version(content, file)
    return content


def text_id(text: str) -> str:
    """A text by its content: ids of data sets may name different texts alike after other settings or a truncation."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]


SCHEMA_VERSION = 1
"""Of run.json, summary.json and analysis.json; eval/results/README.md describes their fields."""


def check_version(content: Mapping[str, Any], file: str | Path) -> None:
    """Raise InputError for a file of a later version, whose fields may mean something else. A run of a trainer, and
    records, which lie beside a run.json, name no version."""
    version = content.get("schema_version", SCHEMA_VERSION)
    if not isinstance(version, int) or version > SCHEMA_VERSION:
        raise InputError(
            f"{file}: schema_version {version}; this version reads up to {SCHEMA_VERSION}: install the infoagent that wrote it"
        )
