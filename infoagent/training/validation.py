"""Validation at checkpoints, and which checkpoint is the best.

The policy compresses the validation problems, the frozen scorer of training scores them, and the values go to
metrics.jsonl as `validation/...`. Nothing of it may touch the training: all random states are put back, so that a
run with validation takes the same steps as one without, and a resumed run the same as an unbroken one.

A checkpoint is measured after its marker is written. Killed in between, the run goes on from that checkpoint and
measures it then; a run that has come to its end measures its last one when it is called again.

Where the scorer fails on more of them than reward.max_failed_share, the run ends and nothing is kept of the measurement.
"""

from __future__ import annotations

import logging
import math
import random
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import TrainerCallback

from infoagent.files import write_json
from infoagent.lm.generation import generate
from infoagent.lm.models import LoadedModel
from infoagent.pricing.parts import Price
from infoagent.progress import Progress
from infoagent.reward.metrics import ScoredCompression, summarise
from infoagent.reward.mi_reward import MIReward
from infoagent.tracking import Tracker, known_metric
from infoagent.training.model_card import write_card
from infoagent.training.run_directory import BEST_FILE, checkpoint_step, complete_checkpoints, read_best
from infoagent.training.validation_checks import LOWER_IS_BETTER, ValidationPlan

PREFIX = "validation/"
logger = logging.getLogger(__name__)


