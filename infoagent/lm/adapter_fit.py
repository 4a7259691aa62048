"""LoRA adapters on their base model: whether every tensor has its place there, checked before weights load, and the one
door through which adapters are put on models.

Adapters may hold more than LoRA's matrices. Modules that were trained whole (`modules_to_save`) and single tokens
(`trainable_token_indices`) are switched with the adapter, and are used. Weights that stand in the base's own place
(embeddings of a resized vocabulary, biases) would change the base, which then scores with them while the adapter is off:
they are let pass only where they are the base's own.
"""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from infoagent.files import read_json
from infoagent.lm.adapters import ADAPTER_SETTINGS, ADAPTER_WEIGHTS, ANEW, read_record, read_settings, tensors_of
from infoagent.lm.pretrained import blank_model
from infoagent.lm.reference import ModelReference, load_config, load_tokenizer
from infoagent.types import InputError

logger = logging.getLogger(__name__)

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "added_tokens.json")
PREFIX = "base_model.model."
"""Of every name in an adapter's file."""
FAULTS = (RuntimeError, ValueError, LookupError, TypeError, AttributeError, NotImplementedError, ImportError)
"""What PEFT raises where an adapter does not go on a model."""
_MISFIT = re.compile(r"size mismatch for (\S+): .*?torch\.Size\(\[([\d, ]*)\]\).*?torch\.Size\(\[([\d, ]*)\]\)")
_WRAPPINGS = re.compile(r"\.(base_layer|original_module|token_adapter)(?=\.)")
"""Parts that PEFT puts into the names of the base's own weights."""
_OF_ADAPTERS = re.compile(r"\.(lora_|modules_to_save|trainable_tokens_)")
_COMMIT = re.compile("[0-9a-f]{40}")
_RESIZED = "resize the base as its training did, merge it there with PEFT, and name the merged model"


@dataclass(frozen=True)
class _Places:
    """Why an adapter does not go on a base, or which of the base's own weights its file holds: plain name → name there."""

    mistake: str | None = None
    of_the_base: Mapping[str, str] = field(default_factory=dict)


def check_fit(adapter: str, reference: ModelReference) -> None:
    """Raise InputError unless every tensor of `adapter` has a place of its shape on the base `reference`, none is
    missing, and its tokenizer has no token that the base's lacks. No weights are read."""
    _checked(adapter, reference)


def _checked(adapter: str, reference: ModelReference) -> _Places:
    files = (Path(adapter) / name for name in (ADAPTER_SETTINGS, ADAPTER_WEIGHTS, *TOKENIZER_FILES))
    stamp = tuple((f.name, f.stat().st_size, f.stat().st_mtime_ns) for f in files if f.is_file())
    places = _examined(adapter, stamp, reference)
    if places.mistake is not None:
        raise InputError(f"adapter {adapter!r}: {places.mistake}")
    return places


@lru_cache(maxsize=64)
def _examined(adapter: str, stamp: tuple[Any, ...], reference: ModelReference) -> _Places:
    """`stamp` tells one content of the same path from another."""
    if told := _of_another_commit(adapter, reference):
        logger.warning("adapter %r: %s", adapter, told)
    mistake = _tokens_beyond(adapter, reference)
    return _places(adapter, reference) if mistake is None else _Places(mistake)


def _of_another_commit(adapter: str, reference: ModelReference) -> str | None:
    """What is said of an adapter on a hub model that has moved on since; None where it has not, or that cannot be told."""
    trained_on = str((read_record(adapter) or {}).get("base_commit"))
    if trained_on == reference.revision or not (_COMMIT.fullmatch(trained_on) and _COMMIT.fullmatch(reference.revision)):
        return None
    return (
        f"was trained on commit {trained_on} of its base, and this is {reference.revision}; where the weights changed in between, "
        "name the first as the model's revision"
    )


def _tokens_beyond(adapter: str, reference: ModelReference) -> str | None:
    said = added_tokens(adapter)
    if not said:
        return None
    known = load_tokenizer(reference).get_vocab()
    beyond = [token for token, number in said.items() if known.get(token) != number]
    if not beyond:
        return None
    return (
        f"its tokenizer has {len(beyond)} tokens that {reference.name!r} lacks or numbers otherwise "
        f"({', '.join(repr(token) for token in beyond[:3])}); {_RESIZED}"
    )


def added_tokens(directory: str | Path) -> dict[str, int]:
    """The tokens that the tokenizer beside an adapter adds to its vocabulary, with their numbers; {} without one."""
    found: dict[str, int] = {}
    for name in TOKENIZER_FILES:
        file = Path(directory) / name
        content = read_json(file, ANEW) if file.is_file() else {}
        if name == "tokenizer.json":
            found |= {str(token["content"]): int(token["id"]) for token in content.get("added_tokens") or []}
        elif name == "tokenizer_config.json":
            decoder = content.get("added_tokens_decoder") or {}
            found |= {str(token["content"]): int(number) for number, token in decoder.items()}
        else:
            found |= {str(token): int(number) for token, number in content.items()}
    return found


