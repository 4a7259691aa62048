"""The life cycle of a training run: what it resumes from, its record on disk and in W&B, its best checkpoint, its end."""

from __future__ import annotations

import sys
from pathlib import Path
from types import TracebackType
from typing import Any

from transformers import PrinterCallback, ProgressCallback

from infoagent.lm.activation import acts_from_instruction, read_without_gradient
from infoagent.lm.machine.allocator import free_memory
from infoagent.mirror import wandb_mode
from infoagent.recipes.training import TrainingRecipe
from infoagent.reward.mi_reward import MIReward
from infoagent.store import read_if_run
from infoagent.tracking import Tracker
from infoagent.training.artifacts import log_adapters
from infoagent.training.engine import check_engine, check_same_engine, settle_engine
from infoagent.training.faults import one_line_faults
from infoagent.training.frozen_scorer import base_scorer, frozen_scorer
from infoagent.training.launch import is_main_process
from infoagent.training.policy import load_to_sample, quiet_libraries
from infoagent.training.preparation import Prepared, prepare
from infoagent.training.recipe_reward import build_reward
from infoagent.training.run_directory import (
    check_same_sources,
    checkpoint_facts,
    checkpoint_step,
    find_resume_point,
    take_directory,
    write_run_file,
)
from infoagent.training.validation import ValidationCallback, describe_best, forget_later, was_measured
from infoagent.training.validation_checks import ValidationPlan, drawn_of, plan_validation
from infoagent.types import InputError


class TrainingRun:
    """Used as a context: inside it the main process holds the directory, and at its end, good or bad, W&B is told.

        run = TrainingRun(recipe, "grpo", quiet)         finds the checkpoint to go on from
        prepared = run.prepare(...)                      everything that can be wrong is found
        with run:
            run.write_run_file()                         run.json
            tracker = run.track()                        metrics.jsonl, W&B
            run_trainer(trainer, run.resume_from, ...)

    On several processes all of them make one; only the main one (`tracker` is not None) writes.
    """

    prepared: Prepared
    plan: ValidationPlan | None
    facts: dict[str, Any]
    """What the marker of every checkpoint says."""

    def __init__(self, recipe: TrainingRecipe, job_type: str, quiet: bool) -> None:
        """Raises InputError where the directory is of another recipe or script, or is to be left alone."""
        self.recipe, self.job_type, self.quiet = recipe, job_type, quiet
        wandb_mode(recipe.tracking.wandb)
        self.resolved = recipe.model_dump(mode="json")
        self.resume_from: Path | None = find_resume_point(recipe.output_dir, self.resolved, recipe.resume)
        self.steps_done = 0 if self.resume_from is None else checkpoint_step(self.resume_from)
        self.plan = None
        self.tracker: Tracker | None = None

    def prepare(self, completion_tokens: int, save_steps: int, least: tuple[str, int] = ("one step", 1)) -> Prepared:
        """The data of training and of validation, and the base. Raises InputError for whatever is wrong with them, or has
        changed since the checkpoint to go on from."""
        self.prepared = prepare(self.recipe, completion_tokens, least, quiet=self.quiet)
        self.plan = plan_validation(self.recipe, completion_tokens, save_steps, self.quiet)
        self.facts = checkpoint_facts(self.recipe, self.prepared.reference, self.prepared.data_revision)
        if self.resume_from is not None:
            check_same_sources(self.resume_from, self.facts)
        return self.prepared

    @property
    def sources(self) -> dict[str, str]:
        """What the run is made from, for its record."""
        return {"data_revision": self.prepared.data_revision, "base_revision": self.prepared.reference.revision}

    def measure_unmeasured(self) -> None:
        """Measure the checkpoint to go on from where a kill came between its marker and its measurement. Trainers do so
        themselves when they begin; this is for what begins no trainer."""
        if self.plan is None or self.resume_from is None or not is_main_process() or was_measured(self.resume_from):
            return
        reward = build_reward(self.recipe, self.prepared)
        with quiet_libraries():
            lm, _ = load_to_sample(self.recipe, self.prepared, str(self.resume_from))
            reward.scorer = base_scorer(self.recipe, lm)
        tracker = self.tracker or self.track()
        ValidationCallback(self.plan, reward, tracker, self.quiet).measure_checkpoint(lm.model, self.resume_from)
        del lm, reward
        free_memory()

    def measure_round(self, trainer: Any, reward: MIReward, checkpoint: Path) -> None:
        """Measure the `checkpoint` that a round has ended with. The base carries the adapter now, and the reward looks
        beneath it; afterwards it has no scorer, so that it holds no model while the next one loads."""
        if self.plan is not None:
            reward.scorer = frozen_scorer(self.recipe, trainer)
            ValidationCallback(self.plan, reward, self.tracker, self.quiet).measure_checkpoint(trainer.model, checkpoint)
        reward.scorer = None

    def leave(self, amount: str, advice: str) -> int:
        """The exit code of a run that has done its `amount` of work before; says so. Called inside the context."""
        self.measure_unmeasured()
        if is_main_process():
            print(f"{self.resume_from}: has all {amount} already; {advice}", file=sys.stderr)
            print(self.resume_from)
        return 0

    def __enter__(self) -> TrainingRun:
        if is_main_process():
            take_directory(self.recipe.output_dir)
            if find_resume_point(self.recipe.output_dir, self.resolved, self.recipe.resume) != self.resume_from:
                raise InputError(
                    f"output_dir {self.recipe.output_dir!r}: another process went on there while this one prepared its data; run it again"
                )
            forget_later(Path(self.recipe.output_dir), self.resume_from, None if self.plan is None else self.plan.metric)
        return self

    def write_run_file(self, **facts: Any) -> None:
        """run.json: recipe, seed, commit, versions, data revision, engine, and further `facts`. Raises InputError, in every
        process, where the run was begun by an engine whose checkpoints this one cannot go on from."""
        engine = settle_engine()
        if self.steps_done > 0:
            check_same_engine(self.recipe.output_dir, read_if_run(self.recipe.output_dir), engine)
        facts = {"processes": engine.processes, "engine": engine.name, **facts}
        if is_main_process():
            drawn = drawn_of(self.prepared, self.plan)
            write_run_file(self.recipe.output_dir, self.resolved, **self.sources, drawn=drawn, **facts)

    def track(self) -> Tracker | None:
        """Metrics to JSONL and W&B, on the main process; those of steps that will be done again are dropped."""
        if is_main_process():
            self.tracker = Tracker.of(self.recipe, self.job_type, self.steps_done or None)
        return self.tracker

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        if self.tracker is None:
            return
        failed = True
        try:
            if error is None:
                log_adapters(self.tracker, self.recipe)
                failed = False
        finally:
            self.tracker.finish(exit_code=int(failed))
        if not failed and self.plan is not None:
            print(describe_best(self.recipe.output_dir), file=sys.stderr)


def run_trainer(trainer: Any, resume_from: Path | None, learning_rate: str) -> None:
    """Train, from a checkpoint if one is given, on the engine that was asked for and under one bar: ours. What can go
    wrong on the way becomes RunFailed, a line that names the setting `learning_rate` where that is the remedy."""
    check_engine(trainer, settle_engine())
    if acts_from_instruction(trainer.model):
        read_without_gradient(trainer.model)
    for printer in (ProgressCallback, PrinterCallback):
        trainer.remove_callback(printer)
    if resume_from is not None and is_main_process():
        print(f"resuming from {resume_from}", file=sys.stderr)
    with one_line_faults(learning_rate):
        trainer.train(resume_from_checkpoint=None if resume_from is None else str(resume_from))
