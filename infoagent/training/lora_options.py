"""The adapter that a recipe asks for, and whether this model and this machine can have it.

Everything here keeps "adapter disabled = frozen base" true, because that is who scores: LoRA, rsLoRA and DoRA leave
the base's weights alone, and a base in 4 bits is the same 4 bits for policy and scorer.
"""

from __future__ import annotations

import importlib.util
import re
from typing import Any

from infoagent.lm.adapters import read_settings
from infoagent.lm.pretrained import blank_model
from infoagent.lm.prompts import Prompt
from infoagent.lm.reference import ModelReference, load_config, load_tokenizer
from infoagent.recipes.lora_section import LoraSection
from infoagent.recipes.training import TrainingRecipe
from infoagent.training.launch import is_sharded_launch
from infoagent.types import InputError

ALL_LINEAR = "all-linear"


def lora_config(section: LoraSection, invocation: list[int] | None = None) -> Any:
    """A fresh adapter in PEFT's words. `invocation`: the tokens from which an activated one acts."""
    from peft import LoraConfig

    return LoraConfig(
        r=section.r,
        lora_alpha=section.alpha,
        lora_dropout=section.dropout,
        target_modules=section.targets,
        use_rslora=section.rslora,
        use_dora=section.dora,
        alora_invocation_tokens=invocation,
        task_type="CAUSAL_LM",
    )


def invocation_of(recipe: TrainingRecipe, reference: ModelReference) -> list[int] | None:
    """The tokens from which the recipe's adapter acts; None for one that acts everywhere. Raises InputError where there are none."""
    if not recipe.lora.activated:
        return None
    from infoagent.lm.activation import invocation_ids

    return invocation_ids(load_tokenizer(reference), Prompt.of(recipe.prompt, thinking=False))


def check_lora(section: LoraSection, reference: ModelReference, begun: str | None = None) -> None:
    """Raise InputError, all mistakes at once, before any weight is read: the model is built without its weights. `begun`: the
    adapter that training begins from, whose shape stays."""
    mistakes = _quantization_mistakes(section)
    if begun is not None:
        mistakes += _shape_mistakes(section, begun) + _output_mistakes(begun, reference)
    if section.targets != ALL_LINEAR:
        mistakes += _target_mistakes(section.targets, reference)
    if mistakes:
        raise InputError(mistakes)


PEFT_NAMES = {
    "r": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "rslora": "use_rslora", "dora": "use_dora",
    "activated": "alora_invocation_tokens",
}  # fmt: skip
"""Settings of LoraSection that an adapter's own file says as well, by PEFT's names."""


def _shape_mistakes(section: LoraSection, adapter: str) -> list[str]:
    """What the recipe says of the adapter that is not so: it would be written down and not be trained."""
    own, mistakes = read_settings(adapter), []
    for name in sorted(section.model_fields_set & PEFT_NAMES.keys()):
        wanted, found = getattr(section, name), own.get(PEFT_NAMES[name])
        if name in ("rslora", "dora", "activated"):
            found = bool(found)
        if found is not None and wanted != found:
            mistakes.append(f"lora.{name} = {wanted}: init_adapter = {adapter!r} has {found}, and is trained as it is; set it so")
    found = own.get("target_modules")
    # `all-linear` and a pattern are names only once a model is there
    if isinstance(section.targets, list) and isinstance(found, list) and set(section.targets) != set(found):
        has = ", ".join(sorted(found))
        mistakes.append(f"lora.targets: init_adapter = {adapter!r} has {has}, and is trained as it is; name these, or none")
    return mistakes


def _target_mistakes(targets: str | list[str], reference: ModelReference) -> list[str]:
    import torch
    from transformers.pytorch_utils import Conv1D

    model = _model_without_weights(reference)
    head, linear = _output_layer(model), (torch.nn.Linear, Conv1D)
    modules = {name: isinstance(module, linear) for name, module in model.named_modules() if name}
    known = ", ".join(sorted({name.rsplit(".", 1)[-1] for name, is_linear in modules.items() if is_linear and name != head}))
    mistakes = []
    for target in _listed(targets):
        matched = [name for name in modules if _matches(target, name, is_pattern=isinstance(targets, str))]
        if not matched:
            what = "matches no module"
        elif not all(modules[name] for name in matched):
            what = f"matches {next(n for n in matched if not modules[n])}, which is no linear layer"
        elif head in matched:
            what = f"matches {head}, the output layer, whose plain weights the losses read,"
        else:
            continue
        mistakes.append(f"lora.targets: {target!r} {what} of {reference.name}; its linear layers are {known}")
    return mistakes


def _output_mistakes(adapter: str, reference: ModelReference) -> list[str]:
    """An adapter of elsewhere may act on the output layer: such a one can be sampled from and scored, not trained on."""
    targets = read_settings(adapter).get("target_modules")
    if not isinstance(targets, str | list) or targets == ALL_LINEAR:  # which leaves the output layer alone
        return []
    head = _output_layer(_model_without_weights(reference))
    if head is None or not any(_matches(target, head, is_pattern=isinstance(targets, str)) for target in _listed(targets)):
        return []
    return [
        f"init_adapter = {adapter!r}: acts on {head}, the output layer of {reference.name}, whose plain weights the losses "
        "read; name an adapter that leaves it alone, or none"
    ]


def _listed(targets: str | list[str]) -> list[str]:
    return [targets] if isinstance(targets, str) else targets


def _model_without_weights(reference: ModelReference) -> Any:
    import torch

    with torch.device("meta"):
        return blank_model(reference.name, load_config(reference))


def _output_layer(model: Any) -> str | None:
    """The name of the layer that makes the logits, on which TRL takes no adapter; None where a model names none."""
    output = model.get_output_embeddings()
    return next((name for name, module in model.named_modules() if module is output), None)


def _matches(target: str, name: str, is_pattern: bool) -> bool:
    """PEFT's rule: a single string is a regular expression for the whole name, one of a list is its last parts."""
    if not is_pattern:
        return name == target or name.endswith("." + target)
    try:
        return re.fullmatch(target, name) is not None
    except re.error as error:
        raise InputError(f"lora.targets = {target!r}: is no regular expression ({error}); give a list of names") from error


def _quantization_mistakes(section: LoraSection) -> list[str]:
    if section.quantize == "none":
        return []
    import torch

    mistakes = []
    if not torch.cuda.is_available():
        mistakes.append("lora.quantize = '4bit': needs a CUDA device, this machine has none; set it to none")
    if importlib.util.find_spec("bitsandbytes") is None:
        mistakes.append("lora.quantize = '4bit': needs bitsandbytes; run: pip install bitsandbytes, or set it to none")
    if is_sharded_launch():
        mistakes.append(
            "lora.quantize = '4bit': cannot be sharded over processes (ZeRO-3, FSDP), where the scorer would be a base of "
            "another precision; use accelerate_configs/multi_gpu.yaml"
        )
    return mistakes


def quantization_of(section: LoraSection, dtype: str) -> Any:
    """QLoRA's base: 4-bit nf4 with quantised constants, arithmetic in `dtype`; None for a base as it is."""
    if section.quantize == "none":
        return None
    from transformers import BitsAndBytesConfig

    return BitsAndBytesConfig(
        load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True, bnb_4bit_compute_dtype=dtype
    )