def _places(adapter: str, reference: ModelReference) -> _Places:
    """PEFT's own loading of tensors without content onto a model without content."""
    from peft import LoraConfig, PeftModel, set_peft_model_state_dict
    from peft.utils.other import AuxiliaryTrainingWrapper

    vocabulary = int(load_config(reference).get_text_config().vocab_size)
    if mistake := _indices_beyond(read_settings(adapter).get("trainable_token_indices"), vocabulary):
        return _Places(mistake)
    tensors = {name: torch.empty(shape, device="meta") for name, (_, shape) in tensors_of(adapter).items()}
    try:
        with warnings.catch_warnings(), torch.device("meta"):
            warnings.simplefilter("ignore")  # what they tell of is looked at here
            model = blank_model(reference.name, load_config(reference))
            wrapped = PeftModel(model, LoraConfig.from_pretrained(adapter), low_cpu_mem_usage=True)
            result = set_peft_model_state_dict(wrapped, tensors, low_cpu_mem_usage=True)
    except FAULTS as error:
        return _Places(_in_words(error, reference, vocabulary))
    # what PEFT trains beside LoRA's matrices it misses by an error of its own
    missing = [name for name in result.missing_keys if "lora_" in name and ".default" in name]
    beyond = [name for name in result.unexpected_keys if ".modules_to_save." not in name]  # a copy of what has a place
    if missing:
        return _Places(
            f"lacks {len(missing)} of the tensors that its settings speak of ({_plain(missing[0])}); give a whole checkpoint"
        )
    if beyond:
        return _Places(
            f"has {len(beyond)} tensors for which {reference.name!r} has no place ({_plain(beyond[0])}); name the model "
            "that it was trained on"
        )
    switched = {name for name, module in wrapped.named_modules() if isinstance(module, AuxiliaryTrainingWrapper)}
    return _Places(
        of_the_base={
            _WRAPPINGS.sub("", name.removeprefix(PREFIX)): name
            for name in tensors
            if not _OF_ADAPTERS.search(name) and name.rpartition(".")[0] not in switched
        }
    )


def _indices_beyond(indices: Any, vocabulary: int) -> str | None:
    lists = indices.values() if isinstance(indices, dict) else [indices or []]
    beyond = [i for numbers in lists for i in numbers if i >= vocabulary]
    if not beyond:
        return None
    return f"trains token {beyond[0]}, the base has {vocabulary}: tokens were added; {_RESIZED}"


def _in_words(error: Exception, reference: ModelReference, vocabulary: int) -> str:
    misfits = _MISFIT.findall(str(error))
    if not misfits:
        said = " ".join(str(error).split())[:160]
        return f"does not go on {reference.name!r} ({type(error).__name__}: {said}); name the model that it was trained on"
    name, found, wanted = misfits[0]
    more = f", and {len(misfits) - 1} more tensors differ" if len(misfits) > 1 else ""
    line = f"{_plain(name)} is {_by(found)}, on {reference.name!r} it is {_by(wanted)}{more}"
    rows_of_vocabulary = wanted.split(", ")[0] == str(vocabulary) and found.split(", ")[1:] == wanted.split(", ")[1:]
    return f"{line}: tokens were added; {_RESIZED}" if rows_of_vocabulary else f"{line}; name the model that it was trained on"


def _by(sizes: str) -> str:
    return sizes.replace(", ", " × ")


def _plain(name: str) -> str:
    return name.removeprefix(PREFIX).replace(".default", "")


def attach(model: Any, adapter: str, reference: ModelReference, name: str = "default", trainable: bool = False) -> Any:
    """`model` with `adapter` on it, under `name`; the base is `reference`. Adapters that it has already stay.

    Raises InputError for an adapter that does not fit, or that would change the base's own weights.
    """
    from peft import PeftModel

    _check_same_base(model, adapter, _checked(adapter, reference).of_the_base)
    try:
        if getattr(model, "peft_config", None):
            model.load_adapter(adapter, adapter_name=name, is_trainable=trainable)
        else:
            model = PeftModel.from_pretrained(model, adapter, adapter_name=name, is_trainable=trainable)
    except FAULTS as error:
        said = " ".join(str(error).split())[:160]
        raise InputError(f"adapter {adapter!r}: PEFT cannot put it on {reference.name!r}: {said}") from error
    return model if trainable else model.eval()


def _check_same_base(model: Any, adapter: str, names: Mapping[str, str]) -> None:
    """Weights of the base in an adapter's file overwrite the base's when it loads, for good."""
    if not names:
        return
    from safetensors import safe_open

    own = {
        _WRAPPINGS.sub("", name.removeprefix(PREFIX)): parameter
        for name, parameter in model.named_parameters(remove_duplicate=False)
        if not _OF_ADAPTERS.search(name)
    }
    with safe_open(Path(adapter) / ADAPTER_WEIGHTS, framework="pt") as stream:
        changed = [plain for plain, name in names.items() if plain not in own or not _equal(own[plain], stream.get_tensor(name))]
    if changed:
        raise InputError(
            f"adapter {adapter!r}: holds {len(changed)} of the base's own weights with other values ({changed[0]}), which "
            "would change the base as well; merge it with PEFT, and name the merged model"
        )


def _equal(first: torch.Tensor, second: torch.Tensor) -> bool:
    """Up to the rounding of the shorter of their types."""
    if first.shape != second.shape:
        return False
    coarser = min((first.dtype, second.dtype), key=lambda dtype: torch.finfo(dtype).bits)
    return torch.equal(first.detach().cpu().to(coarser), second.to(coarser))
