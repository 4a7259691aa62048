"""The recipes of the stages: a base recipe of configs/fit/ with the user's documents, model and lengths in it.

    base recipe  <  what the plan says  <  STAGE.key=value of the user

Nothing is computed here that a script computes: all of it ends as keys of a recipe in DIR/recipes, which the script reads
as it reads any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infoagent.applications.fit.settings import SHARED, FitSettings
from infoagent.config import apply_override
from infoagent.recipe_files import laid_over

Content = dict[str, Any]
MOST = 10**6


@dataclass(frozen=True)
class FitPlan:
    """The settings, and what the check of the documents found to be possible."""

    settings: FitSettings
    source: Content
    """`name` and `path` of the data."""
    random: int = MOST
    counterfactual: int = MOST
    """Negatives that every split has; a base recipe that asks for fewer keeps its number."""
    train_problems: int = MOST

    def warm_start(self) -> Content:
        """Stage 1: best of n, imitated."""
        base = self.settings.base("warm-start")
        changes = {
            **self._training(base, "warm-start"),
            "sampling": {"max_completion_tokens": self.settings.longest},
            "sft": {"problems_per_round": min(base["sft"]["problems_per_round"], self.train_problems)},
        }
        if self.settings.adapter is not None:
            changes["init_adapter"] = self.settings.adapter
        return self._finished("warm-start", base, changes)

    def train(self, warm_start: str | None) -> Content:
        """Stage 2: reinforcement learning from the checkpoint of stage 1 (None: it is not there yet)."""
        base = self.settings.base("train")
        changes = {
            **self._training(base, "train"),
            "reward": {"budget": self.settings.budget},
            "grpo": {"max_completion_tokens": self.settings.longest},
        }
        if warm_start is not None:
            changes["init_adapter"] = warm_start
        return self._finished("train", base, changes)

    def evaluate(self, checkpoint: str | None, tokens: int) -> Content:
        """Stage 3: the checkpoint beside its frozen self and what needs no training, BM25 cut to its mean of `tokens`."""
        base = self.settings.base("evaluate")
        lengths = {"frozen": {"max_tokens": self.settings.longest}, "BM25, cut": {"tokens": tokens}}
        changes = {
            "output_dir": str(self.settings.out / "evaluate"),
            "data": [self._data(base["data"][0], "test")],
            "negatives": self._negatives(base),
            "compressors": [
                {**c, **lengths.get(c["label"], {}), "model": self._model(c.get("model", {}))} for c in base["compressors"]
            ],
            "predictors": [self._model(predictor) for predictor in base["predictors"]],
        }
        if checkpoint is not None:
            changes["checkpoint"] = checkpoint
        return self._finished("evaluate", base, changes)

    def _training(self, base: Content, stage: str) -> Content:
        """What both trainers take. Without counterfactual documents the best checkpoint is chosen by all there are."""
        negatives = self._negatives(base)
        return {
            "output_dir": str(self.settings.out / stage),
            "model": self._model(base["model"]),
            "data": self._data(base["data"], "train"),
            "negatives": negatives,
            "validation": {} if negatives["counterfactual"] else {"metric": "objective/nats"},
        }

    def _data(self, base: Content, split: str) -> Content:
        """Word limits of the base recipe are those of its own data set and of no other."""
        kept = base if base["name"] == self.source["name"] else {key: base[key] for key in ("limit",) if key in base}
        return self.settings.overridden("data", {**kept, **self.source, "split": split})

    def _negatives(self, base: Content) -> Content:
        asked = base["negatives"]
        possible = {"random": self.random, "counterfactual": self.counterfactual}
        return self.settings.overridden("negatives", {**asked, **{kind: min(asked[kind], possible[kind]) for kind in possible}})

    def _model(self, base: Content) -> Content:
        return self.settings.overridden("model", {**base, "name": self.settings.model})

    def _finished(self, stage: str, base: Content, changes: Content) -> Content:
        """`changes` over the base recipe, in whose place the shared sections stand, and the user's own values over both."""
        content = laid_over(changes, {key: value for key, value in base.items() if key not in SHARED})
        content = {key: content[key] for key in [*base, *(key for key in content if key not in base)]}
        for override in self.settings.overrides.get(stage, ()):
            apply_override(content, override)
        return content