class ValidationCallback(TrainerCallback):
    """Measures checkpoints and keeps best.json. Stands behind RunCallback, which marks a checkpoint complete.

    `reward` is that of training: its scorer and its settings hold here as well, under a price that does not move.
    On several processes the main one (which has the tracker) measures and the others wait.
    """

    def __init__(self, plan: ValidationPlan, reward: MIReward, tracker: Tracker | None, quiet: bool = False) -> None:
        self.plan = plan
        self.reward = reward
        self.tracker = tracker
        self.quiet = quiet

    def on_train_begin(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        """Measure the checkpoint that the trainer starts from if nobody did."""
        if state.global_step > 0:
            self.on_save(args, state, control, model)

    def on_save(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        if state.global_step % self.plan.every and state.global_step != state.max_steps:
            return
        self.measure_checkpoint(model, Path(args.output_dir) / f"checkpoint-{state.global_step}")
        if torch.distributed.is_initialized():
            torch.distributed.barrier()  # nobody steps on while the main process still reads the weights

    def measure_checkpoint(self, model: Any, checkpoint: Path) -> None:
        """Measure `model`, whose weights `checkpoint` holds; log it, name the best, unless it was measured before."""
        directory, step = checkpoint.parent, checkpoint_step(checkpoint)
        if self.tracker is None or was_measured(checkpoint):
            return
        metrics = self.measure(model)
        logger.info("%s was measured: %s", checkpoint, metrics)
        self.tracker.log(step, {known_metric(PREFIX + name): value for name, value in metrics.items()})
        write_best(directory, self.plan.metric, [*_history(directory), {"step": step, **metrics}])
        write_card(checkpoint)  # now with the validation

    def measure(self, model: Any) -> dict[str, float]:
        """Metrics of the current policy on the validation problems, under the house's names."""
        with _undisturbed(model):
            return self._measure(model)

    def _measure(self, model: Any) -> dict[str, float]:
        plan = self.plan
        price = replace(self.reward.price, price=plan.price)
        reward = replace(self.reward, problems=plan.prepared.problems, negatives=plan.prepared.negatives, price=price, last=[])
        lm = LoadedModel(plan.prepared.reference, model, plan.prepared.tokenizer, str(model.dtype).split(".")[-1])
        indices = range(len(plan.prepared.problems))
        scored: list[ScoredCompression] = []
        with Progress(len(indices), "validation", "problem", self.quiet, leave=False) as bar:
            for start in range(0, len(indices), plan.batch_size):
                batch = indices[start : start + plan.batch_size]
                compressions = generate(
                    lm,
                    [plan.prompts[i] for i in batch],
                    [plan.prepared.problems[i].id for i in batch],
                    plan.max_tokens,
                    plan.temperature,
                    plan.seed + start,
                )
                for index, compression in zip(batch, compressions, strict=True):
                    scored += reward.score(index, [compression], plan.budgets[index])
                    reward.count_failures(scored[-1:])  # of a handful no checkpoint may become the best
                    bar.update()
        return validation_metrics(scored, price, reward.candidates(0))


def validation_metrics(scored: Sequence[ScoredCompression], price: Price, candidates: int) -> dict[str, float]:
    """The metrics of a training step, and `objective/...`: mean of MI − price · rate in nats.

    A gated text (empty, looping) counts in the objective as `gate_nats`, as it does in the reward: left out, a policy
    that falls silent on hard documents would look better.
    """
    metrics = summarise(scored, price, candidates)
    known = [s for s in scored if s.failed is None]  # the others are counted in reward/failed
    for name, values in (("objective/nats", [s.mi_nats for s in known]), ("objective/hard_nats", [s.hard_nats for s in known])):
        worth = [price.gate_nats if s.gated else value - price.price * s.rate for s, value in zip(known, values, strict=True)]
        if worth and not any(math.isnan(w) for w in worth):  # NaN: there are no negatives of that kind
            metrics[name] = float(np.mean(worth))
    return metrics


def write_best(directory: Path, metric: str, history: Sequence[Mapping[str, Any]]) -> None:
    """best.json: the checkpoint, its step, the metric and its value, and every measurement so far.

    Only a checkpoint that is still there can be the best. Of equal ones the earlier is taken.
    """
    there = {checkpoint_step(d): d.name for d in complete_checkpoints(directory)}
    candidates = [row for row in history if row["step"] in there and metric in row]
    content: dict[str, Any] = {"metric": metric, "better": "lower" if metric in LOWER_IS_BETTER else "higher"}
    if candidates:
        sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
        best = max(candidates, key=lambda row: (sign * row[metric], -row["step"]))
        content = {"checkpoint": there[best["step"]], "step": best["step"], "value": best[metric], **content}
    elif not history and not (directory / BEST_FILE).is_file():
        return
    write_json(directory / BEST_FILE, {**content, "history": list(history)})


def forget_later(directory: Path, last: Path | None, metric: str | None) -> None:
    """Drop from best.json what was measured after the checkpoint `last`, which a run goes on from: those steps are taken
    anew, and a value of the weights before would stand for the new ones. `metric`: of the run; None: it measures nothing."""
    best = read_best(directory, with_checkpoint=False)
    if best is None:
        return
    step = 0 if last is None else checkpoint_step(last)
    write_best(directory, metric or best["metric"], [row for row in best["history"] if row["step"] <= step])


def validation_callbacks(
    plan: ValidationPlan | None, reward: MIReward, tracker: Tracker | None, quiet: bool
) -> list[TrainerCallback]:
    """The callback of a plan; none without one."""
    return [] if plan is None else [ValidationCallback(plan, reward, tracker, quiet)]


def was_measured(checkpoint: Path) -> bool:
    """Does best.json hold a measurement of the checkpoint?"""
    return checkpoint_step(checkpoint) in [row["step"] for row in _history(checkpoint.parent)]


def describe_best(output_dir: str | Path) -> str:
    """One line about the best checkpoint."""
    best = read_best(output_dir)
    if best is None:
        return f"validation: no checkpoint of {output_dir} could be measured by the metric of the recipe"
    return (
        f"best of {len(best['history'])} checkpoints by validation, {best['metric']} = {best['value']:.4g}: "
        f"{output_dir}/{best['checkpoint']}"
    )


def _history(directory: Path) -> list[dict[str, Any]]:
    best = read_best(directory, with_checkpoint=False)
    return [] if best is None else list(best["history"])


@contextmanager
def _undisturbed(model: Any) -> Iterator[None]:
    """Evaluation mode, and afterwards the mode and every random state as they were."""
    was_training = model.training
    states = random.getstate(), np.random.get_state(), torch.get_rng_state()  # noqa: NPY002
    cuda = torch.cuda.get_rng_state_all() if torch.cuda.is_available() else None
    mps = torch.mps.get_rng_state() if torch.backends.mps.is_available() else None
    model.eval()
    try:
        yield
    finally:
        model.train(was_training)
        random.setstate(states[0])
        np.random.set_state(states[1])  # noqa: NPY002
        torch.set_rng_state(states[2])
        if cuda is not None:
            torch.cuda.set_rng_state_all(cuda)
        if mps is not None:
            torch.mps.set_rng_state(mps)
