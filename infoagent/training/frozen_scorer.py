"""The frozen scorer of a training run: the policy's own base beneath the adapter, a named model, or a server."""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Iterator
from typing import Any

from infoagent.lm.models import LoadedModel, find_model, frozen, load_weights
from infoagent.lm.scoring.client import HttpScorer
from infoagent.lm.scoring.columns import ColumnScorer
from infoagent.lm.scoring.exact import Scorer
from infoagent.recipes.sections import ModelSection, ScorerSection
from infoagent.recipes.training import TrainingRecipe
from infoagent.types import RunFailed

logger = logging.getLogger(__name__)

FIRST_PROCESS_READS = "FSDP_CPU_RAM_EFFICIENT_LOADING"
"""Accelerate's switch by which the first process of a machine reads weights and all others hold zeros until the model is wrapped."""


def frozen_scorer(recipe: TrainingRecipe, trainer: Any) -> ColumnScorer:
    """Who scores compressions in training: the policy's own base, the model that the recipe names, or a server.

    Never the moving policy: it would learn to write what only it can read. Where the policy's weights are sharded
    over processes (ZeRO-3, FSDP), the base cannot run a forward pass of its own, and every process gets a full copy
    unless the scorer is served.
    """
    if recipe.scorer.url is not None:
        return served_scorer(recipe.scorer)
    named = recipe.scorer.model
    if named is None and not is_sharded(trainer):
        policy = trainer.accelerator.unwrap_model(trainer.model)
        return Scorer(policy, recipe.scorer.memory_mib, base_only=True, remember=recipe.scorer.remember)
    if named is None:
        logger.info("the policy is sharded over processes: loading a full copy of the base as the scorer")
    with _unsharded(trainer):
        model = _frozen(named or recipe.model, str(trainer.accelerator.device))
    return Scorer(model, recipe.scorer.memory_mib, remember=recipe.scorer.remember)


def base_scorer(recipe: TrainingRecipe, lm: LoadedModel) -> ColumnScorer:
    """The same beside a policy that is not in a trainer yet."""
    if recipe.scorer.url is not None:
        return served_scorer(recipe.scorer)
    if recipe.scorer.model is None:
        return Scorer(lm.model, recipe.scorer.memory_mib, base_only=lm.adapter is not None, remember=recipe.scorer.remember)
    return Scorer(_frozen(recipe.scorer.model), recipe.scorer.memory_mib, remember=recipe.scorer.remember)


def _frozen(section: ModelSection, device: str | None = None) -> Any:
    """The model. Raises RunFailed where its weights are not here: what an empty model scores is no value."""
    model = load_weights(find_model(frozen(section)).reference, section.dtype, device).requires_grad_(False)
    if not any(bool(weight.any()) for weight in model.parameters()):  # the first one answers, as a rule
        raise RunFailed(
            f"the scorer {section.name!r}: all of its weights are zero or elsewhere in this process; serve it (scorer.url)"
        )
    return model


def served_scorer(section: ScorerSection) -> HttpScorer:
    assert section.url is not None
    return HttpScorer(section.url, section.patience_seconds, section.remember)


@contextlib.contextmanager
def _unsharded(trainer: Any) -> Iterator[None]:
    """Under ZeRO-3 transformers shards whatever it loads, under FSDP it may read weights in one process of a machine alone,
    since wrapping will send them to the others; the scorer is never wrapped and must be whole on every process."""
    before = os.environ.get(FIRST_PROCESS_READS)
    if trainer.is_fsdp_enabled:
        os.environ[FIRST_PROCESS_READS] = "false"
    try:
        with _without_zero3(trainer.accelerator.state.deepspeed_plugin):
            yield
    finally:
        if before is not None:
            os.environ[FIRST_PROCESS_READS] = before
        elif trainer.is_fsdp_enabled:
            del os.environ[FIRST_PROCESS_READS]


@contextlib.contextmanager
def _without_zero3(plugin: Any) -> Iterator[None]:
    if plugin is None or plugin.zero_stage != 3:
        yield
        return
    from transformers.integrations.deepspeed import unset_hf_deepspeed_config

    unset_hf_deepspeed_config()
    try:
        yield
    finally:
        plugin.set_deepspeed_weakref()


def is_sharded(trainer: Any) -> bool:
    accelerator = trainer.accelerator
    plugin = accelerator.state.deepspeed_plugin
    return bool(trainer.is_fsdp_enabled or (plugin is not None and plugin.zero_stage == 3))
