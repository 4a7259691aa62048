"""What happens around a step of train/sft.py and train/dpo.py: metrics, progress, checkpoint markers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from infoagent.progress import Progress
from infoagent.tracking import Tracker, known_metric
from infoagent.training.callbacks import step_metrics
from infoagent.training.faults import check_finite, check_finite_weights
from infoagent.training.model_card import write_card
from infoagent.training.run_directory import mark_complete

LEARNING_RATE = "the learning_rate"
PREFERENCE_NAMES = {
    "rewards/margins": "preference/margin_nats",
    "rewards/accuracies": "preference/accuracy",
    "rewards/chosen": "preference/chosen_nats",
    "rewards/rejected": "preference/rejected_nats",
}


class FitCallback(TrainerCallback):
    """Logs, shows and marks the steps of one fit.

    `offset` steps were done by earlier rounds: metrics and markers count on from there. `first` are metrics of what
    the fit was made from; they stand in the line of its first step. `facts` go into every marker.
    """

    def __init__(
        self,
        tracker: Tracker,
        title: str,
        facts: Mapping[str, Any],
        first: Mapping[str, float],
        offset: int = 0,
        quiet: bool = False,
    ) -> None:
        self.tracker = tracker
        self.title = title
        self.facts = dict(facts)
        self.first = dict(first)
        self.offset = offset
        self.quiet = quiet
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar = Progress(state.max_steps, self.title, "step", self.quiet, initial=state.global_step)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs is None or "loss" not in logs:  # the summary after the last step
            return
        step = self.offset + state.global_step
        check_finite(step, logs, LEARNING_RATE)
        metrics = step_metrics(logs) | {ours: logs[name] for name, ours in PREFERENCE_NAMES.items() if name in logs}
        if state.global_step == 1:
            metrics = {**{known_metric(name): value for name, value in self.first.items()}, **metrics}
        self.tracker.log(step, metrics)
        self._bar.note(loss=f"{logs['loss']:.3f}")
        self._bar.update(state.global_step - self._bar.n)

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        step = self.offset + state.global_step
        check_finite_weights(step, model)
        checkpoint, facts = Path(args.output_dir) / f"checkpoint-{state.global_step}", {**self.facts, "step": step}
        write_card(checkpoint, facts=facts)
        mark_complete(checkpoint, **facts)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._bar.close()
