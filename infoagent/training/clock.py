"""Watching trainers from outside: when a checkpoint is good enough, and where the time until then went.

For eval/bench/time_to_result.py. A trainer tells what it does by the lines of its files, and the time between two lines is counted to
the later one; nothing in the trainer is changed or imported.
"""

from __future__ import annotations

import json
import sys
import threading
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from infoagent.files import only_writer
from infoagent.recipes import GRPORecipe, SFTRecipe
from infoagent.recipes.training import TrainingRecipe
from infoagent.shipped import shipped
from infoagent.training.run_directory import complete_checkpoints
from infoagent.training.sweep.run import run_logged
from infoagent.types import RunFailed

METRIC = "objective/hard_nats"
"""Mean over the validation problems of hard MI − price · rate, in nats."""
SCRIPTS: dict[type[TrainingRecipe], str] = {SFTRecipe: "train/sft.py", GRPORecipe: "train/grpo.py"}
POLL_SECONDS = 0.2


class Clock:
    """Runs trainers, watches their files and tells where the time went."""

    def __init__(self, wanted: float) -> None:
        self.wanted = wanted
        self.began = time.monotonic()
        self.seconds: defaultdict[str, float] = defaultdict(float)
        self.validations: list[dict[str, float]] = []
        self.reached: dict[str, Any] = {}
        self.shares: list[float] = []

    def run(self, path: str, recipe: TrainingRecipe, out: Path, adapter: str | None, given: list[str]) -> str:
        """Run one recipe to its end; its last checkpoint. Raises RunFailed with its cause if it fails."""
        script, log = SCRIPTS[type(recipe)], out.with_suffix(".log")
        command = [sys.executable, str(shipped(script)), path, *given, f"output_dir={out}", "tracking.wandb=disabled", "--quiet"]
        command += [] if adapter is None else [f"init_adapter={adapter}"]
        out.parent.mkdir(parents=True, exist_ok=True)
        ended = threading.Event()
        with only_writer(out.parent) as lock, ThreadPoolExecutor(1) as pool:
            watching = pool.submit(self._watch, Watch(out), ended)
            try:
                cause = run_logged(command, log, lock, out.parent.name)
            finally:
                ended.set()
            watching.result()
        if cause is not None:
            raise RunFailed(f"{script} {path}: {cause}; its log: {log}")
        return str(complete_checkpoints(out)[-1])

    def _watch(self, watch: Watch, ended: threading.Event) -> None:
        before, is_last = time.monotonic(), False
        while not is_last:
            is_last = ended.is_set()  # asked before the files are read: nothing is written behind it
            for kind, row in watch.new():
                now = time.monotonic()
                self.note(kind, row, now - before)
                before = now
            ended.wait(POLL_SECONDS)

    def note(self, kind: str, row: dict[str, Any], seconds: float) -> None:
        if not self.reached:
            self.seconds[kind] += seconds
        if "scorer/share_of_step" in row:
            self.shares.append(row["scorer/share_of_step"])
        value = row.get(f"validation/{METRIC}")
        if value is None:
            return
        minutes = (time.monotonic() - self.began) / 60
        self.validations.append({"minutes": minutes, "nats": value, "tokens": row["validation/rate/tokens"]})
        print(f"{minutes:.1f} min: {value:.3f} nats at {row['validation/rate/tokens']:.1f} tokens", flush=True)
        if value >= self.wanted and not self.reached:
            self.reached = {"minutes": minutes, "reached_nats": value, "tokens": row["validation/rate/tokens"]}

    def found(self) -> dict[str, Any]:
        """What is known; without `minutes` where the gain was not reached."""
        shares = self.shares[2:] or self.shares  # the first steps warm the machine up
        share = {"scoring_share_of_step": sum(shares) / len(shares)} if shares else {}
        seconds = {kind: round(value, 1) for kind, value in self.seconds.items()}
        return {**self.reached, "seconds": seconds, "validations": self.validations, **share}


class Watch:
    """New lines of a run's files, in the order in which they are seen."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self.seen: Counter[str] = Counter()

    def new(self) -> list[tuple[str, dict[str, Any]]]:
        found: list[tuple[str, dict[str, Any]]] = []
        for name in ("run.json", "candidates.jsonl", "metrics.jsonl"):
            lines = self._whole_lines(name)
            for line in lines[self.seen[name] :]:
                row = json.loads(line) if name == "metrics.jsonl" else {}
                found.append((kind_of(name, row), row))
            self.seen[name] = len(lines)
        return found

    def _whole_lines(self, name: str) -> list[str]:
        file = self.out / name
        if not file.is_file():
            return []
        if name == "run.json":
            return ["{}"]
        return file.read_text().split("\n")[:-1]


def kind_of(name: str, row: dict[str, Any]) -> str:
    """What the time before a line was spent on."""
    if name == "run.json":
        return "start"
    if name == "candidates.jsonl":
        return "choosing"
    if any(key.startswith("validation/") for key in row):
        return "validation"
    return "steps" if "time/update_seconds" in row else "fitting"
