"""Models by name: embedded, hub id, local directory or GGUF file, each with its own tokenizer and chat template.

`resolve` and `load_tokenizer` are cheap and import no torch model; `load` brings the weights.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from infoagent.files import read_json
from infoagent.lm.adapters import ADAPTER_SETTINGS, ADAPTER_WEIGHTS, RECORD_FILE, check_adapter, is_adapter, read_record
from infoagent.lm.embedded import EMBEDDED, prepare
from infoagent.lm.gguf import is_gguf
from infoagent.lm.gguf.conversion import gguf_file, prepare_file
from infoagent.lm.identity import MARK, SOURCE_FILE, directory_revision, prompt_hash
from infoagent.lm.machine.allocator import keep_freed_memory
from infoagent.lm.machine.device import default_device, settle_deepspeed
from infoagent.lm.machine.dtype import resolve as resolve_dtype
from infoagent.lm.machine.dtype import say_notes
from infoagent.lm.pretrained import check_readable, read_weights
from infoagent.lm.prompts import names_question
from infoagent.lm.reference import ModelReference, hub_revision, load_config, load_tokenizer, pinned, record_identity
from infoagent.recipes.sections import ModelSection
from infoagent.types import AUTO, InputError

UNLIMITED = 2**31


@dataclass(frozen=True)
class FoundModel:
    """The base and the adapter of a model section, there and fitting by name. Reads what is asked for, once; no weights."""

    reference: ModelReference
    adapter: str | None = None

    @cached_property
    def tokenizer(self) -> Any:
        return load_tokenizer(self.reference)

    @cached_property
    def config(self) -> Any:
        return load_config(self.reference)

    @property
    def context_tokens(self) -> int:
        return context_tokens(self.config)

    @property
    def pinned(self) -> FoundModel:
        return replace(self, reference=pinned(self.reference))

    @property
    def revision(self) -> str:
        return record_identity(self.reference)

    @property
    def adapter_revision(self) -> str | None:
        return None if self.adapter is None else adapter_revision(self.adapter)

    @property
    def identity(self) -> dict[str, str | None]:
        """What decides a text beside the section: the weights, and those of the adapter."""
        return {"revision": self.revision, "adapter_revision": self.adapter_revision}


def find_model(section: ModelSection) -> FoundModel:
    """Raises InputError where the model is not there, or its adapter is none of this model."""
    return find_by_name(section.name, section.revision, section.adapter)


def find_by_name(name: str, revision: str | None = None, adapter: str | None = None) -> FoundModel:
    """The same of what no recipe names."""
    if adapter is not None:
        check_adapter(adapter, name)
    return FoundModel(resolve(name, revision), adapter)


def frozen(section: ModelSection) -> ModelSection:
    """The plain base without its adapter: who scores what either of them wrote."""
    return section.model_copy(update={"adapter": None})


@dataclass
class LoadedModel:
    """Weights and tokenizer, in evaluation mode."""

    reference: ModelReference
    model: Any
    tokenizer: Any
    dtype: str
    adapter: str | None = None
    context_limit: int | None = None
    """Treat the model as if it held no more than so many tokens."""

    @property
    def label(self) -> str:
        return self.reference.name + (f"+{Path(self.adapter).name}" if self.adapter else "")

    @property
    def context_tokens(self) -> int:
        own = context_tokens(self.model.config)
        return own if self.context_limit is None else min(own, self.context_limit)


def context_tokens(config: Any) -> int:
    text_config = config.get_text_config() if hasattr(config, "get_text_config") else config
    # models with a recurrent state have no longest context
    return int(getattr(text_config, "max_position_embeddings", None) or UNLIMITED)


def resolve(name: str, revision: str | None = None) -> ModelReference:
    """Find a model by name. Prepares an embedded one; does not load weights."""
    if name in EMBEDDED:
        embedded = EMBEDDED[name]
        path = prepare(embedded)
        held = directory_revision(path)
        if revision not in (None, embedded.revision, held):
            raise InputError(f"model {name!r}: the embedded revision is {held}, not {revision!r}; drop it")
        return ModelReference(name, str(path), held)
    if is_gguf(name):
        path = prepare_file(gguf_file(name))
        held = directory_revision(path)
        if revision not in (None, held):
            raise InputError(f"model {name!r}: the file's revision is {held}, not {revision!r}; drop it")
        return ModelReference(name, str(path), held)
    directory = Path(name).expanduser()
    if directory.is_dir():
        if is_adapter(directory):  # transformers would load the base that its settings name, and the adapter on it
            raise InputError(
                f"model {name!r}: the directory holds a LoRA adapter, not a model of its own: name it as `adapter` of its "
                f"base, or merge them (infoagent merge {name} --out MERGED) and name the merged model"
            )
        if not (directory / "config.json").is_file():
            raise InputError(f"model {name!r}: the directory holds no config.json")
        check_readable(name, directory)
        held = directory_revision(directory)
        if revision not in (None, held):  # a name for the weights says nothing of the chat template
            held = f"{str(revision).partition(MARK)[0]}{MARK}{prompt_hash(directory)}"
        return ModelReference(name, str(directory), held)
    if name.startswith((".", "/", "~")) or name.count("/") != 1:
        known = ", ".join(EMBEDDED)
        raise InputError(
            f"model {name!r}: no such directory; give a directory, a GGUF file, a hub id (owner/name), or one of: {known}"
        )
    return ModelReference(name, name, revision or "main")


def adapter_revision(directory: str | Path) -> str:
    """Hash of an adapter's weights and settings: the same path with others (lora_alpha, say) is another compressor."""
    content = hashlib.sha256((Path(directory) / ADAPTER_WEIGHTS).read_bytes())
    content.update((Path(directory) / ADAPTER_SETTINGS).read_bytes())
    return "sha256:" + content.hexdigest()[:16]


