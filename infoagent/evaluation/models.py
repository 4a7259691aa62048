"""The models of an evaluation, each base loaded once and shared by compressors, scorer and predictors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infoagent.lm import models
from infoagent.lm.models import LoadedModel, check_adapter
from infoagent.lm.scoring import Scorer
from infoagent.recipes import ModelSection


@dataclass(frozen=True)
class Judge:
    """A scorer with the tokenizer of its model."""

    scorer: Scorer
    tokenizer: Any


class ModelPool:
    """Loads on demand. A base that carries an adapter still serves as the frozen base, with the adapter disabled."""

    def __init__(self, memory_mib: int) -> None:
        self.memory_mib = memory_mib
        self._loaded: dict[tuple[str, str | None, str], LoadedModel] = {}
        self._judges: dict[tuple[int, bool], Judge] = {}

    def get(self, section: ModelSection) -> LoadedModel:
        """The model with exactly the adapter of `section`."""
        key = (section.name, section.revision, section.dtype)
        held = self._loaded.get(key)
        if held is None:
            held = models.load(section.name, section.revision, section.dtype, section.adapter)
        elif held.adapter != section.adapter:
            held = _change_adapter(held, section)
            self._judges.clear()
        self._loaded[key] = held
        return held

    def judge(self, section: ModelSection) -> Judge:
        """Who scores: the frozen base where `section` names no adapter, whatever adapter the base carries now."""
        key = (section.name, section.revision, section.dtype)
        held = self._loaded.get(key) if section.adapter is None else None
        held = held or self.get(section)
        base_only = held.adapter is not None and section.adapter is None
        name = (id(held.model), base_only)  # one scorer for each, since it checks its first cell
        if name not in self._judges:
            self._judges[name] = Judge(Scorer(held.model, self.memory_mib, base_only), held.tokenizer)
        return self._judges[name]


def _change_adapter(held: LoadedModel, section: ModelSection) -> LoadedModel:
    from peft import PeftModel

    base: Any = held.model.unload() if held.adapter is not None else held.model
    if section.adapter is not None:
        check_adapter(section.adapter, section.name)
        base = PeftModel.from_pretrained(base, section.adapter)
    return LoadedModel(held.reference, base.eval(), held.tokenizer, held.dtype, section.adapter)
