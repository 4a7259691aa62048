"""Files that survive a kill, and what a number needs to be repeated."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import math
import os
import platform
import subprocess
import sys
import time
from datetime import date
from pathlib import Path
from typing import Any

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
    for name in (
        "infoagent",
        "torch",
        "transformers",
        "trl",
        "peft",
        "accelerate",
        "datasets",
        "wandb",
        "numpy",
    ):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = "not installed"
    return {
        "commit": _commit(),
        "versions": versions,
        "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
        "template_date": template_date().isoformat(),
        "command": " ".join(sys.argv),
        "started": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _commit() -> str:
    here = Path(__file__).resolve().parent
    try:
        commit = subprocess.run(
            ["git", "rev-parse", "HEAD"], cwd=here, capture_output=True, text=True, check=True
        ).stdout
        changes = subprocess.run(
            ["git", "status", "--porcelain", "--untracked-files=no"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
        ).stdout
    except (OSError, subprocess.CalledProcessError):
        return "not a git checkout"
    return commit.strip() + ("+changes" if changes.strip() else "")


def check_output_dir(output_dir: str, kind: str) -> None:
    """Raise InputError if `output_dir` is a file or belongs to a run of another kind ("train" or "evaluate")."""
    directory = Path(output_dir)
    if directory.exists() and not directory.is_dir():
        raise InputError(f"output_dir = {output_dir!r}: is a file; name a directory")
    run_file = directory / "run.json"
    if run_file.is_file():
        held = json.loads(run_file.read_text(encoding="utf-8")).get("kind", kind)
        if held != kind:
            raise InputError(f"output_dir = {output_dir!r}: belongs to a run of kind {held!r}; name another output_dir")


def text_id(text: str) -> str:
    """A text by its content: ids of data sets may name different texts alike after other settings or a truncation."""
    return "sha256:" + hashlib.sha256(text.encode()).hexdigest()[:16]


def read_jsonl(path: str | Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file. A last line that a killed process left half written is skipped; any other is an error."""
    rows: list[dict[str, Any]] = []
    if not Path(path).stat().st_size:
        return rows
    lines = Path(path).read_bytes().removesuffix(b"\n").split(b"\n")  # not splitlines: texts hold other line ends
    for number, line in enumerate(lines, start=1):
        try:
            rows.append(json.loads(line))
        except ValueError as error:
            if number < len(lines):
                raise ValueError(f"{path}:{number}: damaged line: {error}") from error
    return rows


def write_json(path: str | Path, content: Any) -> None:
    """Write beside and rename: a killed process leaves the old file or the new one, never half of one."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    work = target.with_name(f".{target.name}.{os.getpid()}")
    work.write_text(json.dumps(content, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    work.replace(target)


SUMMARY_FILE = "summary.json"
SCHEMA_VERSION = 1
"""Of summary.json and run.json; eval/results/README.md describes their fields."""


def read_summaries(directory: str | Path) -> list[dict[str, Any]]:
    """The summaries of an evaluation directory. Raises InputError where the file is missing or of another version."""
    path = Path(directory) / SUMMARY_FILE
    if not path.is_file():
        raise InputError(f"{directory}: holds no {SUMMARY_FILE}; give the output_dir of eval/frozen.py")
    found: list[dict[str, Any]] = read_summary_file(path)["summaries"]
    return found


def read_summary_file(path: str | Path) -> dict[str, Any]:
    """A summary.json, or one kept as a baseline, with its provenance. Raises InputError for anything else."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"{path}: not valid JSON: {error}") from error
    version = content.get("schema_version") if isinstance(content, dict) else None
    if version != SCHEMA_VERSION:
        raise InputError(
            f"{path}: schema_version {version}; this version reads {SCHEMA_VERSION}: evaluate again (records are reused)"
        )
    return dict(content)


def finite(value: Any) -> Any:
    """JSON has no infinity and no NaN: null, where a warning says which it is."""
    if isinstance(value, dict):
        return {key: finite(v) for key, v in value.items()}
    if isinstance(value, list | tuple):
        return [finite(v) for v in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value