def adapter_prompt(directory: str | Path) -> dict[str, Any]:
    """The prompt that an adapter was trained with, as keyword arguments of `compressor_ids`; {} if not recorded."""
    return dict((read_record(directory) or {}).get("prompt", {}))


def trained_without_thoughts(directory: str | Path) -> bool:
    """Whether an adapter learnt under prompts that turn thoughts off; False where that is not recorded."""
    return (read_record(directory) or {}).get("thinking") is False


def adapter_budget_range(directory: str | Path) -> tuple[int, int] | None:
    """The budgets in tokens that an any-rate adapter, or a model it was merged into, follows; None for any other."""
    for name in (RECORD_FILE, SOURCE_FILE):
        file = Path(directory) / name
        budgets = read_json(file).get("budget_range") if file.is_file() else None
        if budgets is not None:
            return int(budgets[0]), int(budgets[1])
    return None


def adapter_group(directory: str | Path) -> str | None:
    """The W&B group of the run that trained an adapter; None if not recorded."""
    return (read_record(directory) or {}).get("group")


def merged_prompt(reference: ModelReference) -> dict[str, Any]:
    """The prompt of the adapter that `infoagent merge` put into a model; {} for any other model."""
    source = Path(reference.path) / SOURCE_FILE
    return dict(read_json(source).get("prompt", {})) if source.is_file() else {}


def trained_prompt(
    adapter: str | None, reference: ModelReference, asks: bool | None, setting: str = "query"
) -> tuple[dict[str, Any], tuple[int, int] | None]:
    """(the prompt that the adapter, or the model it was merged into, was trained with; {} where none is recorded, its range of
    budgets). `asks`: whether a question is given, by `setting`; None: either will do. Raises InputError where it learnt to
    write for one and none is given, or one is given that its prompt has no place for."""
    who = f"model {reference.name!r}" if adapter is None else f"adapter {adapter!r}"
    recorded = merged_prompt(reference) if adapter is None else adapter_prompt(adapter)
    template = recorded.get("template")
    if template is not None and asks is not None and names_question(template) != asks:
        if asks:
            raise InputError(f"{who}: was trained with the prompt {template!r}, which takes no question; drop {setting}")
        raise InputError(f"{who}: was trained to write for a question; say which ({setting})")
    return recorded, adapter_budget_range(reference.path if adapter is None else adapter)


def load_weights(reference: ModelReference, dtype: str, device: str | None = None, quantization: Any = None) -> Any:
    """The causal LM in evaluation mode. `quantization` is a configuration of transformers, for a CUDA device."""
    import torch

    from infoagent.lm.machine.attention import use_products

    say_notes()
    keep_freed_memory()
    settle_deepspeed()
    where = reference.name, reference.path, hub_revision(reference)
    if quantization is not None:  # quantised while it is read, so it must be read to its place
        place = {"": int(os.environ.get("LOCAL_RANK", "0"))}  # a launcher's process is set on its GPU only later
        return read_weights(*where, dtype=getattr(torch, dtype), quantization_config=quantization, device_map=place).eval()
    model = read_weights(*where, dtype=getattr(torch, dtype))
    if default_device() == "cpu":  # a trainer moves its model only later, so the place of now says nothing
        use_products(model)
    return model.to(device or default_device()).eval()


def load(
    name: str, revision: str | None = None, dtype: str = AUTO, adapter: str | None = None, device: str | None = None
) -> LoadedModel:
    """Load a model, and a LoRA adapter on top if one is named. `dtype` auto is what suits the device; the loaded model
    names it. Raises InputError where a name is wrong."""
    dtype = resolve_dtype(dtype, device or default_device())
    base = find_by_name(name, revision, adapter).pinned
    tokenizer = base.tokenizer
    if adapter is not None:
        from infoagent.lm.adapter_fit import attach, check_fit  # it brings torch

        check_fit(adapter, base.reference)
    model = load_weights(base.reference, dtype, device)
    if adapter is not None:
        model = attach(model, adapter, base.reference)
    return LoadedModel(base.reference, model, tokenizer, dtype, adapter)
