"""Adapters that act from the instruction on, so that the document is read by the frozen base (PEFT's activated LoRA).

    prompt = document            | instruction, question, text so far
             frozen base           base + adapter

What a compressor learns is which part to take and how to put it, and that happens behind the document. Its keys and values are
then those of the frozen base: training reads the document without a gradient, and keeps none of its activations. At 120 tokens of
document, 35 of instruction and question and 18 of text that is half of the arithmetic of a step.

PEFT finds where the adapter begins by the tokens of the instruction. Source: Greenewald et al., arXiv 2504.12397.
"""

from __future__ import annotations

import functools
import re
from collections.abc import Sequence
from typing import Any

import torch

from infoagent.lm.control_tokens import text_ids
from infoagent.lm.prompts import COMPRESSOR_TEMPLATES, Prompt, compressor_ids
from infoagent.lm.scoring.prefix import route_of
from infoagent.types import InputError

PER_TOKEN = frozenset({"log_probs", "entropy", "log_sum_sq_probs", "mean_logits", "is_top1", "label_mask"})
"""What TRL's fused head gives, a number for each token."""
EXAMPLE = "The river is 7 km long.", "How long is the river?"


def invocation_ids(tokenizer: Any, prompt: Prompt) -> list[int]:
    """The tokens of the instruction with which an adapter for `prompt` begins to act.

    Raises InputError for a template without words of its own behind the document, and for a tokenizer that joins them with what
    stands beside them.
    """
    behind = COMPRESSOR_TEMPLATES[prompt.template].partition("{document}")[2]
    words = re.split(r"\{", behind)[0].strip()
    if not words:
        raise InputError(
            f"lora.activated with prompt.template = {prompt.template!r}: it has no words behind the document to act from; take "
            "query-v1, or set lora.activated to false"
        )
    ids = text_ids(tokenizer, words)
    if _last_place(compressor_ids(tokenizer, *EXAMPLE, prompt), ids) is None:
        raise InputError(
            f"lora.activated: this model's tokenizer joins the words {words!r} with what stands beside them; set it to false"
        )
    return ids


def _last_place(ids: list[int], wanted: list[int]) -> int | None:
    return next((i for i in range(len(ids) - len(wanted), -1, -1) if ids[i : i + len(wanted)] == wanted), None)


def acts_from_instruction(model: Any) -> bool:
    """Whether the active adapter of a PEFT model is of this kind; not while adapters are disabled."""
    if getattr(model, "_adapters_disabled", False):
        return False
    active = getattr(model, "active_peft_config", None)
    return bool(getattr(active, "alora_invocation_tokens", None))


def check_activated(model: Any, prompts: Sequence[Sequence[int]]) -> None:
    """Raise InputError for a prompt in which the active adapter would act nowhere, so that the base alone would answer."""
    if not acts_from_instruction(model):
        return
    wanted = list(model.active_peft_config.alora_invocation_tokens)
    if any(_last_place(list(prompt), wanted) is None for prompt in prompts):
        raise InputError(
            "the adapter acts from the instruction of its own prompt on, which is not in this one; compress with the prompt that "
            "it was trained with"
        )


def read_without_gradient(model: Any) -> None:
    """Make `model` split its passes with a gradient: what stands before the adapter in every row is read without one.

    Values and gradients are those of the whole pass, since no weight that is trained acts on what was split off. Logits begin at the
    split; of what TRL computes token by token, the part before it is 0, as it is without a label. A pass with a cache of its own,
    without input ids, or of a row without the instruction is left whole, and so is all under gradient checkpointing, where no cache
    can be held, and of models whose cache takes no several tokens at once.
    """
    if route_of(model.config) == "one by one":
        return
    from peft.tuners.lora.variants import calculate_alora_offsets

    whole = model.forward

    @functools.wraps(whole)
    def forward(*unnamed: Any, **inputs: Any) -> Any:
        ids = inputs.get("input_ids")
        checkpointing = getattr(model, "is_gradient_checkpointing", False)
        if unnamed or ids is None or not torch.is_grad_enabled() or inputs.get("past_key_values") is not None or checkpointing:
            return whole(*unnamed, **inputs)
        offsets = calculate_alora_offsets(model.peft_config, model.active_adapter, ids)
        width = ids.size(1)
        split = 0 if None in offsets else width - max(offsets)
        if split <= 0:
            return whole(**inputs)
        mask, positions = inputs.get("attention_mask"), inputs.get("position_ids")
        nowhere = [None] * len(ids)  # a document may quote the instruction
        before: dict[str, Any] = {"input_ids": ids[:, :split], "use_cache": True, "logits_to_keep": 1, "alora_offsets": nowhere}
        after = {**inputs, "input_ids": ids[:, split:], "use_cache": True, "alora_offsets": offsets}
        if mask is not None and mask.dim() == 4:
            before["attention_mask"], after["attention_mask"] = mask[:, :, :split, :split], mask[:, :, split:]
        elif mask is not None:
            before["attention_mask"] = mask[:, :split]
        if positions is not None:
            before["position_ids"], after["position_ids"] = positions[:, :split], positions[:, split:]
        for name in ("labels", "shift_labels"):
            if inputs.get(name) is not None:
                after[name] = inputs[name][:, split:]
        with torch.no_grad():
            after["past_key_values"] = whole(**before).past_key_values
        output = whole(**after)
        for name in PER_TOKEN & set(output.keys()):  # of the whole width again: trainers lay masks of the inputs over them
            output[name] = torch.nn.functional.pad(output[name], (split, 0))
        return output

    model.forward = forward
