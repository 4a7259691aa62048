"""The models of an evaluation, each base loaded once and shared by compressors, scorer and predictors."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any

from infoagent.costs import Architecture
from infoagent.evaluation.engines import EnginePool
from infoagent.lm import models
from infoagent.lm.adapter_fit import attach, check_fit
from infoagent.lm.adapters import check_adapter, needs_own_base
from infoagent.lm.generation import generate
from infoagent.lm.models import LoadedModel, find_model, frozen
from infoagent.lm.reference import pinned
from infoagent.lm.scoring.columns import ColumnScorer
from infoagent.lm.scoring.exact import Scorer
from infoagent.lm.sizes import architecture_of
from infoagent.lm.vllm.generation import ServedModel, generate_served
from infoagent.lm.vllm.scoring import VllmScorer
from infoagent.phases import PhaseTimes
from infoagent.recipes import ModelSection
from infoagent.types import Compression, InputError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class ModelScorer:
    """A scorer with the tokenizer of its model."""

    scorer: ColumnScorer
    tokenizer: Any


@dataclass
class _Base:
    """Weights in memory, with the adapters that were put on them so far."""

    lm: LoadedModel
    adapters: dict[str, str] = field(default_factory=dict)
    """Path → name inside PEFT."""


class ModelPool:
    """Loads on demand. A base carries all its adapters at once; which of them acts, if any, is set on each `get`. Only
    an adapter that swaps whole modules of the base has a base of its own."""

    def __init__(self, memory_mib: int, times: PhaseTimes | None = None, engines: EnginePool | None = None) -> None:
        self.memory_mib = memory_mib
        self.engines = engines
        """Who has what runs in vLLM."""
        self.times = times or PhaseTimes()
        """Who works with the models says here what for."""
        self._bases: dict[tuple[str, str | None, str, str | None], _Base] = {}
        self._scorers: dict[tuple[int, str | None], ModelScorer] = {}
        self._tokenizers: dict[tuple[str, str | None], Any] = {}
        self._architectures: dict[tuple[str, str | None], Architecture | None] = {}

    def get(self, section: ModelSection) -> LoadedModel:
        """The model with exactly the adapter of `section`, to be used before the next call."""
        path = section.adapter
        if path is not None:  # before any weights are read
            check_fit(path, pinned(find_model(frozen(section)).reference))
        base = self._base(section)
        if path is None:
            if base.adapters:
                base.lm.model.base_model.disable_adapter_layers()
                base.lm.model._adapters_disabled = True  # what PEFT's own context manager reads
            return replace(base.lm, adapter=None)
        if path not in base.adapters:
            _add_adapter(base, section, path)
        base.lm.model.base_model.enable_adapter_layers()
        base.lm.model._adapters_disabled = False
        base.lm.model.set_adapter(base.adapters[path])
        return replace(base.lm, adapter=path)

    def writer(self, section: ModelSection, engine: str = "hf") -> Callable[..., list[Compression]]:
        """`generate` of the model in transformers or in vLLM, to be used before the next call."""
        if engine == "hf":
            return partial(generate, self.get(section))
        assert self.engines is not None
        return partial(generate_served, ServedModel(self.engines.get(section), self.tokenizer(section), section.adapter))

    def scorer(self, section: ModelSection, engine: str = "hf") -> ModelScorer:
        """Who scores: the frozen base where `section` names no adapter, whatever adapters the base carries."""
        if engine == "vllm":
            assert self.engines is not None
            return ModelScorer(VllmScorer(self.engines.get(section), section.adapter), self.tokenizer(section))
        lm = self.get(section)
        carries = bool(self._base(section).adapters)
        name = (id(lm.model), section.adapter)  # one scorer for each, since it checks its first cell
        if name not in self._scorers:
            base_only = carries and section.adapter is None
            self._scorers[name] = ModelScorer(Scorer(lm.model, self.memory_mib, base_only), lm.tokenizer)
        return self._scorers[name]

    def tokenizer(self, section: ModelSection) -> Any:
        """Without the weights."""
        key = (section.name, section.revision)
        if key not in self._tokenizers:
            self._tokenizers[key] = find_model(frozen(section)).tokenizer
        return self._tokenizers[key]

    def architecture(self, section: ModelSection) -> Architecture | None:
        """Its sizes, for costs; None where its configuration is of a kind that has no formula here."""
        key = (section.name, section.revision)
        if key not in self._architectures:
            try:
                self._architectures[key] = architecture_of(*key)
            except InputError as error:
                logger.warning("no FLOPs for %s: %s", section.name, error)
                self._architectures[key] = None
        return self._architectures[key]

    def _base(self, section: ModelSection) -> _Base:
        alone = section.adapter if section.adapter is not None and needs_own_base(section.adapter) else None
        key = (section.name, section.revision, section.dtype, alone)
        if key not in self._bases:
            with self.times("load"):
                self._bases[key] = _Base(models.load(section.name, section.revision, section.dtype))
            logger.info("loaded %s in %s", section.name, section.dtype)
        return self._bases[key]


def _add_adapter(base: _Base, section: ModelSection, path: str) -> None:
    check_adapter(path, section.name)
    name = f"adapter{len(base.adapters)}"
    base.lm.model = attach(base.lm.model, path, base.lm.reference, name)
    base.adapters[path] = name
