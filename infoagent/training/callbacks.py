"""What happens around a training step: metrics, progress, samples, checkpoint markers."""

from __future__ import annotations

import math
import resource
import shutil
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from infoagent.progress import Progress, say
from infoagent.recipes import GRPORecipe
from infoagent.reward.mi_reward import MIReward
from infoagent.tracking import Tracker, known_metric, known_metrics
from infoagent.training.estimate import describe_rest
from infoagent.training.faults import check_finite, check_finite_weights
from infoagent.training.model_card import write_card
from infoagent.training.price_control import PriceControl, mean_over_processes
from infoagent.training.run_directory import mark_complete, superfluous_checkpoints

TRAINER_NAMES = {
    "loss": "train/loss",
    "grad_norm": "train/grad_norm",
    "learning_rate": "train/learning_rate",
    "kl": "train/kl",
    "entropy": "train/entropy",
    "reward_std": "train/reward_std",
    "step_time": "train/step_seconds",
    "sampling/sampling_logp_difference/mean": "train/sampler_difference_nats",
}
SAMPLE_ROWS = 4
GIB = 2**30


def step_metrics(logs: dict[str, Any]) -> dict[str, float]:
    """The trainer's log line under the house's names. A value that is missing or NaN stays out of the line, and so do the
    trainer's own names. Raises ValueError for a name of ours that is described nowhere."""
    known = known_metrics()
    ours = {name.split("/")[0] + "/" for name in known}
    named = {known_metric(name): logs[name] for name in logs if name in known or name.startswith(tuple(ours))}
    named |= {ours: logs[theirs] for theirs, ours in TRAINER_NAMES.items() if theirs in logs}
    metrics = {name: float(value) for name, value in named.items() if value is not None and not math.isnan(value)}
    if metrics.get("train/step_seconds") and "scorer/seconds" in metrics:
        metrics["scorer/share_of_step"] = metrics["scorer/seconds"] / metrics["train/step_seconds"]
    return metrics


class RunCallback(TrainerCallback):
    """Logs, shows and marks, on the main process; moves the price, on all of them."""

    def __init__(
        self,
        tracker: Tracker | None,
        reward: MIReward,
        control: PriceControl,
        facts: dict[str, Any],
        recipe: GRPORecipe,
        quiet: bool,
    ) -> None:
        self.tracker = tracker
        self.reward = reward
        self.control = control
        self.facts = facts
        self.recipe = recipe
        self.samples_every = recipe.tracking.samples_every
        self.keep = recipe.grpo.save_total_limit
        self.quiet = quiet
        self._bar: Any = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self.tracker is not None:
            if not self.quiet:
                say(f"{self.recipe.output_dir}: {describe_rest(self.recipe, self.reward.problems, state.global_step)}")
            self._bar = Progress(state.max_steps, "GRPO", "step", self.quiet, initial=state.global_step)

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """On every process: the price follows the mean length of all of them."""
        self.control.update(mean_over_processes([s.rate for s in self.reward.last]))
        self.reward.price = replace(self.reward.price, price=self.control.price)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs is not None:
            check_finite(state.global_step, logs)
        if self.tracker is None or logs is None or "reward" not in logs:
            return
        metrics = step_metrics(logs) | {"memory/peak_gib": peak_memory_gib()}
        self.tracker.log(state.global_step, metrics)
        if state.global_step == 1 or state.global_step % self.samples_every == 0:
            self.tracker.samples(state.global_step, sample_rows(self.reward))
        self._bar.note(
            reward=f"{metrics.get('reward/total', math.nan):.2f}",
            mi=f"{metrics.get('mi/nats', math.nan):.2f}",
            tokens=f"{metrics['rate/tokens']:.0f}",
        )
        self._bar.update(state.global_step - self._bar.n)

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        check_finite_weights(state.global_step, model)
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # other processes may still be writing their part of the checkpoint
        if self.tracker is not None:
            checkpoint = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            self.control.save(checkpoint)
            facts = {**self.facts, "step": state.global_step}
            write_card(checkpoint, facts=facts)
            mark_complete(checkpoint, **facts)
            if self.keep is not None:  # only now that the new one is complete may an old one go
                for old in superfluous_checkpoints(args.output_dir, self.keep):
                    shutil.rmtree(old)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        if self._bar is not None:
            self._bar.close()


def peak_memory_gib() -> float:
    """Most memory that this process has held so far, in GiB: torch's on a GPU, else the resident set."""
    if torch.cuda.is_initialized():
        return torch.cuda.max_memory_allocated() / GIB
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak * (1 if sys.platform == "darwin" else 1024) / GIB


def sample_rows(reward: MIReward) -> list[dict[str, Any]]:
    """The first compressions of the last step, with what they were worth."""
    return [
        {
            "problem": s.problem.id,
            "query": s.problem.query,
            "answer": s.problem.answer or "",
            "compression": s.compression.text,
            "tokens": s.compression.rate_tokens,
            "mi_nats": None if s.gated or s.failed else round(s.mi_nats, 4),
            "reward": None if s.reward is None else round(s.reward, 4),
            "finish": s.compression.finish,
            **({"failed": s.failed} if s.failed else {}),
            **({"budget": s.budget} if s.budget is not None else {}),
        }
        for s in reward.last[:SAMPLE_ROWS]
    ]
