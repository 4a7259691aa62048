"""A sweep without a server: its runs one after the other, each a process of its own, and a record of all of them."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from infoagent.files import only_writer, read_json, say_holder, write_json
from infoagent.progress import Progress, say
from infoagent.recipes import SweepFile
from infoagent.shipped import shipped
from infoagent.store import check_output_dir, provenance
from infoagent.training.run_directory import complete_checkpoints
from infoagent.training.sweep.grid import SweepRun, best_checkpoint
from infoagent.types import InputError, RunFailed

RECORD_FILE = "sweep.json"
FOLLOW_SECONDS = 0.2
TRAIN_LOG, EVALUATION_LOG, FRONTIER_LOG = "train.log", "evaluation.log", "frontier.log"


class Sweep:
    """OUT/sweep.json and what it says of each run: status, attempts, seconds of the last attempt, checkpoint, cause.

    The statuses are `waiting`, `running` (also of a run that was cut off with the sweep), `finished` and `failed`.
    """

    def __init__(self, path: str, file: SweepFile, runs: Sequence[SweepRun], out: str, quiet: bool = False) -> None:
        check_output_dir(out, "sweep")
        self.out, self.runs, self.quiet = Path(out), list(runs), quiet
        before = {row["name"]: row for row in read_rows(self.out)}
        self.rows = {run.name: self._row(run, before.pop(run.name, {})) for run in runs}
        self._content = {
            "kind": "sweep",
            "sweep_file": path,
            "sweep": file.model_dump(mode="json", exclude_unset=True),
            "provenance": provenance(),
        }
        self._earlier = list(before.values())
        """Runs of values that the grid has no more."""

    def _row(self, run: SweepRun, before: dict[str, Any]) -> dict[str, Any]:
        recipe = run.recipe.model_dump(mode="json")
        row = {"name": run.name, "parameters": run.parameters, "output_dir": recipe["output_dir"], "status": "waiting",
               "attempts": 0, "seconds": None, "checkpoint": None, "cause": None, "evaluation": None}  # fmt: skip
        row |= {key: value for key, value in before.items() if key in row and key not in ("parameters", "output_dir")}
        if row["status"] == "finished" and (before.get("recipe") != recipe or not complete_checkpoints(run.directory)):
            row["status"] = "waiting"  # more steps, say: the script goes on, or says that it has them all
        return row | {"recipe": recipe}

    def run(self, evaluate: str | None = None) -> int:
        """Train what is not finished; with `evaluate`, a recipe of eval/, prove each run. The number that failed.

        Ended by a kill, a full disk or an interrupt, the next call goes on. Raises RunFailed if another process works
        in the same directory, or when the frontier cannot be drawn.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        with only_writer(self.out) as lock:  # children hold it too, and keep it when this process is killed
            self._save()
            with Progress(len(self.runs), "sweep", "run", self.quiet, leave=False) as bar:
                for number, run in enumerate(self.runs, start=1):
                    said = self._train(run, lock)
                    if not self.quiet or self.rows[run.name]["status"] == "failed":
                        say(f"{number}/{len(self.runs)} {run.name}: {said}")
                    bar.update()
            if evaluate is not None:
                self._prove(evaluate, lock)
        stages = [row["status"] for row in self.rows.values()]
        if evaluate is None:  # an earlier call's evaluation is not this one's to try again
            return stages.count("failed")
        proofs = [(row["evaluation"] or {}).get("status") for row in self.rows.values()]
        return sum("failed" in pair for pair in zip(stages, proofs, strict=True))

    def _train(self, run: SweepRun, lock: int) -> str:
        row = self.rows[run.name]
        if row["status"] == "finished":
            row["checkpoint"] = str(best_checkpoint(run.directory))
            self._save()
            return f"was finished before, {row['checkpoint']}"
        row |= {"status": "running", "attempts": row["attempts"] + 1, "cause": None}
        self._save()
        log, started = run.directory / TRAIN_LOG, time.monotonic()
        cause = run_logged(run.command, log, lock, self.group)
        if cause is None and not complete_checkpoints(run.directory):
            cause = "ended well and left no checkpoint"
        row["seconds"] = round(time.monotonic() - started, 1)
        if cause is None:
            row |= {"status": "finished", "checkpoint": str(best_checkpoint(run.directory))}
        else:
            row |= {"status": "failed", "cause": cause}
        self._save()
        return f"failed, see {log}: {cause}" if cause else f"finished in {row['seconds']:.0f} s, {row['checkpoint']}"

    def _prove(self, evaluate: str, lock: int) -> None:
        proven = 0
        for run in self.runs:
            row = self.rows[run.name]
            if row["status"] != "finished":
                continue
            command = [
                sys.executable,
                str(shipped("eval/checkpoint.py")),
                evaluate,
                "--quiet",
                f"checkpoint={json.dumps(row['checkpoint'])}",
                f"output_dir={json.dumps(self.evaluation_dir)}",
            ]
            log = run.directory / EVALUATION_LOG
            cause = run_logged(command, log, lock, self.group)  # records that are there are not computed again
            row["evaluation"] = {"status": "failed" if cause else "finished", "checkpoint": row["checkpoint"], "cause": cause}
            proven += cause is None
            self._save()
            if cause or not self.quiet:
                said = f"evaluation failed, see {log}: {cause}" if cause else f"evaluated in {self.evaluation_dir}"
                print(f"{run.name}: {said}", file=sys.stderr)
        if not proven:
            return
        command = [sys.executable, str(shipped("eval/frontier.py")), self.evaluation_dir, "--out", str(self.out)]
        cause = run_logged(command, self.out / FRONTIER_LOG, lock, self.group, show=True)
        if cause:
            raise RunFailed(f"frontier.py, see {self.out / FRONTIER_LOG}: {cause}")

    @property
    def group(self) -> str:
        """The W&B group of the runs, their evaluations and the frontier, unless a recipe names another."""
        return os.environ.get("WANDB_RUN_GROUP") or self.out.resolve().name

    @property
    def evaluation_dir(self) -> str:
        return str(self.out / "eval")

    def _save(self) -> None:
        content = {**self._content, "runs": list(self.rows.values())}
        write_json(self.out / RECORD_FILE, content | ({"earlier_runs": self._earlier} if self._earlier else {}))


