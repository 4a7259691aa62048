"""The stages one after the other, with a record of each in DIR/fit.json; called again, it goes on where it was killed."""

from __future__ import annotations

import re
import shlex
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import yaml

from infoagent.applications.fit.check import Found
from infoagent.applications.fit.recipes import FitPlan
from infoagent.applications.fit.record import FitRecord, StageRecord, check_same, read_record
from infoagent.applications.fit.stages import STAGES, Stage
from infoagent.files import only_writer, write_text
from infoagent.progress import duration, say
from infoagent.tracking import run_group
from infoagent.training.sweep.run import run_logged
from infoagent.types import InputError, RunFailed

ORPHAN_SECONDS = 0.5
_TOLD = re.compile(r"\d\d:\d\d:\d\d ")
"""How lines of progress and of the log begin."""


def asked_of(plan: FitPlan, found: Found) -> dict[str, Any]:
    """What makes a fit this one and no other. How it is launched does not."""
    settings = plan.settings
    return {
        "documents": found.path or found.name,
        "revision": found.revision,
        "budget": settings.budget,
        "model": settings.model,
        "size": settings.size,
        "adapter": settings.adapter,
    }


def check_directory(plan: FitPlan, found: Found) -> FitRecord | None:
    """The record of an earlier call. Raises InputError where the directory is another's, or another fit's."""
    before = read_record(plan.settings.out)
    if before is not None:
        check_same(before, asked_of(plan, found), plan.settings.out)
        for stage in STAGES:
            stage.check_resumable(plan)
    return before


def run_fit(plan: FitPlan, found: Found, before: FitRecord | None, quiet: bool = False) -> FitRecord:
    """Do what is not done. Raises RunFailed where a stage fails, with its cause and its log; the same call tries it again."""
    out = plan.settings.out
    out.mkdir(parents=True, exist_ok=True)
    with _held(out, before) as lock:
        earlier = {} if before is None else {stage.name: stage for stage in before.stages}
        rows = [earlier.get(stage.name) or StageRecord(stage.name, stage.title) for stage in STAGES]
        record = FitRecord(asked_of(plan, found), found.to_json(), rows)
        record.write(out)
        changed = False
        for number, (stage, row) in enumerate(zip(STAGES, rows, strict=True), start=1):
            said = f"{number}/{len(STAGES)} {stage.name}"
            if not changed and _is_done(stage, row, plan):
                say(f"{said}: done before, {row.result}")
                continue
            if not quiet:
                say(f"{said}: {stage.title}; log: {stage.log_file(plan)}")
            changed = True  # what comes after rests on it; its script computes what is missing and no more
            _do(stage, row, plan, record, lock, quiet)
            say(f"{said}: {duration(row.seconds or 0)}, {row.result}")
    return record


def _is_done(stage: Stage, row: StageRecord, plan: FitPlan) -> bool:
    """Of other settings that a script goes on with (more steps, say) it is not."""
    recipe = None if stage.recipe is None else stage.recipe(plan)
    return row.status == "finished" and row.recipe == recipe and row.result is not None and row.result == stage.result(plan)


def _do(stage: Stage, row: StageRecord, plan: FitPlan, record: FitRecord, lock: int, quiet: bool) -> None:
    out, file = plan.settings.out, stage.recipe_file(plan)
    row.recipe = None if stage.recipe is None else stage.recipe(plan)
    commands = stage.commands(plan, file)
    row.commands = [shlex.join(command) for command in commands]
    if row.recipe is not None:
        content = yaml.safe_dump(row.recipe, sort_keys=False, allow_unicode=True)
        write_text(file, "".join(f"# {command}\n" for command in row.commands) + content)
    row.status, row.attempts, row.cause, started = "running", row.attempts + 1, None, time.monotonic()
    before = row.seconds or 0.0
    record.write(out)
    cause = _first_cause(stage, commands, plan, lock, quiet)
    row.seconds, row.result = round(before + time.monotonic() - started, 1), stage.result(plan)
    if cause is None and row.result is None:
        cause = "ended well and left nothing"
    row.status, row.cause = ("finished", None) if cause is None else ("failed", cause)
    record.write(out)
    if cause is not None:
        raise RunFailed(f"stage {stage.name}, see {stage.log_file(plan)}: {cause}; mend that and run the same command again")


def _first_cause(stage: Stage, commands: Sequence[list[str]], plan: FitPlan, lock: int, quiet: bool) -> str | None:
    """Why the first of the commands that failed did; None where all went well."""
    group = run_group(None, str(plan.settings.out))

    def tell(line: str) -> None:
        if not quiet and _TOLD.match(line):
            say(line)

    causes = (run_logged(command, stage.log_file(plan), lock, group, tell=tell) for command in commands)
    return next((cause for cause in causes if cause is not None), None)


@contextmanager
def _held(out: Path, before: FitRecord | None) -> Iterator[int]:
    """The lock of DIR. A stage whose fit was killed holds it still and is waited for: what it does is not done twice.
    Raises InputError where another fit is at work there."""
    with ExitStack() as stack:
        waiting = False
        while True:
            try:
                lock = stack.enter_context(only_writer(out))
                break
            except InputError as error:
                if before is None or before.is_alive:
                    raise
                if not waiting:
                    say(f"a stage of an earlier call is still at work ({error.problems[0]}); waiting until it ends")
                waiting = True
                time.sleep(ORPHAN_SECONDS)
        yield lock
