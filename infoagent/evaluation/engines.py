"""The vLLM engines of an evaluation: one for each base, with all adapters that its grid will ask for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infoagent.evaluation.cells import Cell
from infoagent.lm.models import find_model, frozen
from infoagent.lm.reference import load_tokenizer, pinned
from infoagent.lm.vllm.check import check_engine_values, expected_values
from infoagent.lm.vllm.engine import VllmEngine
from infoagent.phases import PhaseTimes
from infoagent.recipes import EvaluationRecipe, ModelSection
from infoagent.recipes.evaluation import ServedSection

Key = tuple[str, str | None, str]


class EnginePool:
    """Starts an engine when it is first asked for, and checks it against transformers. They all stay until `close`."""

    def __init__(self, sections: Sequence[ModelSection], settings: ServedSection, times: PhaseTimes) -> None:
        self.settings = settings
        self.times = times
        self._adapters: dict[Key, list[str]] = {}
        for section in sections:
            adapters = self._adapters.setdefault(_key(section), [])
            if section.adapter is not None and section.adapter not in adapters:
                adapters.append(section.adapter)
        self._engines: dict[Key, VllmEngine] = {}

    def get(self, section: ModelSection) -> VllmEngine:
        """The engine that serves the base of `section`. Raises RunFailed where it does not start, or disagrees."""
        key = _key(section)
        if key not in self._engines:
            with self.times("load"):
                self._start(section, key)
        return self._engines[key]

    def _start(self, section: ModelSection, key: Key) -> None:
        adapters = self._adapters[key]
        reference = pinned(find_model(frozen(section)).reference)
        tokenizer, expected = load_tokenizer(reference), {}
        if self.settings.self_check:  # before the engine takes its memory
            expected = expected_values(reference, section.dtype, tokenizer, adapters)
        options: dict[str, Any] = self.settings.model_dump(exclude={"self_check"})
        self._engines[key] = VllmEngine(reference, section.dtype, adapters, **options)
        check_engine_values(self._engines[key], tokenizer, expected, section.dtype)

    def close(self) -> None:
        """End all engines, which hold memory until then."""
        while self._engines:
            self._engines.popitem()[1].close()


def served_sections(recipe: EvaluationRecipe, cells: Sequence[Cell]) -> list[ModelSection]:
    """Every model that vLLM will be asked for, with its adapter."""
    predictors = [*recipe.predictors, *([recipe.grading.judge] if recipe.grading.judge else [])]
    compressors = [cell.compressor.model for cell in cells if cell.engine == "vllm"]
    return [*compressors, *(p.model for p in predictors if p.kind == "vllm")]


def _key(section: ModelSection) -> Key:
    return section.name, section.revision, section.dtype
