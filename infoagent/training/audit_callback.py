"""Watching a training run for hacks: does information still answer questions, and which flags does the run raise.

The measures of the texts are metrics like any other (infoagent.reward.summarise). Here are the two things that a step
alone cannot say: how often the frozen base answers right from the compressions, and how the run changes. Neither draws
a random number, so a run with the audit takes the same steps as one without.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import TrainerCallback

from infoagent.audit import Flag, FlagHistory
from infoagent.files import read_jsonl, write_json
from infoagent.lm.answering import answer_log_probs
from infoagent.progress import say
from infoagent.recipes import GRPORecipe
from infoagent.reward.metrics import ScoredCompression
from infoagent.reward.mi_reward import MIReward
from infoagent.reward.scoring import SCORER_FAULTS
from infoagent.tracking import METRICS_FILE
from infoagent.training.callbacks import step_metrics
from infoagent.training.candidates import Key, key_of
from infoagent.types import Problem

logger = logging.getLogger(__name__)

AUDIT_FILE = "audit.json"


class AccuracyProbe:
    """Accuracy of the reward's frozen scorer as a reader: the choice of highest log p(choice | z, q), at step 1 and
    every `every` steps, over the compressions of this process; at step 1 also without any notes (closed book).

    An observer of MIReward. Chance is 1 / choices; a model that reads badly answers badly whatever z says, so compare
    with the accuracy from the whole document (eval/frozen.py) before judging the level.
    """

    def __init__(self, reward: MIReward, every: int, closed_book: int = 32) -> None:
        self.reward = reward
        self.every = every
        self.closed_book = closed_book

    def __call__(self, scored: Sequence[ScoredCompression], step: int) -> dict[str, float]:
        """{audit/accuracy, audit/closed_book}, as far as they fall due and can be measured. `step` counts from 1.

        Where the scorer fails (values that are not finite, no answer) the metric is left out, and the log says so.
        """
        if step != 1 and step % self.every:
            return {}
        try:
            metrics = self._accuracy("audit/accuracy", [(s.problem, s.compression.text) for s in scored])
            if step == 1:
                asked = [p for p in self.reward.problems if p.choices][: self.closed_book]
                metrics |= self._accuracy("audit/closed_book", [(p, "") for p in asked])
        except SCORER_FAULTS as error:
            logger.warning("step %d: accuracy was not measured: %s", step, error)
            return {}
        return metrics

    def _accuracy(self, name: str, notes: Sequence[tuple[Problem, str]]) -> dict[str, float]:
        of_problem: dict[Key, tuple[Problem, list[str]]] = {}
        for problem, note in notes:
            if problem.choices and problem.answer is not None:
                of_problem.setdefault(key_of(problem), (problem, []))[1].append(note)
        right = total = 0
        for problem, texts in of_problem.values():  # the notes on one question go through the scorer together
            assert self.reward.scorer is not None
            assert problem.answer is not None
            log_probs = answer_log_probs(
                self.reward.scorer, self.reward.tokenizer, texts, problem.query, problem.choices
            )  # (notes, choices)
            right += int((log_probs.argmax(axis=1) == problem.choices.index(problem.answer)).sum())
            total += len(texts)
        return {name: right / total} if total else {}


class AuditCallback(TrainerCallback):
    """Keeps the history of the metrics, says a flag on stderr when it first appears, and writes audit.json."""

    def __init__(self, output_dir: str | Path, hard_ceiling_nats: float | None = None) -> None:
        self.directory = Path(output_dir)
        self.hard_ceiling_nats = hard_ceiling_nats
        self.history = FlagHistory(hard_ceiling_nats)

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Read the steps that are done already; their flags have been said."""
        self.history = FlagHistory(self.hard_ceiling_nats)
        metrics = self.directory / METRICS_FILE
        if state.global_step > 0 and metrics.is_file():
            for row in read_jsonl(metrics):
                if "rate/tokens" in row and row["step"] <= state.global_step:
                    self.history.add(row)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **_: Any) -> None:
        if logs is None or "reward" not in logs:
            return
        for flag in self.history.add({"step": state.global_step, **step_metrics(logs)}):
            say(flag_line(flag, state.global_step))
        write_json(self.directory / AUDIT_FILE, self.history.to_dict())


def flag_line(flag: Flag, step: int) -> str:
    return f"audit, step {step}, {flag.severity} {flag.name}: {flag.sentence}"


def audit_callbacks(recipe: GRPORecipe, reward: MIReward, is_main: bool) -> list[TrainerCallback]:
    """Hook the audit into `reward` on every process; returns the callbacks of this process, to stand behind
    RunCallback. Nothing if the recipe switches the audit off."""
    if not recipe.audit.enabled:
        return []
    reward.observers.append(AccuracyProbe(reward, recipe.audit.every, recipe.audit.closed_book))
    hard = recipe.negatives.hard
    return [AuditCallback(recipe.output_dir, math.log(1 + hard) if hard else None)] if is_main else []
