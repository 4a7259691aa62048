"""DIR/fit.json: what a fit was asked for, what its documents hold, and how far each stage is. One type, one reader, one
writer."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import psutil

from infoagent.files import read_json, reading, write_json
from infoagent.store import check_output_dir, provenance
from infoagent.types import InputError

RECORD_FILE = "fit.json"
SCHEMA_VERSION = 1
ANOTHER = "name another --out"


@dataclass
class StageRecord:
    """One stage. Statuses: waiting, running (also of one that was cut off), finished, failed."""

    name: str
    title: str
    status: str = "waiting"
    commands: list[str] = field(default_factory=list)
    """As one would type them."""
    recipe: dict[str, Any] | None = None
    """What DIR/recipes/N-NAME.yaml holds; None for a stage without one."""
    attempts: int = 0
    seconds: float | None = None
    """Of all attempts together."""
    cause: str | None = None
    """Of a failure."""
    result: str | None = None


@dataclass
class FitRecord:
    """The whole file."""

    asked: dict[str, Any]
    """Documents and their revision, budget, model, size, adapter: another value is another fit."""
    found: dict[str, Any]
    """What the check says of the documents."""
    stages: list[StageRecord]
    process: int = field(default_factory=os.getpid)
    host: str = field(default_factory=socket.gethostname)
    provenance: dict[str, Any] = field(default_factory=provenance)

    def write(self, out: Path) -> None:
        write_json(out / RECORD_FILE, {"kind": "fit", "schema_version": SCHEMA_VERSION, **asdict(self)})

    @property
    def is_alive(self) -> bool:
        """Whether the process that wrote this is still at work; on another host nobody can tell, and it is."""
        if self.host != socket.gethostname():
            return True
        return psutil.pid_exists(self.process)  # another user's too


def read_record(out: Path) -> FitRecord | None:
    """The record of an earlier call; None in a directory without one. Raises InputError for a directory that is none of
    fit's and holds another run, and for a damaged file."""
    file = out / RECORD_FILE
    if not file.is_file():
        check_output_dir(str(out), "fit")
        return None
    content = read_json(file, ANOTHER)
    with reading(str(file)):
        if content.pop("kind") != "fit" or content.pop("schema_version") != SCHEMA_VERSION:
            raise InputError(f"{file}: was not written by this version of infoagent fit; {ANOTHER}")
        stages = [StageRecord(**stage) for stage in content.pop("stages")]
        return FitRecord(stages=stages, **content)


def check_same(record: FitRecord, asked: Mapping[str, Any], out: Path) -> None:
    """Raise InputError where the directory holds the fit of another request: what differs, and what to do."""
    before = record.asked
    differing = [f"{key} was {before.get(key)!r} and is {asked[key]!r} now" for key in asked if before.get(key) != asked[key]]
    if differing:
        raise InputError(f"--out {out}: holds another fit, {'; '.join(differing)}; ask for the same to go on, or {ANOTHER}")