def read_rows(out: str | Path) -> list[dict[str, Any]]:
    """The runs of OUT/sweep.json, those that are no more in its grid too; [] without one. Raises InputError if the
    file is not a sweep's."""
    file = Path(out) / RECORD_FILE
    if not file.is_file():
        return []
    content = read_json(file, "name another --out")
    rows = [content.get("runs"), content.get("earlier_runs", [])]
    if not all(isinstance(part, list) and all(isinstance(row, dict) and "name" in row for row in part) for part in rows):
        raise InputError(f"{file}: is no record of a sweep; name another --out")
    return [*rows[0], *rows[1]]


def run_logged(
    command: Sequence[str], log: Path, lock: int, group: str, show: bool = False, tell: Callable[[str], None] | None = None
) -> str | None:
    """Run `command` in the W&B group `group`, its output appended to `log` (`show`: stdout goes through; `tell` gets each
    line of the log as it comes). None if it went well, else the cause."""
    log.parent.mkdir(parents=True, exist_ok=True)
    # `accelerate` and `python` are those of this environment, whether or not it is activated
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)])
    environment = {**os.environ, "PATH": path, "WANDB_RUN_GROUP": group}
    with log.open("ab") as stream:
        start = stream.tell()
        try:
            process = subprocess.Popen(
                command, stdout=None if show else stream, stderr=stream, env=environment, pass_fds=(lock,), start_new_session=True
            )
        except OSError as error:
            return f"{command[0]}: {error.strerror}"
        try:
            say_holder(lock, process.pid)
            code = process.wait() if tell is None else _followed(process, log, start, tell)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGTERM)  # a launcher and what it launched
                process.wait()
    if code == 0:
        return None
    return cause_of(log.read_bytes()[start:].decode("utf-8", errors="replace"), code)


def _followed(process: subprocess.Popen[bytes], log: Path, start: int, tell: Callable[[str], None]) -> int:
    """The exit code of `process`; until then `tell` gets the whole lines that come to `log` behind `start`. Read from the
    file and not from a pipe, so that who is killed here does not take the writer along."""
    with log.open("rb") as stream:
        stream.seek(start)
        half = b""
        while True:
            code = process.poll()
            *lines, half = (half + stream.read()).split(b"\n")
            for line in lines:
                tell(line.decode("utf-8", errors="replace").split("\r")[-1])
            if code is not None:
                return code
            time.sleep(FOLLOW_SECONDS)


def cause_of(output: str, code: int) -> str:
    """Why a script ended: its own last `error:` or `failed:` line, else the last line before a launcher's traceback."""
    lines = [line.split("\r")[-1].strip() for line in output.split("\n")]
    lines = [line for line in lines if line]
    said = [cause[1] for line in lines if (cause := re.search(r"(?:^|\])((?:error|failed): .*)", line))]
    if said:  # at the start of a line, or right behind a progress bar
        return said[-1]
    if lines and lines[-1].startswith("subprocess.CalledProcessError"):  # what accelerate adds to any failure
        died = re.search(r"died with .*$", lines[-1])
        if died:
            return died[0].rstrip(".")
        marks = [i for i, line in enumerate(lines) if line.startswith("Traceback (most recent call last)")]
        lines = lines[: marks[-1]] if marks else lines[:-1]
    if code < 0:
        return f"died with signal {-code}"
    return lines[-1] if lines else f"ended with code {code} and said nothing"
