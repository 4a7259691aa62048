"""A look inside a few training steps: torch's profiler, with the phases of `phases.py` as its ranges."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile
from transformers import TrainerCallback

from infoagent.recipes import GRPORecipe
from infoagent.training.launch import is_main_process

WARM_UP_STEPS = 2
TABLE, TRACE = "profile.txt", "profile.json.gz"
TABLE_ROWS = 40


class ProfileCallback(TrainerCallback):
    """Records `steps` steps after WARM_UP_STEPS into the run's directory: TABLE (operators by their own time, phases
    by their whole time) and TRACE (for chrome://tracing or Perfetto)."""

    def __init__(self, output_dir: str, steps: int) -> None:
        self.directory = Path(output_dir)
        self.steps = steps
        self._profiler: Any = None
        self._left = 0
        self._begun = 0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._begun += 1
        if self._begun == WARM_UP_STEPS + 1:
            activities = [ProfilerActivity.CPU]
            if torch.cuda.is_available() and not args.use_cpu:
                activities.append(ProfilerActivity.CUDA)
            self._left = self.steps
            self._profiler = profile(activities=activities, acc_events=True)
            self._profiler.start()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._profiler is None:
            return
        self._left -= 1
        if self._left == 0:
            self.on_train_end(args, state, control)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._profiler is None:
            return
        self._profiler.stop()
        events = self._profiler.key_averages()
        by = "self_cuda_time_total" if ProfilerActivity.CUDA in self._profiler.activities else "self_cpu_time_total"
        (self.directory / TABLE).write_text(events.table(sort_by=by, row_limit=TABLE_ROWS), encoding="utf-8")
        self._profiler.export_chrome_trace(str(self.directory / TRACE))
        self._profiler = None


def profile_callbacks(recipe: GRPORecipe) -> list[TrainerCallback]:
    """One, on the main process, where the recipe asks for a profile."""
    steps = recipe.grpo.profile_steps
    return [ProfileCallback(recipe.output_dir, steps)] if steps and is_main_process() else []
